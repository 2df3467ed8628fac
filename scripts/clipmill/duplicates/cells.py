"""The cells in which the brightness of a clip is known, and those in which two clips can be compared.

A thumbnail has few cells, and fewer of them lie between bars. So a clip with bars is known in larger cells than one
without, and these are compared in the larger ones: what a large cell shows can be told from small ones, but not the
other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from clipmill.decode.signals import THUMBNAIL_SIDE

Edges = tuple[float, ...]
"""Where the cells along an axis begin and end: rising from 0 to 1, as shares of what is shown."""

WHOLE_EDGES: Edges = tuple((np.arange(THUMBNAIL_SIDE + 1) / THUMBNAIL_SIDE).tolist())
LEAST = 0.5  # share of a cell of a thumbnail that lies between bars; with less of it, it is one with the next cell
UNSURE = range(4, THUMBNAIL_SIDE)  # numbers of cells of which each counts with those beside it
STEPS = 16  # per grey level: larger cells have levels in whole steps, so that their sums are exact
MOST_MATRICES = 4096  # that are kept


@dataclass(frozen=True)
class Moves:
    """How the brightness of a clip moves: `levels`, times × rows × columns, in cells with these edges."""

    levels: np.ndarray
    down: Edges = WHOLE_EDGES
    across: Edges = WHOLE_EDGES


def common_edges(one: Edges, other: Edges) -> Edges:
    """The edges of the larger cells."""
    return one if one is other else min((len(edges), edges) for edges in (one, other))[1]


def in_cells(moves: Moves, down: Edges, across: Edges) -> np.ndarray:
    """The levels in other cells, which are not smaller: times × cells.

    What is small may be in this cell or in that one, which a smaller picture does not tell. So cells count with those
    beside them.
    """
    levels = moves.levels
    if not moves.down == down == moves.across == across == WHOLE_EDGES:
        levels = np.rint(_shares(moves.down, down) @ levels @ _shares(moves.across, across).T * STEPS) / STEPS
    return levels.reshape(len(levels), -1)


@lru_cache(MOST_MATRICES)
def _shares(own: Edges, wanted: Edges) -> np.ndarray:
    """How much each cell has of each wanted one: wanted × own."""
    before = np.tril(np.ones((len(own), len(own) - 1)), -1) * np.diff(own)  # of the part before each edge
    until = np.stack([np.interp(wanted, own, sums) for sums in before.T], 1)
    shares = np.diff(until, axis=0) / np.diff(wanted)[:, None]
    return _spread(len(shares)) @ shares if len(shares) in UNSURE else shares


def _spread(cells: int) -> np.ndarray:
    """Each cell with half of those beside it: a matrix."""
    beside = np.eye(cells) + (np.eye(cells, k=1) + np.eye(cells, k=-1)) / 2
    beside[0, 0] = beside[-1, -1] = 1.5
    return beside / 2


@lru_cache(MOST_MATRICES)
def between_bars(start: float, end: float) -> tuple[np.ndarray, Edges]:
    """The part of a thumbnail's axis from `start` to `end`, as shares: its cells, and their edges within it.

    The cells are a matrix, new × old: times the levels above that of the bars they are those of the part above it.
    """
    cut = np.clip(np.arange(THUMBNAIL_SIDE + 1), start * THUMBNAIL_SIDE, end * THUMBNAIL_SIDE)
    shares = np.diff(cut)
    there = np.flatnonzero(shares)
    groups = [[cell] for cell in there.tolist()]
    for end_cell in (0, -1):
        if len(groups) > 1 and shares[groups[end_cell]].sum() < LEAST:
            small = groups.pop(end_cell)
            groups[end_cell] = groups[end_cell] + small
    cells = np.zeros((len(groups), THUMBNAIL_SIDE))
    for row, group in enumerate(groups):
        cells[row, group] = 1 / shares[group].sum()
    until = np.append(0, np.cumsum([shares[group].sum() for group in groups]))
    return cells, tuple((until / until[-1]).tolist())


def as_moves(levels: bytes | memoryview, down: Sequence[float] | None, across: Sequence[float] | None) -> Moves:
    """As a table holds them: bytes, and edges that are missing where nothing is cut away."""
    rows, columns = (tuple(edges) if edges else WHOLE_EDGES for edges in (down, across))
    return Moves(np.frombuffer(levels, np.uint8).reshape(-1, len(rows) - 1, len(columns) - 1), rows, columns)
