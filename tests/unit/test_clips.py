"""Pieces of scenes are as long as they may be and leave nothing out; clips are what is left beside the cuts."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from clip_films import CONTENT, FILMS, content_clips, uneven
from films import cinema

from clipmill.split.pyscenedetect import find_cuts
from clipmill.split.scenes import divide
from clipmill.store import tables

EQUAL, FIXED = replace(CONTENT, pieces="equal"), replace(CONTENT, pieces="fixed")


@pytest.fixture(scope="session")
def show(tmp_path_factory):
    return cinema(tmp_path_factory.mktemp("clips"), {name: film for name, (film, _) in FILMS.items()})


# --- pieces -----------------------------------------------------------------------------------------------------------


def pieces(times, settings, start=0, end=None, keys=()):
    return list(divide(np.array(times), start, len(times) - 1 if end is None else end, settings, keys))


def lengths(times, parts):
    return [times[stop] - times[start] for start, stop in parts]


@pytest.mark.parametrize(
    ("seconds", "equal", "fixed"),
    [
        (2, [2], [2]),
        (10, [10], [10]),
        (10.5, [5.25, 5.25], [10, 0.5]),
        (20, [10, 10], [10, 10]),
        (23, [7.625, 7.75, 7.625], [10, 10, 3]),
        (31, [7.75] * 4, [10, 10, 10, 1]),
    ],
)
def test_pieces(seconds, equal, fixed):
    times = np.arange(int(seconds * 8) + 1) / 8
    assert lengths(times, pieces(times, EQUAL)) == pytest.approx(equal)
    assert lengths(times, pieces(times, FIXED)) == pytest.approx(fixed)


def test_equal_pieces_that_would_be_too_short_become_whole_ones_and_a_rest():
    times = np.arange(11 * 24 + 1) / 24
    assert lengths(times, pieces(times, replace(EQUAL, min_seconds=6))) == pytest.approx([10, 1])
    coarse = np.arange(11)  # one frame a second: equal pieces of 3.33 s are 3, 4 and 3 s
    assert lengths(coarse, pieces(coarse, replace(EQUAL, max_seconds=3.5))) == [3, 3, 3, 1]


@pytest.mark.parametrize("settings", [EQUAL, FIXED, CONTENT], ids=["equal", "fixed", "key_frames"])
@pytest.mark.parametrize("where", [0, 5000, 9999])
def test_a_frame_longer_than_any_clip_stands_alone(settings, where):
    """As in a screen recording; such a frame once took minutes, and cut all the rest into single frames."""
    steps = np.full(10000, 1 / 24)
    steps[where] = 30
    times = np.concatenate([[0], np.cumsum(steps)])
    parts = pieces(times, settings)
    assert (where, where + 1) in parts
    assert [0, *(stop for _, stop in parts)] == [*(start for start, _ in parts), 10000]
    assert len(parts) < 50
    assert min(lengths(times, parts)) > 0
    assert max(length for length in lengths(times, parts) if length < 30) <= 10 + 1e-6


def test_pieces_begin_at_key_frames_where_that_is_possible():
    times = np.arange(24 * 24 + 1) / 24
    keys = list(range(60, 24 * 24, 60))  # each 2.5 s
    assert pieces(times, CONTENT, keys=keys) == [(0, 180), (180, 360), (360, 576)]
    assert pieces(times, CONTENT) == pieces(times, EQUAL)
    assert pieces(times[:289], CONTENT, keys=[48]) == [(0, 144), (144, 288)]  # 2 s are less than min_seconds
    assert pieces(times, EQUAL, keys=keys) == pieces(times, EQUAL)


def test_where_key_frames_do_not_suffice_little_is_left_to_re_encode():
    times = np.arange(24 * 24 + 1) / 24
    assert pieces(times, CONTENT, keys=[100]) == [(0, 100), (100, 340), (340, 576)]  # ten seconds as they are
    assert pieces(times[:289], CONTENT, keys=[0]) == [(0, 216), (216, 288)]  # 12 s: 3 s to re-encode, not 6
    assert pieces(times[:289], CONTENT, keys=[0, 250]) == [(0, 216), (216, 288)]


def best_by_trying(times, stops, settings):
    """Fewest pieces, then least sum of squared lengths, over all choices of stops."""
    best = None
    for count in range(len(stops) - 1):
        for inner in itertools.combinations(stops[1:-1], count):
            sizes = np.diff(times[[stops[0], *inner, stops[-1]]])
            if sizes.max() <= settings.max_seconds + 1e-6 and sizes.min() >= settings.min_seconds - 1e-6:
                value = (count + 1, float((sizes**2).sum()))
                best = min(best or value, value)
    return best


def re_encoded(times, parts, keys):
    return sum(times[stop] - times[start] for start, stop in parts if start not in keys)


@pytest.mark.parametrize("shortest", [3, 5])
@pytest.mark.parametrize("seed", range(30))
def test_pieces_at_key_frames_are_the_fewest_and_most_even(seed, shortest):
    settings = replace(CONTENT, min_seconds=shortest)
    chance = np.random.default_rng(seed)
    times = np.concatenate([[0], np.cumsum(chance.uniform(0.02, 0.2, 300))])
    keys = sorted(chance.choice(np.arange(1, 300), chance.integers(0, 13), replace=False).tolist())
    best = best_by_trying(times, [0, *keys, 300], settings)
    parts = pieces(times, settings, keys=keys)
    sizes = np.array(lengths(times, parts))
    if best is None:
        equal = pieces(times, replace(settings, pieces="equal"))
        assert len(parts) == len(equal)
        assert sizes.max() <= 10 + 1e-6
        assert sizes.min() >= min(3, *lengths(times, equal)) - 1e-6
        assert re_encoded(times, parts, keys) <= re_encoded(times, equal, keys) + 1e-6
    else:
        assert {start for start, _ in parts} <= {0, *keys}
        assert (len(parts), float((sizes**2).sum())) == pytest.approx(best)


# --- clips of a video -------------------------------------------------------------------------------------------------


def random_video(seed: int):
    """A video's row and signals: uneven times, cuts, key frames and clean boundaries by chance; and the settings."""
    chance = np.random.default_rng(seed)
    count = int(chance.integers(1, 1500))
    steps = chance.choice([1 / 24, 1 / 12, 1.0], count, p=[0.8, 0.19, 0.01]) if seed % 2 else np.full(count, 1 / 24)
    times = np.round(np.concatenate([[0], np.cumsum(steps)]), 6)
    key, clean = chance.random(count) < 0.03, chance.random(count) < 0.5
    content = np.where(chance.random(count) < 0.01, 60.0, 3.0)
    rows = zip(times.tolist(), content.tolist(), key.tolist(), clean.tolist(), strict=False)
    signals = [
        {"frame": n, "time": t, "content": c, "is_key": k, "is_clean": e or n == 0}
        for n, (t, c, k, e) in enumerate(rows)
    ]
    video = {"video_id": "v", "source_key": "key", "seconds": float(times[-1])}
    settings = replace(
        CONTENT,
        pieces=str(chance.choice(["equal", "fixed", "key_frames"])),
        min_seconds=float(chance.choice([0, 1, 3])),
        max_seconds=float(chance.choice([3, 4.2, 10])),
        guard_frames=int(chance.integers(0, 4)),
        min_frames=int(chance.choice([0, 1, 15])),
    )
    return video, tables.SIGNALS.from_rows(signals), settings


