"""Whether two clips that show the same also move the same: then one is a copy of the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipmill.decode.signals import THUMBNAIL_SIDE
from clipmill.duplicates.cells import Moves, common_edges, in_cells
from clipmill.duplicates.pictures import RATE

NEAR = 0.45  # distance of the sketches of one half, a cosine of 0.9, up to which nearly all pairs are found
FARTHER = 0.63  # greatest distance, a cosine of 0.8: such pairs are often found, by one half or the other
SAME_HALF, OTHER_HALF = 0.8, 0.5  # least cosine of one half of copies, and of the other, which may have a logo
OTHER_COUNTS = 0.25  # how much the other half counts
STILL_HALF, OTHER_STILL = 0.95, 0.7  # the same for clips that stand still, of which nothing else is known
OVERLAP = 0.6  # least share of the shorter clip that both clips show
FREE_SHIFT, SHIFT_COST = 0.5, 0.03  # seconds by which a copy may be shifted; what each further second costs
FARTHEST = 10 * RATE  # moves by which clips are shifted at most: beyond that the cost is too high for a copy
UNLIKE, USUAL = 0.5, 16  # how much a cell counts whose levels differ, and by how much more than in most cells they do
WEAK = 0.25  # grey levels that are added to the contrast of a picture, so that plain ones have some


@dataclass(frozen=True)
class Bounds:
    """`moving`: least variance of a cell that moves, in grey levels; below it there is mostly noise. `same`: least sum
    of the similarity of the moves of copies, the cosine of their better half, and `OTHER_COUNTS` of that of the other.
    """

    moving: float
    same: float


SMALL_CELLS, LARGE_CELLS = Bounds(1.0, 1.925), Bounds(0.2, 2.005)


def bounds_of(cells: int) -> Bounds:
    """Those of pairs that have so many cells in common. Those of a whole thumbnail are small, all others larger."""
    return SMALL_CELLS if cells == THUMBNAIL_SIDE**2 else LARGE_CELLS


def may_be_copies(halves: np.ndarray) -> np.ndarray:
    """Whether the clips of each pair show enough of the same, however they move. `halves`: as in `copy_similarity`."""
    return (halves.max(1) >= SAME_HALF) & (halves.min(1) >= OTHER_HALF)


def copy_similarity(halves: np.ndarray, moved: np.ndarray, cells: int) -> np.ndarray:
    """How alike the clips of each pair are if one is a copy of the other; else 0.

    `halves`: pairs × 2, cosines of the sketches of their halves. `moved`: from `moved_alike`, in so many cells.
    """
    better, worse = halves.max(1), halves.min(1)
    still = np.where((better >= STILL_HALF) & (worse >= OTHER_STILL), better, 0.0)
    alike = may_be_copies(halves) & (better + OTHER_COUNTS * worse + moved >= bounds_of(cells).same)
    return np.where(np.isnan(moved), still, np.where(alike, np.minimum(better, moved), 0.0))


def moved_alike(first: Sequence[Moves], second: Sequence[Moves]) -> np.ndarray:
    """How alike the moves of the clips of each pair are, at the best shift in time; NaN if nothing moves in either.

    All pairs have as many rows and columns of cells in common. 1 is the same; clips that have nothing to do with each
    other are near 0. All sums are of whole numbers (of STEPS of them in larger cells), so they are exact: which other
    pairs are computed at the same time changes nothing.
    """
    counts = np.array([[len(one.levels) for one in first], [len(one.levels) for one in second]])
    down = [common_edges(one.down, other.down) for one, other in zip(first, second, strict=True)]
    across = [common_edges(one.across, other.across) for one, other in zip(first, second, strict=True)]
    cells = (len(down[0]) - 1) * (len(across[0]) - 1)
    levels = np.zeros((2, len(first), int(counts.max()), cells))
    for side, moves in enumerate((first, second)):
        for pair, one in enumerate(moves):
            levels[side, pair, : len(one.levels)] = in_cells(one, down[pair], across[pair])
    gains, moving = _moving(levels, counts[..., None], bounds_of(cells).moving)
    best = np.full(len(first), np.nan)
    some = moving.any(1)
    if some.any():
        best[some] = _at_best_shift(levels[:, some], counts[:, some], gains[:, some], moving[some])
    return best


def _at_best_shift(levels: np.ndarray, counts: np.ndarray, gains: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """What `moved_alike` returns, of pairs of which some cells move. `counts`: 2 × pairs, times of each clip."""
    shifts = np.arange(-FARTHEST, FARTHEST + 1)
    starts = np.stack([np.maximum(shifts, 0), np.maximum(-shifts, 0)])
    count = (counts[..., None] - starts[:, None]).min(0)  # pairs × shifts: times that both clips show
    count[count < np.ceil(OVERLAP * counts.min(0))[:, None]] = 0
    used = count.any(0)
    shifts, starts, count = shifts[used], starts[:, used], count[:, used]
    variances, covariance = _spreads(levels, moving, starts[:, None], count, shifts)
    moved = (variances * gains[..., None]).sum(0)
    similarity = np.divide(2 * covariance, moved, out=np.full(moved.shape, -np.inf), where=moved > 0)
    cost = SHIFT_COST * np.maximum(0, np.abs(shifts) / RATE - FREE_SHIFT)
    best = (similarity - cost).argmax(1)
    found, cost = np.take_along_axis(similarity, best[:, None], 1)[:, 0], cost[best]
    least = bounds_of(levels.shape[-1]).same - 1 - OTHER_COUNTS  # those below are no copies, whatever they show
    stands_still = moving.mean(1) <= 0.5  # the camera: most cells show what does not move
    for pair in np.flatnonzero(stands_still & (found - cost >= least)).tolist():
        sides = zip(levels[:, pair], starts[:, best[pair]], strict=True)
        both = np.stack([side[start : start + count[pair, best[pair]]] for side, start in sides])
        found[pair] *= _same_levels(both, gains[:, pair], moving[pair])
    return np.where(np.isinf(found), np.nan, found - cost)


def _same_levels(levels: np.ndarray, gains: np.ndarray, moving: np.ndarray) -> float:
    """What the similarity of two clips of a fixed camera is multiplied by: less than 1 if what moves is elsewhere.

    `levels`: 2 × times × cells, of the times that both show. `gains`: of both, see `_moving`. `moving`: of the cells.

    An object that moves steadily makes a cell steadily darker or brighter, and so it does in the next seconds: the
    changes are alike, but not the levels. In a copy the levels differ by less than they change, or by not much more
    than in most cells, which stand still. One cell counts for no more than it moves: a logo may lie in it.
    """
    moved = (levels.var(1) * gains[:, None]).sum(0) * moving
    apart = np.subtract(*(levels.mean(1) * np.sqrt(gains)[:, None]))
    squares = (apart - np.median(apart)) ** 2
    unlike = np.clip(squares - USUAL * np.median(squares) - moved, 0, UNLIKE * moved)
    return float(moved.sum() / (moved + unlike).sum())


def _moving(levels: np.ndarray, counts: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Factors of the variances of the clips of each pair (2 × pairs), and which cells move in one of them (0 or 1).

    A copy with more contrast moves more: the factors bring both to the same contrast. It is that of most cells: a logo
    is none.
    """
    means = levels.sum(2) / counts
    variances = np.einsum("sptc,sptc->spc", levels, levels) / counts - means * means
    contrast = np.median(np.abs(means - np.median(means, -1, keepdims=True)), -1) + WEAK
    gains = np.stack([contrast[1] / contrast[0], contrast[0] / contrast[1]])
    return gains, ((variances * gains[..., None]).max(0) > least).astype(np.float64)


