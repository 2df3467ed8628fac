"""Finds all pairs of near vectors among millions, by hashing.

Each table of hashes puts a vector into one bucket: by `VALUES` projections onto random directions, each cut into steps
(Datar and others, "Locality-sensitive hashing scheme based on p-stable distributions", 2004). Two vectors are compared
if they share a bucket of one of the `TABLES` tables. The directions are constants and all sums are of whole numbers, so
whether two vectors are compared depends on these two alone: not on other vectors, nor on their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import numpy as np

LENGTH = 64  # numbers of a sketch
UNIT = 1024  # a sketch of length 1 has this length in whole numbers
TABLES, VALUES = 128, 32
STEPS = 8  # width of a step, in multiples of the distance that is looked for
GRAIN, LARGEST = 5, 20  # spread and greatest size of the whole numbers that directions consist of
ROWS = 1 << 16  # vectors that are projected at a time
PAIRS = 1 << 18  # pairs that are compared at a time
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
        for pairs in pool.map(lambda table: _of_table(sketches, is_new, distance, limit, table), range(TABLES)):
            found.append(pairs)
            if sum(map(len, found)) > 16 * PAIRS and len(found) > 8:
                found = [np.unique(np.concatenate(found))]
    codes = np.unique(np.concatenate(found))
    return np.column_stack([codes >> 32, codes & 0xFFFFFFFF])


def _of_table(sketches: np.ndarray, is_new: np.ndarray, distance: float, limit: float, table: int) -> np.ndarray:
    """The near pairs that share a bucket of one table, each as one number: first row × 2³² + second row."""
    order, starts, sizes = _buckets(_hashes(sketches, distance, table))
    farthest = round((limit * UNIT) ** 2)
    near = []
    for first, second in _candidates(order, starts, sizes, is_new):
        apart = sketches[first].astype(np.int32) - sketches[second]
        close = np.einsum("ij,ij->i", apart, apart) <= farthest
        low, high = np.minimum(first[close], second[close]), np.maximum(first[close], second[close])
        near.append(low << 32 | high)
    return np.concatenate([*near, np.empty(0, np.int64)])


def _hashes(sketches: np.ndarray, distance: float, table: int) -> np.ndarray:
    """The bucket of each sketch in a table: a hash of 64 bits."""
    directions, offsets, mixers = _directions(table)
    step = np.float32(STEPS * distance * UNIT * GRAIN)
    hashes = np.empty(len(sketches), np.uint64)
    for start in range(0, len(sketches), ROWS):
        # Exact: the sums are whole numbers below 2²⁴.
        along = sketches[start : start + ROWS].astype(np.float32) @ directions
        places = np.floor(along / step + offsets).astype(np.int64).view(np.uint64)
        hashes[start : start + ROWS] = (places * mixers).sum(1, dtype=np.uint64)
    return hashes


@cache
def _directions(table: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The directions of a table (LENGTH × VALUES), where the steps along them begin, and odd factors that mix them."""
    chance = np.random.Generator(np.random.PCG64([SEED, table]))
    directions = np.clip(np.rint(chance.normal(0, GRAIN, (LENGTH, VALUES))), -LARGEST, LARGEST).astype(np.float32)
    mixers = chance.integers(0, 1 << 63, VALUES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    return directions, chance.random(VALUES, np.float32), mixers


def _buckets(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers in the order of buckets, and the start and size of each bucket with two rows or more."""
    order = np.argsort(hashes)
    hashes = hashes[order]
    starts = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1]))
    sizes = np.diff(np.append(starts, len(hashes)))
    return order, starts[sizes > 1], sizes[sizes > 1]


def _candidates(
    order: np.ndarray, starts: np.ndarray, sizes: np.ndarray, is_new: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The pairs within buckets of which one is new, about PAIRS at a time: row numbers of the two sides."""
    # The row at place k of its bucket is compared with the k rows before it.
    places = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    rows = np.repeat(starts, sizes) + places
    rows, places = rows[places > 0], places[places > 0]
    ends = np.cumsum(places)
    cuts = np.searchsorted(ends, np.arange(0, ends[-1] if len(ends) else 0, PAIRS))
    for low, high in pairwise(np.unique(np.append(cuts, len(ends))).tolist()):
        count = places[low:high]
        second = np.repeat(rows[low:high], count)
        back = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + 1
        first, second = order[second - back], order[second]
        wanted = is_new[first] | is_new[second]
        yield first[wanted], second[wanted]
