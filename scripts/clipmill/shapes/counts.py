"""Numbers of frames that a trainer takes: a list, or a rule."""

from __future__ import annotations

from collections.abc import Sequence

Counts = Sequence[int] | str
"""A list, as [33, 49, 81], or a rule of RULES."""

RULES = {"4n+1": 4, "8n+1": 8}


def largest(counts: Counts, frames: int) -> int | None:
    """The largest of `counts` that `frames` fill. Of a rule never 1: trainers take that for a picture."""
    if isinstance(counts, str):
        step = RULES[counts]
        return (frames - 1) // step * step + 1 if frames > step else None
    return max((count for count in counts if count <= frames), default=None)


def between(counts: Counts, least: float, most: float) -> Sequence[int]:
    """The numbers of a rule that are not outside `least` and `most`; a list as it is, since it names what is wanted."""
    if not isinstance(counts, str):
        return counts
    step = RULES[counts]
    return [count for count in range(step + 1, int(most) + 1, step) if count >= least]
