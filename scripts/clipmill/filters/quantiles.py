"""Thresholds that are quantiles, as the config has them and as they were resolved. Light: every job imports this.

`min: q0.3` is the value that three in ten of all clips lie below.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, cast, overload

from clipmill.filters.verdict import Bounds

# filter -> min or max -> `quantile` (0–1), `clips` that have the score, `value`: the threshold, None without such clips
Resolved = dict[str, dict[str, dict[str, Any]]]

ConfiguredBounds = Mapping[str, Mapping[str, float | str | None]]
"""Bounds as the config has them: one may be a quantile."""


@overload
def as_quantile(bound: str) -> Fraction: ...
@overload
def as_quantile(bound: float | None) -> None: ...
@overload
def as_quantile(bound: float | str | None) -> Fraction | None: ...
def as_quantile(bound: float | str | None) -> Fraction | None:
    """The fraction 3/10 for `q0.3`; None for a number and for no bound."""
    return Fraction(bound.removeprefix("q")) if isinstance(bound, str) else None


def quantiles(filters: ConfiguredBounds) -> dict[str, dict[str, str]]:
    """The bounds that are quantiles, by filter."""
    found = {
        name: {side: bound for side, bound in bounds.items() if isinstance(bound, str)}
        for name, bounds in filters.items()
    }
    return {name: bounds for name, bounds in found.items() if bounds}


def read_resolved(paths: Iterable[Path]) -> Resolved:
    """The values in the files of `resolve_thresholds`, all together."""
    resolved: Resolved = {}
    for path in paths:
        resolved |= json.loads(path.read_text(encoding="utf-8"))
    return resolved


def with_resolved_quantiles(filters: ConfiguredBounds, resolved: Resolved) -> Bounds:
    """`filters` with the `resolved` values in place of quantiles.

    A quantile over no clips lets every score pass; a clip without the score still fails.
    """
    nothing = {"min": -math.inf, "max": math.inf}
    found = {
        name: {side: nothing[side] if at["value"] is None else at["value"] for side, at in bounds.items()}
        for name, bounds in resolved.items()
    }
    # What stays a quantile is a bound of a filter that comes in a later stage.
    return cast(Bounds, {name: {**bounds, **found.get(name, {})} for name, bounds in filters.items()})
