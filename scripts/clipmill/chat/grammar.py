"""Answers that obey a JSON schema: at each step a model may only choose tokens that keep the answer valid."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from llguidance import LLMatcher

# JSON as json.dumps writes it, which models have read most. With free white space, some models write it without end.
LAYOUT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class Grammar:
    """A JSON schema, compiled for the tokens of one model. `ends`: the tokens that may end an answer."""

    def __init__(self, schema: dict[str, Any], tokenizer: Any, ends: list[int]):
        """Takes a second with a real vocabulary. Raises ValueError if the tokenizer or the schema cannot be used."""
        import llguidance.hf  # which imports transformers

        self._tokens = llguidance.hf.from_tokenizer(tokenizer, eos_token=ends)
        self._ends = ends
        self._grammar = LLMatcher.grammar_from_json_schema(schema, overrides=LAYOUT)
        if fault := LLMatcher.validate_grammar(self._grammar, self._tokens):
            raise ValueError(f"the JSON schema cannot be followed: {fault}")

    def guide(self, rows: int) -> Guide:
        """The logits processor for one batch of `rows` answers."""
        return Guide([LLMatcher(self._tokens, self._grammar, log_level=0) for _ in range(rows)], self._ends)


class Guide:
    """A logits processor that follows the answers of a batch, one matcher per row, and excludes invalid tokens.

    A row whose matcher fails (its grammar grew too large) may only end, so that the other rows are not lost with it.
    """

    def __init__(self, matchers: list[LLMatcher], ends: list[int]):
        self._matchers, self._ends, self._begun = matchers, ends, False

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """`input_ids`: rows × tokens so far, question included; `scores`: rows × vocabulary."""
        if self._begun:
            for matcher, token in zip(self._matchers, input_ids[:, -1].tolist(), strict=True):
                if not matcher.is_stopped():
                    matcher.consume_token(token)
        self._begun = True
        allowed = np.zeros(scores.shape, dtype=bool)
        for row, matcher in zip(allowed, self._matchers, strict=True):
            self._allow(row, matcher)
        return scores.masked_fill(~torch.from_numpy(allowed).to(scores.device), -torch.inf)

    def _allow(self, row: np.ndarray, matcher: LLMatcher) -> None:
        if matcher.is_stopped():  # the answer has ended: later tokens are cut off, but some token must be allowed
            row[self._ends] = True
            return
        bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little")
        common = min(len(bits), len(row))  # most models have scores for more numbers than there are tokens
        row[:common] = bits[:common]
        if not row.any():
            row[self._ends] = True
