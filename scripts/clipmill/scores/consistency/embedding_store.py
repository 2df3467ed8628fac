"""Stores the embeddings of a consistency backend: one table per shard, to find near duplicates and to search."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clipmill.base.errors import SetupError
from clipmill.store import tables
from clipmill.store.layout import Paths

EMBEDDINGS = "embeddings"  # key of the embeddings in the rows that `finish` returns


def read_embeddings(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Clips and their embeddings, n × length float16; none if there is no file.

    Raises SetupError if the file is damaged.
    """
    if not path.exists():
        return
    table = tables.embeddings(_length(path)).read(path)
    values = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)
    rows = enumerate(table["clip_id"].to_pylist())
    for clip_id, of_clip in groupby(rows, key=lambda row: row[1]):
        yield clip_id, values[[row for row, _ in of_clip]]


def _length(path: Path) -> int:
    """How many numbers an embedding has."""
    try:
        return pq.read_schema(path).field("embedding").type.list_size
    except (pa.ArrowException, KeyError, AttributeError) as error:
        remedy = "delete the file and run again with `--forcerun score_consistency`"
        raise SetupError(f"{path}: no readable embeddings ({error}); {remedy}") from error


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
