"""Sheets as large video datasets publish them: Panda-70M, Koala-36M, OpenVid-1M and Vript.

Each has a layout of its own, told by its columns. A layout turns one row of such a sheet into rows of clipmill's own
layout, one per scene. Sources:

Panda-70M
    The repository snap-research/Panda-70M: `dataset_dataloading/README.md` names the columns `url`, `timestamp`,
    `caption`, `matching_score` and, since October 2024, `desirable_filtering` and `shot_boundary_detection`; its
    downloader (`video2dataset/workers/download_worker.py`, `subsamplers/clipping_subsampler.py`) reads the cells as
    Python lists with one entry per scene. The column `videoID` is known from programs of others that read the CSV.
    The authors' downloader cuts the videos and numbers its files, so that this sheet does not lead to them. Whole
    videos are found by `videoID`.

Koala-36M
    The repository KwaiVGI/Koala-36M names its clips by a YouTube id and a number (`-KuN4XkUQBI_1.mp4`) and points to
    the hub's dataset Koala-36M/Koala-36M-v1: CSVs with one row per scene. Its card could not be read. The columns
    `videoID`, `url`, `timestamp` (a pair as a Python list), `caption`, `clarity_score`, `aesthetic_score`,
    `motion_score` and `video_training_suitability_score` are known from several programs of others that read these
    CSVs. The authors publish no downloader, so that whole videos are found by their YouTube id.

OpenVid-1M
    The repository NJU-PCALab/OpenVid-1M: `README.md` and `openvid/datasets/datasets.py` (a row is a file's name, then
    its caption; each file is one clip). The header `video`, `caption`, `aesthetic score`, `motion score`,
    `temporal consistency score`, `camera motion`, `frame`, `fps`, `seconds` is known from programs of others.

Vript
    The repository mutonix/Vript: `README.md`, `DATA.md` and the caption files in `vriptor/training_data`; the card of
    the hub's dataset Mutonix/Vript. The JSON lines `vript_captions/*_captions.jsonl` have one clip per line with the
    fields `meta`, `clip_id` and `caption`, as programs of others read them. Each clip is a file `<clip_id>.mp4`.
    `<video_id>_cut_meta.json` has the times of the clips in the whole videos; the names of its fields could not be
    checked, so nothing reads it.
"""

from __future__ import annotations

import ast
import datetime
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

Cells = dict[str, Any]  # one row of a sheet, by column

TIMES, FRAMES = ("start", "end"), ("start_frame", "end_frame")  # clipmill's own columns of a scene's place
LONGEST_CELL = 2**20  # characters; Python needs a few hundred bytes for each to read a list

Kind = TypeVar("Kind", list[Any], dict[str, Any])

_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?(?:[eE][+-]?\d{1,3})?)", re.ASCII)
_KOALA_ID = re.compile(r"(.{11})(?:_\d+)?")  # a YouTube id, which may hold `_` itself, and the number of the scene
_PER_SCENE = ("caption", "matching_score", "desirable_filtering", "shot_boundary_detection")  # of Panda-70M
_UNREADABLE = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)  # of texts that are no list


@dataclass(frozen=True)
class Layout:
    """How one dataset is published.

    `told_by`: a sheet with all columns of one of these sets has this layout. `has_times`: whether rows have scenes of
    longer videos; else each file is one clip.

    `rows` turns one row of the published sheet into rows of clipmill's own layout, one per scene. Each has `path`, or
    `stem` (the file's name without its ending) where the sheet has no path; `start` and `end` in seconds if
    `has_times`; `caption`, None if it is empty; and all further columns by their own names. Raises ValueError, before
    the first row, if any part of the row cannot be read.
    """

    name: str
    told_by: tuple[frozenset[str], ...]
    has_times: bool
    rows: Callable[[Cells], Iterator[Cells]]


