"""How well a clip's text fits its pictures: a model gives both a feature in one space; the score is their cosine."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from clipmill.scores import FrameScore

FEATURE = "feature"  # the column that `finish` of these backends gives


class AlignmentBackend(FrameScore, Protocol):
    """What `align_shard` asks of a backend: a score of frames whose one column is the clip's feature, and two methods
    for texts. Features are float32 of length 1."""

    def pieces(self, text: str) -> list[list[int]]:
        """The tokens of a text, in as many pieces as the model's length asks for; at least one."""

    def measure_texts(self, pieces: list[list[int]]) -> list[np.ndarray]:
        """A feature for each piece: a batch, on the device."""


def mean_direction(features: list[np.ndarray]) -> np.ndarray:
    """The mean of features, made a unit again. The same for one feature as it is."""
    mean = np.mean(features, axis=0, dtype=np.float64)
    return (mean / np.linalg.norm(mean)).astype(np.float32)