def _spreads(
    levels: np.ndarray, moving: np.ndarray, starts: np.ndarray, count: np.ndarray, shifts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Variances of both clips (2 × pairs × shifts) and covariances, times `count` squared: sums over the moving cells.

    `levels`: 2 × pairs × times × cells. `starts`: 2 × 1 × shifts, where the times that both show begin in each.
    """
    masked = levels * moving[:, None]
    products = np.matmul(masked[0], levels[1].swapaxes(1, 2))  # of all times of one with all of the other
    product = np.stack([np.trace(products, -shift, 1, 2) for shift in shifts.tolist()], -1)
    squares = np.einsum("sptc,sptc->spt", masked, levels)
    sides, pairs = np.ogrid[:2, : count.shape[0]]
    places = sides[..., None], pairs[..., None]
    starts, ends = np.broadcast_to(starts, (2, *count.shape)), starts + count
    sums, square = (
        until[(*places, ends)] - until[(*places, starts)] for until in (_running_sums(levels), _running_sums(squares))
    )
    masked_sums = sums * moving[:, None]
    variances = count * square - np.einsum("spkc,spkc->spk", masked_sums, sums)
    return variances, count * product - np.einsum("pkc,pkc->pk", masked_sums[0], sums[1])


def _running_sums(values: np.ndarray) -> np.ndarray:
    """Sums over the times before each one, and over all: 2 × pairs × (times + 1) × …"""
    sums = np.zeros((*values.shape[:2], values.shape[2] + 1, *values.shape[3:]))
    for time in range(values.shape[2]):  # many times faster than `cumsum` along this axis
        np.add(sums[:, :, time], values[:, :, time], out=sums[:, :, time + 1])
    return sums
