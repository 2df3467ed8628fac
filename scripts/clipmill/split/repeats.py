"""Frames that repeat a picture because a video was brought to a higher rate than it was filmed at."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.lib.stride_tricks import sliding_window_view

# Of the steps on both sides: a frame that changes by less repeats a picture. `frozen_share` takes half of it, but it
# judges single frames; a cadence is regular, and compression leaves more where a fast picture has little contrast.
SHARE_OF_STEPS = 0.2
FAST = 5.0  # grey levels in the square that changes most: smaller steps look like no cut, and are left alone
HOLD, HOLD_FRAMES = 0.18, 40  # seconds and frames for which a cadence shows a picture at most; a still stands longer
PICTURES = 8  # so many in a row are shown no longer than that,
SHOWN_AGAIN = 4  # and so many of them are shown by more than one frame


def distinct_frames(signals: pa.Table, fps: float) -> np.ndarray:
    """Numbers of all frames except those that repeat the one before in a cadence, such as 2:2 or 3:2.

    `signals`: the table SIGNALS of a video. A frame that hardly changes, shortly after one that does and shortly before
    another, repeats a picture. Where this does not go on, and where a picture stands for longer, all frames stay.
    """
    change = signals["change"].to_numpy()
    every = np.arange(len(change))
    hold = min(max(1, round(HOLD * fps)), HOLD_FRAMES)  # files may announce any rate
    around = np.minimum(_greatest_before(change, hold), _greatest_before(change[::-1], hold)[::-1])
    pictures = np.flatnonzero(~((change < SHARE_OF_STEPS * around) & (around >= FAST) & (every > 0)))
    shown = np.diff(pictures, append=len(change))  # by how many frames
    if len(shown) < PICTURES:
        return every
    windows = sliding_window_view(shown, PICTURES)
    is_cadence = (windows.max(1) <= hold) & ((windows > 1).sum(1) >= SHOWN_AGAIN)
    in_cadence = np.convolve(is_cadence, np.ones(PICTURES, int)) > 0
    return every[~np.repeat(in_cadence, shown) | np.isin(every, pictures)]


def _greatest_before(change: np.ndarray, count: int) -> np.ndarray:
    """The greatest of up to `count` changes before each frame; 0 where there is none."""
    return sliding_window_view(np.append(np.zeros(count), change[:-1]), count).max(1)
