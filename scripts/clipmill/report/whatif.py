"""The compact table of scores from which the page recomputes which clips are kept at other thresholds."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from clipmill.filters.columns import LATE_FILTERS, OF_SEVERAL_FRAMES
from clipmill.report.collect import SEED, Collected
from clipmill.report.judge import Looked
from clipmill.report.scales import Scale, exempt_code, scale, scale_of_words

# Up to this many clips a score takes two bytes and any threshold is exact. Beyond that a score takes one byte, and only
# thresholds at the stops are exact.
FINE_ROWS = 100_000
MICROSECONDS = 1_000_000  # per second; tables are no finer
MOST_BYTES = 10_500_000  # of all columns on the page; above it the page has a random sample of the rows


def offered(collected: Collected, config: Mapping[str, Any]) -> list[str]:
    """The filters that get a slider: those with a bound, and those that may have one, if some clips have the score."""
    one_frame = config.get("text", {}).get("frames", 2) < 2
    return [
        name
        for name, values in collected.values.items()
        if name in collected.judge.active
        or (np.isfinite(values).any() and not (one_frame and name in OF_SEVERAL_FRAMES))
    ]


def tabulate(
    collected: Collected, pictures: Looked, names: list[str], most_bytes: int = MOST_BYTES
) -> tuple[dict[str, Any], dict[str, Scale]]:
    """The table as JSON can hold it, and the scale of each of the filters `names`.

    A column is deflated and in base64. Its last rows, which are not counted, are the clips that the page shows.
    `clips`: the number of all clips; if there are fewer `rows`, they are a random sample. `lengths`: the mean of each
    bin, in microseconds; `exact`: whether these are the lengths of every single clip.
    """
    rows = np.arange(len(collected.fate))
    kind = np.dtype(np.uint16 if len(rows) <= FINE_ROWS else np.uint8)
    scales = {}
    for name in names:
        values, judge = collected.values[name], collected.judge
        if name in judge.words:
            scales[name] = scale_of_words(len(judge.words[name]))
        else:
            scales[name] = scale(values[np.isfinite(values)], judge.bounds[name], kind)
    columns = _columns(collected, pictures, scales, kind)
    lengths, exact = {}, True
    for name in ("seconds", "trimmed"):
        bins, lengths[name], all_apart = binned(getattr(collected, name), kind)
        columns[name] = np.concatenate([bins, np.zeros(len(pictures.fate), kind)])
        exact &= all_apart
    packed = {name: _pack(column) for name, column in columns.items()}
    size = sum(map(len, packed.values()))
    if size > most_bytes:
        chosen = np.random.default_rng(SEED).choice(len(rows), int(len(rows) * 0.97 * most_bytes / size), replace=False)
        rows = np.sort(chosen)
        shown = np.arange(len(collected.fate), len(columns["fate"]))
        packed = {name: _pack(column[np.concatenate([rows, shown])]) for name, column in columns.items()}
    return {
        "clips": collected.judged,
        "rows": len(rows),
        "bytes": kind.itemsize,
        "columns": packed,
        "lengths": {name: _pack(means.astype("<f8")) for name, means in lengths.items()},
        "exact": exact,
    }, scales


def edges(scale: Scale) -> str | None:
    """The edges of a scale for the page; None if they are the stops."""
    return _pack(scale.edges.astype("<f8")) if scale.whole else None


def _columns(collected: Collected, pictures: Looked, scales: dict[str, Scale], kind: np.dtype) -> dict[str, np.ndarray]:
    columns = {}
    exempt = np.concatenate([collected.exempt, pictures.exempt])
    for name, own in scales.items():
        values = np.concatenate([collected.values[name], pictures.values[name]])
        codes = own.codes(values, np.concatenate([collected.unknown[name], pictures.unknown[name]]), kind)
        columns[name] = np.where(exempt, exempt_code(kind), codes) if name in LATE_FILTERS else codes
    columns["fate"] = np.concatenate([collected.fate, pictures.fate]).astype(np.uint8)
    return columns


def binned(lengths: np.ndarray, kind: np.dtype) -> tuple[np.ndarray, np.ndarray, bool]:
    """For each of `lengths` the number of its bin, the bins' means, and whether no bin has two different lengths.

    Means are whole microseconds, so sums of them are exact, and the sum over all clips is right for any bins. Half of
    the upper ends are quantiles, and half rise in equal steps, so that neither many equal lengths nor a few long ones
    spoil a bin.
    """
    whole = np.round(lengths * MICROSECONDS)
    ends, room = np.unique(whole), np.iinfo(kind).max + 1
    exact = len(ends) <= room
    if not exact:
        steps = np.linspace(ends[0], ends[-1], room // 2 + 1)[1:-1]
        ends = np.union1d(steps, np.quantile(whole, np.linspace(0, 1, room // 2 + 1), method="higher"))
    bins = np.searchsorted(ends, whole)
    sums, clips = np.bincount(bins, whole, len(ends)), np.bincount(bins, minlength=len(ends))
    return bins.astype(kind), np.round(sums / np.maximum(clips, 1)), exact


def _pack(column: np.ndarray) -> str:
    little = column.astype(column.dtype.newbyteorder("<"))
    return base64.b64encode(zlib.compress(little.tobytes(), 6)).decode("ascii")
