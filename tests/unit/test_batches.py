"""The loop that scores clips: which samples, in what batches, and what a bad clip or a full memory costs."""

from __future__ import annotations

import logging
import random

import numpy as np
import pytest
from made_shards import EVERY_SECOND, Levels, Shard, level, thirty_clips

from clipmill.base.errors import ItemError, SetupError
from clipmill.base.opencv import cv2
from clipmill.decode.frames import FrameArchive
from clipmill.decode.reading import FrameChoice, KeptFrames

# --- which samples ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "times", "chosen"),
    [
        (FrameChoice(count=3, per_second=1), [0, 0.5, 1, 1.5, 2], [0, 2, 4]),
        (FrameChoice(count=2, per_second=1), [0, 0.5, 1, 1.5, 2], [1, 3]),  # more than two: uniform ones
        (EVERY_SECOND, [], []),
        (EVERY_SECOND, [3.5], [0]),
        (EVERY_SECOND, [3.5, 4.0], [0, 1]),
        (EVERY_SECOND, [0, 0.5, 1, 1.5, 2], [0, 2, 4]),
        (EVERY_SECOND, [0, 0.5, 1, 1.5, 2, 2.5], [0, 2, 4, 5]),
        (EVERY_SECOND, [0.7, 1.2, 1.7, 2.2], [0, 2, 3]),  # whole seconds from the first sample on
        (EVERY_SECOND, [0, 0.48, 0.96, 1.44, 1.98, 2.46], [0, 2, 4, 5]),  # the nearest, on either side
        (EVERY_SECOND, [0, 0.75, 1.25, 2.9], [0, 1, 2, 3]),  # the earlier of two as near
        (EVERY_SECOND, [0, 2.4, 4.8], [0, 1, 2]),  # fewer samples than seconds: none twice
        (EVERY_SECOND, [0.033333, 1.0332, 2.033332], [0, 1, 2]),  # times are rounded
        (FrameChoice(per_second=1), [0, 0.5, 1, 1.5, 2, 2.5], [0, 2, 4]),
        (FrameChoice(per_second=2), [0, 0.25, 0.5, 0.75, 1.0, 1.25], [0, 2, 4]),
        (FrameChoice(per_second=0.5, ends=True), [0, 1, 2, 3, 4, 5], [0, 2, 4, 5]),
        (FrameChoice(), [0, 1, 2], [0, 1, 2]),
        (FrameChoice(count=1), [0, 1, 2], [1]),
    ],
)
def test_samples_of_a_clip(choice, times, chosen):
    numbers = [100 + place for place in range(len(times))]
    assert choice.choose(numbers, np.array(times)) == [100 + place for place in chosen]


def test_steady_samples_are_in_order_with_both_ends_and_none_twice():
    chance = random.Random(1)
    for _ in range(300):
        times = np.cumsum([chance.uniform(0.02, chance.choice((0.1, 1, 3))) for _ in range(chance.randrange(1, 40))])
        chosen = EVERY_SECOND.choose(range(len(times)), times)
        assert chosen == sorted(set(chosen))
        assert (chosen[0], chosen[-1]) == (0, len(times) - 1)
        for second in range(int(times[-1] - times[0]) + 1):
            wanted = times[0] + second
            assert min(abs(times - wanted)) == min(abs(times[chosen] - wanted))


# --- batches ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def films(tmp_path):
    return thirty_clips(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("choice", [FrameChoice(), FrameChoice(count=2), EVERY_SECOND])
def test_rows_are_the_same_whatever_threads_and_batch_size(films, choice):
    wanted = None
    for batch in (1, 3, 16, 1000):
        batches = None
        for threads in (1, 2, 5):
            backend = Levels(batch, choice)
            rows = films.score(backend, threads, metric=f"{batch}-{threads}")
            wanted = wanted or rows
            batches = batches or backend.batches
            assert rows == wanted
            assert backend.batches == batches  # the same units together, in the same order
        # Batches are full, across clips and videos, but for the last.
        assert all(len(units) == batch for units in batches[:-1])
        assert 1 <= len(batches[-1]) <= batch
    for clip, row in zip(films.clips, wanted, strict=True):
        numbers = range(clip["start_frame"], clip["end_frame"])
        samples = choice.choose(numbers, [number / 2 for number in numbers])
        assert row["levels"] == pytest.approx([level(int(clip["video_id"][1:]), sample) for sample in samples], abs=2)


class OneAClip(Levels):
    """As a video model: one unit for all frames of a clip."""

    def prepare(self, frames):
        return [np.stack(frames).mean(axis=(1, 2, 3)).round()]

    def finish(self, values):
        assert len(values) == 1
        return {"value": values[0]}


def test_a_unit_may_be_a_clip(films):
    backend = OneAClip(8, FrameChoice(count=4))
    rows = films.score(backend, 2)
    assert [len(units) for units in backend.batches] == [8, 8, 8, 6]
    assert rows == films.score(OneAClip(1, FrameChoice(count=4)), metric="one by one")


def test_frames_are_read_one_by_one_as_they_are_asked_for(films, monkeypatch):
    read = []
    monkeypatch.setattr(FrameArchive, "read", lambda archive, sample: read.append(sample) or np.zeros((2, 2, 3)))

    class Looks(Levels):
        def prepare(self, frames):
            before = len(read)
            assert len(frames) >= 5
            for count, frame in enumerate(frames, 1):
                assert (len(read) - before, frame.shape) == (count, (2, 2, 3))
            assert len(frames[1:3]) == 2
            assert [read[-2], read[-1]] == read[before + 1 : before + 3]
            return [frames[-1]]

    clips = [clip for clip in films.clips if clip["seconds"] >= 2.5]
    assert len(films.score(Looks(1, FrameChoice()), clips=clips)) == len(clips) > 5


def test_what_a_score_depends_on_is_asked_once(films):
    class Costly(Levels):
        asked = 0

        @property
        def about(self):
            self.asked += 1
            return {}

        @about.setter
        def about(self, value):
            pass

    films.score(backend := Costly())
    assert backend.asked == 1


def test_samples_as_they_lie_in_the_archive(films):
    clip = films.clips[1]
    with KeptFrames(films.outdir, "000000") as samples:
        jpegs, times = samples.jpegs(clip, FrameChoice(2))
        frames = list(samples.frames(clip, FrameChoice(2)))
    assert len(jpegs) == len(times) == 2 and times == sorted(times)
    for jpeg, frame in zip(jpegs, frames, strict=True):
        assert (cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) == frame).all()


