"""Finds all pairs of near vectors among millions, by hashing.

Each table of hashes puts a vector into one bucket: by `VALUES` projections onto random directions, each cut into steps
(Datar and others, "Locality-sensitive hashing scheme based on p-stable distributions", 2004). Two vectors are compared
if they share a bucket of one of the `TABLES` tables. The directions are constants and all sums are of whole numbers, so
whether two vectors are compared depends on these two alone: not on other vectors, nor on their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import numpy as np

LENGTH = 64  # numbers of a sketch
UNIT = 1024  # a sketch of length 1 has this length in whole numbers
TABLES, VALUES = 128, 32
STEPS = 8  # width of a step, in multiples of the distance that is looked for
GRAIN, LARGEST = 5, 20  # spread and greatest size of the whole numbers that directions consist of
ROWS = 1 << 12  # vectors that are projected at a time: they stay in the processor's cache
PAIRS = 1 << 18  # pairs that are compared at a time
FIRST = 4  # tables whose buckets are kept: pairs that shared one there are not compared again in later tables
SEED = 45


def near_pairs(sketches: np.ndarray, is_new: np.ndarray, distance: float, limit: float, threads: int = 1) -> np.ndarray:
    """Pairs of sketches that are at most `limit` apart, one of them new: n × 2 row numbers, each pair once, sorted.

    `sketches`: n × LENGTH int16, in steps of 1 / UNIT. A pair is found with a probability of 0.98 at this `distance`,
    of 0.999 at three quarters of it, and of a third at one and a half.
    """
    if not is_new.any():
        return np.empty((0, 2), np.int64)
    found: list[np.ndarray] = []
    with ThreadPoolExecutor(threads) as pool:
        first = list(pool.map(lambda table: _hashes(sketches, distance, table), range(FIRST)))

        def near(table: int) -> np.ndarray:
            hashes = first[table] if table < FIRST else _hashes(sketches, distance, table)
            return _of_table(sketches, is_new, limit, hashes, first[:table])

        for pairs in pool.map(near, range(TABLES)):
            found.append(pairs)
            if sum(map(len, found)) > 16 * PAIRS and len(found) > 8:
                found = [np.unique(np.concatenate(found))]
    codes = np.unique(np.concatenate(found))
    return np.column_stack([codes >> 32, codes & 0xFFFFFFFF])


def _of_table(
    sketches: np.ndarray, is_new: np.ndarray, limit: float, hashes: np.ndarray, earlier: Sequence[np.ndarray]
) -> np.ndarray:
    """The near pairs that share a bucket of one table and none of `earlier`: first row × 2³² + second row each."""
    farthest = round((limit * UNIT) ** 2)
    near = []
    for first, second in _candidates(*_buckets(hashes, is_new, earlier)):
        for bucket in earlier:
            is_other = bucket[first] != bucket[second]
            first, second = first[is_other], second[is_other]
        wanted = is_new[first] | is_new[second]
        first, second = first[wanted], second[wanted]
        apart = sketches[first].astype(np.int32) - sketches[second]
        close = np.einsum("ij,ij->i", apart, apart) <= farthest
        low, high = np.minimum(first[close], second[close]), np.maximum(first[close], second[close])
        near.append(low << 32 | high)
    return np.concatenate([*near, np.empty(0, np.int64)])


def _hashes(sketches: np.ndarray, distance: float, table: int) -> np.ndarray:
    """The bucket of each sketch in a table: a hash of 64 bits."""
    directions, offsets, mixers = _directions(table)
    step = np.float32(STEPS * distance * UNIT * GRAIN)
    hashes = np.empty(len(sketches), np.int64)
    for start in range(0, len(sketches), ROWS):
        # Exact: the sums are whole numbers below 2²⁴, and below 2⁵³.
        along = sketches[start : start + ROWS].astype(np.float32) @ directions
        hashes[start : start + ROWS] = np.floor(along / step + offsets).astype(np.float64) @ mixers
    return hashes


@cache
def _directions(table: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The directions of a table (LENGTH × VALUES), where the steps along them begin, and factors that mix them."""
    chance = np.random.Generator(np.random.PCG64([SEED, table]))
    directions = np.clip(np.rint(chance.normal(0, GRAIN, (LENGTH, VALUES))), -LARGEST, LARGEST).astype(np.float32)
    mixers = chance.integers(0, 1 << 36, VALUES).astype(np.float64)
    return directions, chance.random(VALUES, np.float32), mixers


def _buckets(
    hashes: np.ndarray, is_new: np.ndarray, earlier: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows in the order of their buckets; the places there where the rows begin and end with which each is compared.

    These are the rows before it in its bucket, without those that shared a bucket with it in the first table. Rows
    without any are left out, and so are buckets without a new row.
    """
    order = np.argsort(hashes)
    starts = np.flatnonzero(np.append(True, np.diff(hashes[order]) != 0))
    sizes = np.diff(np.append(starts, len(order)))
    wanted = np.repeat((sizes > 1) & np.logical_or.reduceat(is_new[order], starts), sizes)
    order = order[wanted]
    known = earlier[0][order] if earlier else order
    order = order[np.lexsort((known, hashes[order]))]
    bucket, known = hashes[order], earlier[0][order] if earlier else order
    is_first = np.append(True, np.diff(bucket) != 0)[: len(order)]
    is_other = is_first | np.append(True, np.diff(known) != 0)[: len(order)]
    places = np.arange(len(order))
    begins, ends = (np.maximum.accumulate(np.where(flag, places, 0)) for flag in (is_first, is_other))
    return order, begins, ends


def _candidates(order: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The pairs of rows that are compared, about PAIRS at a time: row numbers of the two sides."""
    counts = ends - begins
    until = np.cumsum(counts)
    cuts = np.searchsorted(until, np.arange(0, until[-1] if len(until) else 0, PAIRS))
    for low, high in pairwise(np.unique(np.append(cuts, len(until))).tolist()):
        count = counts[low:high]
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        yield order[np.repeat(begins[low:high], count) + within], np.repeat(order[low:high], count)
