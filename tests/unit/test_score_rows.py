"""Rows of scores: too few samples, lost frames, and what is never computed twice."""

from __future__ import annotations

import errno
import random
import shutil
import threading

import numpy as np
import pytest
from films import SETTINGS, SIZE, Decoded, Film, decoded, entry, panned
from made_shards import thirty_clips

from clipmill.base.errors import ItemError, SetupError
from clipmill.decode.frames import FrameArchive, archive_key
from clipmill.decode.reading import FrameChoice
from clipmill.decode.shard import decode_shard
from clipmill.decode.video import DecodePaths
from clipmill.demo import render
from clipmill.scores import Backend, EmbeddedBackend
from clipmill.scores.aesthetic.classic import Classic
from clipmill.scores.consistency.histogram import Histogram
from clipmill.scores.shard import score_shard
from clipmill.split.measured import motion_score, technical_score
from clipmill.store import tables
from clipmill.store.layout import Paths


@pytest.fixture(scope="session")
def pan(tmp_path_factory) -> Decoded:
    return decoded(Film(panned("gravel.png", 20), 2, fps=12).render(tmp_path_factory.mktemp("pan") / "pan.mp4"))


def test_too_few_samples_are_an_error_not_a_zero(pan):
    row = motion_score(pan.clip(0, 6), pan.row, pan.signals)  # one sample
    assert row == {
        "clip_id": "v_0-6",
        "motion_easyanimate": None,
        "motion_pairs": 0,
        "error_kind": "too_few_samples",
        "error": "0.50 s hold fewer than two samples; raise decode.samples_per_second",
    }
    assert technical_score(pan.clip(0, 6), pan.signals).get("error_kind") is None
    row = technical_score(pan.clip(1, 5), pan.signals)  # none
    assert (row["error_kind"], row["error"]) == (
        "too_few_samples", "0.33 s hold no sample; raise decode.samples_per_second")  # fmt: skip
    assert not {"sharpness", "colourfulness", "border_area"} & set(row)
    tables.MOTION.from_rows([motion_score(pan.clip(0, 6), pan.row, pan.signals)])
    tables.TECHNICAL.from_rows([row, technical_score(pan.clip(), pan.signals)])


def test_motion_from_before_the_clip_does_not_count(pan):
    row = motion_score(pan.clip(6, 24), pan.row, pan.signals)  # samples at frames 6, 12, 18
    assert row["motion_pairs"] == 2
    assert row["motion"] == pytest.approx(np.mean(pan["motion"][[12, 18]]))


# --- frames of clips --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "count", "chosen"),
    [
        ([3, 4, 5, 6, 7], 1, [5]),
        ([3, 4, 5, 6], 1, [5]),
        ([3, 4, 5, 6, 7, 8], 2, [4, 7]),
        (list(range(100)), 4, [12, 37, 62, 87]),
        ([1, 2], 4, [1, 2]),
        ([1, 2, 3], None, [1, 2, 3]),
        ([], 1, []),
    ],
)
def test_frames_are_spaced_evenly(samples, count, chosen):
    assert FrameChoice(count).choose(samples, [0.5 * k for k in range(len(samples))]) == chosen


class Spy(Backend):
    """Gives the mean level of a clip's first frame, and keeps the levels of all that it measured."""

    def __init__(self, frames: int | None = None, version: int = 1):
        self.choice, self.seen = FrameChoice(frames), []
        self.about = {"backend": "spy", "version": version, "frames": frames}

    def prepare(self, frames):
        return [float(frame.mean()) for frame in frames]

    def measure(self, units):
        return units

    def finish(self, values):
        self.seen.append([round(value) for value in values])
        return {"consistency": values[0] / 255}


def levels(size, seconds, fps):
    """Frame n has the level 5 n."""
    return (render.flat(size, (5 * n,) * 3) for n in range(round(seconds * fps)))


@pytest.fixture
def shard(tmp_path):
    """Two videos of 4 s, decoded; three clips of them and one that is too short for a sample."""
    videos = []
    for name in "ab":
        path = Film(levels, 4, fps=10, settings={"pixel_format": "yuv444p"}).render(tmp_path / f"{name}.mp4")
        videos.append(entry(path, name))
    rows, _ = decode_shard(videos, tmp_path, "000000", SETTINGS, 1, 1.0)
    spans = {("a", 0, 20), ("a", 20, 40), ("b", 0, 40), ("b", 1, 4)}
    keys = {row["video_id"]: row["source_key"] for row in rows}
    clips = [
        {"clip_id": f"{video}{start}", "video_id": video, "source_key": keys[video], "start_frame": start,
         "end_frame": end, "seconds": (end - start) / 10}
        for video, start, end in sorted(spans)
    ]  # fmt: skip

    def run(backend, clips=clips, wanted=None, rate=1.0):
        wanted = {clip["clip_id"] for clip in clips} if wanted is None else wanted
        rows = score_shard("consistency", backend, clips, wanted, tmp_path, "000000", rate)
        tables.CONSISTENCY.from_rows(rows)
        assert [row["clip_id"] for row in rows] == [clip["clip_id"] for clip in clips]
        return {row.pop("clip_id"): row for row in rows}

    run.clips, run.outdir = clips, tmp_path
    return run


def test_a_backend_sees_the_samples_of_each_clip(shard):
    rows = shard(spy := Spy())
    for seen, wanted in zip(spy.seen, [(0, 25, 50, 75), (100, 125, 150, 175), range(0, 176, 25)], strict=True):
        assert seen == pytest.approx(list(wanted), abs=2)
    assert rows["a20"] == {"consistency": pytest.approx(100 / 255, abs=0.01)}
    assert rows["b1"] == {"error_kind": "too_few_samples", "error": "0.30 s hold no sample"}
    shard(spy := Spy(1))
    assert [level for frames in spy.seen for level in frames] == pytest.approx([50, 150, 100], abs=2)