@pytest.mark.parametrize("seed", range(60))
def test_clips_of_any_video(seed):
    video, signals, settings = random_video(seed)
    times = [*signals["time"].to_pylist(), video["seconds"]]
    clean_keys = signals["is_key"].to_numpy() & signals["is_clean"].to_numpy()
    clips = content_clips(video, signals, settings)
    cuts = find_cuts(signals["content"].to_numpy(), settings)
    borders = [0, *cuts, len(times) - 1]
    assert len({clip["clip_id"] for clip in clips}) == len(clips)
    covered = [frame for clip in clips for frame in range(clip["start_frame"], clip["end_frame"])]
    assert covered == sorted(set(covered))  # in order, and every frame in at most one clip
    assert sorted({clip["scene"] for clip in clips}) == list(range(len(borders) - 1))
    for number, (first, last) in enumerate(itertools.pairwise(borders)):
        scene = [clip for clip in clips if clip["scene"] == number]
        assert [clip["piece"] for clip in scene] == list(range(len(scene)))
        assert all(one["end_frame"] == next_["start_frame"] for one, next_ in itertools.pairwise(scene))
        start = first + settings.guard_frames * (number > 0 and not clean_keys[first])
        end = last - settings.guard_frames * (last < borders[-1])
        wanted = (start, end) if start < end else (first, last)
        assert (scene[0]["start_frame"], scene[-1]["end_frame"]) == wanted
    for clip in clips:
        start, end = clip["start_frame"], clip["end_frame"]
        assert (clip["start"], clip["end"]) == (times[start], times[end])
        assert clip["seconds"] == pytest.approx(times[end] - times[start])
        assert clip["seconds"] <= settings.max_seconds + 1e-5 or end - start == 1
        assert (clip["unfit"] == "too_short") == (clip["seconds"] < settings.min_seconds - 1e-6)
        milliseconds = [math.floor(1000 * clip[name] + 0.5) for name in ("start", "end")]
        assert clip["clip_id"] == "v_{:08d}-{:08d}".format(*milliseconds)
        assert (clip["video_id"], clip["source_key"]) == ("v", "key")


@pytest.mark.slow
def test_guard_frames_are_given_up_at_cuts_alone(show):
    result = show("shots.mp4")
    for guard in (0, 2, 5):
        clips = content_clips(result.row, result.signals, replace(CONTENT, guard_frames=guard))
        keys = result["is_key"] & result["is_clean"]
        cuts = FILMS["shots.mp4"][1]
        assert [clip["start_frame"] for clip in clips] == [0, *(cut + guard * (not keys[cut]) for cut in cuts)]
        assert [clip["end_frame"] for clip in clips] == [*(cut - guard for cut in cuts), result.row["frames"]]


def test_clips_of_a_variable_frame_rate_begin_and_end_with_its_frames(show):
    result = show("uneven.mp4")
    clips = content_clips(result.row, result.signals, replace(EQUAL, min_seconds=0.2, max_seconds=0.7, guard_frames=0))
    assert {24, 48} < {clip["start_frame"] for clip in clips}
    assert all(clip["seconds"] <= 0.7 + 1e-6 for clip in clips)
    ends = [clip["end"] for clip in clips]
    assert ends[:-1] == pytest.approx([uneven(73)[clip["end_frame"]] for clip in clips[:-1]], abs=1e-6)
    assert ends[-1] == result.row["seconds"]


def test_scenes_of_one_frame_are_counted_and_too_short():
    content = [0, 0, 60, 60, 60, 0, 0]
    signals = [
        {"frame": n, "time": n / 10, "content": c, "is_key": n == 0, "is_clean": True} for n, c in enumerate(content)
    ]
    video = {"video_id": "v", "source_key": "k", "seconds": 0.7}
    clips = content_clips(video, tables.SIGNALS.from_rows(signals), replace(CONTENT, min_frames=1))
    assert [(clip["start_frame"], clip["end_frame"]) for clip in clips] == [(0, 2), (2, 3), (3, 4), (6, 7)]
    assert all(clip["unfit"] for clip in clips)
