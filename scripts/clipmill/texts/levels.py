"""Numbers as words."""

from __future__ import annotations

from math import inf

Steps = tuple[tuple[float, str], ...]


def level(value: float, steps: Steps, above: str) -> str:
    """The word of the first step whose number is above `value`; `above` if there is none."""
    return next((word for limit, word in (*steps, (inf, above)) if value < limit), above)
