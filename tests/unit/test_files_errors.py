"""Atomic files, and errors that say what to do."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clipmill.base.errors import MIN_ITEMS_FOR_RATE, ItemError, SetupError, check_error_rate, explain_os_error
from clipmill.base.files import atomic, clean_text, date_back, write_json, write_text
from clipmill.base.workers import map_in_processes
from clipmill.cli import run_step
from clipmill.store import tables

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


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [None, "old"])
def test_an_exception_leaves_the_old_file(tmp_path, error, old):
    path = tmp_path / "deep" / "file"
    if old:
        write_text(path, old)
    with pytest.raises(error), atomic(path) as temporary:
        temporary.write_text("half of the ne")
        raise error
    assert path.parent.is_dir()
    assert [entry.read_text() for entry in path.parent.iterdir()] == [old] * bool(old)


def test_the_new_file_is_synced_before_it_replaces_the_old(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_text(path, "old")
    seen = []
    monkeypatch.setattr(os, "fsync", lambda handle: seen.append((os.fstat(handle).st_ino, path.read_text())))
    write_text(path, "new")
    assert seen == [(path.stat().st_ino, "old")]
    assert path.read_text() == "new"


def test_two_jobs_do_not_write_one_file(tmp_path):
    path = tmp_path / "table"
    with atomic(path) as temporary:
        temporary.write_text("the first job's")
        second = child("from clipmill.base.files import *\nimport sys\nwrite_text(Path(sys.argv[1]), 'x')", path)
        assert f"{path}: another job is writing it; wait for it or cancel it" in second.communicate()[1]
        assert second.returncode == 1
    assert path.read_text() == "the first job's"
    write_text(path, "new")
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["new"]


def test_files_of_the_future_are_dated_to_now_and_those_that_go_meanwhile_are_left_out(tmp_path, monkeypatch):
    paths = [tmp_path / name for name in "abcd"]
    times = [time.time_ns() + hours * 3600 * 10**9 for hours in (-1, 2, 1, 3)]
    for path, at in zip(paths, times, strict=True):
        path.touch()
        os.utime(path, ns=(at, at))

    set_time = os.utime

    def remove_first(path, **options):
        paths[3].unlink(missing_ok=True)
        set_time(path, **options)

    monkeypatch.setattr(os, "utime", remove_first)
    assert date_back([*paths, tmp_path / "gone"]) == 3
    old, later, earlier = (path.stat().st_mtime_ns for path in paths[:3])
    assert old == times[0] and earlier < later <= time.time_ns()


def test_json_is_the_same_bytes_every_time(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": ["\u00e9", None]})
    assert (tmp_path / "a.json").read_bytes() == '{\n  "b": 1,\n  "a": [\n    "\u00e9",\n    null\n  ]\n}\n'.encode()


WRITE = """
import os, sys, time
from pathlib import Path
from clipmill.base.files import atomic
path = Path(sys.argv[1])
with atomic(path) as temporary:
    with open(temporary, "w") as handle:
        handle.write("half of the ne")
        handle.flush()
        print("half", flush=True)
        time.sleep(60)
