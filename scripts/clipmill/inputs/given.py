"""Sheets that say more of a video than where it is: its scenes, their captions, and further columns.

A row with times or frames is one scene; many rows may be of one video. Published sheets have layouts of their own; see
`published`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from clipmill.base.files import clean_text
from clipmill.inputs.published import FRAMES, TIMES, Cells, Layout, is_empty, layout_of, seconds, text_of
from clipmill.store import tables
from clipmill.store.layout import CLASSIFIER
from clipmill.store.table import Row
from clipmill.texts.questions import JUDGE

PATHS = ("path", "file_name", "video")  # columns of paths; the first one that a sheet has. The hub uses the others
CAPTION = "caption"
LARGEST_FRAME = 2**53
OWN = {*PATHS, "stem", *TIMES, *FRAMES, CAPTION}  # columns that clipmill itself reads

# Names that the metadata has already: a sheet's column of such a name gets a prefix.
TAKEN = {column.name for table in (tables.METADATA, tables.GIVEN) for column in table.columns} | {"text"}
PREFIXES = (CLASSIFIER, JUDGE)
PREFIX = "given_"

# Kinds of values that a further column may have besides texts, and their types.
KINDS = (({bool}, pa.bool_()), ({int}, pa.int64()), ({int, float}, pa.float64()))


@dataclass(slots=True)
class GivenRow:
    """What one row of a sheet gives, or one file beside a video. `place`: number of the video among those found."""

    row: int | None
    place: int
    times: Row = field(default_factory=dict)
    caption: str | None = None
    further: Row = field(default_factory=dict)


def column_of_paths(columns: Collection[str]) -> str | None:
    return next((name for name in PATHS if name in columns), None)


def gives_scenes(columns: Collection[str]) -> bool:
    """Whether each row of a sheet with these columns is a scene of a video."""
    if layout := layout_of(columns):
        return layout.has_times
    return column_of_paths(columns) is not None and any(set(columns) >= set(pair) for pair in (TIMES, FRAMES))


def nearly_places(columns: Iterable[str]) -> list[str]:
    """Columns that are, but for case and spaces, one of a place. In a sheet that gives no scenes they are a mistake."""
    return [name for name in columns if name.strip().lower() in (*TIMES, *FRAMES)]


class Reader:
    """Turns the rows of one sheet into rows of scenes, in clipmill's own layout."""

    def __init__(self, columns: Collection[str], with_scenes: bool):
        self.layout: Layout | None = layout_of(columns)
        self._times = (FRAMES if set(columns) >= set(FRAMES) else TIMES) if with_scenes else ()

    def rows(self, cells: Cells) -> Iterator[Cells]:
        """The scenes of one row of the sheet. Raises ValueError if the row cannot be read."""
        for scene in self.layout.rows(cells) if self.layout else (cells,):
            if isinstance(scene.get(CAPTION), list | dict):
                raise ValueError(f"the column `{CAPTION}` holds no text")
            yield scene

    def given(self, cells: Cells) -> tuple[Row, str | None, Row]:
        """The place, the caption and the further columns of a scene. Raises ValueError for a place that is none."""
        times = self._place(cells)
        further = {name: value for name, value in cells.items() if name not in OWN}
        return times, text_of(cells.get(CAPTION)), further

    def _place(self, cells: Cells) -> Row:
        if not self._times:
            return {}
        read = _frame if self._times == FRAMES else seconds
        times = {}
        for name in self._times:
            if is_empty(cells.get(name)):
                raise ValueError(f"the column `{name}` is empty")
            try:
                times[name] = read(cells[name])
            except ValueError as error:
                raise ValueError(f"the column `{name}`: {error}") from None
        start, end = times.values()
        if end <= start:
            raise ValueError(f"`{self._times[1]}` ({end:g}) is not after `{self._times[0]}` ({start:g})")
        return times


def _frame(value: Any) -> int:
    try:
        number = int(value) if isinstance(value, str) else value
        whole = int(number)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"{value!r} is no number of a frame") from None
    if whole != number or not 0 <= whole <= LARGEST_FRAME:
        raise ValueError(f"{value!r} is no number of a frame")
    return whole


def given_table(rows: Sequence[GivenRow], video_ids: Sequence[str | None]) -> pa.Table:
    """The GIVEN table of all rows, with the sheet's further columns, each of one type.

    `video_ids`: by the place of a video; None for one that is not used, whose rows are left out. Rows of a video follow
    each other in the order of the sheet.
    """
    scenes: dict[str, int] = {}
    records: list[Row] = []
    further: list[Row] = []
    for row in rows:
        video_id = video_ids[row.place]
        if video_id is None:
            continue
        scene = None
        if row.times:
            scene = scenes[video_id] = scenes.get(video_id, -1) + 1
        records.append({"video_id": video_id, "row": row.row, "scene": scene, "caption": row.caption, **row.times})
        further.append(row.further)
    table = tables.GIVEN.from_rows(records)
    for name in dict.fromkeys(name for row in further for name in row):
        own_name = metadata_name(name, table.column_names)
        table = table.append_column(own_name, _column([row.get(name) for row in further]))
    return table


def metadata_name(column: str, others: Collection[str] = ()) -> str:
    """The name of a sheet's further column in the metadata: its own, unless that name is taken, also by `others`.

    `datasets` takes a column `…file_name` for the path of one more video of the clip, so its name gets another end.
    """
    name = re.sub("file_name$", "filename", clean_text(column))
    while name in TAKEN or name in others or name.startswith(PREFIXES):
        name = PREFIX + name
    return name


def _column(values: Iterable[Any]) -> pa.Array:
    """Values as one column: truth values, numbers or texts, if all are of one kind; else texts.

    Empty cells are missing. Lists and structs become JSON.
    """
    cells = [None if is_empty(value) else value for value in values]
    kinds = {type(cell) for cell in cells} - {type(None)}
    if float in kinds and any(isinstance(cell, float) and math.isinf(cell) for cell in cells):
        kinds = set()  # JSON has no infinity
    for kind, arrow_type in KINDS:
        if kinds and kinds <= kind:
            with suppress(OverflowError, pa.ArrowInvalid):  # a whole number that 64 bits cannot hold
                return pa.array(cells, arrow_type)
    return pa.array([cell if cell is None else _as_text(cell) for cell in cells], pa.string())


def _as_text(cell: Any) -> str:
    is_nested = isinstance(cell, dict | list | tuple)
    return clean_text(json.dumps(cell, ensure_ascii=False, default=str) if is_nested else str(cell))
