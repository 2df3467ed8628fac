"""Whether two clips that show the same also move the same: then one is a copy of the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipmill.decode.signals import THUMBNAIL_SIDE
from clipmill.duplicates.pictures import RATE

NEAR = 0.45  # greatest distance of the sketches of one half: a cosine of 0.9
SAME_HALF, OTHER_HALF = 0.9, 0.5  # least cosine of one half of copies, and of the other, which may have a logo
STILL_HALF, OTHER_STILL = 0.95, 0.7  # the same for clips that stand still, of which nothing else is known
OVERLAP = 0.6  # least share of the shorter clip that both clips show
FREE_SHIFT, SHIFT_COST = 0.5, 0.1  # seconds by which a copy may be shifted; what each further second costs
WEAK = 0.25  # grey levels that are added to the contrast of a picture, so that plain ones have some


@dataclass(frozen=True)
class Grid:
    """In how many cells moves are compared.

    `moving`: least variance of a cell that moves, in grey levels; below it there is mostly noise. `same`: least
    similarity of the moves of copies.
    """

    side: int
    moving: float
    same: float


# Thumbnails of which bars were cut away are blurred: these are compared in larger cells.
SHARP, BLURRED = Grid(8, 1.0, 0.75), Grid(4, 0.3, 0.8)


def copy_similarity(halves: np.ndarray, moved: np.ndarray, same: float) -> np.ndarray:
    """How alike the clips of each pair are if one is a copy of the other; else 0.

    `halves`: pairs × 2, cosines of the sketches of their halves. `moved`: from `moved_alike`. `same`: of its grid.
    """
    better, worse = halves.max(1), halves.min(1)
    still = np.where((better >= STILL_HALF) & (worse >= OTHER_STILL), better, 0.0)
    alike = (better >= SAME_HALF) & (worse >= OTHER_HALF) & (moved >= same)
    return np.where(np.isnan(moved), still, np.where(alike, np.minimum(better, moved), 0.0))


def moved_alike(first: Sequence[np.ndarray], second: Sequence[np.ndarray], grid: Grid) -> np.ndarray:
    """How alike the moves of the clips of each pair are, at the best shift in time; NaN if nothing moves in either.

    Moves as `pictures.moves` gives them. 1 is the same; clips that have nothing to do with each other are near 0.
    """
    counts = np.array([[len(one), len(other)] for one, other in zip(first, second, strict=True)]).T[..., None]
    most = int(counts.max())
    both = np.zeros((2, len(first), most, grid.side**2), np.float32)
    for side, moves in enumerate((first, second)):
        for pair, one in enumerate(moves):
            both[side, pair, : len(one)] = _in_cells(one, grid.side)
    both = _around_means(both, counts)
    shifts = np.arange(1 - most, most)
    starts = np.stack([np.maximum(shifts, 0), np.maximum(-shifts, 0)])[:, None]
    count = np.maximum((counts - starts).min(0), 0)  # pairs × shifts: times that both clips show
    count[count < np.ceil(OVERLAP * counts.min(0))] = 0
    similarity = _similarity(both, starts, count, shifts, grid.moving)
    similarity -= SHIFT_COST * np.maximum(0, np.abs(shifts) / RATE - FREE_SHIFT)
    best = np.where(np.isnan(similarity), -np.inf, similarity).max(1)
    return np.where(np.isinf(best), np.nan, best)


def _in_cells(moves: np.ndarray, side: int) -> np.ndarray:
    """Moves in `side` × `side` cells."""
    part = THUMBNAIL_SIDE // side
    return moves.reshape(-1, side, part, side, part).mean((2, 4)).reshape(len(moves), -1)


def _around_means(both: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The moves of both clips of each pair around the mean of each cell, and scaled to the same contrast.

    A copy with more contrast moves more. The contrast is that of most cells: a logo is none.
    """
    means = both.sum(2) / counts.astype(np.float32)
    spread = np.median(np.abs(means - np.median(means, -1, keepdims=True)), -1) + WEAK
    gain = np.sqrt(spread[1] / spread[0])
    is_there = np.arange(both.shape[2]) < counts
    scale = is_there * np.stack([gain, 1 / gain])[..., None]
    return (both - means[:, :, None]) * scale[..., None].astype(np.float32)


def _similarity(
    both: np.ndarray, starts: np.ndarray, count: np.ndarray, shifts: np.ndarray, least: float
) -> np.ndarray:
    """Pairs × shifts: the similarity of the cells that move; NaN if none does or too little is shown by both.

    `both`: 2 × pairs × times × cells. `starts`: 2 × 1 × shifts, where the times that both show begin in each.
    """
    times = np.maximum(count, 1)[..., None].astype(np.float32)
    means = _sums(both, starts, count) / times
    variances = np.maximum(_sums(both * both, starts, count) / times - means * means, 0)
    length = 2 * both.shape[2]
    waves = np.fft.rfft(both, length, axis=2)
    products = np.fft.irfft(waves[0] * waves[1].conj(), length, axis=1)[:, shifts]
    covariance = products / times - means[0] * means[1]
    moving = (variances.max(0) > least) & (count > 0)[..., None]
    moved = (variances.sum(0) * moving).sum(-1)
    return np.divide(2 * (covariance * moving).sum(-1), moved, out=np.full(moved.shape, np.nan), where=moved > 0)


def _sums(values: np.ndarray, starts: np.ndarray, count: np.ndarray) -> np.ndarray:
    """2 × pairs × shifts × cells: sums over the times that both clips show."""
    until = np.concatenate([np.zeros_like(values[:, :, :1]), values.cumsum(2)], 2)
    sides, pairs = np.ogrid[:2, : values.shape[1]]
    return until[sides[..., None], pairs[..., None], starts + count] - until[sides[..., None], pairs[..., None], starts]
