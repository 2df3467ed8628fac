"""Constant frame rates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

NTSC = Fraction(1000, 1001)
WRITTEN = 0.005  # by how much a rate like 29.97 may be rounded when it is written down
NEARLY = 1.01  # rates that differ by less are the same to a viewer: 24 and 23.976 frames per second
ROUNDED = 2e-3  # seconds by which a clip may be too short for its last frame: Matroska rounds times to milliseconds


def exact_rate(fps: float) -> Fraction:
    """The rate that is meant: 23.976 is 24000/1001."""
    ntsc = round(fps / float(NTSC)) * NTSC
    if fps != round(fps) and abs(fps - float(ntsc)) < WRITTEN:
        return ntsc
    return Fraction(fps).limit_denominator(1001)


def shows_frames_twice(clip: Mapping[str, Any]) -> bool:
    """Whether the file of a clip has clearly more frames per second than its video, so that some are repeated.

    `clip`: a row with `fps` and the columns of the table `cuts`. Files of 0.2 lack their rate: then it is not known.
    """
    return clip["fps"] is not None and clip["cut_fps"] is not None and clip["cut_fps"] > NEARLY * clip["fps"]


def frames_in(seconds: float, rate: Fraction) -> int:
    """How many frames of a constant rate fit into a time."""
    return math.floor((seconds + ROUNDED) * float(rate))


def file_seconds(clip: Mapping[str, Any], fps: float | None) -> float:
    """How long the file of a clip will be. `clip`: its row of the table `clips`; `fps`: the rate of files, if any."""
    if fps is None or clip["target_frames"] is None:
        return clip["seconds"]
    return clip["target_frames"] / float(exact_rate(fps))