"""


def test_kill_9_in_the_middle_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")
    writer = child(WRITE, path)
    assert writer.stdout.readline() == "half\n"
    writer.kill()
    writer.communicate()
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2  # what it left behind
    write_text(path, "new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "new"


@pytest.mark.parametrize(
    ("text", "clean"),
    [("caf\u00e9 \N{CLAPPER BOARD}\n", "caf\u00e9 \N{CLAPPER BOARD}\n"), ("\udcff\ud800", "\\udcff\\ud800")],
)
def test_clean_text(text, clean):
    assert clean_text(text) == clean


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", ["text", "table"])
def test_a_full_disk_is_explained(tmp_path, caplog, write):
    os.symlink("/dev/full", tmp_path / ".file.tmp")

    def main():
        if write == "text":
            write_text(tmp_path / "file", "x" * 10**6)
        else:
            tables.CLIPS.write(tmp_path / "file", [{"clip_id": "c"}])

    with pytest.raises(SystemExit) as caught:
        run_step(main)
    assert caught.value.code == 1
    assert caplog.messages[-1].startswith("no space left on the disk")
    assert caplog.messages[-1].endswith("free some space and run the same command again")
    assert not (tmp_path / "file").exists()


def test_a_full_disk_in_a_worker_is_explained():
    def fill(item):
        with open("/dev/full", "w") as handle:
            handle.write("x" * 10**6)

    with pytest.raises(OSError, match="No space left") as caught:
        list(map_in_processes([1], fill, 1))
    assert explain_os_error(caught.value).startswith("no space left on the disk")


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (28, r"no space left on the disk \(/x/y\); free some space"),
        (122, r"the disk quota is used up \(/x/y\)"),
        (13, r"no permission to write or read \(/x/y\): .*; check the owner and mode"),
        (30, r"no permission to write or read \(/x/y\): Read-only file system"),
        (24, r"ulimit -n 4096"),
    ],
)
def test_faults_of_the_system_are_one_line(caplog, number, message):
    def main():
        raise OSError(number, os.strerror(number), "/x/y")

    with pytest.raises(SystemExit):
        run_step(main)
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is None
    assert re.search(message, caplog.messages[0])


@pytest.mark.parametrize(
    "error", [OSError(2, "No such file or directory", "x"), ValueError("bug"), ItemError("k", "m")]
)
def test_bugs_keep_their_traceback(error):
    def main():
        raise error

    with pytest.raises(type(error)):
        run_step(main)


def test_set_up_errors_end_a_step_with_one_line(tmp_path):
    imports = "from clipmill.cli import run_step\nfrom clipmill.base.errors import SetupError\n"
    step = child(imports + "def main():\n    raise SetupError('key x: do y')\nrun_step(main)")
    out, err = step.communicate()
    assert (step.returncode, out) == (1, "")
    assert err.count("\n") == 1
    assert err.endswith("ERROR key x: do y\n")


@pytest.mark.slow
@pytest.mark.parametrize("asks", ["raise_signal(SIGTERM)", "asyncio.run(ask())"])
def test_a_step_that_is_asked_to_end_does_so_at_once_and_closes_what_it_has_open(asks):
    """Also in a callback of asyncio, which swallows most of what is raised there."""
    step = child(
        f"""
import asyncio
from signal import SIGTERM, raise_signal
from clipmill.cli import run_step

async def ask():
    asyncio.get_running_loop().call_soon(raise_signal, SIGTERM)
    await asyncio.sleep(60)

def main():
    try:
        {asks}
    finally:
        print("closed")

run_step(main)
"""
    )
    out, err = step.communicate(timeout=30)
    assert (step.returncode, out) == (128 + signal.SIGTERM, "closed\n")
    assert "Traceback" not in err
    assert err.endswith("ERROR stopped by SIGTERM; the same command goes on from here\n")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("[mov,mp4 @ 0x55d0c8e4a1c0] moov atom not found", "[mov,mp4] moov atom not found"),
        ("[h264 @ 0x7F00AB12] a; [aac @ 0x7f00cd34] b", "[h264] a; [aac] b"),
        ("<Frame object at 0x7f8a1c0d>: no size", "<Frame object>: no size"),
        ("tag avc1/0x31637661 at 0x1f, mail a@0x.org", "tag avc1/0x31637661 at 0x1f, mail a@0x.org"),
    ],
)
def test_addresses_are_in_no_message(said, kept):
    """They would change errors.csv from run to run."""
    assert str(ItemError("kind", said)) == kept


def test_item_errors_travel_between_processes():
    error = pickle.loads(pickle.dumps(ItemError("vanished", "the file is gone", lasting=False)))
    assert (error.kind, str(error), error.lasting) == ("vanished", "the file is gone", False)


@pytest.mark.parametrize(
    ("bad", "seen", "rate", "stops"),
    [
        (19, 19, 0.5, False),  # a share says little of few
        (20, 20, 0.5, True),
        (10, 20, 0.5, False),
        (11, 20, 0.5, True),
        (1, 20, 0.0, True),
        (0, 20, 0.0, False),
        (500, 500, 1.0, False),
    ],
)
def test_error_rate(bad, seen, rate, stops):
    assert MIN_ITEMS_FOR_RATE == 20
    if not stops:
        return check_error_rate(bad, seen, rate, "clips")
    with pytest.raises(SetupError, match=rf"^{bad} of {seen} clips failed, more than max_error_rate {rate} allows"):
        check_error_rate(bad, seen, rate, "clips")
