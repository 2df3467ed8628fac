"""The data of the page, column by column: compact, since a page holds thousands of clips."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from clipmill.filters import verdict
from clipmill.filters.columns import FACTS, WORDS, source
from clipmill.report.judge import Judge
from clipmill.review.choose import Near
from clipmill.store.table import Row
from clipmill.store.tables import REVIEWED

ABOUT = ["clip_id", "video_id", "name", "start", "end", "seconds", "start_frame", "end_frame", "kept", "reason"]
# Of `aspect_ratio` and of frames: a crop is cut out of the kept frames.
ABOUT += ["width", "height", "crop_x", "crop_y", "crop_width", "crop_height", "whole_width", "whole_height"]
TEXTS = ["text", "caption", "text_source"]
NOT_IN_DATASET: Row = dict.fromkeys(("file_path", "split"))  # columns of the metadata that the page needs
DIGITS = 5  # significant digits of a score: those of the tables

Values = dict[str, Any]


def columns(judge: Judge, answers: Iterable[str]) -> list[str]:
    """The columns of the final verdicts that the page needs. `answers`: the columns of the run's questions."""
    return list(dict.fromkeys([*ABOUT, *TEXTS, *judge.filters, *answers]))


def data(
    rows: Sequence[Row], near: Sequence[Near | None], keys: Sequence[str], judge: Judge, answers: Sequence[str]
) -> Values:
    """The data that page.js works with: lists with one entry per clip.

    A list of few different texts is `{words, codes}`; code -1 is none. `scores` and `labels`: what clips can be sorted
    and filtered by; what all clips have in common is left out, but for scores with a bound. `edited`: the clips whose
    text a person wrote.
    """
    known = {column.name: column for column in judge.table.columns}
    labels = [name for name in judge.filters if name in WORDS] + [*answers, "split"]
    numbers = (name for name in judge.filters if name not in WORDS)
    scores = ["seconds", *sorted(numbers, key=lambda name: source(name) == FACTS)]  # facts say least about a clip
    return {
        "ids": [row["clip_id"] for row in rows],
        "keys": list(keys),
        "video": coded(row["video_id"] for row in rows),
        "name": coded(row["name"] for row in rows),
        "start": [number(row["start"], 9) for row in rows],
        "end": [number(row["end"], 9) for row in rows],
        "file": [row["file_path"] for row in rows],
        "text": [row["text"] or row["caption"] for row in rows],
        "edited": [place for place, row in enumerate(rows) if row["text_source"] == REVIEWED],
        "reason": coded(row["reason"] for row in rows),
        "near": [one and [one.name, one.end, one.rank] for one in near],
        "scores": [
            {
                "name": name,
                "unit": known[name].unit,
                "bounds": {end: number(value) for end, value in judge.active.get(name, {}).items()},
                "values": values,
            }
            for name, values in _differing(scores, rows, lambda value: number(value), judge.active)
        ],
        "labels": [
            {"name": name, **coded(values)}
            for name, values in _differing(labels, rows, lambda value: value and str(value), ())
        ],
    }


def _differing(
    names: Iterable[str], rows: Sequence[Row], as_shown: Callable[[Any], Any], always: Iterable[str]
) -> list[tuple[str, list[Any]]]:
    """The columns in which clips differ, and those of `always` that any clip has, with their values."""
    found = []
    for name in names:
        values = [as_shown(verdict.word(row[name]) if isinstance(row[name], bool) else row[name]) for row in rows]
        different = set(values) - {None}
        if len(different) > 1 or (different and name in always):
            found.append((name, values))
    return found


def coded(texts: Iterable[str | None]) -> Values:
    """A list of texts as numbers, by the place of each in the sorted list of different ones."""
    texts = list(texts)
    words = sorted({text for text in texts if text is not None})
    codes: Mapping[str | None, int] = {word: code for code, word in enumerate(words)}
    return {"words": words, "codes": [codes.get(text, -1) for text in texts]}


def number(value: float | None, digits: int = DIGITS) -> float | None:
    """A number with some significant digits, whole ones without a point; None where it is missing or not finite."""
    if value is None or not math.isfinite(value):
        return None
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded == int(rounded) else rounded
