"""
in:  the config; in the main process also the videos, if the config names them: some commands need none
out: SHARDS, the names of all shards with their numbers of videos
"""

import logging

from clipmill.store.index import shard_sizes
from clipmill.store.run_lock import RunLock


def find_shards():
    """All shards, and how many videos each has. The main process looks for videos; jobs read what it found."""
    if config["videos"] is None:
        return {}
    outdir = Path(config["outdir"])
    if not workflow.is_main_process:
        # Checked now, before Snakemake removes the outputs of the job.
        if run := os.getenv("CLIPMILL_RUN"):
            RunLock(outdir).check(run)
        return shard_sizes(outdir)
    # It needs pandas, which jobs need not load.
    from clipmill.inputs.discovery import update_index

    log = logging.getLogger("clipmill")
    log.addHandler(logging.StreamHandler())
    log.setLevel(logging.INFO)
    return update_index(
        config["videos"], outdir, config["videos_per_shard"], config["exclude"]
    )


SHARDS = or_exit(find_shards)
