"""The columns that clips can be filtered by: those that `store.tables` gives a place in the order of filters."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from clipmill.store import tables
from clipmill.store.layout import is_classifier
from clipmill.store.table import FLAG, TEXT, Column

FACTS = "facts"  # the source of what is known of a clip before it is scored


def _in_default_order(sources: dict[str, Iterable[Column]]) -> list[tuple[Column, str]]:
    """Each column that clips can be filtered by, with its source, in the default order of filters."""
    found = [(column, source) for source, columns in sources.items() for column in columns if column.filter is not None]
    return sorted(found, key=lambda pair: pair[0].filter or 0)


# A score of a clip comes from its video or from a table. Scores of clips that have a text are filtered by last.
_EARLY = _in_default_order(
    {
        FACTS: (*tables.CLIP_FACTS, *tables.VIDEO_SCORES),
        **{table.name: table.columns for table in (*tables.SIGNAL_SCORES, *tables.FRAME_SCORES)},
    }
)
_LATE = _in_default_order({tables.ALIGNMENT.name: tables.ALIGNMENT.columns})

# Name of each filter -> source of its score.
FILTERS = {column.name: source for column, source in _EARLY}
LATE_FILTERS = {column.name: source for column, source in _LATE}
SOURCES = {**FILTERS, **LATE_FILTERS}
COLUMNS = {column.name: column for column, _ in (*_EARLY, *_LATE)}
# Filters whose values are words or truth values: they allow or deny some. All others have bounds.
WORDS = frozenset(name for name, column in COLUMNS.items() if column.type in (TEXT, FLAG))
# Unit -> the least and the greatest value of its scale, infinite where it is open. Other units have no scale. A cosine,
# which is "0–1" for pictures, can be below 0.
_SCALES: dict[str, tuple[float, float]] = {
    "share": (0, 1),
    "0–1": (-inf, 1),
    "0–255": (0, 255),
    **dict.fromkeys(("pixel", "ratio", "frame/second", "second", "% short side/second", "Hz"), (0, inf)),
}
# With one frame per clip these scores say nothing, although they are known if there is no text at all.
OF_SEVERAL_FRAMES = ("text_static_area", "text_scene_area")


def source(name: str) -> str:
    """The source of a filter's score. That of a classifier is a table of the same name."""
    return name if is_classifier(name) else SOURCES[name]


def filters_of(name: str) -> frozenset[str]:
    """The filters on scores of a source."""
    return frozenset(filter_ for filter_, of in SOURCES.items() if of == name)


def in_order(named: Iterable[str], filters: Iterable[str] = ()) -> list[str]:
    """All filters but the late ones: those that a config names in `filter_order`, then the others in default order.

    `filters`: all that the config has. Classifiers come last, in its order.
    """
    return list(dict.fromkeys([*named, *FILTERS, *filter(is_classifier, filters)]))


def off_scale(name: str, value: float) -> str | None:
    """What is wrong with a bound of a filter that lies outside the scale of its score; None if nothing is."""
    unit = "0–1" if is_classifier(name) else COLUMNS[name].unit
    low, high = _SCALES.get(unit, (-inf, inf))
    if low <= value <= high:
        return None
    scale = f"less than {low:g}" if value < low else f"more than {high:g}"
    percent = f"; {value:g} % is {value / 100:g}" if high == 1 and 1 < value <= 100 else ""
    return f"{value:g}, but no score is {scale}{percent}. Where there is to be no bound, write null"