# --- errors -----------------------------------------------------------------------------------------------------------


class Picky(Levels):
    """Refuses some clips, by their first level."""

    def __init__(self, bad: set[int], step: str, batch: int = 1):
        super().__init__(batch, FrameChoice(count=1))
        self.bad, self.step = bad, step

    def refuse(self, step: str, value: float) -> None:
        if step == self.step and round(value) in self.bad:
            raise ItemError("refused", f"{step} does not like it")

    def prepare(self, frames):
        self.refuse("prepare", frames[0].mean())
        return super().prepare(frames)

    def finish(self, values):
        self.refuse("finish", values[0])
        return super().finish(values)


@pytest.mark.parametrize("step", ["prepare", "finish"])
@pytest.mark.parametrize("batch", [1, 1000])
def test_a_bad_clip_costs_itself(films, step, batch):
    fine = films.score(Levels(1, FrameChoice(count=1)), metric="fine")
    bad = {round(row["mean"]) for row in fine[3::5]}
    for threads in (1, 3):
        rows = films.score(Picky(bad, step, batch), threads)  # the second time it tries the bad ones again
        wanted = {"error_kind": "refused", "error": f"{step} does not like it"}
        assert rows == [{"clip_id": row["clip_id"], **wanted} if round(row["mean"]) in bad else row for row in fine]
    assert len(films.journal().splitlines()) == sum(round(row["mean"]) not in bad for row in fine)


@pytest.mark.parametrize("batch", [1, 1000])
def test_errors_count_in_the_order_of_the_clips(tmp_path, batch):
    """Good clips that wait for their batch are not forgotten: 20 of 60 are bad, never more than a third."""
    films = Shard(tmp_path, [[1] * 20] * 3)

    class Thirds(Levels):
        count = 0

        def prepare(self, frames):
            self.count += 1
            if self.count % 3 == 0:
                raise ItemError("bad", "a third")
            return super().prepare(frames)

    rows = films.score(Thirds(batch), rate=0.34)
    assert sum("error" in row for row in rows) == 20
    with pytest.raises(SetupError, match=r"^7 of 21 clips failed, more than max_error_rate 0.33 allows"):
        films.score(Thirds(batch), rate=0.33, metric="strict")
    assert len(films.journal("strict").splitlines()) == 14  # what was good until then is kept


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, float("nan")], np.array([1, np.inf], np.float16)])
def test_what_is_no_number_is_an_error_and_not_remembered(films, value):
    class Broken(Levels):
        def finish(self, values):
            return {"score": value, "missing": None, "text": "nan"}

    clips = films.clips[:1]
    row = films.score(Broken(), clips=clips)[0]
    assert row["error_kind"] == "not_finite"
    assert row["error"] == "score is not a finite number; set the model's dtype to fp32 and run again"
    assert "levels" in films.score(Levels(), clips=clips)[0]


@pytest.mark.torch
def test_a_full_memory_costs_no_value(films, caplog):
    import torch

    class Narrow(Levels):
        def measure(self, units):
            if len(units) > 3:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return super().measure(units)

    wanted = films.score(Levels(16), metric="wide")
    caplog.clear()
    narrow = Narrow(16)
    assert films.score(narrow, 2) == wanted
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        "the GPU's memory is too small for a batch of 16; tried again by 8",
        "the GPU's memory is too small for a batch of 8; tried again by 4",
        "the GPU's memory is too small for a batch of 4; tried again by 2",
    ]
