"""Locks of runs: one at a time, told by name, and gone with their process."""

from __future__ import annotations

import errno
import fcntl
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clipmill.base.errors import SetupError
from clipmill.base.locks import one_at_a_time
from clipmill.store.run_lock import RunLock

HOLD = """
import sys, time
from pathlib import Path
from clipmill.store.run_lock import RunLock
lock = RunLock(Path(sys.argv[1]))
lock.take()
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path):
    scripts = Path(__file__).resolve().parents[2] / "scripts"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(scripts)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_nobody_holds_what_was_never_taken(tmp_path):
    assert RunLock(tmp_path).holder() is None
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_is_told_who_holds_the_folder(tmp_path, holder):
    assert f"process {holder.pid} on " in RunLock(tmp_path).holder()
    with pytest.raises(SetupError, match=rf"{tmp_path}: another run is at work on it \(process {holder.pid} on .*wait"):
        RunLock(tmp_path).take()


def test_a_dead_run_holds_nothing(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert RunLock(tmp_path).holder() is None
    lock = RunLock(tmp_path)
    lock.take()
    assert f"process {os.getpid()} on " in lock.path.read_text()


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(SetupError, match=r"run.lock: cannot be locked .* mount its file system with locks"):
        RunLock(tmp_path).take()


def test_a_job_is_told_when_another_run_has_followed_its_own(tmp_path):
    first, second = RunLock(tmp_path), RunLock(tmp_path)
    name = first.take()
    second.check(name)
    first._handle.close()
    second.check(name)  # nobody has come: the job may go on
    later = "process 1 on a, started 2026-01-01 00:00:00 in /x"
    first.path.write_text(later)
    with pytest.raises(SetupError, match=rf"{tmp_path}: this job is of an earlier run \({name}\), and .*\({later}\)"):
        second.check(name)
    first.path.unlink()
    with pytest.raises(SetupError, match="of an earlier run"):
        second.check(name)


def test_the_next_one_comes_when_the_first_is_through(tmp_path):
    path, order = tmp_path / "lock", []
    process = multiprocessing.get_context("spawn").Process(target=come_second, args=(path, tmp_path / "came"))
    with one_at_a_time(path, "another"):
        process.start()
        while not (tmp_path / "waits").exists():
            time.sleep(0.01)
        time.sleep(0.1)
        order.append((tmp_path / "came").exists())
    process.join()
    order.append((tmp_path / "came").exists())
    assert order == [False, True]


def come_second(path: Path, came: Path) -> None:
    logging.getLogger("clipmill").addFilter(lambda record: came.with_name("waits").touch() or True)
    logging.getLogger("clipmill").setLevel(logging.INFO)
    with one_at_a_time(path, "another"):
        came.touch()
