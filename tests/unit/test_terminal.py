"""What the terminal shows of a run: records like Snakemake's go in, and the text is looked at."""

from __future__ import annotations

import io
import logging
import signal
import sys
from pathlib import Path

import pytest

from clipmill import terminal
from clipmill.terminal import failures
from clipmill.terminal.handler import BY_SIGTERM, BY_USER, GO_ON, Terminal
from clipmill.terminal.screen import Bars, Lines, on_stream

COMMAND = 'python caption.py --settings \'{"prompt": "Describe the clip."}\''
CALLED = (
    f"RuleException:\nCalledProcessError in file \"x.smk\", line 3:\nCommand '{COMMAND}' returned non-zero exit status "
)
STATS = {"decode_videos": 3, "caption_clips": 2, "all": 1, "total": 6}
NO_SUCCESS = "WorkflowError:\nAt least one job did not complete successfully."


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


class Fed:
    """A terminal that is fed with records, a clock that is set by hand, and the logs of jobs in a folder."""

    def __init__(self, folder: Path, screen: type[Lines] = Lines, **options):
        self.folder, self.now = folder, 1000.0
        self.stream = io.StringIO() if screen is Lines else Tty()
        self.beside = io.StringIO()
        self.terminal = Terminal(
            logging.StreamHandler(self.beside),
            screen(self.stream),
            silent={"all"},
            speaking={"plan"},
            clock=lambda: self.now,
            ticks=False,
            **options,
        )

    def say(self, message: str | None, level: int = logging.INFO, **fields) -> None:
        record = logging.LogRecord("snakemake.logging", level, __file__, 1, message, None, None)
        record.__dict__.update(fields)
        self.terminal.handle(record)

    def start(self, stats: dict[str, int] | None = None) -> None:
        self.say("Workflow has started!", event="workflow_started")
        self.say("Building DAG of jobs...")
        self.say("Job stats: a table", event="run_info", stats=stats or STATS)
        self.say("Select jobs to execute...")

    def begin(self, number: int, rule: str = "decode_videos", **wildcards: str) -> Path:
        log = self.folder / f"{rule} {number}.log"
        self.say("Execute 1 jobs...", event="job_started", jobs=[number])
        fields = {"rule_name": rule, "rule_msg": None, "log": [str(log)], "wildcards": wildcards}
        self.say(f"Rule: {rule}", event="job_info", jobid=number, input=["x"] * 1000, **fields)
        self.say(COMMAND, event="shellcmd", shellcmd=COMMAND)
        return log

    def end(self, number: int, rule: str = "decode_videos") -> None:
        self.say(f"Finished jobid: {number} (Rule: {rule})", event="job_finished", job_id=number)
        self.say(None, event="progress", done=1, total=6)

    def fail(self, number: int, rule: str, log: Path, status: str = "1.", message: str | None = None) -> None:
        if not message:
            self.say(CALLED + status, logging.ERROR, event="error", exception="RuleException")
        fields = {"rule_name": rule, "rule_msg": message, "log": [str(log)], "shellcmd": COMMAND}
        self.say(f"Error in rule {rule}", logging.ERROR, event="job_error", jobid=number, **fields)

    def give_up(self) -> None:
        self.say("Shutting down, this might take some time.")
        self.say("Exiting because a job execution failed. Look above for error messages", logging.ERROR)
        self.say("Complete log(s): /here/run.log")
        self.say("Elapsed time: 0:00:09.055062")
        self.say(NO_SUCCESS, logging.ERROR, event="error", exception="WorkflowError")
        self.terminal.close()

    @property
    def lines(self) -> list[str]:
        """What was printed, without the times of day."""
        lines = self.stream.getvalue().splitlines()
        return [line[9:] if line[2:3] == line[5:6] == ":" else line for line in lines]


@pytest.fixture
def fed(tmp_path: Path) -> Fed:
    return Fed(tmp_path)


