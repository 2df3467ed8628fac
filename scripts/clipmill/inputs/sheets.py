"""Reading a sheet of videos: CSV, TSV, JSON lines or Parquet with a column of paths and an optional column `id`."""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clipmill.base.errors import SetupError
from clipmill.base.human import counted
from clipmill.fetch.parquet import holds_videos
from clipmill.inputs.given import CAPTION, PATHS, Reader, column_of_paths, gives_scenes, nearly_places
from clipmill.inputs.published import LONGEST_CELL, Cells, layout_of

log = logging.getLogger("clipmill")

SHEETS = {".csv", ".tsv", ".jsonl", ".parquet"}
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
SUMS = ("sha256", "md5")  # columns of checksums
WHOLE = re.compile(r"-?(0|[1-9]\d*)")
OF_STRUCT = "path"  # the field of a path in a column of structs; its videos may also be in the field `bytes`

Choice = Callable[[Collection[str]], Collection[str] | None]
"""From the names of all columns, those to read; None for all."""

Columns = tuple[list[str], dict[str, list[Any]]]
"""The names of all columns, then the cells of those that were read, row by row."""


@dataclass(frozen=True)
class Sheet:
    """A sheet's column of paths and its column `id` as texts, as they stand in the file; None where a cell is empty.

    `column`: the name of the column of paths. `embeds`: whether it may hold videos themselves. `cells`: all cells of
    each row, if what they give is wanted, and their `reader`. With `has_scenes` many rows may be of one video.
    `sums`: of each row `sha256:…` or `md5:…`, if it has a cell in a column of that name.
    """

    column: str
    paths: list[str | None]
    ids: list[str | None]
    embeds: bool
    has_scenes: bool
    cells: Sequence[Cells] | None
    reader: Reader
    sums: Sequence[str | None]

    @property
    def remedy(self) -> str:
        """What to do about a row without a usable path, where there is more to say than the path."""
        said = f"; the column `{self.column}` may hold the video itself: write it into a file, and name this file"
        return said if self.embeds else ""


def read_sheet(sheet: Path, captions: bool = False) -> Sheet:
    """Read the paths and ids; and if it gives scenes, or if `captions` are wanted of it, all other columns too.

    Raises SetupError if the sheet cannot be read or has no column of paths.
    """

    def choice(columns: Collection[str]) -> Collection[str] | None:
        if captions or gives_scenes(columns) or (column_of_paths(columns) is None and layout_of(columns)):
            return None
        return [name for name in (column_of_paths(columns), "id", *SUMS) if name and name in columns]

    columns, cells = _read(sheet, choice)
    column, layout = column_of_paths(columns), layout_of(columns)
    if column is None and layout is None:
        others = " or ".join(f"`{name}`" for name in PATHS[1:])
        has = ", ".join(columns) or "none at all"
        what = f"has no column `path` (it has {has}), nor {others}"
        raise SetupError(f"videos: {sheet} {what}; name the column of the videos' paths `path`")
    rows = len(next(iter(cells.values()), []))
    empty: list[Any] = [None] * rows
    named = cells.get(column or "", empty)
    has_scenes = gives_scenes(columns)
    if not has_scenes and (near := nearly_places(columns)):
        log.warning(
            "videos: %s has the column %s, but no pair `start` and `end`, nor `start_frame` and `end_frame`: it is "
            "read as a list of whole videos, in which scenes are looked for",
            *(sheet, " and ".join(f"`{name}`" for name in near)),
        )
    paths = [cell.get(OF_STRUCT) if isinstance(cell, dict) else cell for cell in named]
    return Sheet(
        column=column or PATHS[0],
        paths=_texts(paths),
        ids=_texts(empty if has_scenes else cells.get("id", empty)),
        embeds=any(isinstance(cell, dict) for cell in named),
        has_scenes=has_scenes,
        cells=_Rows(cells, rows) if choice(columns) is None else None,
        reader=Reader(columns, has_scenes),
        sums=_sums({name: _texts(cells[name]) for name in SUMS if name in cells}, rows),
    )


def _sums(columns: dict[str, list[str | None]], rows: int) -> list[str | None]:
    """The checksum of each row, from the first of SUMS in which it has one."""
    found: list[str | None] = [None] * rows
    for name, cells in columns.items():
        named = (f"{name}:{cell.strip().lower()}" if cell else None for cell in cells)
        found = [one or own for one, own in zip(found, named, strict=True)]
    return found


def sheet_columns(sheet: Path) -> list[str]:
    """The names of the columns of a sheet, of JSON lines those of the first row. Raises SetupError as `read_sheet`."""
    return _read(sheet, lambda columns: (), most=1)[0]


def gives_scenes_of(videos: Path) -> bool:
    """Whether `videos` is a sheet whose rows are scenes. Raises SetupError if it is a sheet that cannot be read."""
    return is_sheet(videos) and gives_scenes(sheet_columns(videos))


def is_sheet(videos: Path) -> bool:
    """Whether `videos` is a sheet: a Parquet file with videos in it is an archive."""
    kind = videos.suffix.lower()
    return kind in SHEETS and videos.is_file() and not (kind == ".parquet" and holds_videos(videos))


class _Rows(Sequence[Cells]):
    """The rows of columns, each made when it is asked for."""

    def __init__(self, columns: dict[str, list[Any]], rows: int):
        self._columns, self._rows = columns, rows

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, row: Any) -> Any:
        if not 0 <= row < self._rows:
            raise IndexError(row)
        return {name: cells[row] for name, cells in self._columns.items()}


