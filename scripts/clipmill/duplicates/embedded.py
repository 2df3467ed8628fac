"""What a clip is recognized by with a model: the mean embedding of its frames, which scoring kept."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np

from clipmill.duplicates.search import LENGTH, UNIT
from clipmill.scores.consistency.embedding_store import read_embeddings
from clipmill.store.table import Row
from clipmill.store.tables import Clip

ONE = 1 << 14  # a mean embedding has this length, in whole numbers
GRAIN, LARGEST = 5, 20  # spread and greatest size of the whole numbers that directions consist of
SEED = 46
WIDER = 1.4  # sketches of two embeddings are at most this many times as far apart as these; all but 1 in 10,000


def fingerprints(clips: Iterable[Clip], path: Path) -> dict[str, Row]:
    """The sketch and mean embedding of clips, by id. Clips that scoring has skipped have none, and are left out.

    `path`: the embeddings of their shard.
    """
    wanted, rows = {clip["clip_id"] for clip in clips}, {}
    for clip_id, vectors in read_embeddings(path):
        mean = vectors.astype(np.float64).mean(0)
        if clip_id in wanted and mean.any():
            embedding = np.rint(mean * (ONE / np.linalg.norm(mean))).astype(np.int16)
            rows[clip_id] = {"sketch": sketch(embedding), "mean_embedding": embedding}
    return rows


def sketch(embedding: np.ndarray) -> np.ndarray:
    """LENGTH numbers whose distances are about those of the embeddings: projections onto random directions.

    Of one embedding, or of several (n × length).

    W. Johnson and J. Lindenstrauss, "Extensions of Lipschitz mappings into a Hilbert space" (1984).
    """
    along = embedding.astype(np.float64) @ _directions(embedding.shape[-1])  # exact: whole numbers
    return np.rint(along * (UNIT / (ONE * GRAIN * np.sqrt(LENGTH)))).astype(np.int16)


@cache
def _directions(length: int) -> np.ndarray:
    chance = np.random.Generator(np.random.PCG64([SEED, length]))
    return np.clip(np.rint(chance.normal(0, GRAIN, (length, LENGTH))), -LARGEST, LARGEST)


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The cosines of pairs of embeddings, n × length each."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    lengths = np.einsum("ij,ij->i", first, first) * np.einsum("ij,ij->i", second, second)
    return np.einsum("ij,ij->i", first, second) / np.sqrt(lengths)