@pytest.mark.parametrize("place", ["prepare", "finish"])
def test_an_unforeseen_error_costs_its_clip_alone(shard, place):
    backend, work = Spy(), getattr(Spy, place)

    def fails_once(given):
        if place not in failed:
            failed.add(place)
            raise ZeroDivisionError("no frames")
        return work(backend, given)

    failed: set[str] = set()
    setattr(backend, place, fails_once)
    rows = shard(backend)
    assert [row.get("error_kind") for row in rows.values()] == ["failed", None, None, "too_few_samples"]
    assert "ZeroDivisionError: no frames" in rows["a0"]["error"]


def test_a_full_disk_costs_all_clips(shard):
    backend = Spy()
    backend.prepare = refuse_for_want_of_space
    with pytest.raises(OSError, match="full"):
        shard(backend)


def refuse_for_want_of_space(_):
    raise OSError(errno.ENOSPC, "full")


def test_a_clip_is_scored_once_and_only_where_wanted(shard):
    rows = shard(spy := Spy(), wanted={"a0"})
    assert len(spy.seen) == 1
    assert [set(row) for row in rows.values()] == [{"consistency"}, set(), set(), set()]
    again = shard(spy := Spy())
    assert len(spy.seen) == 2
    assert again["a0"] == rows["a0"]
    assert shard(spy := Spy()) == again
    assert spy.seen == []
    assert shard(Spy(), wanted=set()) == {name: {} for name in rows}


def test_a_clip_is_scored_again_when_what_it_depends_on_changes(shard):
    shard(Spy())
    shard(spy := Spy(version=2))
    assert len(spy.seen) == 3
    for change in ({"source_key": "other"}, {"start_frame": 5}, {"end_frame": 15}):
        shard(spy := Spy(), clips=[{**shard.clips[0], **change}])
        assert len(spy.seen) == 1


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["missing", "torn", "folder", "overwritten"])
def test_lost_frames_cost_their_video_alone(shard, damage):
    path = Paths(shard.outdir).frames("000000", "a")
    assert path == DecodePaths.of(shard.outdir, "000000", "a").frames
    content = path.read_bytes()
    path.unlink()
    if damage == "torn":
        path.write_bytes(content[:-30])
    elif damage == "folder":
        path.mkdir()
    elif damage == "overwritten":
        path.write_bytes(b"\0" * (len(content) // 2) + content[len(content) // 2 :])
    rows = shard(Spy())
    assert [rows[name].get("error_kind") for name in ("a0", "b0")] == ["bad_frames", None]
    assert rows["a0"]["error"].startswith(f"{path}: ")
    assert rows["a0"]["error"].endswith("run the same command again, which decodes the video again")
    if path.is_dir():
        path.rmdir()
    path.write_bytes(content)
    assert "consistency" in shard(Spy())["a0"]  # the error was not remembered


class Where(EmbeddedBackend):
    """The threads that measured the frames of a clip. Each thread waits for the others once, at its first clip."""

    choice, about = FrameChoice(), {"backend": "where"}

    def __init__(self, threads: int):
        self.all_there, self.mine = threading.Barrier(threads), threading.local()

    def prepare(self, frames):
        if not hasattr(self.mine, "waited"):
            self.mine.waited = self.all_there.wait(timeout=30) is not None
        return [threading.get_ident()] * len(frames)

    def finish(self, values):
        return {"threads": [str(value) for value in values]}


def test_embedded_backends_measure_in_the_threads_that_read(tmp_path):
    rows = thirty_clips(tmp_path).score(Where(3), threads=3)
    threads = {name for row in rows for name in row["threads"]}
    assert len(threads) == 3 and str(threading.get_ident()) not in threads


@pytest.mark.parametrize("backend", [Histogram, lambda: Classic(3)])
def test_threads_change_no_row_of_an_embedded_backend(tmp_path, backend):
    found = []
    for threads in (1, 4):
        films = thirty_clips(tmp_path / str(threads))
        (films.outdir / "work" / "frames" / "000000" / "v2.zip").write_bytes(b"no zip")
        rows = films.score(backend(), threads)
        found.append(([row.get("error_kind") or row for row in rows], films.journal()))
    assert found[0] == found[1]
    assert [row == "bad_frames" for row in found[0][0]] == [clip["video_id"] == "v2" for clip in films.clips]


def test_too_many_lost_frames_stop_the_shard(shard):
    shutil.rmtree(shard.outdir / "work" / "frames")
    clips = [{**clip, "clip_id": f"{clip['clip_id']}-{n}"} for clip in shard.clips for n in range(10)]
    with pytest.raises(SetupError, match=r"^20 of 20 clips failed, more than max_error_rate 0.5 allows"):
        shard(Spy(), clips=clips, rate=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_damaged_archive_gives_pictures_or_an_item_error(pan, tmp_path, seed):
    """Its list of members, at the end, is damaged more often than the pictures."""
    whole, chance, path = pan.paths.frames.read_bytes(), random.Random(seed), tmp_path / "f.zip"
    for _ in range(100):
        content = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            content[chance.randrange(len(whole) - 300 if chance.random() < 0.8 else 0, len(whole))] = chance.randrange(
                256
            )
        path.write_bytes(content[: chance.choice((chance.randrange(len(whole)), len(whole), len(whole)))])
        archive_key(path)
        try:
            with FrameArchive(path) as archive:
                assert {archive.read(sample).shape for sample, _ in pan.sampled} == {(*SIZE[::-1], 3)}
        except ItemError as error:
            assert (error.kind, error.lasting) == ("bad_frames", False)
