"""The base of scores that use a published vision model: pictures in, embeddings out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from clipmill.base.usage import starting
from clipmill.models import gpu, leases
from clipmill.models.checkpoints import MODEL_FILES, Checkpoint, find_model, load_transformers
from clipmill.models.torchvision_ops import declare_missing_operators
from clipmill.scores import ModelBackend
from clipmill.scores.preprocess import Preprocess


@dataclass(frozen=True)
class Architecture:
    """How a type of model is loaded, and which part of its output is the embedding."""

    cls: str  # class of transformers: the vision tower alone, even if the checkpoint holds a text tower
    embedding: Callable[[Any], torch.Tensor]  # from the model's output: N × width
    width: Callable[[Any], int]  # from the model's configuration


SIGLIP = Architecture("SiglipVisionModel", lambda out: out.pooler_output, lambda config: config.hidden_size)
CLIP = Architecture("CLIPVisionModelWithProjection", lambda out: out.image_embeds, lambda config: config.projection_dim)
DINOV2 = Architecture(
    "Dinov2Model", lambda out: out.last_hidden_state.float().mean(dim=1), lambda config: config.hidden_size
)


# Frames per batch. On a GPU a batch must take longer, 10 ms and more, than Python takes to start the next one; DINOv2
# may do 8,000 frames per second. In SigLIP, the largest, a frame takes about 30 MB in half precision, a batch 4 GB.
BATCH, BATCH_ON_GPU = 32, 128


class VisionBackend(ModelBackend):
    """A unit is a frame. The files are found when they are asked for; the model is loaded when it first embeds.

    `model` and `revision`: see `checkpoints.find_model`. `dtype`: see `gpu.autocast`. Set `compile` to let
    `torch.compile` make the model faster; compiling takes some minutes.
    """

    name: str
    version: int
    architecture: Architecture
    compile = False

    def __init__(self, model: str, revision: str | None, dtype: str):
        self.model, self.revision, self.dtype = model, revision, dtype
        self.batch = BATCH_ON_GPU if leases.leased_devices() else BATCH

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The model's files, fetched if they are missing. Raises SetupError."""
        return find_model(self.model, self.revision, MODEL_FILES)

    def checkpoints(self) -> list[Checkpoint]:
        """The model alone."""
        return [self.checkpoint]

    @property
    def about(self) -> dict[str, Any]:
        """What the score depends on. Its `dtype` may depend on the device."""
        models = [checkpoint.identity() for checkpoint in self.checkpoints()]
        return {"backend": self.name, "version": self.version, "models": models, "dtype": gpu.resolved(self.dtype)}

    @cached_property
    def preprocess(self) -> Preprocess:
        """How frames become the model's input. Raises SetupError."""
        return Preprocess.of(self.checkpoint)

    def prepare(self, frames: Sequence[np.ndarray]) -> list[np.ndarray]:
        """A picture for each BGR frame: RGB, height × width × 3, uint8, in the model's size."""
        return [self.preprocess(frame) for frame in frames]

    def embed(self, pictures: list[np.ndarray]) -> torch.Tensor:
        """Embeddings of length 1, N × width, float32, on the device."""
        pixels = self.preprocess.normalise(pictures)
        with gpu.autocast(self.dtype):
            embeddings = self.architecture.embedding(self._forward(pixel_values=pixels))
        return torch.nn.functional.normalize(embeddings.float(), dim=-1)

    def start(self, units: list[np.ndarray]) -> Callable[[], Sequence[Any]]:
        """The embedding of each picture: float32, of length 1."""
        fetch = gpu.fetching(self.embed(units))
        return lambda: list(fetch())

    @property
    def width(self) -> int:
        """How many numbers an embedding has."""
        return self.architecture.width(self._network.config)

    @cached_property
    @starting()
    def _network(self) -> torch.nn.Module:
        declare_missing_operators()
        import transformers

        network = load_transformers(getattr(transformers, self.architecture.cls), self.checkpoint)
        return gpu.placed(network, self.model)

    @cached_property
    def _forward(self) -> Callable[..., Any]:
        return torch.compile(self._network) if self.compile else self._network
