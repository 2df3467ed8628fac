"""Archives of videos, as tests make them: tar files with whatever members, and Parquet files as the hub has them."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

CELL = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def make_tar(path: Path, members: Iterable[tuple[str, bytes]], format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=format) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def make_parquet(path: Path, columns: Mapping[str, Any], rows_together: int = 100, **options: Any) -> Path:
    """A column `video` or `clip` of dicts is one of structs with bytes and path."""
    arrays = {
        name: pa.array(cells, CELL) if name in ("video", "clip") and isinstance(cells[0], dict) else pa.array(cells)
        for name, cells in columns.items()
    }
    pq.write_table(pa.table(arrays), path, row_group_size=rows_together, **options)
    return path


def at(path: Path, time: int) -> Path:
    """Give a file a time of its own, in nanoseconds."""
    os.utime(path, ns=(time, time))
    return path
