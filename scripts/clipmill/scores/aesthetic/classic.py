"""An aesthetic score without a model: sharpness, exposure, contrast and colourfulness on a scale from 0 to 10.

It separates well-exposed, detailed, colourful pictures from dull, dark and blurred ones. It knows nothing of content
or composition; the learned scores do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from clipmill.base.opencv import cv2
from clipmill.decode.reading import FrameChoice
from clipmill.decode.signals import colourfulness, sharpness
from clipmill.scores import EmbeddedBackend

VERSION = 2
# At these values a part gives half its points; they lie near the middle of ordinary photographs.
HALF_SHARPNESS, HALF_CONTRAST, HALF_COLOUR = 8.0, 35.0, 25.0
WEIGHTS = {"sharpness": 0.3, "exposure": 0.25, "contrast": 0.25, "colour": 0.2}


class Classic(EmbeddedBackend):
    """Mean over uniformly spaced frames."""

    def __init__(self, frames: int):
        self.frames = frames
        self.choice = FrameChoice(frames)

    @property
    def about(self) -> dict[str, Any]:
        """What the score depends on."""
        return {"backend": "classic", "version": VERSION, "frames": self.frames}

    def prepare(self, frames: Sequence[np.ndarray]) -> list[float]:
        """The score of each BGR frame, from 0 to 10."""
        return [frame_score(frame) for frame in frames]

    def finish(self, values: list[float]) -> dict[str, Any]:
        """`aesthetic` (mean) and `aesthetic_frames`."""
        return {"aesthetic": sum(values) / len(values), "aesthetic_frames": values}


def frame_score(frame: np.ndarray) -> float:
    """Score of one BGR frame: the weighted sum of four parts, each from 0 to 10.

    Sharpness, contrast and colour rise as x / (x + half); exposure falls with the share of pixels that are crushed
    to black or blown to white, and with the distance of the mean grey level from the middle.
    """
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    mean, spread = (float(value[0, 0]) for value in cv2.meanStdDev(grey))
    clipped = float(np.count_nonzero((grey <= 5) | (grey >= 250)) / grey.size)
    parts = {
        "sharpness": _rising(sharpness(grey), HALF_SHARPNESS),
        "exposure": max(0.0, 1 - abs(mean - 118) / 118) * (1 - clipped),
        "contrast": _rising(spread, HALF_CONTRAST),
        "colour": _rising(colourfulness(frame), HALF_COLOUR),
    }
    return 10 * sum(WEIGHTS[name] * value for name, value in parts.items())


def _rising(value: float, half: float) -> float:
    return value / (value + half)