def test_a_run_has_a_line_when_a_rule_starts_and_one_when_it_is_done(fed):
    fed.start()
    for number in range(3):
        fed.begin(number, shard=f"{number:06d}")
    for number in range(3):
        fed.now += 10
        fed.end(number)
    for number in (3, 4):
        fed.begin(number, "caption_clips", shard=f"{number:06d}")
        fed.end(number, "caption_clips")
    fed.begin(5, "all")
    fed.end(5, "all")
    fed.terminal.finish("\n  report   out/report.html")
    fed.say("Complete log(s): /here/run.log")
    fed.say("Elapsed time: 0:00:09.055062")
    fed.terminal.close()
    assert fed.lines == [
        "5 jobs of 2 rules to run",
        "decode_videos: 3 jobs",
        "decode_videos: 3 of 3 jobs done in 30 s",
        "caption_clips: 2 jobs",
        "caption_clips: 2 of 2 jobs done in 0 s",
        "5 jobs done in 30 s",
        "",
        "  report   out/report.html",
    ]
    assert fed.beside.getvalue() == ""


def test_a_failed_job_is_one_sentence_and_stands_at_the_end(fed):
    fed.start()
    log = fed.begin(3, "caption_clips", shard="000003")
    log.write_text("12:00:00 INFO asking\n12:00:01 ERROR no server; is it up?\n")
    fed.fail(3, "caption_clips", log)
    fed.give_up()
    assert fed.lines[-3:] == [
        f"caption_clips for shard 000003 failed: no server; is it up? (log: {log})",
        "Not finished: caption_clips 0 of 2",
        "Once this is repaired, the same command goes on from here. Log of Snakemake: /here/run.log",
    ]
    assert "Describe" not in fed.stream.getvalue() and "--settings" not in fed.stream.getvalue()


def test_failures_are_shown_at_once_while_others_run_and_together_at_the_end(fed):
    fed.start()
    logs = [fed.begin(number, shard=f"{number:06d}") for number in range(3)]
    for number in (0, 2):
        logs[number].write_text(f"12:00:01 ERROR fault {number}\n")
        fed.fail(number, "decode_videos", logs[number])
    assert fed.lines[-2:] == [f"decode_videos for shard {n:06d} failed: fault {n} (log: {logs[n]})" for n in (0, 2)]
    fed.end(1)
    fed.give_up()
    assert fed.lines[-2] == "Not finished: decode_videos 1 of 3"
    assert [line.partition(" (")[0][-7:] for line in fed.lines[-4:-2]] == ["fault 0", "fault 2"]


def test_the_log_of_an_earlier_try_is_not_taken_for_that_of_a_job_that_never_began(fed):
    fed.start()
    old = fed.folder / "decode_videos 3.log"
    old.write_text("12:00:01 ERROR an old fault\n")
    fed.fail(3, "decode_videos", fed.begin(3, shard="000003"))
    fed.give_up()
    assert not any("an old fault" in line for line in fed.lines)
    assert any(
        line.startswith("decode_videos for shard 000003 failed: it ended with status 1, silently") for line in fed.lines
    )


def test_faults_that_a_check_found_together_are_one_sentence(fed):
    fed.start()
    log = fed.begin(3, "decode_videos", shard="000003")
    log.write_text(
        "12:00:00 ERROR an old one\n12:00:01 INFO on\n12:00:02 ERROR text: no x\n12:00:02 ERROR caption: no y\n"
    )
    fed.fail(3, "decode_videos", log)
    fed.give_up()
    assert f"decode_videos for shard 000003 failed: text: no x; caption: no y (log: {log})" in fed.lines


def test_a_bug_shows_the_end_of_the_log(fed):
    fed.start()
    log = fed.begin(0, shard="000000")
    trace = "".join(f'  File "{n}.py", line 1, in f\n    f()\n' for n in range(20))
    log.write_text(
        f"12:00:00 ERROR an old one\nTraceback (most recent call last):\n{trace}ValueError: no\nmore of it\n"
    )
    fed.fail(0, "decode_videos", log)
    fed.give_up()
    (place,) = [place for place, line in enumerate(fed.lines) if " failed " in line]
    said = f"decode_videos for shard 000000 failed by a bug: ValueError: no (log: {log}), which ends with:"
    assert fed.lines[place] == said
    shown = fed.lines[place + 1 : -2]
    assert len(shown) == failures.BUG_LINES
    assert shown[-2:] == ["    ValueError: no", "    more of it"]


@pytest.mark.parametrize(
    ("status", "text"),
    [("137.", "it was killed (SIGKILL), as when memory runs out"), ("2.", "it ended with status 2, silently")],
)
def test_a_job_that_said_nothing_says_how_it_ended(fed, status, text):
    fed.start()
    log = fed.begin(0, shard="000000")
    fed.fail(0, "decode_videos", log, status)
    fed.give_up()
    assert f"decode_videos for shard 000000 failed: {text} (log: {log})" in fed.lines


