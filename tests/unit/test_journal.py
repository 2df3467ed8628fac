"""Journals: what was acknowledged is there after any death; what was not is not half there."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clipmill.base.errors import SetupError
from clipmill.base.journal import Journal, fingerprint

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def child(program: str, *arguments: str) -> subprocess.Popen:
    """Another process that runs `program` with the library at hand."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def values(path: Path, items: list[str], key: str = "k") -> list:
    with Journal(path) as journal:
        return [journal.get(item, key) for item in items]


@pytest.fixture
def path(tmp_path):
    """A journal with two items."""
    path = tmp_path / "journals" / "step" / "000000.jsonl"
    with Journal(path) as journal:
        journal.add([("a", "k", 1), ("b", "k", {"x": [1.5, None, "\u00e9\n"]})])
    return path


def test_what_was_added_is_there(path):
    with Journal(path) as journal:
        assert journal.get("a", "k") == 1
        assert journal.get("b", "k") == {"x": [1.5, None, "\u00e9\n"]}
        assert journal.get("a", "other key") is None
        assert journal.get("c", "k") is None
        journal.add([])
        journal.add([("a", "other key", 2), ("a", "k", 3)])
        assert journal.get("a", "other key") == 2
        assert journal.get("a", "k") == 3
    assert values(path, ["a", "b", "c"]) == [3, {"x": [1.5, None, "\u00e9\n"]}, None]
    assert values(path, ["a"], "other key") == [2]


@pytest.mark.parametrize("number", [0.1, 1 / 3, 1e-300, 2**60 + 1, float("inf")])
def test_numbers_come_back_as_they_were(path, number):
    with Journal(path) as journal:
        journal.add([("n", "k", number)])
    assert values(path, ["n"]) == [number]


def test_names_that_are_no_text_come_back(path):
    with Journal(path) as journal:
        journal.add([("bad\udcff", "k", "\ud800")])
    assert values(path, ["bad\udcff"]) == ["\ud800"]


@pytest.mark.parametrize(
    "rest",
    [
        b'{"item":"c","key":"k","val',
        b'{"item":"c","key":"k","value":3}',  # whole, but its end was not written: not acknowledged
        b"\0" * 4096,
        b"\0" * 100 + b'\n{"item":"c","key":"k","value":3}\n',
        b'{"item":"c","key":"k"}\n{"item":"d","key":"k","value":3}\n',
        b'[]\n{"item":"c","key":"k","value":3}\n',
        b'\xff\xfe\n{"item":"c","key":"k","value":3}\n',
    ],
)
def test_what_a_lost_node_left_is_ignored_and_overwritten(path, rest):
    whole = path.read_bytes()
    with open(path, "ab") as handle:
        handle.write(rest)
    with Journal(path) as journal:
        assert [journal.get(item, "k") for item in "acd"] == [1, None, None]
        assert path.read_bytes() == whole
        journal.add([("e", "k", 5)])
    assert values(path, ["a", "c", "d", "e"]) == [1, None, None, 5]
    assert len(path.read_text().splitlines()) == 3


def test_a_journal_that_is_nothing_but_padding(tmp_path):
    path = tmp_path / "j.jsonl"
    path.write_bytes(b"\0" * 512)
    assert values(path, ["a"]) == [None]
    assert path.read_bytes() == b""


HOLD = """
import sys
from pathlib import Path
from clipmill.base.journal import Journal
with Journal(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("death", [signal.SIGKILL, None])
def test_only_one_job_holds_a_journal(path, death):
    holder = child(HOLD, str(path))
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(SetupError, match=r"000000.jsonl: another job is working on this shard; wait for it or cancel"):
        values(path, ["a"])
    if death:
        holder.send_signal(death)
    holder.communicate()
    assert values(path, ["a"]) == [1]


def test_a_refused_job_leaves_the_journal_alone(path):
    with open(path, "ab") as handle:
        handle.write(b"torn")
    before = path.read_bytes()
    with open(path) as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(SetupError):
            values(path, ["a"])
    assert path.read_bytes() == before


APPEND = """
import itertools, sys
from pathlib import Path
from clipmill.base.journal import Journal
with Journal(Path(sys.argv[1])) as journal:
    for number in itertools.count(int(sys.argv[2])):
        journal.add([(str(number), "k", {"text": "x" * (number % 5000)})])
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()
"""


@pytest.mark.slow
def test_every_acknowledged_item_survives_kill_9(tmp_path):
    path, first = tmp_path / "j.jsonl", 0
    for attempt in range(20):
        writer = child(APPEND, str(path), str(first))
        writer.stdout.readline()
        time.sleep(0.003 * attempt)
        writer.kill()
        rest = writer.communicate()[0]
        acknowledged = [int(line) for line in rest.split("\n")[:-1]]  # a torn last line was not heard
        last = max(acknowledged, default=first)
        with Journal(path) as journal:
            found = [journal.get(str(number), "k") for number in range(last + 1)]
        assert found == [{"text": "x" * (number % 5000)} for number in range(last + 1)]
        first = last + 1
    assert first > 20
    for line in path.read_text().splitlines():
        json.loads(line)


def test_keys_depend_on_everything():
    base = ("decode", 1, 1000, 5, {"rate": 2, "side": 512})
    others = [
        ("text", 1, 1000, 5, {"rate": 2, "side": 512}),
        ("decode", 2, 1000, 5, {"rate": 2, "side": 512}),
        ("decode", 1, 1001, 5, {"rate": 2, "side": 512}),
        ("decode", 1, 1000, 6, {"rate": 2, "side": 512}),
        ("decode", 1, 1000, 5, {"rate": 3, "side": 512}),
        ("decode", 1, 1000, 5, {"rate": 2, "sides": 512}),
        ("decode", 1, 1000, 5, {"rate": "2", "side": 512}),
        ("decode", 1, 1000, 5, {"rate": 2}),
        ("decode", 11000, 5, {"rate": 2, "side": 512}),
        ("decode", "1", 1000, 5, {"rate": 2, "side": 512}),
    ]
    keys = [fingerprint(*parts) for parts in (base, *others)]
    assert len(set(keys)) == len(keys)
    assert fingerprint("decode", 1, 1000, 5, {"side": 512, "rate": 2}) == keys[0]  # the order of settings is nothing
    assert keys[0] == "a13430dd6613972d"  # and it stays, or every finished job would start again
