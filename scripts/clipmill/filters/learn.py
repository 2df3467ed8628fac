"""What a person's decisions say about scores: the bound of each that separates kept clips from dropped ones best.

How sure that is comes from resampling videos, since the clips of a video are alike: bounds are learned again from
videos drawn with replacement, and tried on those that were not drawn (Efron and Tibshirani, An Introduction to the
Bootstrap, 1993, 17.6). All bounds together are found by peeling: the slice of the clips with the highest share of
dropped ones is cut off, again and again (Friedman and Fisher, Bump Hunting in High-Dimensional Data, 1999).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

MIN, MAX = "min", "max"
SHAPES: tuple[tuple[str, ...], ...] = ((MIN,), (MAX,), (MIN, MAX))  # of what a score may get: one bound or two
RESAMPLES = 400  # for each score
RESAMPLES_TOGETHER = 100  # of the search for all bounds together, which takes longer
SURE = (0.025, 0.975)  # quantiles of resamples between which a number is said to lie
CHANCE = 0.05  # a score says something if at most this share of the resamples does no better than chance
PEEL = 0.05  # share of the clips that is cut off at a time
LEAST = 10  # kept clips and dropped clips, below which nothing is learned; and kept clips that bounds must leave


@dataclass(frozen=True)
class Estimate:
    """A number on videos that a bound was not learned from: its mean, and between which values it lies."""

    value: float
    low: float
    high: float

    @staticmethod
    def of(found: np.ndarray) -> Estimate | None:
        """From the values of resamples, NaN where there is none; None without any."""
        found = found[np.isfinite(found)]
        return Estimate(float(found.mean()), *map(float, np.quantile(found, SURE))) if len(found) else None


@dataclass(frozen=True)
class BoundFound:
    """A bound, and between which values it lies; -inf or inf if some resamples have none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ScoreFound:
    """What the decisions say about one score.

    `bounds`: by side, those that separate best. `clips`: that have the score. `gain`: share of kept clips that pass
    minus that of dropped clips, 0 by chance. `informs`: whether that is above chance. `precision`: the share of kept
    ones among the clips that pass; `recall`: the share of kept clips that pass.
    """

    bounds: Mapping[str, BoundFound]
    clips: int
    gain: Estimate | None
    informs: bool
    precision: Estimate | None
    recall: Estimate | None


@dataclass(frozen=True)
class Decided:
    """Clips that a person decided about. `values`: by score, NaN where a clip has none. `kept`: what the person did.

    `video`: that of each clip.
    """

    values: Mapping[str, np.ndarray]
    kept: np.ndarray
    video: np.ndarray

    def resamples(self, count: int, seed: int) -> Iterator[np.ndarray]:
        """How often each clip is in a draw of as many videos as there are, with replacement; 0 where it is not."""
        chance = np.random.default_rng(seed)
        names, owner = np.unique(self.video, return_inverse=True)
        for _ in range(count):
            yield np.bincount(chance.integers(len(names), size=len(names)), minlength=len(names))[owner]


def learn_score(decided: Decided, name: str, seed: int) -> ScoreFound:
    """What the decisions say about one score. Clips without it do not count."""
    ranks = _Ranks(decided.values[name], decided.kept)
    if len(ranks.levels) < 2 or not ranks.has_both(ranks.ones):
        return ScoreFound({}, len(ranks.places), None, False, None, None)
    tried = {shape: _Tried() for shape in SHAPES}
    for drawn in decided.resamples(RESAMPLES, seed):
        weights, others = ranks.of(drawn), ranks.of(drawn == 0)
        if ranks.has_both(weights) and ranks.has_both(others):
            for shape, found in tried.items():
                place = ranks.best(weights, shape)
                found.add(ranks.rates(others, place), ranks.edges(weights, place))
    *single, both = SHAPES
    shape = max(single, key=lambda one: tried[one].mean)
    shape = both if tried[both].is_better(tried[shape]) else shape
    return tried[shape].finish(ranks, ranks.best(ranks.ones, shape))


@dataclass(frozen=True)
class Place:
    """The levels that pass: from `first` to the one before `end`."""

    first: int
    end: int


