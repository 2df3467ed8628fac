"""
in:  the config; in the main process also the videos, where they are set: some commands need none
out: SHARDS, the names of all shards with their numbers of videos; the lock that a run holds
"""

import logging

from clipmill.store.index import shard_sizes
from clipmill.store.run_lock import RunLock

# Targets that write nothing below outdir but their logs, so that they may be asked for while a run is at work.
BESIDE_RUNS = {"plan", "fetch_models", "beautify", "quantize"}


def find_shards():
    """All shards, and how many videos each has. The main process looks for videos; jobs read what it found."""
    if config["videos"] is None:
        return {}
    outdir = Path(config["outdir"])
    if not workflow.is_main_process:
        # Before Snakemake removes the outputs of the job.
        if run := os.getenv("CLIPMILL_RUN"):
            RunLock(outdir).check(run)
        return shard_sizes(outdir)
    from clipmill.inputs.discovery import (
        update_index,
    )  # pandas, which jobs need not load

    log = logging.getLogger("clipmill")
    log.addHandler(logging.StreamHandler())
    log.setLevel(logging.INFO)
    return update_index(
        config["videos"], outdir, config["videos_per_shard"], config["exclude"]
    )


SHARDS = or_exit(find_shards)
RUN_LOCK = RunLock(Path(config["outdir"]))


def hold_outdir():
    """Refuse a second run on the same outdir, wherever it was started; a dry run never comes here.

    Jobs on other machines learn the run's name from the environment.
    """
    targets = set(workflow.dag_settings.targets)
    if not targets or not targets <= BESIDE_RUNS:
        os.environ.update(CLIPMILL_RUN=or_exit(RUN_LOCK.take))
