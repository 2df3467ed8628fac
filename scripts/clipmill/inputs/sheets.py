"""Reading a sheet of videos: CSV, TSV, JSON lines or Parquet with a column `path` and an optional column `id`."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from clipmill.base.errors import SetupError

SHEETS = {".csv", ".tsv", ".jsonl", ".parquet"}

# The names of all columns, then the cells of `path` and of `id`, row by row.
Cells = tuple[list[str], list[Any], list[Any]]


def read_sheet(sheet: Path) -> tuple[list[str | None], list[str | None]]:
    """The columns `path` and `id` as texts, as they stand in the file; None where a cell is empty or missing.

    Raises SetupError if the sheet cannot be read or has no column `path`.
    """
    kind = sheet.suffix.lower()
    read = {".parquet": _parquet, ".jsonl": _json_lines}.get(kind, _delimited)
    try:
        columns, names, ids = read(sheet)
    except PermissionError as error:
        raise SetupError(f"videos: {sheet} cannot be read ({error.strerror}); check its mode") from error
    except (ValueError, OSError, csv.Error) as error:  # pyarrow's and json's parse errors are ValueErrors
        raise SetupError(f"videos: {sheet} is not a readable {kind} sheet: {error}") from error
    if "path" not in columns:
        raise SetupError(f"videos: {sheet} has no column `path` (it has {', '.join(columns) or 'none at all'})")
    return _texts(names), _texts(ids)


def _delimited(sheet: Path) -> Cells:
    names, ids = [], []
    with open(sheet, encoding="utf-8-sig", newline="") as handle:
        rows = csv.reader(handle, delimiter="\t" if sheet.suffix.lower() == ".tsv" else ",")
        columns = next(rows, [])
        for row in rows:
            if len(row) > len(columns):
                what = f"line {rows.line_num} has {len(row)} cells, the header {len(columns)}"
                raise ValueError(f"{what}; put a path that holds the separator in quotes")
            if row:  # not a blank line
                cells = dict(zip(columns, row, strict=False))
                names.append(cells.get("path"))
                ids.append(cells.get("id"))
    return columns, names, ids


def _json_lines(sheet: Path) -> Cells:
    columns: dict[str, None] = {}
    names, ids = [], []
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
            names.append(record.get("path"))
            ids.append(record.get("id"))
    return list(columns), names, ids


def _parquet(sheet: Path) -> Cells:
    with pq.ParquetFile(sheet) as file:
        columns = file.schema_arrow.names
        table = file.read([name for name in ("path", "id") if name in columns])
    empty = [None] * table.num_rows
    names, ids = (table[name].to_pylist() if name in columns else empty for name in ("path", "id"))
    return columns, names, ids


def _texts(cells: list[Any]) -> list[str | None]:
    return [str(cell) if cell is not None and cell == cell and cell != "" else None for cell in cells]
