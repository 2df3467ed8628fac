"""Motion and technical quality of a clip, from the signals that decoding left. No frame is looked at again."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from clipmill.store.table import Row
from clipmill.store.tables import Clip, DecodedVideo

FROZEN_BELOW = 0.05  # mean absolute difference of grey levels to the frame before; camera noise alone gives more
EASYANIMATE_INTERVAL = 0.5  # seconds between the two frames whose flow EasyAnimate's motion score measures

Sides = tuple[float, float, float, float]
"""Shares of the width and the height at the left, top, right and bottom."""
NO_BORDERS: Sides = (0.0, 0.0, 0.0, 0.0)


def motion_score(clip: Clip, video: DecodedVideo, signals: pa.Table, crops: pa.Table | None = None) -> Row:
    """MOTION row of one clip: mean over its pairs of neighbouring kept frames, both inside the clip.

    `crops`: the signals of the kept frames of a cropped clip.
    """
    kept = _kept_frames(_part(clip, signals)) if crops is None else crops
    speeds = _numbers(kept, "motion")[1:]  # the motion of the first kept frame began before the clip
    speeds = speeds[~np.isnan(speeds)]
    row: Row = {"clip_id": clip["clip_id"], "motion_pairs": len(speeds)}
    if len(speeds) == 0:
        message = f"{clip['seconds']:.2f} s hold fewer than two samples; raise decode.samples_per_second"
        return {**row, "error_kind": "too_few_samples", "error": message}
    speed = float(speeds.mean())
    pixels = speed / 100 * min(video["width"], video["height"]) * EASYANIMATE_INTERVAL
    return {**row, "motion": speed, "motion_pixels": pixels}


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
        "brightness": float(_numbers(shown, "luma_mean").mean()),
        "contrast": float(_numbers(shown, "luma_spread").mean()),
        "frozen_share": _frozen_share(part),
    }
    if kept.num_rows == 0:
        message = f"{clip['seconds']:.2f} s hold no sample; raise decode.samples_per_second"
        return {**row, "error_kind": "too_few_samples", "error": message}
    return {
        **row,
        "sharpness": float(_numbers(kept, "sharpness").mean()),
        "colourfulness": float(_numbers(kept, "colourfulness").mean()),
        "border_area": _border_area(kept, borders),
    }


def _part(clip: Clip, signals: pa.Table) -> pa.Table:
    return signals.slice(clip["start_frame"], clip["end_frame"] - clip["start_frame"])


def _kept_frames(part: pa.Table) -> pa.Table:
    return part.filter(part["sample"].is_valid())


def _numbers(part: pa.Table, column: str) -> np.ndarray:
    """A column as float64, missing values as nan."""
    return part[column].cast(pa.float64()).to_numpy(zero_copy_only=False)


def _frozen_share(part: pa.Table) -> float:
    """Share of the clip's time in which nothing changes from one frame to the next."""
    times = part["time"].to_numpy()
    if len(times) < 2:
        return 0.0
    still = _numbers(part, "difference")[1:] < FROZEN_BELOW
    return float(np.diff(times)[still].sum() / (times[-1] - times[0]))


def _border_area(kept: pa.Table, borders: Sides) -> float | None:
    """Area under `borders` and those that are black in every kept frame; None if all kept frames are wholly black."""
    sides = [_numbers(kept, f"border_{side}") for side in ("left", "top", "right", "bottom")]
    if np.isnan(sides[0]).all():
        return None
    left, top, right, bottom = (max(np.nanmin(side), found) for side, found in zip(sides, borders, strict=True))
    return float(1 - (1 - left - right) * (1 - top - bottom))
