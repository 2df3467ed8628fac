"""How well a clip's text fits its pictures: a model maps both into one space; the score is the features' cosine."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from clipmill.scores import FrameScore

FEATURE = "feature"  # the column that `finish` of these backends returns


class AlignmentBackend(FrameScore, Protocol):
    """The interface of a backend that `align_shard` uses: a score of frames whose one column is the clip's feature, and
    two methods for texts. Features are float32 of length 1."""

    def pieces(self, text: str) -> list[list[int]]:
        """The tokens of a cleaned text (`models.clip_texts`), in one or more pieces that the model can take."""

    def measure_texts(self, pieces: list[list[int]]) -> list[np.ndarray]:
        """One feature per piece: one batch, on the device."""


def mean_direction(features: list[np.ndarray]) -> np.ndarray:
    """The mean of unit features, scaled to length 1. The mean of a single feature is that feature."""
    mean = np.asarray(np.mean(features, axis=0, dtype=np.float64))
    return (mean / np.linalg.norm(mean)).astype(np.float32)
