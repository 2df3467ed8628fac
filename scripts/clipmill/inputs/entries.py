"""What a listing of an archive says of each video in it, and of each entry that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

from clipmill.base.files import clean_text
from clipmill.inputs.given import CAPTION, GivenRow
from clipmill.store.table import Field, Table, columns_of


class Said(TypedDict):
    """What an archive says of a video."""

    caption: Annotated[str | None, Field("", "its caption, if captions were asked for")]
    further: Annotated[str | None, Field("", "its further fields as JSON, if captions were asked for")]


class Entry(Said):
    """A video in an archive; with `error_kind` an entry that cannot be used, or a fault of the whole archive."""

    name: Annotated[str, Field("", "name in the archive; empty for a fault of the whole archive")]
    offset: Annotated[int | None, Field("", "as in the index")]
    size_bytes: Annotated[int | None, Field("byte", "size of the video")]
    row: Annotated[int | None, Field("", "number of its row, from 1; missing in an archive without rows")]
    error_kind: Annotated[str | None, Field("", "one fixed word for the error; missing if there was none")]
    error: Annotated[str | None, Field("", "the message: what is wrong, and what to do")]


ENTRIES: Table[Entry] = Table(
    "archive", "work/index/archives/<hash of the path>.parquet", "video in an archive", columns_of(Entry)
)


def video(name: str, offset: int, size: int, row: int | None = None) -> Entry:
    """A video that can be used, unless its name cannot be stored."""
    if name != clean_text(name):
        return fault(name, "bad_name", "its name in the archive is not valid UTF-8; rename it there")
    return {
        "name": name,
        "offset": offset,
        "size_bytes": size,
        "row": row,
        "caption": None,
        "further": None,
        "error_kind": None,
        "error": None,
    }


def said(caption: Any, fields: Mapping[str, Any], others: Mapping[str, Any]) -> Said:
    """What is said of a video: a text, the fields of its JSON, of which `caption` counts without a text, and others."""
    fields = dict(fields)
    in_fields = fields.pop(CAPTION, None)
    text = next((one.strip() for one in (caption, in_fields) if isinstance(one, str) and one.strip()), None)
    further = {**fields, **others}
    return {"caption": text, "further": json.dumps(further, default=str) if further else None}


def given_by(entry: Entry, place: int) -> GivenRow:
    """What an archive gives of the video at `place` of those found."""
    return GivenRow(entry["row"], place, caption=entry["caption"], further=json.loads(entry["further"] or "{}"))


def fault(name: str, kind: str, message: str) -> Entry:
    """An entry that cannot be used."""
    return {
        "name": clean_text(name),
        "offset": None,
        "size_bytes": None,
        "row": None,
        "caption": None,
        "further": None,
        "error_kind": kind,
        "error": message,
    }
