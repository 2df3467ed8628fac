"""Pieces of exactly as many frames as a trainer takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from clip_films import DEFAULT
from whole import video_clips

from clipmill.filters import reasons
from clipmill.filters.verdict import first_failure
from clipmill.shapes.rates import exact_rate
from clipmill.shapes.shown import shown_frames
from clipmill.split.exact import ExactFrames
from clipmill.split.transitions import Transition
from clipmill.store import tables

RATES = (12.5, 24000 / 1001, 24, 25, 30000 / 1001, 30, 50, 60000 / 1001)


def exact(times, counts, fps=None, keys=(), unclean=()) -> ExactFrames:
    is_clean = np.ones(len(times) - 1, bool)
    is_clean[list(unclean)] = False
    return ExactFrames(np.asarray(times, float), np.array(keys, int), is_clean, counts, fps)


def seconds_at(rate: float, seconds: float) -> np.ndarray:
    return np.arange(int(seconds * rate) + 1) / rate


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("fps", [16, 24, 29.97])
def test_pieces_follow_each_other_and_are_filled(rate, fps):
    times = seconds_at(rate, 23)
    found = list(exact(times, [33, 49, 81], fps).pieces(10, len(times) - 1))
    assert [count for *_, count in found] == sorted((count for *_, count in found), reverse=True)
    place = 10
    for begin, stop, count in found:
        assert begin == place
        shown = shown_frames(times[begin:-1], exact_rate(fps), count)
        assert stop == begin + shown[-1] + 1, "it ends with the last frame that is shown"
        assert times[-1] - times[begin] >= count / fps - 0.002
        place = stop
    assert times[-1] - times[place] < 33 / fps, "the rest fills nothing"


def test_without_a_rate_frames_are_counted():
    times = np.cumsum([0, *np.tile([0.02, 0.08], 120)])
    assert list(exact(times, [81, 33]).pieces(0, 240)) == [(0, 81, 81), (81, 162, 81), (162, 195, 33), (195, 228, 33)]
    assert exact(times, "4n+1").piece(3, 90) == (3, 88, 85)
    assert exact(times, [81]).piece(0, 80) is None


def test_frames_without_a_use_let_a_piece_begin_at_a_key_frame():
    times = seconds_at(24, 5)
    assert exact(times, [81], 24, keys=[7, 20]).piece(0, 120) == (7, 88, 81)
    assert exact(times, [81], 24, keys=[7, 20], unclean=[88]).piece(0, 120) == (20, 101, 81)
    assert exact(times, [81], 24, keys=[40]).piece(0, 120) == (0, 81, 81)
    assert exact(seconds_at(24, 6), [81], 16, keys=[7]).piece(0, 130) == (0, 121, 81), "another rate is never copied"
    assert list(exact(times, [33], 24, keys=[0, 36, 72]).pieces(0, 120)) == [(0, 33, 33), (36, 69, 33), (72, 105, 33)]
    assert list(exact(times, [57], 24, keys=[8, 65]).pieces(0, 120)) == [(0, 57, 57), (57, 114, 57)]


def test_a_rate_that_changes_midway_leaves_whole_pieces():
    times = np.cumsum([0, *[1 / 60] * 300, *[1 / 10] * 100])
    found = list(exact(times, [33], 16, keys=[20, 280]).pieces(0, 400))
    for begin, stop, _ in found:
        assert times[-1] - times[begin] >= 33 / 16 - 0.002 and stop <= 400


# --- clips ------------------------------------------------------------------------------------------------------------


def clips(rate: float, seconds: float, *cuts: int, **settings) -> list[dict]:
    times = seconds_at(rate, seconds)
    frames = len(times) - 1
    video = {"video_id": "v", "source_key": "k", "seconds": float(times[-1]), "fps": rate}
    rows = ({"frame": n, "time": times[n], "is_key": n == 0, "is_clean": True} for n in range(frames))
    transitions = [Transition(cut, cut, "cut", 0.9) for cut in cuts]
    settings = {"guard_frames": 0, **settings}
    return video_clips(video, tables.SIGNALS.from_rows(rows), transitions, replace(DEFAULT, **settings))


def spans(found: list[dict]) -> list[tuple]:
    return [(clip["start_frame"], clip["end_frame"], clip["target_frames"], clip["unfit"]) for clip in found]


def test_exact_pieces_of_scenes():
    """Of 500 frames at 25 per second: 6 s, 1 s and 13 s."""
    found = spans(clips(25, 20, 150, 175, pieces="exact", fps=16, frames=[33, 81]))
    # 81 frames at 16 per second end with frame 125, which is shown for the last time at 5 s.
    assert found == [
        (0, 126, 81, None),
        (150, 175, 0, "too_few_frames"),
        (175, 301, 81, None),
        (301, 427, 81, None),
        (427, 478, 33, None),
    ]


def test_other_pieces_are_shortened():
    found = spans(clips(25, 20, pieces="equal", fps=16, frames=[81]))
    assert found == [(0, 126, 81, None), (250, 376, 81, None)]
    assert spans(clips(25, 4, pieces="equal", fps=16, frames=[81])) == [(0, 100, 0, "too_few_frames")]
    assert spans(clips(25, 2.5, pieces="equal", fps=16, frames=[33])) == [(0, 62, 0, "too_few_frames")], (
        "min_seconds is 3"
    )


def test_exact_pieces_of_a_rule_lie_between_the_least_and_the_greatest_seconds():
    found = spans(clips(24, 25, pieces="exact", fps=24, frames="8n+1", min_seconds=2, max_seconds=10))
    assert [count for *_, count, _ in found] == [233, 233, 129]
    assert spans(clips(24, 1.5, pieces="exact", fps=24, frames="8n+1", min_seconds=2)) == [(0, 36, 0, "too_few_frames")]


def test_without_frames_clips_are_as_ever():
    assert spans(clips(25, 5)) == [(0, 125, None, None)]


def test_a_clip_with_too_few_frames_has_a_reason_of_its_own():
    short, whole = clips(25, 20, 150, 175, pieces="exact", fps=16, frames=[33, 81])[1], clips(25, 2)[0]
    assert first_failure(short, {}) == reasons.UNFIT["too_few_frames"]
    assert first_failure(whole, {}) == reasons.UNFIT["too_short"]
    assert reasons.BY_WORDS["too_few_frames"] == reasons.UNFIT["too_few_frames"]