def layout_of(columns: Iterable[str]) -> Layout | None:
    """The published layout of a sheet with these columns. None if it has none, or columns of places as in clipmill's
    own layout, which then count."""
    names = frozenset(columns)
    if names.issuperset(TIMES) or names.issuperset(FRAMES):
        return None
    return next((layout for layout in LAYOUTS if any(told <= names for told in layout.told_by)), None)


def seconds(value: Any) -> float:
    """A time in seconds: a number, or a text as `31.658`, `1:02`, `0:00:31.658`, with `.` or `,` before the decimals.

    The same time gives the same number in each of these forms. Raises ValueError if `value` is no time.
    """
    if isinstance(value, datetime.time | datetime.timedelta):  # as Parquet has them
        value = str(value) if isinstance(value, datetime.time) else value.total_seconds()
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        number = _finite(value)
        if number < 0:
            raise ValueError(f"{_short(value)} is no time: it is negative")
        return number
    found = _TIME.fullmatch(value.strip().replace(",", ".")) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{_short(value)} is no time; write seconds (31.658) or h:mm:ss.mmm (0:00:31.658)")
    hours, minutes, rest = (Decimal(part or 0) for part in found.groups())
    if found[2] and rest >= 60:
        raise ValueError(f"{_short(value)} is no time: seconds after minutes must be below 60")
    if found[1] and minutes >= 60:
        raise ValueError(f"{_short(value)} is no time: minutes after hours must be below 60")
    return _finite(hours * 3600 + minutes * 60 + rest, value)


def is_empty(cell: Any) -> bool:
    """Whether a cell holds nothing, which may be a NaN."""
    return cell is None or cell == "" or (isinstance(cell, float) and cell != cell)


def text_of(cell: Any) -> str | None:
    """A cell as a text; None if it is empty."""
    text = None if is_empty(cell) else str(cell).strip()
    return text or None


def _panda(cells: Cells) -> Iterator[Cells]:
    file = _file(cells, _name(cells, "videoID"))
    spans = [_span(span, "timestamp") for span in _read(cells, "timestamp", list)]
    if not spans:
        raise ValueError("the column `timestamp` has no scene")
    lists: dict[str, list[Any]] = {}
    for column in _PER_SCENE:
        if column in cells:
            empty = is_empty(cells[column])
            lists[column] = [None] * len(spans) if empty else _read(cells, column, list)
            if len(lists[column]) != len(spans):
                has = f"`{column}` has {len(lists[column])} entries, `timestamp` {len(spans)}"
                raise ValueError(f"the column {has}; each needs one per scene")
    rest = _without(cells, "timestamp", "path")
    for number, span in enumerate(spans):
        row = {**rest, **{column: entries[number] for column, entries in lists.items()}, **file, **span}
        yield {**row, "caption": text_of(row.get("caption"))}


def _koala(cells: Cells) -> Iterator[Cells]:
    video = _name(cells, "videoID")
    source = _KOALA_ID.fullmatch(video)
    if source is None:
        raise ValueError(
            f"the column `videoID`: {_short(video)} is no YouTube id of 11 characters with a number after it"
        )
    span = _span(_read(cells, "timestamp", list), "timestamp")
    row = {**_without(cells, "timestamp", "path"), **_file(cells, source[1]), **span}
    yield {**row, "caption": text_of(row.get("caption"))}


def _openvid(cells: Cells) -> Iterator[Cells]:
    path = text_of(cells.get("path")) or _text(cells, "video")
    yield {**_without(cells, "video"), "path": path, "caption": text_of(cells.get("caption"))}


def _vript(cells: Cells) -> Iterator[Cells]:
    if is_empty(cells.get("data")):
        clips = [cells]
    else:  # a whole caption file in one row
        rest = _without(cells, "data")
        found = _read(cells, "data", dict)
        strange = next((name for name, clip in found.items() if not isinstance(clip, dict)), None)
        if strange is not None:
            raise ValueError(f"the column `data`: {_short(strange)} has no fields")
        clips = [{**rest, **clip} for clip in found.values()]
    yield from [_vript_clip(clip) for clip in clips]