def test_a_job_that_is_tried_again_and_succeeds_is_no_failure(fed):
    """As on a cluster: the scheduler's message, and an attempt more."""
    fed.start()
    log = fed.begin(0, shard="000000")
    fed.fail(0, "decode_videos", log, message="SLURM-job '7' failed, SLURM status is: 'TIMEOUT'.")
    fed.say("Trying to restart job 0.")
    said = f"decode_videos for shard 000000 failed: SLURM-job '7' failed, SLURM status is: 'TIMEOUT'. (log: {log})"
    assert fed.lines[-2:] == [said, "decode_videos for shard 000000 is tried again"]
    fed.begin(0, shard="000000")
    fed.end(0)
    fed.terminal.finish()
    fed.terminal.close()
    assert fed.lines[-1] == "1 job done in 0 s"


def test_two_jobs_that_fail_together_and_are_tried_again(fed):
    """As when a node dies. What a plugin says of every job is shown once."""
    fed.start()
    logs = [fed.begin(number, shard=f"{number:06d}") for number in range(2)]
    for number, log in enumerate(logs):
        fed.fail(number, "decode_videos", log, message=f"job {number} lost its node.")
        fed.say("No account was given.", logging.WARNING)
    for number in range(2):
        fed.say(f"Trying to restart job {number}.")
        fed.begin(number, shard=f"{number:06d}")
    for number, log in enumerate(logs):
        said = f"decode_videos for shard {number:06d} failed: job {number} lost its node. (log: {log})"
        assert fed.lines.count(said) == 1
        assert f"decode_videos for shard {number:06d} is tried again" in fed.lines
    assert fed.lines.count("No account was given.") == 1


def test_ctrl_c_is_two_lines(fed):
    fed.start()
    log = fed.begin(0, shard="000000")
    before = len(fed.lines)
    fed.say("Terminating processes on user request, this might take some time.")
    log.write_text("12:00:01 ERROR stopped by the user; the same command goes on from here\n")
    fed.fail(0, "decode_videos", log, "130.")
    fed.give_up()
    assert fed.lines[before:] == [BY_USER, GO_ON]


def test_sigterm_is_two_lines_and_a_job_that_failed_before_is_named(fed):
    fed.start()
    logs = [fed.begin(number, shard=f"{number:06d}") for number in range(3)]
    logs[0].write_text("12:00:01 ERROR a fault\n")
    fed.fail(0, "decode_videos", logs[0])
    fed.fail(1, "decode_videos", logs[1], "143.")  # before Snakemake itself has seen the signal
    before = len(fed.lines)
    for _ in range(3):
        fed.say("Will exit after finishing currently running jobs (scheduler).")
    fed.end(2)
    fed.give_up()
    named = f"decode_videos for shard 000000 failed: a fault (log: {logs[0]})"
    assert fed.lines[before:] == [BY_SIGTERM, named, GO_ON]


def test_ctrl_c_while_the_jobs_are_planned(fed, monkeypatch):
    """Snakemake does not catch it there."""
    logger = logging.Logger("here")
    original = logging.StreamHandler(fed.stream)
    original.set_name(terminal.SNAKEMAKES)
    logger.addHandler(original)
    monkeypatch.setattr(sys, "excepthook", lambda *_: fed.stream.write("a traceback"))
    assert terminal.take_over(logger, (), ()) is logger.handlers[0]
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert fed.lines == ["Stopped by the user.", GO_ON]
    sys.excepthook(ValueError, ValueError(), None)
    assert "a traceback" in fed.stream.getvalue()


def test_nothing_to_be_done_shows_what_comes_last(fed):
    fed.terminal.on_nothing = lambda: "the summary"
    fed.say("Workflow has started!", event="workflow_started")
    fed.say("Nothing to be done (all requested files are present and up to date).")
    fed.terminal.close()
    assert fed.lines == ["Nothing to be done: all files are there and up to date.", "the summary"]


def test_warnings_and_other_errors_are_shown_and_long_ones_are_cut(fed):
    fed.start()
    fed.say("--keep-incomplete mode is set", logging.WARNING)
    fed.say("IncompleteFilesException:\n" + "a file\n" * 5000, logging.ERROR, event="error", exception="X")
    assert "--keep-incomplete mode is set" in fed.lines
    assert "IncompleteFilesException:" in fed.lines and fed.lines[-1].startswith("… and 4,9")
    assert len(fed.lines) < 50
    fed.give_up()


