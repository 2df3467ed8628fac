"""Consistency by the embeddings of a vision model: the least likeness of neighbouring frames, one second apart.

An unnoticed cut lowers it much, a moving camera little. EasyAnimate keeps clips of 0.80 and more.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clipmill.decode.reading import FrameChoice
from clipmill.scores.vision import CLIP, DINOV2, VisionBackend


class EmbeddingConsistency(VisionBackend):
    """The least cosine between the embeddings of neighbouring frames: one frame per second and those at both ends.

    With `keep_embeddings` the embeddings themselves are returned too.
    """

    choice = FrameChoice(per_second=1, ends=True)

    def __init__(self, model: str, revision: str | None, dtype: str, keep_embeddings: bool):
        super().__init__(model, revision, dtype)
        self.keep_embeddings = keep_embeddings

    @property
    def about(self) -> dict[str, Any]:
        """What the score depends on, and whether the embeddings are kept."""
        return super().about | {"keep_embeddings": self.keep_embeddings}

    def finish(self, values: list[np.ndarray]) -> dict[str, Any]:
        """`consistency` of a clip, at most 1; 1 for a single frame. `embeddings`: one float16 array per frame."""
        cosines = [float(before @ after) for before, after in zip(values[:-1], values[1:], strict=True)]
        columns: dict[str, Any] = {"consistency": min([*cosines, 1.0])}
        if self.keep_embeddings:
            columns["embeddings"] = [value.astype(np.float16) for value in values]
        return columns


class ClipConsistency(EmbeddingConsistency):
    """By CLIP's image embeddings, after the projection."""

    name = "clip"
    version = 1
    architecture = CLIP


class Dinov2Consistency(EmbeddingConsistency):
    """By the mean of DINOv2's last layer over all tokens, the class token included."""

    name = "dinov2"
    version = 1
    architecture = DINOV2
