"""Clips of the dataset that somebody has damaged or removed: found at the start of a run, which then restores them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from clipmill.store import tables
from clipmill.store.clip_files import is_intact
from clipmill.store.layout import Paths
from clipmill.store.table import Row

THREADS = 8  # that ask for files: a network file system answers slowly


def damaged_clips(outdir: Path, shards: Iterable[str]) -> dict[str, int]:
    """How many clips of each shard must be restored; shards without such clips are left out.

    One that no export has seen yet must be only if its own file is damaged. A table that is missing or cannot be read
    is left to others.
    """
    metadata = Paths(outdir).metadata
    there = [name for name in shards if tables.CUTS.of(outdir, name).is_file()]
    if not there:
        return {}
    exported = set()
    if metadata.is_file():
        exported = set(tables.METADATA.read(metadata, ["clip_id"])["clip_id"].to_pylist())
    with ThreadPoolExecutor(THREADS) as pool:
        counts = pool.map(partial(_damaged, outdir, exported), there)
        return {name: count for name, count in zip(there, counts, strict=True) if count}


def _damaged(outdir: Path, exported: set[str], shard: str) -> int:
    paths = Paths(outdir)
    names = ["clip_id", "file", "cut_bytes", *(column.name for column in tables.CUT_STATE)]
    rows = tables.CUTS.read(tables.CUTS.of(outdir, shard), names).to_pylist()
    clips, count = str(paths.dataset / "clips"), 0
    for row in rows:
        clip_id = row["clip_id"]
        clip = f"{clips}/{clip_id.rpartition('_')[0]}/{clip_id}.mp4"
        if row["file"] is None or _looks_intact(clip, row) or is_intact(Path(clip), row):
            continue
        if clip_id in exported or not is_intact(paths.clip_files / row["file"], row):
            count += 1
    return count


def _looks_intact(clip: str, row: Row) -> bool:
    """The quick part of `is_intact`, which is enough for nearly all clips: there may be millions."""
    try:
        status = os.stat(clip)
    except OSError:
        return False
    return status.st_size == row["cut_bytes"] and status.st_mtime_ns == row["cut_time"]
