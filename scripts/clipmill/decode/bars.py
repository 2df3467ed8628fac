"""Bars beside the picture, measured on each kept frame at full size: where they end, to the pixel, and what they are.

A bar is a run of lines (columns or rows) from a side of the frame inwards. Two kinds are measured. The lines of an
*even* bar have one grey level. The lines of a *soft* bar change slowly: it may be a blurred copy of the picture. Such a
run alone is no bar yet: night skies, walls and snow are runs, too. So it is also measured how much of the run's end is
a straight edge. Whether it is a bar is decided over the whole scene, in the step `split`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from clipmill.base.opencv import cv2
from clipmill.decode.pictures import Grey

SIDES = ("left", "top", "right", "bottom")
SEGMENTS = 16  # parts of an edge, in each of which it is seen or not
LINE_SAMPLES = 160  # pixels of a line that are looked at, at least
TOLERANCE, OF_NOISE, MOST_TOLERANCE = 6, 3, 16  # grey levels of an even bar: at least, per level of noise, at most
STEP, OF_BENDS, MOST_STEP = 8, 9, 24  # grey levels by which lines bend at the edge of a soft bar, in the same way
MOST_BEND = 255
BEND = np.array([[1, -2, 1]], np.float32)
FEW, FEW_SHARP = 0.02, 0.06  # share of a line's pixels that may be off, or sharp, within a bar
EDGE_LINES = 8  # lines within which a bar ends: compression leaves traces of the picture beside it
REACHED = 0.7  # the edge is where this share of the difference is reached
CLEAR = 5  # segments in which the end of a run must be an edge, for the run to be a bar in this frame
DARK = 48  # the level of a black bar, at most
MOST_OF_TEXT, TEXT_SHARE = 12, 0.6  # of text in a black bar: the segments, and the share of a line's pixels, at most
MOST_OF_SIDE = 0.49  # share of the frame that a soft bar may have

Signals = dict[str, list[float] | None]
"""SIGNALS columns of a kept frame: lists of a number per side, in the order of SIDES; all None if nothing is known."""

COLOURS = ("bars_luma", "bars_blue", "bars_red")
COLUMNS = ("bars", "bars_seen", "bars_spread", *COLOURS, "soft_bars", "soft_bars_seen")


class Run(NamedTuple):
    """A run of lines from a side: how many, at which segments of its end there is an edge (bits), and the standard
    deviation of the grey levels beyond the edge.
    """

    lines: int
    seen: int = 0
    spread: float = 0.0


class Pair(NamedTuple):
    """The runs at both ends of an axis."""

    first: Run
    last: Run


def bar_signals(grey: Grey, small: np.ndarray) -> Signals:
    """What is measured of one kept frame.

    `grey`: the frame upright at full size; its pixels need not be square. `small`: the frame in BGR, of
    any size, from which the bars' colours are read.
    """
    columns, rows = grey.shown(_few_rows(grey.stored)), grey.shown(_few_columns(grey.stored))
    sides = _even(columns)
    # Rows are judged between the bars at the left and the right, and then columns between those at top and bottom.
    ends = _even(_between(rows, sides, columns)) if sides else None
    if sides is None or ends is None:
        return dict.fromkeys(COLUMNS)
    if any(_is_bar(run) for run in ends):
        sides = _even(_between(columns, ends, rows)) or sides
    even = (sides.first, ends.first, sides.last, ends.last)
    soft_sides, soft_ends = _soft(_between(columns, ends, rows)), _soft(_between(rows, sides, columns))
    soft = (soft_sides.first, soft_ends.first, soft_sides.last, soft_ends.last)
    lengths = grey.stored.shape[::-1] * 2
    shares = [run.lines / length for run, length in zip(even, lengths, strict=True)]
    colours = np.array([_colour(small, side, share) for side, share in enumerate(shares)])
    return {
        "bars": shares,
        "bars_seen": [run.seen for run in even],
        "bars_spread": [run.spread for run in even],
        **dict(zip(COLOURS, colours.T.tolist(), strict=True)),
        "soft_bars": [run.lines / length for run, length in zip(soft, lengths, strict=True)],
        "soft_bars_seen": [run.seen for run in soft],
    }


def _few_rows(grey: np.ndarray) -> np.ndarray:
    """All columns of a picture, with some of their pixels: pixels × columns."""
    return grey[:: max(1, grey.shape[0] // LINE_SAMPLES)]


def _few_columns(grey: np.ndarray) -> np.ndarray:
    """All rows of a picture, with some of their pixels: pixels × rows."""
    return np.ascontiguousarray(grey[:, :: max(1, grey.shape[1] // LINE_SAMPLES)].T)


def _between(lines: np.ndarray, bars: Pair, across: np.ndarray) -> np.ndarray:
    """The pixels of `lines` between two bars of the other axis, whose lines are `across`. Runs that end without much
    of an edge are no bars.
    """
    first, last = (run.lines / across.shape[1] if _is_bar(run) else 0.0 for run in bars)
    first, last = (first, 1 - last) if first + last < 1 else (0.0, 1.0)
    begin, end = round(first * len(lines)), round(last * len(lines))
    return lines[begin : max(end, begin + 1)]


def _is_bar(run: Run) -> bool:
    return run.lines > 0 and run.seen.bit_count() >= CLEAR


def _even(lines: np.ndarray) -> Pair | None:
    """The even runs at the first and the last lines of pixels × lines; None if one of them is the whole frame."""
    first, last = _even_run(lines), _even_run(lines[:, ::-1])
    return Pair(first, last) if first and last else None


def _even_run(lines: np.ndarray) -> Run | None:
    rim = lines[:, :2]
    level = _median(rim)
    noise = float(np.abs(rim - level).sum() / rim.size)
    tolerance = min(TOLERANCE + OF_NOISE * noise, MOST_TOLERANCE)
    for near in _nearest_first(lines):
        off = cv2.bitwise_not(cv2.inRange(near, level - tolerance, level + tolerance))
        share = _shares(off)
        ends = np.flatnonzero(share > FEW)
        is_whole = near.shape[1] == lines.shape[1]
        if len(ends) and (is_whole or ends[0] + 2 * EDGE_LINES < near.shape[1]):
            run = _ended(near, off, share, int(ends[0]))
            if level > DARK or run.lines < 2 or run.seen.bit_count() >= MOST_OF_TEXT:
                return run
            if is_whole:
                return _behind_text(near, off, share, run)
    return None


def _ended(lines: np.ndarray, off: np.ndarray, share: np.ndarray, end: int) -> Run:
    """The run that ends at line `end` or a few lines later."""
    near = share[end : end + EDGE_LINES]
    edge = end + int(np.argmax(near >= REACHED * near.max()))
    beyond, most = lines[:, edge : edge + 3], off[:, edge : edge + 3] > 0
    spread = _deviation(np.add.reduce(beyond, 1) / beyond.shape[1])
    return Run(edge, _seen(2 * np.add.reduce(most, 1) > most.shape[1]), spread)


def _behind_text(lines: np.ndarray, off: np.ndarray, share: np.ndarray, run: Run) -> Run:
    """A black bar with a line of text or a logo in it: the run up to the next edge, if most of it is black; or `run`.

    Such an edge has black lines before it.
    """
    wide = np.flatnonzero(share > TEXT_SHARE)
    if not len(wide):
        return run
    end = int(wide[0])
    clean = share[:end] <= FEW
    begin = end - EDGE_LINES
    if begin <= run.lines or clean.mean() < 0.5 or not clean[begin - 2 : begin].all():
        return run
    behind = _ended(lines, off, share, begin + int(np.argmax(share[begin : end + 1] > FEW)))
    return behind if behind.seen.bit_count() >= CLEAR else run


def _soft(lines: np.ndarray) -> Pair:
    """The soft runs at the first and the last lines of pixels × lines."""
    return Pair(_soft_run(lines), _soft_run(lines[:, ::-1]))


def _soft_run(lines: np.ndarray) -> Run:
    """Soft lines have no bend: second differences see an edge of one pixel, but not what was blurred."""
    most = int(lines.shape[1] * MOST_OF_SIDE)
    if most < EDGE_LINES:
        return Run(0)
    for near in _nearest_first(lines[:, : most + EDGE_LINES]):
        bends = cv2.filter2D(near, cv2.CV_16S, BEND, borderType=cv2.BORDER_REPLICATE)  # at line 0, 1, …
        bends = cv2.convertScaleAbs(bends)  # those above 255 are above any threshold
        usual = _median(bends[:, : max(2, most // 10)])
        threshold = min(max(STEP, OF_BENDS * usual), MOST_STEP)
        sharp = np.asarray(cv2.inRange(bends, threshold, MOST_BEND), np.uint8)
        ends = np.flatnonzero(_shares(sharp) > FEW_SHARP)
        if len(ends) and ends[0] + 2 * EDGE_LINES < near.shape[1]:
            break
    if not len(ends) or ends[0] >= most - 1:
        return Run(most)
    begin = max(1, int(ends[0]))
    here = near[:, begin - 1 : begin + EDGE_LINES].astype(np.int16)
    edge = begin + int(np.argmax(np.abs(here[:, 1:] - here[:, :-1]).sum(0)))
    return Run(edge, _seen((sharp[:, edge - 1] | sharp[:, edge]) > 0))


def _nearest_first(lines: np.ndarray) -> Iterator[np.ndarray]:
    """The first of some lines, and then all of them: most runs end soon."""
    few = max(lines.shape[1] // 6, 4 * EDGE_LINES)
    if few < lines.shape[1]:
        yield np.ascontiguousarray(lines[:, :few])
    yield np.ascontiguousarray(lines)


def _shares(flags: np.ndarray) -> np.ndarray:
    """The share of each line's pixels that have the flag: `flags` is pixels × lines, 0 or 255."""
    return cv2.reduce(flags, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[0] // 255 / len(flags)


def _seen(edge: np.ndarray) -> int:
    """In which segments more than half of an edge's pixels are so: bit k stands for segment k."""
    ends = _segment_ends(len(edge))
    sums = np.zeros(len(edge) + 1, np.int64)
    np.cumsum(edge, out=sums[1:])
    noted = sums[ends]
    seen = 2 * (noted[1:] - noted[:-1]) > ends[1:] - ends[:-1]
    return int.from_bytes(np.packbits(seen, bitorder="little").tobytes(), "little")


@cache
def _segment_ends(length: int) -> np.ndarray:
    return np.arange(SEGMENTS + 1) * length // SEGMENTS


def _deviation(values: np.ndarray) -> float:
    """The standard deviation; numpy's own takes several times as long for few values."""
    off = values - np.add.reduce(values) / values.size
    return math.sqrt(np.add.reduce(off * off) / values.size)


def _median(levels: np.ndarray) -> float:
    """The median of bytes, counted: `np.median`, and `np.partition` too, takes ten times as long."""
    counts = cv2.calcHist([np.ascontiguousarray(levels)], [0], None, [256], [0, 256])
    middle = (levels.size - 1) // 2, levels.size // 2
    low, high = counts.reshape(-1).cumsum().searchsorted(middle, side="right").tolist()
    return (low + high) / 2


def _colour(small: np.ndarray, side: int, share: float) -> tuple[float, float, float]:
    """The mean grey level of a bar, and how much bluer and redder than grey it is."""
    across = side in (0, 2)
    lines = small if across else small.transpose(1, 0, 2)
    lines = lines if side < 2 else lines[:, ::-1]
    count = max(1, int(share * lines.shape[1]))
    blue, green, red = lines[:, : max(1, count - 1)].reshape(-1, 3).mean(0).tolist()
    luma = 0.114 * blue + 0.587 * green + 0.299 * red
    return luma, blue - luma, red - luma
