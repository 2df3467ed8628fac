"""Killed at any moment, the same command goes on where the work stopped, and the result is the same to the byte."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections import Counter

import psutil
import pytest
from runs import CHECKS, Run, all_of, explain, wait_for

SECONDS_EACH = 8  # of each video: some tenths of a second to decode, so that a kill finds the job at work


@pytest.fixture
def slow(run: Run) -> Run:
    """A run on one shard of six videos that take their time to decode."""
    run.settings |= {"videos_per_shard": 6}
    first = run.video("0.mp4", seconds=SECONDS_EACH, size=(480, 360), fps=25)
    for number in range(1, 6):
        shutil.copyfile(first, run.folder / f"{number}.mp4")
    return run


def decoding(main: subprocess.Popen) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """Processes below Snakemake's: the tool of the job that decodes, and its workers, one a video."""
    found = {}
    for process in psutil.Process(main.pid).children(recursive=True):
        try:
            words = process.cmdline()
            if len(words) > 1 and words[1].endswith("/decode.py"):
                found[process.pid] = process.ppid(), process
        except psutil.Error:  # it has just ended
            continue
    workers = [process for parent, process in found.values() if parent in found]
    return [process for parent, process in found.values() if parent not in found], workers


def test_after_a_killed_job_only_unfinished_videos_are_decoded(slow: Run):
    run = slow
    with run.started() as main:
        wait_for(lambda: len(run.journal("decode")) >= 2, lambda: main.poll() is None)
        (job,), workers = decoding(main)
        job.send_signal(signal.SIGKILL)
        outcome = run.ended(main)
    assert outcome.code != 0
    assert outcome.jobs == CHECKS  # which come before all others
    assert "Error in rule decode_videos" in outcome.output
    assert not psutil.wait_procs([job, *workers], timeout=10)[1]
    finished = run.journal("decode")
    assert 2 <= len(finished) < 6
    assert not (run.outdir / "work" / "videos" / "000000.parquet").exists()

    outcome = run.done()
    assert outcome.jobs == all_of(1)
    assert run.journal("decode")[: len(finished)] == finished
    assert set(Counter(record["item"] for record in run.journal("decode")).values()) == {1}
    assert f"videos: {len(finished)} of 6 are in the journal already" in run.log("decode")
    assert len(run.kept()) == 6


def test_a_killed_worker_stops_the_run_with_one_line_on_memory(slow: Run):
    run = slow
    with run.started() as main:
        wait_for(lambda: run.journal("decode"), lambda: main.poll() is None)
        (worker,) = wait_for(lambda: decoding(main)[1])
        worker.send_signal(signal.SIGKILL)
        outcome = run.ended(main)
    line = explain(outcome, "ERROR a worker process was killed", "memory ran out")
    assert "run again" in line
    assert all(record["value"].get("error_kind") is None for record in run.journal("decode"))


def test_after_control_c_the_same_command_goes_on(slow: Run):
    """The terminal sends the signal to all processes. Nothing is left locked."""
    run = slow
    with run.started() as main:
        wait_for(lambda: run.journal("decode"), lambda: main.poll() is None)
        os.killpg(main.pid, signal.SIGINT)
        outcome = run.ended(main)
    assert outcome.code != 0 and "Traceback" not in outcome.output
    said = {line.partition(" ")[2] for line in outcome.output.splitlines() if " ERROR " in line}
    assert said == {"ERROR stopped by the user; the same command goes on from here"}  # once for each job at work
    finished = run.journal("decode")
    assert len(finished) < 6
    outcome = run.done("../out/work/videos/000000.parquet")
    assert outcome.jobs == {"decode_videos": 1}
    assert run.journal("decode")[: len(finished)] == finished
    assert len(run.journal("decode")) == 6
