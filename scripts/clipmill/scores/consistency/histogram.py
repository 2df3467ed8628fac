"""Consistency without a model: likeness in colour and structure of neighbouring frames, 1 for the same picture.

The least likeness within a clip is its score: an unnoticed cut, a flash or a dissolve lowers it much, a moving camera
little.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from clipmill.base.opencv import cv2
from clipmill.decode.reading import FrameChoice
from clipmill.scores import EmbeddedBackend

VERSION = 1
BINS = (18, 8, 8)  # hue, saturation, value
SIDE = 16  # pixels: side of the grey picture in which structure is compared
COLOUR_WEIGHT = 0.7

Features = tuple[np.ndarray, np.ndarray]  # histogram of colours, small grey picture


class Histogram(EmbeddedBackend):
    """Looks at every kept frame of the clip."""

    choice = FrameChoice()

    @property
    def about(self) -> dict[str, Any]:
        """What the score depends on."""
        return {"backend": "histogram", "version": VERSION}

    def prepare(self, frames: Sequence[np.ndarray]) -> list[Features]:
        """Features of each BGR frame."""
        return [_features(frame) for frame in frames]

    def finish(self, values: list[Features]) -> dict[str, Any]:
        """`consistency` of a clip's features in order of time, from 0 to 1; 1 for a single frame."""
        likeness = [_likeness(before, after) for before, after in zip(values[:-1], values[1:], strict=True)]
        return {"consistency": min(likeness, default=1.0)}


def _features(frame: np.ndarray) -> Features:
    small = cv2.resize(frame, (160, 90), interpolation=cv2.INTER_AREA)
    hsv = cv2.cvtColor(small, cv2.COLOR_BGR2HSV)
    histogram = cv2.calcHist([hsv], [0, 1, 2], None, list(BINS), [0, 180, 0, 256, 0, 256])
    # Neighbouring bins share their mass, so that a slight change of light is a slight change of the histogram.
    histogram = cv2.blur(histogram.reshape(BINS[0], -1), (3, 3)).ravel()
    grey = cv2.cvtColor(cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    return histogram / histogram.sum(), grey.astype(np.float64)


def _likeness(before: Features, after: Features) -> float:
    colour = float(np.minimum(before[0], after[0]).sum())
    return COLOUR_WEIGHT * colour + (1 - COLOUR_WEIGHT) * _structure(before[1], after[1])


def _structure(before: np.ndarray, after: np.ndarray) -> float:
    """Structural similarity of two grey pictures as one window (Wang et al., "Image quality assessment", 2004), ≥ 0."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    covariance = ((before - before.mean()) * (after - after.mean())).mean()
    light = (2 * before.mean() * after.mean() + c1) / (before.mean() ** 2 + after.mean() ** 2 + c1)
    return max(0.0, float(light * (2 * covariance + c2) / (before.var() + after.var() + c2)))
