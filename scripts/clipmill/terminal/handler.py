"""The handler of Snakemake's records: from each event to what is shown of it."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Collection
from typing import Any

from clipmill.base.human import counted
from clipmill.terminal.failures import Ended, Failure, explain, how_ended, in_one_line
from clipmill.terminal.screen import Lines
from clipmill.terminal.state import Job, Jobs, named

MOMENT = 0.1  # seconds between two pictures of the bars
REFRESH = 0.5  # seconds between two looks of the bars
NOTE = 60.0  # seconds between notes of progress where there are no bars, and a twentieth of the run's time at least
SHARE_OF_TIME = 1 / 20
MOST_FAILURES = 20
MOST_LINES = 40  # of one message of Snakemake
MOST_LOGS = 64  # of running jobs that are read each time

GO_ON = "The same command goes on from here."
REPAIR = "Once this is repaired, the same command goes on from here."
BY_USER = "Stopped by the user: waiting until the running jobs have written down what they have finished."
BY_SIGTERM = "Stopped by SIGTERM: running jobs end first, and no new one starts."

# What Snakemake says of itself. It stays in Snakemake's own log file.
NOISE = re.compile(
    "Assuming unrestricted shared filesystem usage|Building DAG of jobs|Using shell: |Provided |Rules claiming more"
    "|Conda environments: ignored|Singularity containers: ignored|Group jobs: inactive|Select jobs to execute"
    "|Execute [0-9]+ jobs|Shutting down, this might take|Exiting because a job execution failed|Elapsed time: "
    "|Touching output file |Removing output files of failed job|Job rate limit reached|Waiting at most"
    "|Job [0-9]+ has been submitted|Auto-selected partition"
    "|Submitted array job|Cleaning up SLURM log files|DAG of jobs will be updated"
    r"|None\Z|\Z"
)
NOTHING = "Nothing to be done"
NO_SUCCESS = "At least one job did not complete successfully"
BY_INTERRUPT = "Terminating processes on user request"
BY_SIGNAL = "Will exit after finishing currently running jobs"
AGAIN = re.compile(r"Trying to restart job (\d+)")
COMPLETE_LOG = "Complete log(s): "


class Terminal(logging.Handler):
    """Shows a run. Records before and beside a run go to `original`, Snakemake's handler, unchanged.

    `on_nothing` returns the text that follows when there is nothing to be done.
    """

    def __init__(
        self,
        original: logging.Handler,
        screen: Lines,
        silent: Collection[str] = (),
        speaking: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
        ticks: bool = True,
    ):
        super().__init__()
        self.set_name("clipmill")
        self.on_nothing: Callable[[], str | None] = lambda: None
        self._original, self._screen, self._clock, self._ticks = original, screen, clock, ticks
        self._silent, self._speaking = frozenset(silent), frozenset(speaking)
        self._jobs = Jobs()
        self._speakers: set[int] = set()  # running jobs that write to the terminal themselves
        self._names: dict[int, str] = {}  # of jobs, as sentences have them
        self._messages: set[str] = set()  # that were shown
        self._begun: float | None = None
        self._over = False
        self._stopped = False
        self._failures: dict[Any, Failure] = {}
        self._shown_failures: set[Any] = set()
        self._told_end = False
        self._exits: dict[int | None, Ended] = {}  # how the last command of a thread ended
        self._looked = self._noted = self._shown = 0.0
        self._notes: list[str] = []
        self._end_ticks = threading.Event()
        self._events = {
            "workflow_started": self._workflow_started,
            "run_info": self._run_info,
            "job_info": self._job_info,
            "job_finished": self._job_finished,
            "job_error": self._job_error,
            "error": self._error,
        }

    # --- records -----------------------------------------------------------------------------------------------------

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record. No fault of the display ends a run."""
        try:
            self._take(record)
        except Exception:
            self.handleError(record)

    def _take(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        if event is None or event == "error":
            (self._message if event is None else self._error)(record)
        elif event == "workflow_started" or self._begun is not None:
            # All other events have a place in the bars or none: commands, resources, progress, groups.
            self._events.get(str(event), lambda record: None)(record)
        else:
            self._original.handle(record)

    def _message(self, record: logging.LogRecord) -> None:
        text = str(record.msg)
        if self._begun is None:
            if not NOISE.match(text):
                self._original.handle(record)
        elif text.startswith(NOTHING):
            self._over = True
            self._screen.hide()
            self._screen.write("Nothing to be done: all files are there and up to date.")
            if last := self.on_nothing():
                self._screen.write(last)
        elif text.startswith(BY_INTERRUPT):
            self._stop(BY_USER)
        elif text.startswith(BY_SIGNAL):
            self._stop(BY_SIGTERM)
        elif text.startswith(COMPLETE_LOG):
            self._end(text.removeprefix(COMPLETE_LOG))
        elif found := AGAIN.match(text):
            self._again(int(found[1]))
        elif not NOISE.match(text) and text not in self._messages:
            self._messages.add(text)  # plugins repeat some for every job
            self._screen.write(_cut(text), {logging.WARNING: "warning", logging.ERROR: "error"}.get(record.levelno, ""))

    def _workflow_started(self, record: logging.LogRecord) -> None:
        self._begun = self._looked = self._noted = self._clock()

    def _run_info(self, record: logging.LogRecord) -> None:
        counts = {name: count for name, count in _field(record, "stats", {}).items() if name != "total"}
        self._jobs.plan({name: count for name, count in counts.items() if not self._hidden(name)})
        if self._jobs.total:
            rules = counted(len(self._jobs.rules), "rule")
            self._screen.note(f"{counted(self._jobs.total, 'job')} of {rules} to run")
            if self._ticks:
                threading.Thread(target=self._tick_on, name="terminal", daemon=True).start()

    def _job_info(self, record: logging.LogRecord) -> None:
        rule, number = str(_field(record, "rule_name")), _field(record, "jobid")
        wildcards = dict(_field(record, "wildcards", {}) or {})
        self._names[number] = named(rule, wildcards)
        if rule in self._speaking:
            self._speakers.add(number)
            self._screen.hide()
            self._tell_end()
        if not self._hidden(rule):
            logs = list(_field(record, "log", []) or [])
            job = Job.begun(number, rule, wildcards, logs, self._clock())
            shown = self._jobs.begin(job)
            if not self._screen.bars and shown.started == job.started and shown.done == 0 and len(shown.running) == 1:
                self._screen.note(f"{rule}: {counted(shown.total, 'job')}")
            self._show()

    def _job_finished(self, record: logging.LogRecord) -> None:
        number = _field(record, "job_id")
        self._failures.pop(number, None)
        self._speakers.discard(number)
        rule = self._jobs.end(number)
        if rule is not None and rule.done >= rule.total and not self._stopped:
            self._screen.note(rule.ended(self._clock()))
        self._show()

    def _job_error(self, record: logging.LogRecord) -> None:
        number = _field(record, "jobid")
        silent = any(job.number == number and not job.wrote for job in self._jobs.running)
        self._jobs.end(number, done=False)
        self._speakers.discard(number)
        what = self._names.get(number, str(_field(record, "rule_name")))
        logs = [str(path) for path in _field(record, "log", []) or []]
        ended = self._exits.pop(record.thread, None)
        self._fail(number, explain(what, logs, _field(record, "rule_msg"), ended, silent))

    def _error(self, record: logging.LogRecord) -> None:
        """An exception, as Snakemake prints it."""
        text = str(record.msg)
        if _field(record, "exception") == "KeyboardInterrupt":
            self.interrupted()
        elif ended := how_ended(text):
            self._exits[record.thread] = ended  # the job's own error follows
        elif self._begun is None:
            self._original.handle(record)
        elif NO_SUCCESS in text:
            self._end(None)
        elif self._jobs.running:
            self._fail(text, Failure(in_one_line(text)))
        else:
            self._screen.write(_cut(text), "error")

    # --- what is shown -----------------------------------------------------------------------------------------------

    def _hidden(self, rule: str) -> bool:
        return rule in self._silent or rule in self._speaking

    def _show(self) -> None:
        quiet = self._stopped or self._over or self._speakers
        if self._screen.bars and self._jobs.under_way and not quiet:
            assert self._begun is not None
            now = self._clock()
            if now - self._shown >= MOMENT:
                self._shown = now
                self._screen.show(self._jobs, now, self._begun)

    def _fail(self, key: Any, failure: Failure) -> None:
        """Keep a failure for the end. If other jobs go on, it is shown at once too."""
        self._failures[key] = failure
        self._shown_failures.discard(key)
        if self._jobs.running and not self._stopped and not failure.halted:
            self._screen.write(failure.text, "error")
            self._shown_failures.add(key)

    def _again(self, number: int) -> None:
        failure = self._failures.pop(number, None)
        if failure is not None:
            if number not in self._shown_failures:
                self._screen.write(failure.text, "warning")
            self._screen.note(f"{self._names.get(number, 'this job')} is tried again")

    # --- the end -----------------------------------------------------------------------------------------------------

    def finish(self, text: str | None = None) -> None:
        """Take the bars away and write the last text of a run that went well."""
        if not self._over and self._begun is not None:
            self._over = True
            self._end_ticks.set()
            with self._locked():
                self._screen.hide()
                self._tell_end()
                if text is not None:
                    self._screen.write(text)

    def _tell_end(self) -> None:
        """Say how many jobs are done. If the last job writes to the terminal itself, this stands above its output."""
        if self._jobs.done and not self._told_end and self._begun is not None:
            self._told_end = True
            self._screen.note(self._jobs.all_done(self._clock() - self._begun))

    def interrupted(self) -> None:
        """Ctrl-C that ends Snakemake at once."""
        with self._locked():
            self._stop("Stopped by the user.")
            self._end(None)

    def _stop(self, line: str) -> None:
        if not self._stopped and not self._over:
            self._stopped = True
            self._screen.hide()
            self._screen.write(line, "warning")

    def _end(self, log: str | None) -> None:
        """The end of a run that was stopped or has failed."""
        if self._over:
            return
        if not self._failures and not self._stopped:
            self.finish()
            return
        self._over = True
        self._end_ticks.set()
        self._screen.hide()
        failures = [one for one in self._failures.values() if one.counts_after_stop or not self._stopped]
        if self._stopped:
            self._write_failures(failures)
            self._screen.write(GO_ON, "warning")
            return
        self._write_failures(failures)
        if under_way := self._jobs.under_way:
            self._screen.note(f"Not finished: {', '.join(f'{rule.name} {rule.counts()}' for rule in under_way)}")
        self._screen.write(f"{REPAIR}{f' Log of Snakemake: {log}' if log else ''}")

    def _write_failures(self, failures: list[Failure]) -> None:
        for failure in failures[:MOST_FAILURES]:
            self._screen.write(failure.text, "error")
        if len(failures) > MOST_FAILURES:
            self._screen.write(f"… and {counted(len(failures) - MOST_FAILURES, 'more failed job')}", "error")

    def close(self) -> None:
        """Called by Snakemake when it ends, however it does."""
        self._end_ticks.set()
        try:
            with self._locked():
                self._screen.hide()
                if self._failures or self._stopped:
                    self._end(None)
        except Exception:
            pass
        super().close()

    # --- between records ---------------------------------------------------------------------------------------------

    def _locked(self) -> Any:
        assert self.lock is not None
        return self.lock

    def _tick_on(self) -> None:
        while not self._end_ticks.wait(REFRESH):
            try:
                self.tick()
            except Exception:
                return  # the run is worth more than its display

    def tick(self) -> None:
        """Read how far running jobs are, and show it. A slow disk holds up this thread alone."""
        now = self._clock()
        if now - self._looked >= self._screen.seconds_between_looks:
            self._looked = now
            with self._locked():
                running = self._jobs.running[:MOST_LOGS]
            for job in running:
                job.look()
        with self._locked():
            if self._over or self._stopped or self._begun is None:
                return
            if self._screen.bars:
                self._show()
            elif now - self._noted >= max(NOTE, SHARE_OF_TIME * (now - self._begun)):
                self._noted = now
                notes = self._jobs.notes(now) if self._jobs.under_way else []
                for line in notes:
                    if line not in self._notes:
                        self._screen.note(line)
                self._notes = notes


def _field(record: logging.LogRecord, name: str, default: Any = None) -> Any:
    return getattr(record, name, default)


def _cut(text: str) -> str:
    """A message of Snakemake, which may list thousands of files."""
    lines = text.splitlines()
    if len(lines) <= MOST_LINES:
        return text
    return "\n".join([*lines[:MOST_LINES], f"… and {counted(len(lines) - MOST_LINES, 'more line')}"])
