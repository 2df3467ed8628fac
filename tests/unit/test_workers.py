"""Workers: results, crashes, deaths; and the lines that tell of progress."""

from __future__ import annotations

import errno
import faulthandler
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Lock

import pytest

from clipmill.base.errors import ItemError, SetupError
from clipmill.base.progress import Progress
from clipmill.base.workers import map_in_processes, map_in_threads

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def child(program: str, *arguments: object) -> subprocess.Popen:
    """Another process that runs `program` with the library at hand."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_each_gives_every_item_its_result():
    results = dict(map_in_processes(list(range(20)), lambda item: item * item, 3))
    assert results == {number: number * number for number in range(20)}
    assert list(map_in_processes([], lambda item: item, 3)) == []


def test_threads_give_results_too_and_an_item_error_is_one():
    def work(item: int) -> int:
        if item == 3:
            raise ItemError("bad", "no")
        if item == 99:
            raise SetupError("all would meet it")
        return item * item

    results = dict(map_in_threads(range(6), work, 2))
    assert isinstance(results.pop(3), ItemError) and results == {item: item * item for item in (0, 1, 2, 4, 5)}
    with pytest.raises(SetupError, match="all would meet it"):
        list(map_in_threads([1, 99, 2], work, 1))


def test_each_works_in_other_processes_and_in_at_most_so_many(tmp_path):
    def work(item):
        mark = tmp_path / str(os.getpid())
        mark.touch()
        time.sleep(0.05)
        together = len(list(tmp_path.iterdir()))
        mark.unlink()
        return os.getpid(), together

    results = [result for _, result in map_in_processes(list(range(12)), work, 3)]
    assert len({pid for pid, _ in results} - {os.getpid()}) == 3
    assert max(together for _, together in results) in (2, 3)  # two at least, on a busy machine too


def test_item_errors_are_results_and_the_others_go_on():
    def work(item):
        if item == 1:
            raise ItemError("bad", "no good", lasting=False)
        return item

    results = dict(map_in_processes([0, 1, 2], work, 1))
    assert (results[0], results[2]) == (0, 2)
    assert (results[1].kind, str(results[1]), results[1].lasting) == ("bad", "no good", False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("crash", "name"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "SIGSEGV"),
        (lambda: os.kill(os.getpid(), signal.SIGABRT), "SIGABRT"),
        (lambda: os._exit(3), "exit code 3"),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_crash_costs_its_item_alone(crash, name, workers):
    def work(item):
        faulthandler.disable()  # pytest's, which would print a trace
        return crash() if item == 2 else item

    results = dict(map_in_processes(list(range(5)), work, workers))
    assert {item: result for item, result in results.items() if item != 2} == {0: 0, 1: 1, 3: 3, 4: 4}
    assert results[2].kind == "crashed"
    assert str(results[2]) == f"the decoder crashed on this file ({name}); repair or remove it"
    assert results[2].lasting


def test_a_worker_out_of_memory_is_a_fault_of_the_set_up():
    with pytest.raises(SetupError, match="most likely because the memory ran out; give the job more memory"):
        list(map_in_processes([1], lambda item: os.kill(os.getpid(), signal.SIGKILL), 1))


def test_a_crash_while_the_result_is_sent(tmp_path):
    """The result is larger than a pipe holds, and its process dies while this one is busy with another item."""

    def work(item):
        mine, others = ("pid", "quick is out") if item == "large" else ("quick", "pid")
        (tmp_path / mine).write_text(str(os.getpid()))
        while not (tmp_path / others).exists():
            time.sleep(0.01)
        faulthandler.disable()
        return b"x" * 10**7 if item == "large" else item

    results = {}
    for item, result in map_in_processes(["large", "quick"], work, 2):
        if item == "quick":
            (tmp_path / "quick is out").touch()
            time.sleep(0.3)  # by now the pipe is full
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGSEGV)
        results[item] = result
    assert results["quick"] == "quick"
    assert results["large"].kind == "crashed"


class Unpicklable(Exception):
    def __init__(self):
        super().__init__("held", Lock())


class Odd(Exception):
    """Can be pickled, but not be made again from that."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