def _vript_clip(cells: Cells) -> Cells:
    """The fields of `caption` and of `meta` become columns; `content` is the caption."""
    file = _file(cells, _name(cells, "clip_id"))
    meta, caption = ({} if is_empty(cells.get(name)) else _read(cells, name, dict) for name in ("meta", "caption"))
    if caption and "content" not in caption:
        raise ValueError("the column `caption` has no field `content`")
    further = {**meta, **_without(caption, "content"), **_without(cells, "meta", "caption")}
    return {**_without(further, "path"), **file, "caption": text_of(caption.get("content"))}


def _file(cells: Cells, stem: str) -> Cells:
    """What the file is found by: its path, if somebody has added a column `path` to the sheet; else the stem."""
    path = text_of(cells.get("path"))
    return {"path": path} if path else {"stem": stem}


def _filled(cells: Cells, column: str) -> Any:
    cell = cells.get(column)
    if is_empty(cell):
        raise ValueError(f"the column `{column}` is empty")
    return cell


def _text(cells: Cells, column: str) -> str:
    cell = _filled(cells, column)
    if not isinstance(cell, str):
        raise ValueError(f"the column `{column}`: {_short(cell)} is no text")
    return cell.strip()


def _name(cells: Cells, column: str) -> str:
    """A cell that is the name of a file, without folders."""
    name = _text(cells, column)
    if re.search(r"[/\\\0]", name):
        raise ValueError(f"the column `{column}`: {_short(name)} is no name of a file")
    return name


def _span(cell: Any, column: str) -> Cells:
    if not isinstance(cell, list | tuple) or len(cell) != 2:
        raise ValueError(f"the column `{column}`: {_short(cell)} is no pair of start and end")
    try:
        return dict(zip(TIMES, map(seconds, cell), strict=True))
    except ValueError as error:
        raise ValueError(f"the column `{column}`: {error}") from None


def _read(cells: Cells, column: str, kind: type[Kind]) -> Kind:
    """A cell with a list or with fields: as such, or as a text in JSON or in Python's notation."""
    cell = _filled(cells, column)
    if isinstance(cell, str):
        if len(cell) > LONGEST_CELL:
            raise ValueError(f"the column `{column}` has {len(cell)} characters; at most {LONGEST_CELL} are read")
        cell = _literal(cell)
    if not isinstance(cell, kind):
        what = "list" if kind is list else "object with fields"
        raise ValueError(f"the column `{column}` holds no {what} that can be read: {_short(cells[column])}")
    return cell


def _literal(text: str) -> Any:
    """The value that a text writes in JSON or in Python's notation; None if it writes none."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text.strip())
        except _UNREADABLE:
            continue
    return None


def _without(cells: Cells, *columns: str) -> Cells:
    return {name: cell for name, cell in cells.items() if name not in columns}


def _finite(number: Any, written: Any = None) -> float:
    """`number` as a float. `written`: how it stands in the sheet, if otherwise."""
    try:
        value = float(number)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise ValueError(f"{_short(number if written is None else written)} is no time: it is not finite")
    return value


def _short(value: Any) -> str:
    """A value in a message, cut if it is long."""
    text = repr(value[:60]) if isinstance(value, str | list | tuple) else repr(value)
    return text if len(text) <= 64 else text[:60] + "…"


def _columns(*names: str) -> frozenset[str]:
    return frozenset(names)


LAYOUTS = (
    Layout("Panda-70M", (_columns("videoID", "timestamp", "caption", "matching_score"),), True, _panda),
    Layout(
        "Koala-36M",
        (
            _columns("videoID", "timestamp", "caption", "clarity_score"),
            _columns("videoID", "timestamp", "caption", "video_training_suitability_score"),
        ),
        True,
        _koala,
    ),
    Layout("OpenVid-1M", (_columns("video", "caption", "aesthetic score"),), False, _openvid),
    Layout(
        "Vript",
        (_columns("clip_id", "caption", "meta"), _columns("clip_id", "caption", "voiceover"), _columns("meta", "data")),
        False,
        _vript,
    ),
)
