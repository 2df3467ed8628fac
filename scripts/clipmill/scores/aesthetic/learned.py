"""Learned aesthetic scores: a small head on the embedding of a frame, trained on people's ratings of pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clipmill.decode.reading import FrameChoice
from clipmill.models import gpu
from clipmill.models.checkpoints import Checkpoint, check_tensors, find_file, load_tensors
from clipmill.scores.vision import VisionBackend


@dataclass(frozen=True)
class Head:
    """Layout of a head's file: a chain of Linear layers, from the embedding to one number."""

    prefix: str
    layers: tuple[int, ...]  # their numbers in the file; between them is dropout, which only training uses
    sizes: tuple[int, ...]  # outputs of each layer
    published: str  # address of its file

    def load(self, path: Path, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(weights, bias) of the score of an embedding of `width` numbers. Raises SetupError for another layout.

        The layers have no activation between them, so they are one linear function, which is computed here in float64.
        """
        tensors = load_tensors(path)
        check_tensors(tensors, self._shapes(width), path)
        weights, bias = torch.eye(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
        for layer in self.layers:
            matrix, shift = (tensors[f"{self.prefix}.{layer}.{part}"].double() for part in ("weight", "bias"))
            weights, bias = matrix @ weights, matrix @ bias + shift
        return weights[0].float(), bias[0].float()

    def _shapes(self, width: int) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, inputs, outputs in zip(self.layers, (width, *self.sizes[:-1]), self.sizes, strict=True):
            shapes |= {f"{self.prefix}.{layer}.weight": (outputs, inputs), f"{self.prefix}.{layer}.bias": (outputs,)}
        return shapes


class LearnedAesthetic(VisionBackend):
    """The head's score of a frame's embedding of length 1, about 1 to 10; mean over uniformly spaced frames.

    `head`: path or address of the head's file, None for the published one; `head_sha256`: its checksum; see
    `checkpoints.find_file`. The head is computed in float32, whatever the model's dtype.
    """

    layout: Head

    def __init__(
        self,
        frames: int,
        model: str,
        revision: str | None,
        head: str | None,
        head_sha256: str | None,
        dtype: str,
    ):
        super().__init__(model, revision, dtype)
        self.choice = FrameChoice(count=frames)
        self.frames, self.head, self.head_sha256 = frames, head, head_sha256

    @cached_property
    def head_checkpoint(self) -> Checkpoint:
        """The head's file, fetched if it is missing. Raises SetupError."""
        return find_file(self.head or self.layout.published, self.head_sha256)

    def checkpoints(self) -> list[Checkpoint]:
        """The model and the head."""
        return [self.checkpoint, self.head_checkpoint]

    @property
    def about(self) -> dict[str, Any]:
        """What the score depends on."""
        return super().about | {"frames": self.frames}

    def start(self, units: list[np.ndarray]) -> Callable[[], list[float]]:
        """The score of each picture."""
        weights, bias = self._head
        fetch = gpu.fetching(self.embed(units) @ weights + bias)
        return lambda: fetch().tolist()

    def finish(self, values: list[float]) -> dict[str, Any]:
        """`aesthetic` (mean) and `aesthetic_frames`."""
        return {"aesthetic": sum(values) / len(values), "aesthetic_frames": values}

    @cached_property
    def _head(self) -> tuple[torch.Tensor, torch.Tensor]:
        weights, bias = self.layout.load(self.head_checkpoint.path, self.width)
        return weights.to(gpu.device()), bias.to(gpu.device())
