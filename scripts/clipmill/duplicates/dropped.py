"""What later steps read of a run's duplicates. Light: they import this in runs without any, too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from clipmill.store import tables
from clipmill.store.table import Row


def dropped_clips(paths: Iterable[Path]) -> dict[str, Row]:
    """The rows of clips that do not stay, by id. `paths`: the table of this run, or none."""
    return {clip_id: row for clip_id, row in rows_by_clip(paths).items() if row["reason"] is not None}


def rows_by_clip(paths: Iterable[Path]) -> dict[str, Row]:
    """All DUPLICATES rows, by id."""
    return {row["clip_id"]: row for path in paths for row in tables.DUPLICATES.rows(path)}


def split_keys(rows: Iterable[Row]) -> dict[str, str]:
    """Videos of which clips that are alike stay: they must be in one split. Id -> the least id of its videos.

    `rows`: DUPLICATES rows.
    """
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row["duplicate_group"] is not None and row["reason"] is None:
            groups[row["duplicate_group"]].add(row["video_id"])
    return videos_together(groups.values())


def videos_together(groups: Iterable[Iterable[str]]) -> dict[str, str]:
    """Videos that must be in one split: each one's id -> the least id of its videos. `groups`: videos of each group."""
    parent: dict[str, str] = {}

    def root(video: str) -> str:
        while (up := parent.setdefault(video, video)) != video:
            parent[video] = parent[up]
            video = parent[video]
        return video

    for group in groups:
        roots = sorted({root(video) for video in group})
        parent |= dict.fromkeys(roots, roots[0])
    return {video: root(video) for video in sorted(parent)}
