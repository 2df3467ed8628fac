"""Shards: how many there are, which video belongs to which for ever, and which files are written again."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from index_runs import Run, refuse

from clipmill.inputs.discovery import SHARD_COLUMNS
from clipmill.inputs.identities import make_id
from clipmill.store.index import NOT_OF_FILES, note_again, read_json_lines, shard_sizes

OF_FILES = [name for name in SHARD_COLUMNS if name not in NOT_OF_FILES]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("videos", "size", "shards"),
    [
        (3, "auto", [1, 1, 1]),
        (7, 3, [3, 3, 1]),
        (5, 100, [5]),
        (11, "auto", [11]),
        (200, "auto", [50, 50, 50, 50]),  # of half a second each, for one core
    ],
)
def test_videos_per_shard(run, monkeypatch, videos, size, shards):
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # hundreds of them take a while
    run.put(*(f"{number:04d}.mp4" for number in range(videos)))
    assert run.update(size) == {f"{number:06d}": count for number, count in enumerate(shards)}
    assert [len(videos) for videos in run.shards.values()] == shards
    assert [name for names in run.shards.values() for name in names] == sorted(run.index["name"])


def test_index_may_be_laid_anew_until_the_first_job_runs(run):
    run.put("b.mp4", "c.mp4", "d.mp4")
    run.update(1)
    run.put("a.mp4")
    run.update(2)
    assert run.shards == {"000000": ["a.mp4", "b.mp4"], "000001": ["c.mp4", "d.mp4"]}
    run.start()
    run.update(1)
    assert run.shards == {"000000": ["a.mp4", "b.mp4"], "000001": ["c.mp4", "d.mp4"]}


def test_new_videos_fill_new_shards(run):
    run.put("m.mp4", "n.mp4", "o.mp4")
    run.update(2)
    run.start()
    before = run.written
    run.put("a.mp4", "z.mp4", "b.mp4")
    assert run.update(2) == {"000000": 2, "000001": 1, "000002": 2, "000003": 1}
    assert run.shards == {
        "000000": ["m.mp4", "n.mp4"],
        "000001": ["o.mp4"],
        "000002": ["a.mp4", "b.mp4"],
        "000003": ["z.mp4"],
    }
    assert run.rewritten(before) == {"shards/000002.jsonl", "shards/000003.jsonl", "shards.txt", "videos.parquet"}


def test_what_has_not_changed_is_not_written(run):
    run.put("a.mp4", "b.mp4")
    run.update()
    run.start()
    before = run.written
    assert set(before) > {"shards/000000.jsonl", "removed.jsonl", "problems.jsonl", "shards.txt", "videos.parquet"}
    run.update()
    assert run.rewritten(before) == set()


def test_a_lost_shard_file_is_written_again(run):
    run.put("a.mp4", "b.mp4")
    run.update()
    run.start()
    content = run.paths.shard("000001").read_bytes()
    run.paths.shard("000001").unlink()
    run.update()
    assert run.paths.shard("000001").read_bytes() == content


def test_changed_removed_and_returned_videos(run):
    run.put("a.mp4", "b.mp4", "c.mp4", "d.mp4")
    run.update(2)
    run.start()
    before = run.written
    run.put("c.mp4", size=2)
    run.update(2)
    assert run.rewritten(before) == {"shards/000001.jsonl", "videos.parquet"}

    before = run.written
    (run.videos / "a.mp4").unlink()
    run.update(2)
    assert run.rewritten(before) == {"removed.jsonl", "videos.parquet"}  # no job runs again
    assert run.shards["000000"] == ["a.mp4", "b.mp4"]
    assert read_json_lines(run.paths.removed) == [{"video_id": make_id("a.mp4"), "name": "a.mp4"}]

    before = run.written
    run.put("a.mp4")
    run.update(2)
    assert run.rewritten(before) == {"shards/000000.jsonl", "removed.jsonl", "videos.parquet"}
    assert read_json_lines(run.paths.removed) == []
    assert read_json_lines(run.paths.shard("000000"))[0]["returns"] == 1


def test_a_video_that_returns_as_it_was_runs_its_shard_again(run):
    """What was missing meanwhile may stand in the tables as an error."""
    run.put("a.mp4", "b.mp4")
    run.update()
    run.start()
    for times in (1, 2):
        (run.videos / "a.mp4").rename(run.videos.parent / "away.mp4")
        run.update()
        before = run.written
        (run.videos.parent / "away.mp4").rename(run.videos / "a.mp4")
        run.update()
        assert run.rewritten(before) == {"shards/000000.jsonl", "removed.jsonl", "videos.parquet"}
        assert read_json_lines(run.paths.shard("000000"))[0]["returns"] == times


def test_a_video_that_could_not_be_read_is_tried_again_once_it_can_be(run, monkeypatch):
    run.put("a.mp4", "b.mp4", "c.mp4")
    run.update(1)
    run.start()
    note_again(run.outdir, "decode", "000001", [make_id("b.mp4")])
    closed = str(run.videos / "b.mp4")
    monkeypatch.setattr(os, "access", lambda path, mode: path != closed)  # root may read whatever its mode
    before = run.written
    run.update(1)
    assert run.rewritten(before) == set()
    monkeypatch.undo()
    run.update(1)
    assert run.rewritten(before) == {"shards/000001.jsonl", "videos.parquet"}
    note_again(run.outdir, "decode", "000001", [])
    before = run.written
    run.update(1)
    assert run.rewritten(before) == set()


def test_what_is_dated_in_the_future_is_dated_now_in_its_order(run, caplog):
    run.put("a.mp4", "b.mp4")
    run.update(1)
    run.start()
    hour = time.time_ns() + 3600 * 10**9
    first, second = run.paths.shard("000001"), run.paths.shard("000000")
    for later, path in enumerate((first, second)):
        os.utime(path, ns=(hour + later, hour + later))
    old = run.paths.shards.stat().st_mtime_ns
    run.update(1)
    assert "2 files" in caplog.text and "a clock has jumped back" in caplog.text
    assert old < first.stat().st_mtime_ns < second.stat().st_mtime_ns <= time.time_ns()
    assert run.paths.shards.stat().st_mtime_ns == old


class History:
    """Random deeds, and what must be there after them."""

    def __init__(self, run: Run, seed: int):
        self.run, self.chance = run, random.Random(seed)
        self.present: set[str] = set()
        self.gone: set[str] = set()
        self.touched: set[str] = set()

    def put(self, name: str) -> None:
        self.run.put(name, size=self.chance.randrange(1, 9))
        self.present.add(name)
        self.gone.discard(name)
        self.touched.add(name)

    def deed(self, step: int) -> None:
        kind = self.chance.choice(("add", "add", "remove", "change", "return"))
        if kind == "add":
            self.put(f"{self.chance.choice('abc')}/{step}-{self.chance.randrange(10**9)}.mp4")
        elif kind == "return" and self.gone:
            self.put(self.chance.choice(sorted(self.gone)))
        elif kind == "change":
            self.put(self.chance.choice(sorted(self.present)))
        elif kind == "remove" and (old := sorted(self.present - self.touched)[1:]):
            name = self.chance.choice(old)
            (self.run.videos / name).unlink()
            self.present.discard(name)
            self.gone.add(name)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_no_video_changes_its_shard(run, monkeypatch, seed):
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    history = History(run, seed)
    history.put("first.mp4")
    home: dict[str, int] = {}
    for step in range(20):
        before = run.written if step else {}
        for _ in range(history.chance.randrange(5)):
            history.deed(step)
        run.update(history.chance.choice(("auto", 1, 2, 5)))
        run.start()
        index = run.index
        where = dict(zip(index["name"], index["shard"], strict=True))
        assert where.items() >= home.items()
        assert min((where[name] for name in where.keys() - home.keys()), default=10**6) > max(home.values(), default=-1)
        home = where
        assert set(index["name"][index["present"]]) == history.present
        assert {row["name"] for row in read_json_lines(run.paths.removed)} == history.gone
        sizes = {f"{number:06d}": len(rows) for number, rows in index.groupby("shard")}
        assert list(shard_sizes(run.outdir).items()) == list(sizes.items())
        for number, rows in index.groupby("shard"):
            assert read_json_lines(run.paths.shard(f"{number:06d}")) == rows[OF_FILES].to_dict("records")
        for name, size, mtime in index.loc[index["present"], ["name", "size_bytes", "mtime_ns"]].itertuples(
            index=False
        ):
            state = (run.videos / name).stat()
            assert (size, mtime) == (state.st_size, state.st_mtime_ns)
        rewritten = {name for name in run.rewritten(before) if name.startswith("shards/")}
        assert rewritten == {f"shards/{home[name]:06d}.jsonl" for name in history.touched}
        history.touched.clear()


def test_a_kill_before_the_index_is_written_changes_nothing(run, monkeypatch):
    run.put("a.mp4", "b.mp4")
    run.update(1)
    run.start()
    index = run.paths.videos.read_bytes()
    run.put("lost.mp4")
    run.put("a.mp4", size=5)
    with monkeypatch.context() as patch:
        patch.setattr("pyarrow.parquet.ParquetWriter", refuse)
        with pytest.raises(PermissionError):
            run.update(1)
    assert run.paths.videos.read_bytes() == index
    (run.videos / "lost.mp4").unlink()
    assert run.update(1) == {"000000": 1, "000001": 1}
    run.put("new.mp4")
    run.update(1)
    assert run.shards == {"000000": ["a.mp4"], "000001": ["b.mp4"], "000002": ["new.mp4"]}
    assert read_json_lines(run.paths.shard("000000"))[0]["size_bytes"] == 5
