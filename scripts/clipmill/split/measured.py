"""Motion and technical quality of a clip, from the signals that decoding left. No frame is looked at again."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clipmill.split.repeats import distinct_frames
from clipmill.store.table import Row
from clipmill.store.tables import Clip, DecodedVideo

# How far grey levels change in the square that changes most. Where a picture is repeated, compression still changes it:
# most at key frames, less and less after fast motion, and hardly at a quarter of the frames.
NO_CHANGE = 0.31  # a frame with less may be a repeated one
HARDLY = 0.1  # share of the greatest change around it: less is what compression does beside fast motion
SETTLING = 0.4  # the same share, before and after a picture that stands: compression still works on it
CLEAR_CHANGE = 1.5  # two frames with more do not repeat a picture
CYCLE, CYCLE_FRAMES = 8, 16  # frames in which such changes return, and for which they do so at least
NEAR = 0.5  # seconds: a frame is judged with those around it
STANDS = 0.03  # % of the short side per second: less is no motion
SEEN_STEP = 0.1  # % of the short side: a motion of more per frame changes each frame, or else the frame is repeated
EASYANIMATE_INTERVAL = 0.5  # seconds between the two frames whose flow EasyAnimate's motion score measures

Sides = tuple[float, float, float, float]
"""Shares of the width and the height at the left, top, right and bottom."""
NO_BORDERS: Sides = (0.0, 0.0, 0.0, 0.0)


def motion_score(clip: Clip, video: DecodedVideo, signals: pa.Table, crops: pa.Table | None = None) -> Row:
    """MOTION row of one clip: mean over its pairs of neighbouring kept frames, both inside the clip.

    `crops`: the signals of the kept frames of a cropped clip. EasyAnimate's score is that of the whole picture.
    """
    speeds = numbers(clip_pairs(clip, signals, crops), "motion")
    row: Row = {
        "clip_id": clip["clip_id"],
        "motion_easyanimate": _easyanimate(clip, signals),
        "motion_pairs": len(speeds),
    }
    if len(speeds) == 0:
        message = f"{clip['seconds']:.2f} s hold fewer than two samples; raise decode.samples_per_second"
        return {**row, "error_kind": "too_few_samples", "error": message}
    speed = float(speeds.mean())
    pixels = speed / 100 * min(video["width"], video["height"]) * EASYANIMATE_INTERVAL
    return {**row, "motion": speed, "motion_pixels": pixels}


def _easyanimate(clip: Clip, signals: pa.Table) -> float | None:
    """Mean over the pairs of frames inside the clip; None if decoding was not asked for it, or if there is no pair."""
    part = _part(clip, signals)
    pairs = part.filter(pc.greater_equal(part["easyanimate_since"], clip["start_frame"]))
    return float(numbers(pairs, "easyanimate_flow").mean()) if pairs.num_rows else None


def clip_pairs(clip: Clip, signals: pa.Table, crops: pa.Table | None = None) -> pa.Table:
    """The kept frames of a clip whose motion is known and began in the clip. `crops`: as in `motion_score`.

    `seconds`: since the kept frame before.
    """
    kept = _kept_frames(_part(clip, signals)) if crops is None else crops
    seconds = pa.array(np.diff(numbers(kept, "time")))
    kept = kept.slice(1).append_column("seconds", seconds)  # the motion of the first one began before the clip
    return kept.filter(kept["motion"].is_valid())


def technical_score(clip: Clip, signals: pa.Table, borders: Sides = NO_BORDERS, crops: pa.Table | None = None) -> Row:
    """TECHNICAL row of one clip.

    `borders`: what was found of its scene and stays. `crops`: the signals of the kept frames of a cropped clip, by
    which it is measured then, but for its motionless share.
    """
    part = _part(clip, signals)
    kept = _kept_frames(part) if crops is None else crops
    shown = part if crops is None else crops
    row: Row = {
        "clip_id": clip["clip_id"],
        "brightness": float(numbers(shown, "luma_mean").mean()),
        "contrast": float(numbers(shown, "luma_spread").mean()),
        "frozen_share": _frozen_share(clip, signals),
    }
    if kept.num_rows == 0:
        message = f"{clip['seconds']:.2f} s hold no sample; raise decode.samples_per_second"
        return {**row, "error_kind": "too_few_samples", "error": message}
    return {
        **row,
        "sharpness": float(numbers(kept, "sharpness").mean()),
        "colourfulness": float(numbers(kept, "colourfulness").mean()),
        "border_area": _border_area(kept, borders),
    }


def _part(clip: Clip, signals: pa.Table) -> pa.Table:
    return signals.slice(clip["start_frame"], clip["end_frame"] - clip["start_frame"])


def _kept_frames(part: pa.Table) -> pa.Table:
    return part.filter(part["sample"].is_valid())


def numbers(part: pa.Table, column: str) -> np.ndarray:
    """A column as float64, missing values as nan."""
    return part[column].cast(pa.float64()).to_numpy(zero_copy_only=False)


def _frozen_share(clip: Clip, signals: pa.Table) -> float:
    """Share of the clip's time in which frames repeat the one before.

    While a picture moves by SEEN_STEP and more per frame, a frame without change is a repeated one. While it moves
    less, some frames do not change either, and none is a repeated one, unless they do so in a cadence. While nothing
    moves as a whole, small things and noise still may: a frame is judged by its neighbours. Beside a picture that
    stands, all frames that change little belong to it.
    """
    part = _part(clip, signals)
    times = part["time"].to_numpy()
    if len(times) < 2:
        return 0.0
    changes = _Changes(clip, signals)
    motion = _motion_of_frames(part)[1:]
    steps = np.diff(times)
    is_fast = motion * steps >= SEEN_STEP
    slow = ~is_fast & (motion < STANDS)
    still = np.zeros(len(steps), bool)
    still[slow] = ~_changes_around(times[1:][slow], changes.clear[slow])
    still = _runs_with(still, still | changes.little)
    still |= ~(changes.clear >= NO_CHANGE) & is_fast | changes.in_cadence
    return float(steps[still].sum() / (times[-1] - times[0]))


def _runs_with(some: np.ndarray, all_of: np.ndarray) -> np.ndarray:
    """The runs of true values of `all_of` in which one of `some` is true."""
    ends = np.flatnonzero(np.diff(all_of, prepend=False, append=False))
    found = np.zeros(len(some), bool)
    for start, end in ends.reshape(-1, 2):
        found[start:end] = some[start:end].any()
    return found


def _motion_of_frames(part: pa.Table) -> np.ndarray:
    """Of each frame the motion between the kept frames before and after it, or of the nearest two; 0 if not known."""
    motion = numbers(part, "motion")
    kept = np.flatnonzero(part["sample"].is_valid().to_numpy(zero_copy_only=False))
    ends = kept[1:][~np.isnan(motion[kept[1:]])]  # the motion of the first kept frame began before the clip
    if ends.size == 0:
        return np.zeros(len(motion))
    following = np.searchsorted(ends, np.arange(len(motion))).clip(max=ends.size - 1)
    return motion[ends[following]]


class _Changes:
    """The changes of a clip's frames after the first, beside those around them, also before and after the clip.

    `clear`: 0 where they are HARDLY of those around, nan at key frames. `little`: SETTLING of them at most, or a key
    frame. `in_cadence`: which repeat the frame before in a cadence.
    """

    def __init__(self, clip: Clip, signals: pa.Table):
        times = signals["time"].to_numpy()
        first, last = clip["start_frame"], clip["end_frame"]
        start = int(np.searchsorted(times, times[first] - NEAR))
        wide = signals.slice(start, int(np.searchsorted(times, times[last - 1] + NEAR, side="right")) - start)
        times = wide["time"].to_numpy()
        is_key = wide["is_key"].to_numpy(zero_copy_only=False)
        change = np.where(is_key, 0, numbers(wide, "change"))
        change[_in_a_cycle(change)] = 0
        # The second greatest around, since a cut is one great change. After fast motion compression goes on to change
        # a picture that stands.
        great = np.array([np.sort(change[around])[-2:].min() for around in _near(times)])
        clear = np.where(is_key, np.nan, np.where(change < HARDLY * great, 0, change))
        repeats = np.ones(len(times), bool)
        repeats[distinct_frames(wide, len(times) / float(times[-1] - times[0]))] = False
        of_clip = slice(first + 1 - start, last - start)
        self.clear, self.little = clear[of_clip], (change < SETTLING * great)[of_clip]
        self.in_cadence = repeats[of_clip]


def _in_a_cycle(change: np.ndarray) -> np.ndarray:
    """Which of the changes return again and again, exactly: a picture that stands, coded in ways that take turns."""
    found = np.zeros(len(change), bool)
    for period in range(1, min(CYCLE + 1, len(change))):
        returns = np.append(np.zeros(period, bool), change[period:] == change[:-period]) & (change < CLEAR_CHANGE)
        ends = np.flatnonzero(np.diff(returns, prepend=False, append=False))
        for start, end in ends.reshape(-1, 2).tolist():
            found[start - period : end] |= end - start >= CYCLE_FRAMES
    return found


def _changes_around(times: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Whether something changes around each frame; key frames, whose change is nan, say nothing."""
    found = np.zeros(len(times), bool)
    for place, around in enumerate(_near(times)):
        known = np.sort(change[around][~np.isnan(change[around])])
        if known.size:
            found[place] = known[known.size // 4] >= NO_CHANGE or known[-2:].min() >= CLEAR_CHANGE
    return found


def _near(times: np.ndarray) -> list[slice]:
    """Of each frame those within NEAR seconds."""
    first, last = np.searchsorted(times, times - NEAR), np.searchsorted(times, times + NEAR, side="right")
    return [slice(*ends) for ends in zip(first.tolist(), last.tolist(), strict=True)]


def _border_area(kept: pa.Table, borders: Sides) -> float | None:
    """Area under `borders` and those that are black in every kept frame; None if all kept frames are wholly black."""
    sides = [numbers(kept, f"border_{side}") for side in ("left", "top", "right", "bottom")]
    if np.isnan(sides[0]).all():
        return None
    left, top, right, bottom = (max(np.nanmin(side), found) for side, found in zip(sides, borders, strict=True))
    return float(1 - (1 - left - right) * (1 - top - bottom))
