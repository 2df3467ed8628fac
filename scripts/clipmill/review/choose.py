"""Which clips the page shows: those that are kept, and those just outside.

Just outside are clips that fail one filter alone, nearest to its bound first, and those that a person's decisions
dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clipmill.filters.columns import WORDS
from clipmill.filters.reasons import NOT_STARRED, REVIEWED_OUT
from clipmill.report.collect import BATCH, SEED, columns, look
from clipmill.report.judge import GONE_ON, NOT_CAPTIONED, NOT_CUT, Judge, Looked

MOST_KEPT = 40_000  # browsers refuse pages that are higher than about 17 million pixels
MOST_NEAR = 60  # clips just outside each end of each filter
MOST_RETURNED = 20_000  # clips that a person's decisions dropped: first the thrown-out ones, then those without a star

REVIEW = "review"
OF_REVIEW = tuple(map(str, (REVIEWED_OUT, NOT_STARRED)))  # reasons of a run that follows a person's decisions
OF_A_FILTER = (GONE_ON, NOT_CAPTIONED, NOT_CUT)  # fates of clips that nothing but filters has dropped


@dataclass(frozen=True)
class Near:
    """Which end of which filter a clip just fails: `min`, `max` or `words`. `rank`: 0 is nearest to the bound.

    Of a clip that a person's decisions dropped both are REVIEW.
    """

    name: str
    end: str
    rank: int


@dataclass(frozen=True)
class Chosen:
    """Numbers of rows of the final verdicts, rising. `total`: all kept clips, of which `kept` may be a sample."""

    kept: np.ndarray
    near: dict[int, Near]
    total: int

    @property
    def rows(self) -> list[int]:
        """All of them, rising."""
        return sorted({*self.kept.tolist(), *self.near})


def choose(path: Path, judge: Judge, most_kept: int = MOST_KEPT, most_returned: int = MOST_RETURNED) -> Chosen:
    """Choose from the final verdicts at `path`. More kept clips than `most_kept` become a sample with a fixed seed.

    `most_returned`: clips that a person's decisions dropped, at most.
    """
    kept: list[np.ndarray] = []
    found: dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]] = {}
    returned: dict[str, list[np.ndarray]] = {reason: [] for reason in OF_REVIEW}
    first = 0
    wanted = list(dict.fromkeys([*columns(judge), "kept"]))
    for batch in judge.table.batches(path, wanted, BATCH):
        is_kept = pc.fill_null(batch.column("kept"), False).to_numpy(zero_copy_only=False)
        kept.append(first + np.flatnonzero(is_kept))
        for place, rows, distances in _outside(look(batch, judge), judge):
            found.setdefault(place, []).append((first + rows[~is_kept[rows]], distances[~is_kept[rows]]))
        for reason, of_reason in returned.items():
            of_reason.append(first + np.flatnonzero(_is_for(batch.column("reason"), reason)))
        first += len(batch)
    every = _joined(kept)
    sample = every
    if len(every) > most_kept:
        sample = np.sort(np.random.default_rng(SEED).choice(every, most_kept, replace=False))
    near: dict[int, Near] = {}
    for (name, side), parts in found.items():
        rows, distances = (np.concatenate(part) for part in zip(*parts, strict=True))
        nearest = np.argsort(distances, kind="stable")[:MOST_NEAR]
        near |= {row: Near(name, side, rank) for rank, row in enumerate(rows[nearest].tolist())}
    by_reason = _joined([part for of_reason in returned.values() for part in of_reason])
    near |= {row: Near(REVIEW, REVIEW, rank) for rank, row in enumerate(by_reason[:most_returned].tolist())}
    return Chosen(sample, near, len(every))


def _outside(looked: Looked, judge: Judge) -> Iterator[tuple[tuple[str, str], np.ndarray, np.ndarray]]:
    """By filter and end: the rows of a batch that fail this filter alone, and how far they lie from its bound.

    Scores that were not computed, since this filter had dropped the clip before, do not count against a clip.
    """
    alone = np.isin(looked.fate, OF_A_FILTER) & (looked.fails.sum(1) == 1)
    for name, bound in judge.active.items():
        rows = np.flatnonzero(alone & looked.fails[:, judge.place[name]])
        values = looked.values[name][rows]
        if name in WORDS:
            known = np.isfinite(values)
            yield (name, "words"), rows[known], np.zeros(int(known.sum()))
            continue
        for end, sign in (("min", 1), ("max", -1)):
            if (at := bound.get(end)) is not None:
                distances = sign * (at - values)
                far = distances > 0  # false where the score is missing
                yield (name, end), rows[far], distances[far]


def _is_for(reasons: pa.Array, reason: str) -> np.ndarray:
    return pc.is_in(reasons, value_set=pa.array([reason])).to_numpy(zero_copy_only=False)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty(0, np.int64), *parts])
