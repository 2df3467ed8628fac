"""
in:  the targets of the run
out: the check of ffmpeg and the lock that a run holds on its outdir; the summary on the terminal after the last job
"""

import signal
from contextlib import suppress
from threading import Thread

import psutil

from clipmill.base.human import counted
from clipmill.dataset.summary import as_text
from clipmill.store.layout import Paths
from clipmill.store.run_lock import RunLock

# Targets that write nothing below outdir but their logs, so that they are allowed while a run is at work.
BESIDE_RUNS = {
    *map(
        rule_name, ("plan", "fetch_models", "beautify", "quantize", "compare", "browse")
    )
}
PATHS = Paths(Path(config["outdir"]))
RUN_LOCK = RunLock(PATHS.outdir)


def begin_run():
    """Check ffmpeg, which is used last, and refuse a second run on the same outdir, wherever it was started.

    The decisions of a person are kept as they are now, so that all jobs follow the same ones.

    A dry run never comes here. Jobs on other machines learn the run's name from the environment.
    """
    from clipmill.cut.program import check_ffmpeg

    targets = set(workflow.dag_settings.targets)
    if not targets or not targets <= BESIDE_RUNS:
        or_exit(check_ffmpeg)
        os.environ.update(CLIPMILL_RUN=or_exit(RUN_LOCK.take))
        keep_decisions()
    hear_sigterm_in_a_thread()
    if targets == {rule_name("browse")}:
        # Ctrl-C ends its server, and with it the command. SIGTERM, sent to the command alone, must reach the server too.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, end_server)


def hear_sigterm_in_a_thread():
    """Let a run that is told to end do so. Snakemake's handler waits for a lock that the code it interrupts may hold."""
    handler = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: Thread(target=handler).start())


def end_server(*_):
    """End the server of `browse`: the one process below this one that started no other."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if not process.children():
                process.terminate()


def restore_clips():
    """Have the clips of the dataset that are missing or damaged made again: without its table, a cut job runs again.

    A dry run, and a start beside a run that is at work, only tell of them.
    """
    from clipmill.dataset.damage import damaged_clips
    from clipmill.store import tables

    damaged = damaged_clips(PATHS.outdir, SHARDS)
    if damaged:
        clips = counted(sum(damaged.values()), "missing or damaged clip")
        print(f"{PATHS.dataset}: {clips}, made again by a run", file=sys.stderr)
    if not workflow.output_settings.dryrun and not RUN_LOCK.holder():
        for shard in damaged:
            tables.CUTS.of(PATHS.outdir, shard).unlink()


if workflow.is_main_process and not BESIDE_RUNS & set(sys.argv):
    or_exit(restore_clips)


def summary_time():
    """When the summary was written, in nanoseconds; None where there is none."""
    path = PATHS.summary
    return path.stat().st_mtime_ns if path.exists() else None


SUMMARY_BEFORE = summary_time()


def makes_dataset():
    """Whether the targets of this command include the whole dataset."""
    settings = workflow.dag_settings
    files = {*rules.export_dataset.output, *rules.write_report.output}
    whole = {*map(rule_name, ("all", "export_dataset", "write_report")), *files}
    partial = settings.until or settings.omit_from
    return not partial and (not settings.targets or whole & set(settings.targets))


def summary_text():
    """The summary, for a command that made or checked the dataset; None for one that leaves it alone."""
    written = summary_time() != SUMMARY_BEFORE
    if CALIBRATES or not PATHS.summary.exists() or not (written or makes_dataset()):
        return None
    summary = json.loads(PATHS.summary.read_text(encoding="utf-8"))
    return as_text(summary, PATHS.outdir, links=terminal.is_terminal(sys.stderr))


def print_summary():
    """Print the summary after the last job of a run."""
    text = summary_text()
    if TERMINAL:
        TERMINAL.finish(text)
    elif text:
        print(text, end="\n\n", file=sys.stderr)


def add_hooks():
    """Have a run of a module begin and end as any: Snakemake calls the hooks of the main Snakefile alone."""
    start, success = workflow._onstart, workflow._onsuccess

    def start_all(log):
        start(log)
        begin_run()

    def end_all(log):
        success(log)
        print_summary()

    workflow._onstart, workflow._onsuccess = start_all, end_all


if FIRST_OF_MODULE:
    add_hooks()
if TERMINAL:
    TERMINAL.on_nothing = summary_text
