"""Whether two clips that show the same also move the same: then one is a copy of the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clipmill.duplicates.pictures import CELLS, LEVEL, RATE

NEAR = 0.4  # greatest distance of the sketches of copies: a cosine of 0.92
SAME_MOVES, SAME_STILL = 0.64, 0.95  # least similarity of clips that move, and of those that stand still
OVERLAP = 0.6  # least share of the shorter clip that both clips show
MOVING = 0.3  # least variance of a cell that moves, in grey levels: below it there is mostly noise
FREE_SHIFT, SHIFT_COST = 0.5, 0.3  # seconds by which a copy may be shifted; what each further second costs
WEAK = 1 / CELLS**2  # variance that is added to the contrast of a picture, so that plain ones have some


def copy_similarity(shown: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """How alike the clips of each pair are if one is a copy of the other; else 0.

    `shown`: the cosines of their sketches. `moved`: from `moved_alike`.
    """
    still = np.where(shown >= SAME_STILL, shown, 0.0)
    moving = np.where(moved >= SAME_MOVES, np.minimum(shown, moved), 0.0)
    return np.where(np.isnan(moved), still, moving)


def moved_alike(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> np.ndarray:
    """How alike the moves of the clips of each pair are, at the best shift in time; NaN if nothing moves in either.

    Moves as `pictures.moves` gives them. 1 is the same; clips that have nothing to do with each other are near 0.
    """
    counts = np.array([[len(one), len(other)] for one, other in zip(first, second, strict=True)]).T[..., None]
    most = int(counts.max())
    both = np.zeros((2, len(first), most, CELLS * CELLS))
    for side, moves in enumerate((first, second)):
        for pair, one in enumerate(moves):
            both[side, pair, : len(one)] = one / LEVEL
    shifts = np.arange(1 - most, most)
    starts = np.stack([np.maximum(shifts, 0), np.maximum(-shifts, 0)])[:, None]
    count = np.maximum((counts - starts).min(0), 0)  # pairs × shifts: times that both clips show
    is_whole = count >= np.ceil(OVERLAP * counts.min(0))
    similarity = _similarity(both, starts, np.where(is_whole, count, 0), shifts)
    similarity -= SHIFT_COST * np.maximum(0, np.abs(shifts) / RATE - FREE_SHIFT)
    best = np.where(np.isnan(similarity), -np.inf, similarity).max(1)
    return np.where(np.isinf(best), np.nan, best)


def _similarity(both: np.ndarray, starts: np.ndarray, count: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Pairs × shifts: the similarity of the cells that move; NaN if none does or nothing is shown by both.

    `both`: 2 × pairs × times × cells. `starts`: 2 × 1 × shifts, where the times that both show begin in each.
    """
    times = np.maximum(count, 1)[..., None]
    means = _sums(both, starts, count) / times
    variances = np.maximum(_sums(both * both, starts, count) / times - means * means, 0)
    waves = np.fft.rfft(both, 2 * both.shape[2], axis=2)
    products = np.fft.irfft(waves[0] * waves[1].conj(), 2 * both.shape[2], axis=1)[:, shifts]
    covariance = products / times - means[0] * means[1]
    # A copy with more contrast moves more: both are brought to the same contrast.
    contrast = means.var(-1, keepdims=True) + WEAK
    gain = np.sqrt(contrast[1] / contrast[0])
    scaled = variances[0] * gain, variances[1] / gain
    moving = (np.maximum(*scaled) > MOVING) & (count > 0)[..., None]
    moved = ((scaled[0] + scaled[1]) * moving).sum(-1)
    return np.divide(2 * (covariance * moving).sum(-1), moved, out=np.full(moved.shape, np.nan), where=moved > 0)


def _sums(values: np.ndarray, starts: np.ndarray, count: np.ndarray) -> np.ndarray:
    """2 × pairs × shifts × cells: sums over the times that both clips show."""
    until = np.concatenate([np.zeros_like(values[:, :, :1]), values.cumsum(2)], 2)
    sides, pairs = np.ogrid[:2, : values.shape[1]]
    return until[sides[..., None], pairs[..., None], starts + count] - until[sides[..., None], pairs[..., None], starts]