@pytest.mark.parametrize(
    ("error", "words", "lasting"),
    [
        (KeyError("bug"), "KeyError: 'bug'", True),
        (Unpicklable(), "Unpicklable: ('held', <unlocked _thread.lock object>)", True),
        (Odd(1, 2), "Odd: 1 and 2", True),
        (ValueError("<Frame at 0x7f00aa>\nis bad"), "ValueError: <Frame> is bad", True),
        (OSError(errno.EIO, "no answer"), "OSError: [Errno 5] no answer", False),
    ],
)
def test_an_unforeseen_error_costs_its_item_alone(error, words, lasting, caplog):
    def work(item):
        if item == 1:
            raise error
        return item

    results = dict(map_in_processes([0, 1, 2], work, 1))
    failed = results.pop(1)
    assert results == {0: 0, 2: 2}
    assert (failed.kind, failed.lasting) == ("failed", lasting)
    assert str(failed) == f"an unforeseen error ({words}); the log shows where: report it, or leave this item out"


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (SetupError("no"), SetupError),
        (OSError(errno.ENOSPC, "full"), OSError),
        (OSError(errno.EDQUOT, "full"), OSError),
        (MemoryError(), MemoryError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_what_all_items_would_meet_is_raised_with_its_trace(error, raised):
    def work(item):
        raise error

    with pytest.raises(raised) as caught:
        list(map_in_processes([1], work, 1))
    assert any("in work" in note for note in caught.value.__notes__)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pids: list[int], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(map(alive, pids))


PARENT = """
import os, sys, time
from clipmill.base.workers import map_in_processes, map_in_threads
def work(item):
    os.write(1, f"{os.getpid()}\\n".encode())
    time.sleep(60)
list(map_in_processes([1, 2, 3], work, 2))
"""


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM])
def test_children_die_with_the_parent(death):
    parent = child(PARENT)
    pids = [int(parent.stdout.readline()) for _ in range(2)]
    assert all(map(alive, pids))
    parent.send_signal(death)
    parent.wait()
    assert gone(pids)
    parent.communicate()


def test_children_die_when_the_caller_gives_up(tmp_path):
    def work(item):
        (tmp_path / str(os.getpid())).touch()
        if item == 0:
            while len(list(tmp_path.iterdir())) < 2:
                time.sleep(0.01)
            return
        time.sleep(60)

    start = time.monotonic()
    for _ in map_in_processes([0, 1], work, 2):
        break
    assert time.monotonic() - start < 30
    assert gone([int(path.name) for path in tmp_path.iterdir()])


LIBRARY = """
import multiprocessing, sys, time
from clipmill.base.processes import children_die_with_us

def start():
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    process.start()
    return process.pid

before = start()
with children_die_with_us():
    inside = start()
print(before, inside, start(), flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_children_that_a_library_starts_die_with_us():
    with child(LIBRARY) as process:
        before, inside, after = map(int, process.stdout.readline().split())
        process.kill()
    assert gone([inside])
    for pid in (before, after):
        os.kill(pid, signal.SIGKILL)  # they are there


BRIEF = """
import os, signal, time
from clipmill.base.processes import children_die_with_us

os.register_at_fork(after_in_child=lambda: time.sleep(0.3))
with children_die_with_us():
    pid = os.fork()
    if not pid:
        time.sleep(600)
    print(pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_child_whose_parent_dies_before_it_can_ask_for_that_dies_too():
    with child(BRIEF) as process:
        pid = int(process.stdout.readline())
    assert gone([pid])


# --- progress ---------------------------------------------------------------------------------------------------------


def test_progress_lines(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    progress = Progress("videos", 10, done=2)
    for _ in range(8):
        clock[0] += 4
        progress.step()
    assert caplog.messages == [
        "videos: 2 of 10 are in the journal already",
        "videos: 5 of 10, 15 a minute, 20 s left",
        "videos: 8 of 10, 15 a minute, 8.0 s left",
        "videos: 10 of 10, 15 a minute, 0 s left",
    ]
    Progress("clips", 0)
    assert len(caplog.messages) == 4