def test_what_is_said_outside_of_a_run_goes_to_snakemakes_own_handler(fed):
    fed.say("Unlocked working directory.")
    fed.say("Assuming unrestricted shared filesystem usage.")
    fed.say("LockException: …", logging.ERROR, event="error", exception="LockException")
    assert fed.beside.getvalue() == "Unlocked working directory.\nLockException: …\n"
    assert fed.lines == []


def test_a_rule_that_speaks_itself_has_no_lines_of_ours(fed):
    fed.start({"plan": 1, "total": 1})
    fed.begin(0, "plan")
    fed.end(0, "plan")
    fed.terminal.finish()
    fed.say("Complete log(s): /here/run.log")
    assert fed.lines == []


def test_long_jobs_say_how_far_they_are_once_a_minute(fed):
    fed.start()
    log = fed.folder / "decode_videos 0.log"
    log.write_text("12:00:00 INFO videos: 9 of 9, 3.0 a second, 0 s left\n")  # of an earlier job
    fed.begin(0, shard="000000")
    before = len(fed.lines)
    for second in range(130):
        if second == 20:
            with open(log, "a") as handle:
                handle.write("12:00:20 INFO videos: 30 of 60, 2.3 a second, 13 s left\n12:00:21 INFO other\n")
        fed.now += 1
        fed.terminal.tick()
    job = "decode_videos 000000 videos: 30 of 60, 2.3 a second, 13 s left"
    assert fed.lines[before:] == [
        "0 of 5 jobs done; decode_videos 0 of 3, 5 min left",
        job,
        "0 of 5 jobs done; decode_videos 0 of 3, 10 min left",
    ]


def test_a_terminal_gets_bars(tmp_path):
    fed = Fed(tmp_path, Bars)
    fed.start()
    log = fed.begin(0, shard="000000")
    log.write_text("12:00:20 INFO videos: 30 of 60, 2.3 a second, 13 s left\n")
    fed.now += 10
    fed.terminal.tick()
    shown = fed.stream.getvalue()
    for part in ("decode_videos", "0 of 3", "50 s left", "all jobs", "0 of 5", "after 10 s", "000000 videos: 30 of 60"):
        assert part in shown
    fed.end(0)
    fed.terminal.finish("the summary")
    assert fed.stream.getvalue().endswith("1 job done in 10 s\nthe summary\n")
    assert "\x1b[?25l" not in fed.stream.getvalue(), "the cursor is never hidden"


def test_bars_need_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert type(on_stream(io.StringIO())) is Lines
    assert type(on_stream(Tty())) is Bars
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert type(on_stream(Tty())) is Lines, "without rich"
    monkeypatch.setenv("TERM", "dumb")
    assert type(on_stream(Tty())) is Lines


def test_a_fault_of_the_display_does_not_end_a_run(fed, monkeypatch):
    handled = []
    monkeypatch.setattr(fed.terminal, "handleError", handled.append)
    fed.say("Workflow has started!", event="workflow_started")
    fed.say("Job stats", event="run_info", stats=None)
    assert len(handled) == 1


def test_a_dry_run_keeps_snakemakes_format_with_short_lists():
    """The record itself stays whole, for other handlers."""
    logger = logging.Logger("here")
    original = logging.StreamHandler(io.StringIO())
    original.set_name(terminal.SNAKEMAKES)
    original.setFormatter(logging.Formatter("input: %(input)s, output: %(output)s, %(reason)s"))
    logger.addHandler(original)
    terminal.shorten_lists(logger)
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "", None, None)
    files = [f"{number}.txt" for number in range(1000)]
    record.__dict__.update(event="job_info", input=files, output=["a"], log=[], reason="r" * 1000)
    said = original.format(record)
    assert said.startswith("input: ['0.txt', '1.txt', '2.txt', '… and 997 more'], output: ['a'], rrr")
    assert len(said) < 400
    assert record.input == files


def test_signals_by_their_status():
    assert failures.how_ended(f"{CALLED}{128 + signal.SIGTERM}.").signal == "SIGTERM"
    assert failures.how_ended(CALLED[: CALLED.index("returned")] + "died with <Signals.SIGINT: 2>.").signal == "SIGINT"
    assert failures.how_ended(f"{CALLED}1.").signal is None
    assert failures.how_ended("MissingOutputException: returned non-zero exit status 1.") is None