class _Ranks:
    """The clips that have a score, by its levels, the rising values that occur."""

    def __init__(self, values: np.ndarray, kept: np.ndarray):
        there = np.flatnonzero(np.isfinite(values))
        self.places = there[np.argsort(values[there], kind="stable")]
        self.levels, self._starts = np.unique(values[self.places], return_index=True)
        self._kept = kept[self.places]
        self.ones = self.of(np.ones(len(kept), int))

    def of(self, weights: np.ndarray) -> np.ndarray:
        """The weights of kept and of dropped clips at each level: 2 × levels."""
        own = weights[self.places]
        parts = (own * self._kept, own * ~self._kept)
        return np.stack([np.add.reduceat(part, self._starts) if len(part) else part for part in parts])

    @staticmethod
    def has_both(weights: np.ndarray) -> bool:
        return bool((weights.sum(1) > 0).all())

    def best(self, weights: np.ndarray, shape: tuple[str, ...]) -> Place:
        """The levels whose share of kept clips is most above that of dropped ones; the most of them if several are."""
        total = _rising(weights)
        last = len(total) - 1
        if shape == (MIN,):
            return Place(int(np.argmin(total[:-1])), last)
        if shape == (MAX,):
            return Place(0, last - int(np.argmax(total[:0:-1])))
        gain = total[1:] - np.minimum.accumulate(total[:-1])
        end = last - int(np.argmax(gain[::-1]))
        return Place(int(np.argmin(total[:end])), end)

    @staticmethod
    def rates(weights: np.ndarray, place: Place) -> tuple[float, float, float]:
        """Gain, precision and recall of the levels at a place; NaN if no clip passes."""
        kept, dropped = weights[:, place.first : place.end].sum(1)
        all_kept, all_dropped = weights.sum(1)
        recall = kept / all_kept
        return recall - dropped / all_dropped, kept / (kept + dropped) if kept + dropped else np.nan, recall

    def edges(self, weights: np.ndarray, place: Place) -> tuple[float, float, float, float]:
        """Between which values the lower bound of a place may be, then the upper bound: infinite if there is none."""
        there = weights.sum(0) > 0
        low = (-np.inf, -np.inf)
        if place.first:
            low = (
                _last(self.levels[: place.first], there[: place.first]),
                _first(self.levels[place.first :], there[place.first :]),
            )
        high = (np.inf, np.inf)
        if place.end < len(self.levels):
            high = (
                _last(self.levels[: place.end], there[: place.end]),
                _first(self.levels[place.end :], there[place.end :]),
            )
        return *low, *high


def _rising(weights: np.ndarray) -> np.ndarray:
    """Share of kept minus share of dropped clips below each level, from none to all."""
    shares = weights / weights.sum(1, keepdims=True)
    return np.concatenate([[0.0], np.cumsum(shares[0] - shares[1])])


def _last(levels: np.ndarray, there: np.ndarray) -> float:
    found = levels[there]
    return float(found[-1]) if len(found) else -np.inf


def _first(levels: np.ndarray, there: np.ndarray) -> float:
    found = levels[there]
    return float(found[0]) if len(found) else np.inf


class _Tried:
    """Bounds of one shape, learned from each resample and tried on the other videos."""

    def __init__(self) -> None:
        self._rates: list[tuple[float, float, float]] = []
        self._edges: list[tuple[float, float, float, float]] = []

    def add(self, rates: tuple[float, float, float], edges: tuple[float, float, float, float]) -> None:
        self._rates.append(rates)
        self._edges.append(edges)

    @property
    def mean(self) -> float:
        """The mean gain; below that of any resample if there were none."""
        return float(np.mean([gain for gain, _, _ in self._rates])) if self._rates else -2.0

    def is_better(self, simpler: _Tried) -> bool:
        """Whether the gain is greater than that of a simpler shape by more than its standard error.

        Else the simpler one is taken (Breiman and others, Classification and Regression Trees, 1984, 3.4.3).
        """
        more = np.array([own[0] - other[0] for own, other in zip(self._rates, simpler._rates, strict=True)])
        return len(more) > 0 and float(more.mean()) > float(more.std())

    def finish(self, ranks: _Ranks, place: Place) -> ScoreFound:
        """The answer. `place`: what is learned from all clips."""
        rates = np.array(self._rates or [(np.nan,) * 3])
        low, below, above, high = np.array(self._edges or [(-np.inf, -np.inf, np.inf, np.inf)]).T
        levels, bounds = ranks.levels, {}
        if place.first:
            middle = (levels[place.first - 1] + levels[place.first]) / 2
            bounds[MIN] = BoundFound(float(middle), _quantile(low, SURE[0]), _quantile(below, SURE[1]))
        if place.end < len(levels):
            middle = (levels[place.end - 1] + levels[place.end]) / 2
            bounds[MAX] = BoundFound(float(middle), _quantile(above, SURE[0]), _quantile(high, SURE[1]))
        informs = bool(self._rates) and bool(bounds) and float(np.quantile(rates[:, 0], CHANCE)) > 0
        return ScoreFound(bounds, len(ranks.places), *_estimates(rates, informs))


def _estimates(rates: np.ndarray, informs: bool) -> tuple[Estimate | None, bool, Estimate | None, Estimate | None]:
    gain, precision, recall = map(Estimate.of, rates.T)
    return gain, informs, precision, recall