def _read(sheet: Path, choice: Choice, most: int | None = None) -> Columns:
    """The first `most` rows of a sheet, or all."""
    kind = sheet.suffix.lower()
    read = {".parquet": _parquet, ".jsonl": _json_lines}.get(kind, _delimited)
    try:
        return read(sheet, choice, most)
    except PermissionError as error:
        raise SetupError(f"videos: {sheet} cannot be read ({error.strerror}); check its mode") from error
    except (ValueError, OSError, csv.Error) as error:  # pyarrow's and json's parse errors are ValueErrors
        raise SetupError(f"videos: {sheet} is not a readable {kind} sheet: {error}") from error


def _delimited(sheet: Path, choice: Choice, most: int | None) -> Columns:
    csv.field_size_limit(LONGEST_CELL)
    with open(sheet, encoding="utf-8-sig", newline="") as handle:
        rows = csv.reader(handle, delimiter="\t" if sheet.suffix.lower() == ".tsv" else ",")
        columns = next(rows, [])
        chosen = {name: columns.index(name) for name in _chosen(columns, choice)}
        cells: dict[str, list[Any]] = {name: [] for name in chosen}
        for row in _with_lines(rows):
            if most is not None and rows.line_num > most + 1:
                break
            if len(row) > len(columns):
                what = f"line {rows.line_num} has {counted(len(row), 'cell')}, the header {len(columns)}"
                raise ValueError(f"{what}; put a path that holds the separator in quotes")
            if row:  # not a blank line
                for name, place in chosen.items():
                    cells[name].append(row[place] if place < len(row) else None)
    texts = (*PATHS, "id", *SUMS, CAPTION)
    return columns, {name: column if name in texts else _numbers(column) for name, column in cells.items()}


def _with_lines(rows: Any) -> Iterator[list[str]]:
    """The rows of a CSV reader. Of one that cannot be read the error names the line."""
    try:
        yield from rows
    except csv.Error as error:
        raise ValueError(f"line {rows.line_num}: {error}") from error


def _numbers(cells: list[Any]) -> list[Any]:
    """The cells of a column as numbers, if all that are not empty are numbers as computers write them, not 007.

    A column with a number that is too large for a computer's numbers stays one of texts.
    """
    found = [cell for cell in cells if cell]
    if not all(map(NUMBER.fullmatch, found)):
        return cells
    read = int if all(map(WHOLE.fullmatch, found)) else float
    try:
        numbers = [read(cell) if cell else None for cell in cells]
    except ValueError:  # more digits than Python reads
        return cells
    return cells if math.inf in numbers or -math.inf in numbers else numbers


def _json_lines(sheet: Path, choice: Choice, most: int | None) -> Columns:
    columns: dict[str, None] = {}
    records: list[dict[str, Any]] = []
    kept: Collection[str] | None = None
    has_scenes, known = False, 0
    with open(sheet, encoding="utf-8-sig") as handle:
        for number, line in enumerate(handle, 1):
            if not line.strip():
                continue
            if most is not None and len(records) >= most:
                break
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number}: {error}") from error
            if not isinstance(record, dict):
                raise ValueError(f"line {number} is no JSON object")
            columns.update(dict.fromkeys(record))
            if not records:  # the first row tells what kind of sheet it is
                kept, has_scenes = None if choice(record) is None else (*PATHS, "id", *SUMS), gives_scenes(record)
            elif len(columns) > known and gives_scenes(columns) != has_scenes:
                new = ", ".join(list(columns)[known:])
                raise ValueError(
                    f"line {number} has {new}, which the first row lacks; it tells whether rows are scenes, so give "
                    "it all columns, empty ones too"
                )
            known = len(columns)
            records.append(record if kept is None else {name: record[name] for name in kept if name in record})
    names = list(columns)
    return names, {name: [record.get(name) for record in records] for name in _chosen(names, choice)}


def _parquet(sheet: Path, choice: Choice, most: int | None) -> Columns:
    with pq.ParquetFile(sheet) as file:
        schema = file.schema_arrow
        if most is not None:
            return schema.names, {}
        chosen = _chosen(schema.names, choice)
        paths = (column_of_paths(schema.names), "id")
        chosen = [name for name in chosen if name in paths or not holds_bytes(schema.field(name).type)]
        table = file.read([_without_videos(schema.field(name)) if name in paths else name for name in chosen])
    empty = [None] * table.num_rows
    there = set(table.column_names)
    return schema.names, {name: values_of(table[name]) if name in there else empty for name in chosen}


def values_of(cells: pa.Array | pa.ChunkedArray) -> list[Any]:
    try:
        return cells.to_pylist()
    except ValueError:  # times in nanoseconds, which Python has not
        return cells.cast(pa.string()).to_pylist()


def _chosen(columns: Collection[str], choice: Choice) -> list[str]:
    """The columns to read. One without a name is not read: it numbers the rows, or comes of a comma too many.

    Raises ValueError if there are two of one name.
    """
    chosen = choice(columns)
    chosen = [name for name in columns if name.strip()] if chosen is None else list(chosen)
    counts = Counter(columns)
    if twice := next((name for name in chosen if counts[name] > 1), None):
        raise ValueError(f"it has the column `{twice}` {counts[twice]} times; give each a name of its own")
    return chosen


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether a column holds bytes, which may be whole videos, at any depth."""
    inner = [kind.field(place).type for place in range(kind.num_fields)]
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or any(map(holds_bytes, inner))


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
