"""Scores as codes, small whole numbers that a page can hold. A threshold on scores is a threshold on their codes.

A scale has rising edges. The code of a value is 2i + 1 where it equals edge i, 2i where it lies between edges i − 1 and
i. So `value >= edge i` is `code >= 2i + 1`, and `value <= edge i` is `code <= 2i + 1`, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

GRID, QUANTILES = 72, 40  # numbers of stops of a slider: on an even grid, and at quantiles
TAIL = 0.01  # share of the clips that may lie beyond either end of a slider: it shows the middle 98 %
BINS = 60
FAR = 0.5  # a bound further outside the data than this share of their range does not stretch the slider
GAP = 4  # the distance of the stops of far bounds, in bins


@dataclass(frozen=True)
class Scale:
    """`stops`: the values at which the slider may stand; the first and the last one mean no bound. `edges`: see above.

    `whole`: every value that occurs is an edge, so that any threshold is exact and not only those at the stops.
    `knots`: the slider is linear between these values. `places`: where the knots are, in bins of the histogram. It
    reaches from 0 to BINS; outside of it are bounds far from the data, and the ends that mean no bound.
    """

    stops: np.ndarray
    knots: np.ndarray
    places: np.ndarray
    edges: np.ndarray
    whole: bool

    @property
    def span(self) -> np.ndarray:
        """The values at both ends of the histogram."""
        return self.knots[np.searchsorted(self.places, [0, BINS])]

    def place(self, value: float) -> float:
        return float(np.interp(value, self.knots, self.places))

    def codes(self, values: np.ndarray, unknown: np.ndarray, kind: np.dtype) -> np.ndarray:
        """One code per value; the greatest number of `kind` means missing, the one before it unknown."""
        place = np.searchsorted(self.edges, values)
        same = self.edges[np.minimum(place, len(self.edges) - 1)] == values
        most = np.iinfo(kind).max
        codes = np.where(np.isfinite(values), 2 * place + same, most)
        return np.where(unknown, most - 1, codes).astype(kind)


def exempt_code(kind: np.dtype) -> int:
    """The code of a clip that passes a filter whatever its bounds are: no value of a scale has it."""
    return int(np.iinfo(kind).max) - 2


def scale(values: np.ndarray, bound: Mapping[str, float | None], kind: np.dtype) -> Scale:
    """A scale for finite `values` and the bounds in force, with at most as many edges as `kind` has codes for."""
    bounds = sorted(float(value) for value in bound.values() if value is not None and math.isfinite(value))
    inner = _inner(values, bounds)
    below, above = _beyond(inner, bounds)
    stops = np.unique([*below, *inner, *bounds, *above]) + 0.0
    knots = np.array([*below, inner[0], inner[-1], *above])
    places = np.array([*(-GAP * np.arange(len(below), 0, -1)), 0, BINS, *(BINS + GAP * np.arange(1, len(above) + 1))])
    room = (np.iinfo(kind).max - 3) // 2
    edges = np.union1d(values, stops) if len(values) else stops
    whole = len(edges) <= room
    return Scale(stops, knots, places, edges if whole else stops, whole)


def scale_of_words(count: int) -> Scale:
    """A scale for the numbers of `count` words."""
    numbers = np.arange(max(1, count), dtype=float)
    return Scale(numbers, numbers, numbers, numbers, whole=True)


def _inner(values: np.ndarray, bounds: list[float]) -> list[float]:
    """Rising stops from one step below the values, and the bounds that are near them, to one step above."""
    ends = []
    if len(values):  # of fewer than a hundred none lies beyond
        low, high = np.quantile(values, TAIL, method="lower"), np.quantile(values, 1 - TAIL, method="higher")
        ends = [float(low), float(high)]
    reach = FAR * (ends[1] - ends[0]) if ends else 0.0
    if reach > 1e-3 * max(map(abs, ends), default=0.0):  # if values hardly differ, no bound counts as far
        bounds = [value for value in bounds if ends[0] - reach <= value <= ends[1] + reach]
    low, high = min([*ends, *bounds], default=0.0), max([*ends, *bounds], default=1.0)
    high = high if high > low else low + (abs(low) or 1.0)
    step = nice((high - low) / GRID)
    decimals = max(0, -math.floor(math.log10(step)))
    grid = [round(k * step, decimals) for k in range(math.floor(low / step) - 1, math.ceil(high / step) + 2)]
    dense = []
    if len(values):
        dense = np.round(np.quantile(values, np.linspace(TAIL, 1 - TAIL, QUANTILES)), decimals + 1).tolist()
    return sorted({*grid, *(stop for stop in dense if grid[0] < stop < grid[-1])})


def _beyond(inner: list[float], bounds: list[float]) -> tuple[list[float], list[float]]:
    """The bounds outside the inner stops, on either side, and one more stop there that means no bound."""
    below = [value for value in bounds if value <= inner[0]]
    above = [value for value in bounds if value >= inner[-1]]
    return (
        [math.nextafter(value, -math.inf) for value in below[:1]] + [value for value in below if value < inner[0]],
        [value for value in above if value > inner[-1]] + [math.nextafter(value, math.inf) for value in above[-1:]],
    )


def nice(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is no less than `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def histogram(values: np.ndarray, span: np.ndarray) -> np.ndarray:
    """Counts of finite `values` in equal bins over `span`; values beyond it count in the outer bins."""
    return np.histogram(np.clip(values, *span), BINS, tuple(span))[0]