def _quantile(values: np.ndarray, share: float) -> float:
    """A quantile that is one of the values, of which some may be infinite."""
    return float(np.quantile(values, share, method="lower" if share < 0.5 else "higher"))


# --- all together -----------------------------------------------------------------------------------------------------

Cuts = dict[str, dict[str, float]]
"""By score, then side: a bound."""


@dataclass(frozen=True)
class Together:
    """Bounds that hold at once, and the clips that pass them. `cuts`: only those that were moved.

    `kept`, `dropped`: how many of the clips that were kept and dropped pass. `reached`: whether the share of kept ones
    is what was wanted. `precision`, `recall`: on videos that bounds were not learned from.
    """

    cuts: Cuts
    kept: int
    dropped: int
    reached: bool
    precision: Estimate | None
    recall: Estimate | None


def learn_together(decided: Decided, names: list[str], inside: np.ndarray, wanted: float, seed: int) -> Together:
    """Bounds of the scores `names` with which a share `wanted` of the passing clips is kept, and as many as possible.

    `inside`: the clips that pass the bounds that stay. A clip without one of the scores is not counted as passing.
    """
    inside = inside & np.logical_and.reduce(
        [np.isfinite(decided.values[name]) for name in names] or [np.ones(len(inside), bool)]
    )
    ones = np.ones(len(inside), int)
    cuts = _peel(decided, names, inside, wanted, ones)
    passing = inside & passes(decided.values, cuts)
    kept, dropped = int((passing & decided.kept).sum()), int((passing & ~decided.kept).sum())
    rates = []
    for drawn in decided.resamples(RESAMPLES_TOGETHER, seed):
        others = drawn == 0
        if not (drawn > 0)[inside & decided.kept].any() or not (others & decided.kept).any():
            continue
        through = others & inside & passes(decided.values, _peel(decided, names, inside, wanted, drawn))
        good = (through & decided.kept).sum()
        rates.append((good / through.sum() if through.any() else np.nan, good / (others & decided.kept).sum()))
    precision, recall = map(Estimate.of, np.array(rates or [(np.nan, np.nan)]).T)
    reached = bool(kept) and kept >= wanted * (kept + dropped)
    return Together(cuts, kept, dropped, reached, precision, recall)


def passes(values: Mapping[str, np.ndarray], cuts: Cuts) -> np.ndarray:
    """Which clips lie within all bounds."""
    found = np.ones(len(next(iter(values.values()))), bool)
    for name, sides in cuts.items():
        found &= values[name] >= sides.get(MIN, -np.inf)
        found &= values[name] <= sides.get(MAX, np.inf)
    return found


def _peel(decided: Decided, names: list[str], inside: np.ndarray, wanted: float, weights: np.ndarray) -> Cuts:
    """Cut off slices until the share of kept clips is `wanted`, no slice helps, or few kept clips are left."""
    cuts: Cuts = {}
    inside = inside & (weights > 0)
    kept, dropped = weights * decided.kept, weights * ~decided.kept
    orders = {name: np.argsort(decided.values[name], kind="stable") for name in names}
    while True:
        all_kept, all_dropped = int(kept[inside].sum()), int(dropped[inside].sum())
        if all_kept >= wanted * (all_kept + all_dropped):
            return cuts
        best: tuple[float, str, str, float] | None = None
        for name in names:
            order = orders[name][inside[orders[name]]]
            for side in (MIN, MAX):
                found = _slice(decided.values[name], order if side == MIN else order[::-1], kept, dropped)
                if found is None or all_kept - found[1] < LEAST:
                    continue
                # One clip of each kind is added: a slice of few clips says little.
                share = (found[2] + 1) / (found[1] + found[2] + 2)
                if share > all_dropped / (all_kept + all_dropped) and (best is None or share > best[0]):
                    best = share, name, side, found[0]
        if best is None:
            return cuts
        _, name, side, cut = best
        cuts.setdefault(name, {})[side] = cut
        inside = inside & passes(decided.values, {name: {side: cut}})


def _slice(
    values: np.ndarray, order: np.ndarray, kept: np.ndarray, dropped: np.ndarray
) -> tuple[float, int, int] | None:
    """The outermost slice of the clips in `order`: its inner edge, and its weights of kept and of dropped clips.

    Clips of one value are not told apart. None if nothing would be left.
    """
    weights = np.cumsum(kept[order] + dropped[order])
    count = int(np.searchsorted(weights, PEEL * weights[-1])) + 1
    edge = values[order[count - 1]]
    beyond = values[order] != edge
    beyond[:count] = False
    if not beyond.any():
        return None
    first = int(np.argmax(beyond))
    inner = float((values[order[first - 1]] + values[order[first]]) / 2)
    return inner, int(kept[order[:first]].sum()), int(dropped[order[:first]].sum())
