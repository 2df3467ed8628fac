"""Constant frame rates, and the frames of a video that a clip of such a rate shows."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

NTSC = Fraction(1000, 1001)
WRITTEN = 0.005  # by how much a rate like 29.97 may be rounded when it is written down
SLACK = 1e-5  # seconds by which times may be rounded; between two frames that are equally near the earlier one is shown


def exact_rate(fps: float) -> Fraction:
    """The rate that is meant: 23.976 is 24000/1001."""
    ntsc = round(fps / float(NTSC)) * NTSC
    if fps != round(fps) and abs(fps - float(ntsc)) < WRITTEN:
        return ntsc
    return Fraction(fps).limit_denominator(1001)


def frames_in(seconds: float, rate: Fraction) -> int:
    """How many frames of a constant rate fit into a time."""
    return math.floor((seconds + SLACK) * float(rate))


def shown_frames(times: np.ndarray, rate: Fraction, count: int) -> np.ndarray:
    """Which frame each of `count` frames at a constant rate shows: the one nearest in time.

    `times`: presentation times of the frames that may be shown, rising, in seconds; the first frame is shown at its own
    time. Returns indices of `times`.
    """
    wanted = times[0] + np.arange(count) / float(rate)
    borders = (times[1:] + times[:-1]) / 2 + SLACK
    return np.searchsorted(borders, wanted, side="right")
