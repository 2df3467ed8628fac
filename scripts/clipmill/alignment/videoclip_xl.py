"""Alignment by VideoCLIP-XL-v2: one feature for eight frames together, and texts of up to 248 tokens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clipmill.alignment import FEATURE, towers
from clipmill.alignment.tokens import Tokens, unit_features
from clipmill.base.opencv import cv2
from clipmill.base.usage import starting
from clipmill.decode.reading import FrameChoice
from clipmill.models import gpu, leases
from clipmill.models.checkpoints import TOKENIZER_FILES, Checkpoint, find_file, find_model
from clipmill.scores import ModelBackend

WEIGHTS = "VideoCLIP-XL-v2.bin"
FRAMES = 8
BATCH, BATCH_ON_GPU = 4, 16  # clips per batch; see `scores.vision`. A clip takes 130 MB
# Used in this order for the channels blue, green, red, as EasyAnimate runs the model.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Loaded:
    """The model on the device. `side`: pixels of a frame's side."""

    video: Callable[..., Any]
    text: Callable[..., Any]
    side: int
    tokens: Tokens


class VideoClipXl(ModelBackend):
    """A unit is a clip. `model`: hub id, folder, or the weight file by path or address, whose `sha256` may be given.

    `tokenizer`: hub id or folder of CLIP's tokenizer. `dtype`: see `gpu.autocast`. Set `compile` to let `torch.compile`
    make the video tower faster; compiling takes some minutes.
    """

    name = "videoclip-xl"
    version = 1
    choice = FrameChoice(count=FRAMES)
    compile = False

    def __init__(
        self,
        model: str,
        revision: str | None,
        tokenizer: str,
        tokenizer_revision: str | None,
        sha256: str | None,
        dtype: str,
    ):
        self.model, self.revision, self.sha256 = model, revision, sha256
        self.tokenizer, self.tokenizer_revision, self.dtype = tokenizer, tokenizer_revision, dtype
        self.batch = BATCH_ON_GPU if leases.leased_devices() else BATCH
        self._loading = threading.Lock()

    def checkpoints(self) -> list[Checkpoint]:
        """Weights and tokenizer, fetched if they are missing. Raises SetupError."""
        return list(self._found)

    @cached_property
    def _found(self) -> tuple[Checkpoint, Checkpoint]:
        path = Path(self.model).expanduser()
        if path.is_dir():
            weights = find_file(str(path / WEIGHTS), self.sha256)
        elif path.is_file() or self.model.startswith("https://"):
            weights = find_file(self.model, self.sha256)
        else:
            weights = find_model(self.model, self.revision, (WEIGHTS,))
        return weights, find_model(self.tokenizer, self.tokenizer_revision, TOKENIZER_FILES)

    @property
    def about(self) -> dict[str, Any]:
        """What the score depends on. Its `dtype` may depend on the device."""
        models = [checkpoint.identity() for checkpoint in self.checkpoints()]
        return {"backend": self.name, "version": self.version, "models": models, "dtype": gpu.resolved(self.dtype)}

    def prepare(self, frames: Sequence[np.ndarray]) -> list[np.ndarray]:
        """A clip's one unit: 8 × side × side × BGR bytes. Fewer than 8 frames are repeated, in order."""
        side = self._loaded().side
        small = [cv2.resize(frame, (side, side), interpolation=cv2.INTER_LINEAR) for frame in frames]
        return [np.stack([small[int((k + 0.5) * len(small) / FRAMES)] for k in range(FRAMES)])]

    def start(self, units: list[np.ndarray]) -> Callable[[], list[np.ndarray]]:
        """One feature per clip."""
        video = self._loaded().video
        mean, std = gpu.on_device([np.array([MEAN, STD], np.float32)]).view(2, 3, 1, 1)
        pixels = gpu.on_device(units).permute(0, 1, 4, 2, 3) / 255
        with gpu.autocast(self.dtype):
            return unit_features(video(pixel_values=(pixels - mean) / std).image_embeds)

    def finish(self, values: list[np.ndarray]) -> dict[str, Any]:
        """The clip's feature."""
        return {FEATURE: values[0]}

    def pieces(self, text: str) -> list[list[int]]:
        """The text's tokens in one piece, cut to the model's length."""
        return [self._loaded().tokens.cut(text)]

    def measure_texts(self, pieces: list[list[int]]) -> list[np.ndarray]:
        """One feature per text."""
        model = self._loaded()
        ids = model.tokens.batch(pieces).to(gpu.device())
        with gpu.autocast(self.dtype):
            return unit_features(model.text(input_ids=ids).text_embeds)()

    def _loaded(self) -> Loaded:
        with self._loading:  # reader threads call this too
            return self._model

    @cached_property
    @starting()
    def _model(self) -> Loaded:
        weights, tokenizer = self._found
        sizes, tensors = towers.load(weights.path / WEIGHTS if weights.path.is_dir() else weights.path)
        tokens = Tokens(tokenizer.path, sizes.vocabulary, sizes.positions)
        video = gpu.placed(towers.video_tower(sizes, tensors), self.model)
        text = gpu.placed(towers.text_tower(sizes, tensors, tokens.start, tokens.end), self.model)
        return Loaded(torch.compile(video) if self.compile else video, text, sizes.side, tokens)
