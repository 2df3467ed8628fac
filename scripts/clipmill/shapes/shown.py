"""The frames of a video that a clip of a constant rate shows. Rules import the rates, but no numpy: so it is apart."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

SLACK = 1e-5  # second; between two frames that are equally near, but for this, the earlier one is shown


def shown_frames(times: np.ndarray, rate: Fraction, count: int) -> np.ndarray:
    """Which frame each of `count` frames at a constant rate shows: the one nearest in time.

    `times`: presentation times of the frames that may be shown, rising, in seconds; the first frame is shown at its own
    time. Returns indices of `times`.
    """
    wanted = times[0] + np.arange(count) / float(rate)
    borders = (times[1:] + times[:-1]) / 2 + SLACK
    return np.searchsorted(borders, wanted, side="right")
