"""Texts as CLIP's tokens. Imports torch, so only modules that `backends.load` loads may import it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from clipmill.base.errors import SetupError
from clipmill.models import gpu
from clipmill.models.torchvision_ops import declare_missing_operators
from clipmill.texts.sentences import sentences

TAKE = "take tokenizer.json, or vocab.json and merges.txt, of the model's release or of openai/clip-vit-large-patch14"


class Tokens:
    """CLIP's byte-pair tokenizer for a text tower with `vocabulary` tokens and `length` positions.

    Raises SetupError if the folder holds no tokenizer, or one for another vocabulary.
    """

    def __init__(self, folder: Path, vocabulary: int, length: int):
        declare_missing_operators()
        from transformers import CLIPTokenizer

        try:
            self._tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        except MemoryError:
            raise
        except Exception as error:  # a damaged file can raise any error in the readers
            raise SetupError(f"{folder}: no tokenizer of CLIP ({error!r}); {TAKE}") from error
        self.start, self.end, self.length = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id, length
        if len(self._tokenizer) != vocabulary:  # an empty folder gives a tokenizer of three tokens
            count = len(self._tokenizer)
            raise SetupError(f"{folder}: the tokenizer knows {count} tokens, the model {vocabulary}; {TAKE}")

    def cut(self, text: str) -> list[int]:
        """The text's tokens, cut to the model's length; the last one is always the end token."""
        return [self.start, *self._body(text)[: self.length - 2], self.end]

    def split(self, text: str) -> list[list[int]]:
        """The text in one piece, or sentence by sentence if it is too long; too long a sentence in equal parts."""
        whole = self._body(text)
        bodies = [whole] if len(whole) <= self.length - 2 else map(self._body, sentences(" ".join(text.split())))
        return [[self.start, *part, self.end] for body in bodies for part in self._parts(body)]

    def batch(self, pieces: list[list[int]]) -> torch.Tensor:
        """Pieces × tokens of the longest. End tokens fill up; under the causal mask no earlier token sees them."""
        longest = max(map(len, pieces))
        return torch.tensor([piece + [self.end] * (longest - len(piece)) for piece in pieces])

    def _body(self, text: str) -> list[int]:
        """Tokens without start and end, even if the text spells these out."""
        tokens = self._tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        return [token for token in tokens if token not in (self.start, self.end)]

    def _parts(self, body: list[int]) -> list[list[int]]:
        count = max(1, -(-len(body) // (self.length - 2)))
        size = max(1, -(-len(body) // count))
        return [body[first : first + size] for first in range(0, max(1, len(body)), size)]


def unit_features(features: torch.Tensor) -> Callable[[], list[np.ndarray]]:
    """Start fetching the rows of a model's output, scaled to length 1, in float32: see `gpu.fetching`."""
    fetch = gpu.fetching(torch.nn.functional.normalize(features.float(), dim=1))
    return lambda: list(fetch())
