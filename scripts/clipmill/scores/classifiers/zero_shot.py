"""Zero-shot classification (Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
2021): CLIP or SigLIP says which of two texts fits a frame better."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch

from clipmill.base.errors import SetupError
from clipmill.base.usage import starting
from clipmill.models import gpu
from clipmill.models.checkpoints import MODEL_FILES, TOKENIZER_FILES, Checkpoint, find_model
from clipmill.models.clip_texts import cleaned
from clipmill.scores.classifiers import Frames
from clipmill.scores.vision import Architecture, VisionBackend

TAKE = "take tokenizer.json, or what the model's release has instead, into its folder"


class ZeroShot(VisionBackend):
    """The share of the text `positive` by softmax over the model's logits of the two texts.

    `model`: any `AutoModelForZeroShotImageClassification`, with its tokenizer and image processor. Both texts go
    through the model with each batch of frames: they cost less than one frame.
    """

    name = "zero-shot"
    version = 1
    architecture = Architecture(
        "AutoModelForZeroShotImageClassification", lambda out: out.image_embeds, lambda config: config.projection_dim
    )

    def __init__(
        self,
        column: str,
        frames: int,
        reduce: str,
        model: str,
        revision: str | None,
        positive: str,
        negative: str,
        dtype: str,
    ):
        super().__init__(model, revision, dtype)
        self._frames = Frames(column, frames, reduce)
        self.choice, self.texts = self._frames.choice, [positive, negative]

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The files of the model and its tokenizer, fetched if they are missing. Raises SetupError."""
        return find_model(self.model, self.revision, (*MODEL_FILES, *TOKENIZER_FILES, "spiece.model"))

    @property
    def about(self) -> dict[str, Any]:
        """What the score depends on. Texts that need no cleaning have the scores of older versions, which did none."""
        clean = [cleaned(text) for text in self.texts]
        texts = {"texts": self.texts} if clean == self.texts else {"texts": self.texts, "cleaned": clean}
        return super().about | self._frames.about | texts

    def start(self, units: list[np.ndarray]) -> Callable[[], list[float]]:
        """The share of each picture."""
        pixels = self.preprocess.normalise(units)
        with gpu.autocast(self.dtype):
            logits = self._forward(input_ids=self._tokens, pixel_values=pixels).logits_per_image.float()
        fetch = gpu.fetching(logits.softmax(dim=-1)[:, 0])
        return lambda: fetch().tolist()

    def finish(self, values: list[float]) -> dict[str, Any]:
        """See `Frames.columns`."""
        return self._frames.columns(values)

    @cached_property
    @starting()
    def _tokens(self) -> torch.Tensor:
        """Tokens of both texts, on the device. They are filled up to the model's length, as SigLIP was trained."""
        length = self._network.config.text_config.max_position_embeddings
        from transformers import AutoTokenizer, CLIPTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(self.checkpoint.path, local_files_only=True)
            # Those of other models, such as SigLIP's, clean a text as their own authors did.
            texts = [cleaned(text) for text in self.texts] if isinstance(tokenizer, CLIPTokenizer) else self.texts
            tokens = tokenizer(texts, padding="max_length", max_length=length, verbose=False).input_ids
        except MemoryError:
            raise
        except Exception as error:  # a damaged file can raise any error in the readers
            raise SetupError(f"{self.checkpoint.path}: no tokenizer of the model ({error!r}); {TAKE}") from error
        for text, own in zip(self.texts, tokens, strict=True):
            if len(own) > length:
                raise SetupError(f"{self.model} takes {length} tokens, and {text!r} has {len(own)}; shorten it")
        return torch.tensor(tokens).to(gpu.device())
