"""From scores to small whole numbers that a page can hold, such that thresholds on the one are thresholds on the other.

A scale has rising edges. The code of a value is 2i + 1 where it equals edge i, 2i where it lies between edges i − 1 and
i. So `value >= edge i` is `code >= 2i + 1`, and `value <= edge i` is `code <= 2i + 1`, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

GRID, QUANTILES = 72, 40  # where a slider stops
TAIL = 0.005  # share of the clips that may lie beyond either end of a slider
BINS = 60


@dataclass(frozen=True)
class Scale:
    """`stops`: where the slider may stand, the first and last of them without a bound. `edges`: see above.

    `whole`: every value that occurs is an edge, so that any threshold is exact and not only those at the stops.
    """

    stops: np.ndarray
    edges: np.ndarray
    whole: bool

    def codes(self, values: np.ndarray, unknown: np.ndarray, kind: np.dtype) -> np.ndarray:
        """A number a value; the greatest of `kind` is missing, the one before it unknown."""
        place = np.searchsorted(self.edges, values)
        same = self.edges[np.minimum(place, len(self.edges) - 1)] == values
        most = np.iinfo(kind).max
        codes = np.where(np.isfinite(values), 2 * place + same, most)
        return np.where(unknown, most - 1, codes).astype(kind)


def scale(values: np.ndarray, bound: Mapping[str, float | None], kind: np.dtype) -> Scale:
    """A scale for finite `values` and what is in force, with as many edges as codes of `kind` can tell apart."""
    stops = _stops(values, [float(value) for value in bound.values() if value is not None and math.isfinite(value)])
    room = (np.iinfo(kind).max - 3) // 2
    edges = np.union1d(values, stops) if len(values) else stops
    return Scale(stops, edges, True) if len(edges) <= room else Scale(stops, stops, False)


def _stops(values: np.ndarray, bounds: list[float]) -> np.ndarray:
    ends = np.quantile(values, [TAIL, 1 - TAIL]).tolist() if len(values) else []
    low, high = min([*ends, *bounds], default=0.0), max([*ends, *bounds], default=1.0)
    span = (high - low) or abs(high) or 1.0
    step = nice(span / GRID)
    decimals = max(0, -math.floor(math.log10(step)))
    grid = [round(k * step, decimals) for k in range(math.floor(low / step) - 1, math.ceil(high / step) + 2)]
    inner = []
    if len(values):
        inner = np.round(np.quantile(values, np.linspace(TAIL, 1 - TAIL, QUANTILES)), decimals + 1).tolist()
    inside = [stop for stop in inner if grid[0] < stop < grid[-1]]
    return np.unique([*grid, *inside, *bounds]) + 0.0


def nice(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is no less than `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def histogram(values: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Counts of finite `values` in equal bins over the slider's range; what lies beyond it is in the outer ones."""
    return np.histogram(np.clip(values, stops[0], stops[-1]), BINS, (stops[0], stops[-1]))[0]
