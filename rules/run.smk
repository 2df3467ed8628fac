"""
in:  the targets of the run
out: the lock that a run holds on its outdir, and the summary on the terminal after the last job
"""

from clipmill.dataset.summary import as_text
from clipmill.store.layout import Paths
from clipmill.store.run_lock import RunLock

# Targets that write nothing below outdir but their logs, so that they are allowed while a run is at work.
BESIDE_RUNS = {"plan", "fetch_models", "beautify", "quantize"}
PATHS = Paths(Path(config["outdir"]))
RUN_LOCK = RunLock(PATHS.outdir)


def hold_outdir():
    """Refuse a second run on the same outdir, wherever it was started; a dry run never comes here.

    Jobs on other machines learn the run's name from the environment.
    """
    targets = set(workflow.dag_settings.targets)
    if not targets or not targets <= BESIDE_RUNS:
        os.environ.update(CLIPMILL_RUN=or_exit(RUN_LOCK.take))


def summary_time():
    """When the summary was written, in nanoseconds; None where there is none."""
    path = PATHS.summary
    return path.stat().st_mtime_ns if path.exists() else None


SUMMARY_BEFORE = summary_time()


def print_summary():
    """Print the summary after the last job of a run; nothing after a command that leaves the dataset alone."""
    if summary_time() != SUMMARY_BEFORE and not CALIBRATES:
        summary = json.loads(PATHS.summary.read_text(encoding="utf-8"))
        print(as_text(summary, PATHS.outdir), file=sys.stderr)
