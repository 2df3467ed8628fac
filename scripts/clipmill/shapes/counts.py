"""Numbers of frames that a trainer takes: a list, or a rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

Counts = Sequence[int] | str
"""A list, as [33, 49, 81], or a rule of RULES."""


class Rule(NamedTuple):
    """Every number that is a multiple of `step` plus 1, above 1 and up to `most`."""

    step: int
    most: int


# The bounds: HunyuanVideo takes 129 frames, and Wan fewer; LTX-2 takes 257. Longer clips have the greatest number.
RULES = {"4n+1": Rule(4, 129), "8n+1": Rule(8, 257)}


def largest(counts: Counts, frames: int) -> int | None:
    """The largest of `counts` that `frames` fill. Of a rule never 1: trainers take that for a picture."""
    return max(ladder(counts, frames), default=None)


def ladder(counts: Counts, frames: int) -> list[int]:
    """Those of `counts` that `frames` fill, the smallest first."""
    if isinstance(counts, str):
        step, most = RULES[counts]
        return list(range(step + 1, min(frames, most) + 1, step))
    return sorted(count for count in counts if count <= frames)


def smallest(counts: Counts) -> int:
    """The smallest of `counts`."""
    return RULES[counts].step + 1 if isinstance(counts, str) else min(counts)
