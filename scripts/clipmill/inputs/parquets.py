"""Listing a Parquet file of videos, as `datasets` and the Hugging Face hub store them: one video per row, as bytes.

How long the videos are stands nowhere but beside their bytes: so the column of videos is read once, and thrown away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clipmill.base.errors import in_line
from clipmill.fetch.parquet import DAMAGE, PATH, VideoColumn, batches, opened, video_column
from clipmill.inputs.endings import SUFFIXES, ending
from clipmill.inputs.entries import Entry, Said, fault, said, video
from clipmill.inputs.sheets import holds_bytes, values_of

KEY = "__key__"  # WebDataset's name for the column of keys
FIELDS = "json"  # and for that of further fields
CAPTIONS = ("caption", "txt", "text")  # columns of captions; the first one that a file has


def entries(path: Path, captions: bool) -> Iterator[Entry]:
    """The videos of a Parquet file, in its order, then its faults; nothing of a file without videos.

    A video is named by its key or path, or if it has none or shares it with others, by the number of its row from 0.
    Captions and further columns are given in any case. Raises OSError if the operating system cannot read the file.
    """
    try:
        with opened(path) as file:
            if column := video_column(file):
                yield from _Listing(file, column).entries()
    except DAMAGE as error:
        _raise_if_of_system(error)
        yield fault("", "damaged_archive", f"it is no readable Parquet file ({in_line(error)}); copy it again")


def _raise_if_of_system(error: Exception) -> None:
    if isinstance(error, OSError) and error.errno is not None:
        raise error


class _Listing:
    def __init__(self, file: pq.ParquetFile, column: VideoColumn):
        self._file, self._column = file, column
        schema = file.schema_arrow
        self._others = [
            name
            for name in schema.names
            if name.strip() and schema.names.count(name) == 1 and not holds_bytes(schema.field(name).type)
        ]
        self._caption = next((name for name in CAPTIONS if name in self._others), None)
        self._ending = f".{column.name}" if f".{column.name}" in SUFFIXES else ""
        self._names: list[str | None] = []  # that the file has for its rows
        self._entries: list[Entry] = []  # of the same rows
        self._faults: list[Entry] = []

    def entries(self) -> Iterator[Entry]:
        end = 0
        for group in range(self._file.num_row_groups):
            first, end = end, end + self._file.metadata.row_group(group).num_rows
            try:
                for batch_first, cells, batch in batches(self._file, self._column, group, self._columns):
                    self._add(batch_first, cells, batch)
                    first = batch_first + len(cells)
            except (*DAMAGE, UnicodeDecodeError) as error:  # Arrow does not check that texts are UTF-8
                _raise_if_of_system(error)
                what = f"rows {first + 1:,} to {end:,} cannot be read ({in_line(error)}); copy the archive again"
                self._faults.append(fault("", "damaged_archive", what))
        counts = Counter(self._names)
        for name, entry in zip(self._names, self._entries, strict=True):
            yield entry if name is None or counts[name] > 1 else {**entry, "name": name}
        yield from self._faults

    @property
    def _columns(self) -> list[str]:
        """What is read besides the videos."""
        return [*self._others, *([f"{self._column.name}.{PATH}"] if self._column.has_paths else [])]

    def _add(self, first: int, cells: pa.Array, batch: pa.RecordBatch) -> None:
        sizes = pc.binary_length(cells).to_pylist()
        others = {name: values_of(batch.column(name)) for name in self._others}
        paths: list[Any] = [None] * len(batch)
        if self._column.has_paths:
            structs = batch.column(self._column.name)
            paths = structs.flatten()[structs.type.get_field_index(PATH)].to_pylist()
        for place, size in enumerate(sizes):
            row, of_row = first + place, {name: column[place] for name, column in others.items()}
            name = self._name(of_row.pop(KEY, None), paths[place])
            entry = video(f"{row:06d}{self._ending}", row, size or 0, row + 1)
            if size:
                self._names.append(name)
                self._entries.append({**entry, **self._said(of_row)})
            else:
                what = f"row {row + 1} has no bytes of a video; fill or remove it"
                self._faults.append(fault(name or entry["name"], "empty", what))

    def _name(self, key: Any, path: Any) -> str | None:
        """The name that the file has for a row."""
        if isinstance(key, str) and key:
            return key if ending(key) in SUFFIXES else key + self._ending
        return path if isinstance(path, str) and path else None

    def _said(self, of_row: dict[str, Any]) -> Said:
        """The caption and the further fields of a row."""
        fields = of_row.pop(FIELDS, None) if isinstance(of_row.get(FIELDS), dict) else None
        return said(of_row.pop(self._caption, None) if self._caption else None, fields or {}, of_row)
