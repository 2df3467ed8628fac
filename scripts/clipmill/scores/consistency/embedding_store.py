"""Stores the embeddings of a consistency backend: one table per shard, to find near duplicates and to search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clipmill.store import tables
from clipmill.store.layout import Paths

EMBEDDINGS = "embeddings"  # key of the embeddings in the rows that `finish` returns


def write_embeddings(outdir: Path, shard: str, backend: str, rows: list[dict[str, Any]], about: dict[str, Any]) -> None:
    """Take the embeddings out of score `rows` and write their table, if there are any."""
    kept = {row["clip_id"]: row.pop(EMBEDDINGS) for row in rows if EMBEDDINGS in row}
    if not kept:
        return
    table = tables.embeddings(len(next(iter(kept.values()))[0]))
    path = Paths(outdir).embeddings(backend, shard)
    clips = (
        table.from_rows(
            {"clip_id": clip_id, "number": number, "embedding": vector} for number, vector in enumerate(vectors)
        )
        for clip_id, vectors in kept.items()
    )
    table.write_parts(path, clips, about)
