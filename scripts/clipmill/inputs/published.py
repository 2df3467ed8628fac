"""Stub until the real one is merged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Cells = dict[str, Any]


@dataclass(frozen=True)
class Layout:
    name: str
    has_times: bool

    def rows(self, cells: Cells) -> Iterator[Cells]:
        yield cells


def layout_of(columns: Iterable[str]) -> Layout | None:
    return None


def seconds(value: Any) -> float:
    import math

    if isinstance(value, str):
        total = 0.0
        for part in value.split(":"):
            total = total * 60 + float(part)
        value = total
    value = float(value)
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{value!r} is no time")
    return value
