"""Numbers of frames that a trainer takes: a list, or a rule."""

from __future__ import annotations

from collections.abc import Sequence

Counts = Sequence[int] | str
"""A list, as [33, 49, 81], or a rule of RULES."""

RULES = {"4n+1": 4, "8n+1": 8}  # every number that is a multiple of this plus 1, and above 1
# The most frames that a bucket of a rule has: HunyuanVideo takes 129, and Wan fewer; LTX-2 takes 257.
MOST_IN_A_BUCKET = {"4n+1": 129, "8n+1": 257}


def largest(counts: Counts, frames: int) -> int | None:
    """The largest of `counts` that `frames` fill. Of a rule never 1: trainers take that for a picture."""
    return max(ladder(counts, frames), default=None)


def ladder(counts: Counts, frames: int) -> list[int]:
    """Those of `counts` that `frames` fill, the smallest first."""
    if isinstance(counts, str):
        step = RULES[counts]
        return list(range(step + 1, frames + 1, step))
    return sorted(count for count in counts if count <= frames)


def between(counts: Counts, least: float, most: float) -> Sequence[int]:
    """The numbers of a rule that are not outside `least` and `most`; a list as it is, since it names what is wanted."""
    return counts if not isinstance(counts, str) else [count for count in ladder(counts, int(most)) if count >= least]


def of_buckets(counts: Counts) -> Counts:
    """The numbers that buckets have. A rule ends at the most that models take, or each long clip had its own bucket."""
    return between(counts, 0, MOST_IN_A_BUCKET[counts]) if isinstance(counts, str) else counts
