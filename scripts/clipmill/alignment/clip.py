"""Alignment by a CLIP model, of which some have a permissive licence: frame by frame, sentence by sentence."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from torch.nn import Module

from clipmill.alignment import FEATURE, mean_direction
from clipmill.alignment.tokens import Tokens, unit_features
from clipmill.base.errors import SetupError
from clipmill.base.usage import starting
from clipmill.decode.reading import FrameChoice
from clipmill.models import gpu
from clipmill.models.checkpoints import MODEL_FILES, TOKENIZER_FILES, Checkpoint, find_model, load_transformers
from clipmill.models.torchvision_ops import declare_missing_operators
from clipmill.scores.vision import CLIP, VisionBackend

LEGACY_END = 2  # end token in old configurations: transformers then takes the highest token as the end


class ClipAlignment(VisionBackend):
    """Compares the mean direction of eight frames' embeddings with that of the text, or of its sentences if it is long.

    `model`: a CLIP in transformers' layout, with its tokenizer and image processor.
    """

    name = "clip"
    version = 1
    architecture = CLIP
    choice = FrameChoice(count=8)

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The files of the model and its tokenizer, fetched if they are missing. Raises SetupError."""
        return find_model(self.model, self.revision, MODEL_FILES + TOKENIZER_FILES)

    def finish(self, values: list[np.ndarray]) -> dict[str, Any]:
        """The clip's feature."""
        return {FEATURE: mean_direction(values)}

    def pieces(self, text: str) -> list[list[int]]:
        """The text's tokens in one piece; sentence by sentence if the text is longer than the model takes."""
        return self._tokens.split(text)

    def measure_texts(self, pieces: list[list[int]]) -> list[np.ndarray]:
        """One feature per piece."""
        ids = self._tokens.batch(pieces).to(gpu.device())
        with gpu.autocast(self.dtype):
            return unit_features(self._text_tower(input_ids=ids).text_embeds)()

    @cached_property
    @starting()
    def _text_tower(self) -> Module:
        declare_missing_operators()
        from transformers import CLIPTextModelWithProjection

        return gpu.placed(load_transformers(CLIPTextModelWithProjection, self.checkpoint), self.model)

    @cached_property
    def _tokens(self) -> Tokens:
        config = self._text_tower.config
        tokens = Tokens(self.checkpoint.path, config.vocab_size, config.max_position_embeddings)
        if config.eos_token_id not in (tokens.end, LEGACY_END):
            raise SetupError(
                f"{self.checkpoint.path}: the model ends a text with token {config.eos_token_id}, its tokenizer with "
                f"{tokens.end}; take both from one release"
            )
        return tokens
