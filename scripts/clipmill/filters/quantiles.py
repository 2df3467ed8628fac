"""Thresholds that are quantiles, as the config has them and as they were resolved. Light: every job imports this.

`min: q0.3` is the value that three in ten of all clips lie below.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

from clipmill.filters.verdict import Bounds

# filter -> min or max -> `quantile` (0–1), `clips` that have the score, `value`: the threshold, None without such clips
Resolved = dict[str, dict[str, dict[str, Any]]]


def as_quantile(bound: float | str | None) -> Fraction | None:
    """3/10 of `q0.3`; None of a number and of no bound."""
    return Fraction(bound.removeprefix("q")) if isinstance(bound, str) else None


def quantiles(filters: Bounds) -> dict[str, dict[str, str]]:
    """Those bounds that are quantiles, by filter."""
    found = {
        name: {side: bound for side, bound in bounds.items() if isinstance(bound, str)}
        for name, bounds in filters.items()
    }
    return {name: bounds for name, bounds in found.items() if bounds}


def read_resolved(paths: Iterable[Path]) -> Resolved:
    """What the files of `resolve_thresholds` found, all together."""
    resolved: Resolved = {}
    for path in paths:
        resolved |= json.loads(path.read_text(encoding="utf-8"))
    return resolved


def with_resolved_quantiles(filters: Bounds, resolved: Resolved) -> Bounds:
    """`filters` with the values that were found in place of quantiles.

    A quantile of nothing lets every score pass, and no clip without one.
    """
    nothing = {"min": -math.inf, "max": math.inf}
    found = {
        name: {side: nothing[side] if at["value"] is None else at["value"] for side, at in bounds.items()}
        for name, bounds in resolved.items()
    }
    return {name: {**bounds, **found.get(name, {})} for name, bounds in filters.items()}
