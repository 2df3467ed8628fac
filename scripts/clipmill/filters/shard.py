"""Judging the clips of a shard: which are kept, and which need an expensive score."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from clipmill.filters import verdict
from clipmill.filters.verdict import Bounds
from clipmill.store import tables
from clipmill.store.table import Row
from clipmill.store.tables import Clip, Video

Scores = Mapping[str, Iterable[Mapping[str, Any]]]
"""Rows of score tables, by the name of the table."""


def judge_shard(
    videos: Iterable[Video], clips: Iterable[Clip], scores: Scores, filters: Bounds, order: list[str]
) -> list[Row]:
    """VERDICTS rows, one per clip: kept, or the first reason why not in `order`, with every score beside it."""
    bounds = verdict.active(filters, order)
    columns = {column.name for column in tables.VERDICTS.columns}
    rows = []
    for known in verdict.gather(videos, clips, scores):
        reason = verdict.first_failure(known, bounds)
        row = {name: value for name, value in known.items() if name in columns}
        rows.append({**row, "kept": reason is None, "reason": None if reason is None else str(reason)})
    return rows


def passing(
    videos: Iterable[Video], clips: Iterable[Clip], scores: Scores, filters: Bounds, order: list[str]
) -> set[str]:
    """Ids of the clips that pass all `filters`: an expensive score is computed only for these."""
    bounds = verdict.active(filters, order)
    known = verdict.gather(videos, clips, scores)
    return {row["clip_id"] for row in known if verdict.first_failure(row, bounds) is None}
