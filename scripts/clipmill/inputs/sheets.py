"""Reading a sheet of videos: CSV, TSV, JSON lines or Parquet with a column of paths and an optional column `id`."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clipmill.base.errors import SetupError

SHEETS = {".csv", ".tsv", ".jsonl", ".parquet"}
PATHS = ("path", "file_name", "video")  # columns of paths; the first one that a sheet has. The hub uses the others
OF_STRUCT = "path"  # the field of a path in a column of structs; its videos may also be in the field `bytes`

# The names of all columns, then the cells of the column of paths and of `id`, row by row.
Cells = tuple[list[str], list[Any], list[Any]]


@dataclass(frozen=True)
class Sheet:
    """A sheet's column of paths and its column `id` as texts, as they stand in the file; None where a cell is empty.

    `column`: the name of the column of paths. `embeds`: whether it may hold videos themselves.
    """

    column: str
    paths: list[str | None]
    ids: list[str | None]
    embeds: bool

    @property
    def remedy(self) -> str:
        """What to do about a row without a usable path, where there is more to say than the path."""
        said = f"; the column `{self.column}` may hold the video itself: write it into a file, and name this file"
        return said if self.embeds else ""


def read_sheet(sheet: Path) -> Sheet:
    """Raises SetupError if the sheet cannot be read or has no column of paths."""
    kind = sheet.suffix.lower()
    read = {".parquet": _parquet, ".jsonl": _json_lines}.get(kind, _delimited)
    try:
        columns, cells, ids = read(sheet)
    except PermissionError as error:
        raise SetupError(f"videos: {sheet} cannot be read ({error.strerror}); check its mode") from error
    except (ValueError, OSError, csv.Error) as error:  # pyarrow's and json's parse errors are ValueErrors
        raise SetupError(f"videos: {sheet} is not a readable {kind} sheet: {error}") from error
    column = _column_of_paths(columns)
    if column is None:
        others = " or ".join(f"`{name}`" for name in PATHS[1:])
        has = ", ".join(columns) or "none at all"
        raise SetupError(f"videos: {sheet} has no column `path` (it has {has}), nor {others}")
    embeds = any(isinstance(cell, dict) for cell in cells)
    paths = [cell.get(OF_STRUCT) if isinstance(cell, dict) else cell for cell in cells]
    return Sheet(column, _texts(paths), _texts(ids), embeds)


def _column_of_paths(columns: Iterable[str]) -> str | None:
    return next((name for name in PATHS if name in columns), None)


def _delimited(sheet: Path) -> Cells:
    names, ids = [], []
    with open(sheet, encoding="utf-8-sig", newline="") as handle:
        rows = csv.reader(handle, delimiter="\t" if sheet.suffix.lower() == ".tsv" else ",")
        columns = next(rows, [])
        wanted = _column_of_paths(columns) or PATHS[0]
        for row in rows:
            if len(row) > len(columns):
                what = f"line {rows.line_num} has {len(row)} cells, the header {len(columns)}"
                raise ValueError(f"{what}; put a path that holds the separator in quotes")
            if row:  # not a blank line
                cells = dict(zip(columns, row, strict=False))
                names.append(cells.get(wanted))
                ids.append(cells.get("id"))
    return columns, names, ids


def _json_lines(sheet: Path) -> Cells:
    columns: dict[str, None] = {}
    records = []
    with open(sheet, encoding="utf-8-sig") as handle:
        for number, line in enumerate(handle, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
            if not isinstance(record, dict):
                raise ValueError(f"line {number} is no JSON object")
            columns.update(dict.fromkeys(record))
            records.append({name: record.get(name) for name in (*PATHS, "id")})
    wanted = _column_of_paths(columns) or PATHS[0]
    return list(columns), [record.get(wanted) for record in records], [record["id"] for record in records]


def _parquet(sheet: Path) -> Cells:
    with pq.ParquetFile(sheet) as file:
        schema = file.schema_arrow
        wanted = _column_of_paths(schema.names)
        table = file.read([_without_videos(schema.field(name)) for name in (wanted, "id") if name in schema.names])
    empty = [None] * table.num_rows
    names, ids = (table[name].to_pylist() if name in table.column_names else empty for name in (wanted, "id"))
    return schema.names, names, ids


def _without_videos(field: pa.Field) -> str:
    """What to read of a column: of structs the paths alone. Raises ValueError if it has none."""
    if not pa.types.is_nested(field.type):
        return field.name
    if pa.types.is_struct(field.type) and field.type.get_field_index(OF_STRUCT) >= 0:
        return f"{field.name}.{OF_STRUCT}"
    raise ValueError(
        f"the column `{field.name}` ({str(field.type)[:100]}) has no paths; write its videos into files, and name "
        "these in a column `path`"
    )


def _texts(cells: Iterable[Any]) -> list[str | None]:
    return [_text(cell) if cell is not None and cell == cell and cell != "" else None for cell in cells]


def _text(cell: Any) -> str:
    return os.fsdecode(cell) if isinstance(cell, bytes) else str(cell)
