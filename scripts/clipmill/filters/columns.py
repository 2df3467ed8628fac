"""The columns that clips can be filtered by: those that `store.tables` gives a place in the order of filters."""

from __future__ import annotations

from collections.abc import Iterable

from clipmill.steps import METRICS
from clipmill.store import tables
from clipmill.store.table import Column

VIDEOS = "videos"  # the source of the scores that a clip has from its video

# Where scores of clips come from: a table, or the video.
_SOURCES: dict[str, Iterable[Column]] = {
    VIDEOS: (*tables.VIDEO_FACTS, *tables.VIDEO_SCORES),
    **{table.name: table.columns for table in (*tables.SIGNAL_SCORES, *tables.FRAME_SCORES)},
}
# And those of clips that have a text.
_LATE_SOURCES: dict[str, Iterable[Column]] = {tables.ALIGNMENT.name: tables.ALIGNMENT.columns}


def _filters(sources: dict[str, Iterable[Column]]) -> dict[str, str]:
    """Each column that clips can be filtered by, in the default order, with its source."""
    found = [(column, source) for source, columns in sources.items() for column in columns if column.filter is not None]
    return {column.name: source for column, source in sorted(found, key=lambda pair: pair[0].filter or 0)}


FILTERS = _filters(_SOURCES)
# Filters of clips that have a text; they come after all others.
LATE_FILTERS = _filters(_LATE_SOURCES)
SOURCES = {**FILTERS, **LATE_FILTERS}
# The columns themselves, in the same order.
COLUMNS: dict[str, Column] = {
    name: next(column for column in {**_SOURCES, **_LATE_SOURCES}[source] if column.name == name)
    for name, source in SOURCES.items()
}
# Metrics that look at frames are costly, so a cascade skips them for clips that a cheaper filter has dropped.
COSTLY = METRICS
# With one frame per clip these scores say nothing, although they are known if there is no text at all.
OF_SEVERAL_FRAMES = ("text_static_area", "text_scene_area")


def in_order(named: Iterable[str]) -> list[str]:
    """All filters but the late ones: those that a config names in `filter_order`, then the others in default order."""
    named = list(named)
    return [*named, *(name for name in FILTERS if name not in named)]
