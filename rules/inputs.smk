"""
in:  the config; in the main process also the videos, if the config names them: some commands need none
out: SHARDS, the names of all shards with their numbers of videos; TO_FETCH, those that a job of its own fetches
"""

import logging

from clipmill.store.index import shard_sizes, shards_to_fetch_first
from clipmill.store.run_lock import RunLock


def on_cluster():
    """Whether the jobs of this run go to a cluster; a dry run is asked for with the same executor."""
    if not workflow.is_main_process or JOBS_AT_ONCE is None:
        return False
    return command_line().executor not in (None, "local")


# Cores of this machine; jobs at once on a cluster, None on one machine, which may be given `--jobs` too.
CORES, JOBS_AT_ONCE = (
    workflow.global_resources[name].value for name in ("_cores", "_nodes")
)
CLUSTER_JOBS = JOBS_AT_ONCE if on_cluster() else None


def find_shards():
    """All shards, and how many videos each has. The main process looks for videos; jobs read what it found."""
    if config["videos"] is None or SHOWS_FINISHED_RUNS:
        return {}
    outdir = Path(config["outdir"])
    if not workflow.is_main_process:
        # Checked now, before Snakemake removes the outputs of the job.
        if run := os.getenv("CLIPMILL_RUN"):
            RunLock(outdir).check(run)
        return shard_sizes(outdir)
    # It needs pyarrow, which jobs need not load to parse the rules.
    from clipmill.fetch.files import FetchSettings
    from clipmill.inputs.discovery import update_index
    from clipmill.inputs.sharding import Workers

    fetch = FetchSettings(**config["fetch"])
    if CLUSTER_JOBS:
        fetch.check_for_cluster()
    log = logging.getLogger("clipmill")
    # A module is read anew for each `use rule`.
    if not log.handlers:
        log.addHandler(logging.StreamHandler())
    log.setLevel(logging.INFO)
    return update_index(
        config["videos"],
        outdir,
        config["videos_per_shard"],
        config["exclude"],
        Workers.of(CORES, CLUSTER_JOBS),
        captions=CAPTIONS_GIVEN,
        fetch=fetch,
    )


SHARDS = or_exit(find_shards)
TO_FETCH = shards_to_fetch_first(Path(config["outdir"])) if SHARDS else frozenset()


def fetched(wildcards):
    """The input of a job that decodes: what the job of fetching did. None for shards that have no such job."""
    shard = wildcards.shard
    return f"{WORK}/fetch/{shard}.parquet" if shard in TO_FETCH else []
