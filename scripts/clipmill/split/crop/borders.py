"""Which bars of a scene are real, from what `decode.bars` measured of its kept frames.

A bar is real if its edge stands at the same place through the scene, if nothing of the picture is ever seen in it, and
if the edge is seen along most of its length. A frame in which the picture is as dark as the bar contradicts nothing.

Black bars are common, so little more is demanded of them. Bars of any other colour come in pairs of equal colour, and
the picture beside them has texture and moves; or else skies, walls, snow, slides and cartoons would be taken for bars.
A single one is believed at the left or right alone. Soft bars come in pairs of equal width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from clipmill.decode.bars import CLEAR, COLOURS, DARK, SEGMENTS

NEAR = 2.0  # pixels by which an edge may be elsewhere in some frames
WHOLE, MOST = 13, 11  # segments in which the edge of a real bar is seen in some frame: of a single one, of a pair
SEEN_IN = 0.15  # share of the frames that show the edge, at least
AGAINST, SOFT_AGAINST = 0.1, 0.25  # share of the frames that show a picture inside the bar, at most
SURE_IN, SURE_AGAINST = 0.6, 0.3  # if so many frames show the whole edge, what so many others show is bad coding
BLURRED_BY = 8.0  # pixels by which compression may move an edge in a few frames
BLURRED_IN = 0.34  # share of these frames, at most
TINT = 16  # levels by which a black bar may be bluer or redder than grey
SAME_COLOUR = 14  # levels between two bars of a pair
TEXTURE = 5.0  # grey levels: the least spread of the picture along the edge of a bar that is not black
SINGLE_SIDE, SINGLE_END, THIN = 0.2, 0.1, 0.03  # share that a single bar may have: at a side, at top or bottom, always
LEAST, LEAST_LIGHT, LEAST_SOFT = 2.0, 4.0, 8.0  # pixels
SOFT_SEEN_IN, SOFT_SHARE = 0.5, 0.04
EVEN_PAIR = 0.02  # share of the side by which the soft bars of a pair may differ
HALF, FAINT = 8, 3  # segments in which the edge of a soft bar is seen; if the other one is as wide to within NEAR
CHANGES = 1.5  # grey levels by which the spread along an edge changes, if the picture beside it moves
MOVES = 0.1  # mean difference of grey levels from frame to frame, at least, of a picture that moves

SIDES_OF = {"columns": (0, 2), "rows": (1, 3)}  # places in lists of sides


@dataclass(frozen=True)
class Bars:
    """What is known of the bars of a scene's kept frames: arrays of frames × 4 sides; see SIGNALS. Widths in pixels."""

    even: np.ndarray
    seen: np.ndarray
    spread: np.ndarray
    colour: np.ndarray  # frames × 4 × 3
    soft: np.ndarray
    soft_seen: np.ndarray
    moves: bool

    @staticmethod
    def of(part: pa.Table, size: tuple[float, float]) -> Bars | None:
        """Of a part of the signals. None if nothing is known: in no frame, or signals of an older version."""
        kept = part.filter(part["bars"].is_valid())
        if not len(kept):
            return None
        even, seen, spread, soft, soft_seen, *colours = (
            np.array(kept[name].to_pylist(), float)
            for name in ("bars", "bars_seen", "bars_spread", "soft_bars", "soft_bars_seen", *COLOURS)
        )
        pixels = np.array(size * 2, float)
        difference = part["difference"].to_numpy()[1:]
        moves = bool(len(difference)) and float(np.mean(difference)) >= MOVES
        return Bars(
            even * pixels, seen.astype(int), spread, np.stack(colours, -1), soft * pixels, soft_seen.astype(int), moves
        )

    def leave_room_for(self, borders: Borders) -> bool:
        """Whether these borders are possible: in no frame the picture is seen in them."""
        return bool((self.even >= np.array(borders.widths) - BLURRED_BY).all())


@dataclass(frozen=True)
class _Edge:
    """The edge of a bar, as far as its side alone shows: its place, and what is seen there."""

    width: float
    segments: int
    frames: np.ndarray  # which frames show it
    colour: np.ndarray
    spread: float
    changes: bool  # whether the picture beside it moves

    @property
    def is_dark(self) -> bool:
        return float(self.colour[0]) <= DARK and float(np.abs(self.colour[1:]).max()) <= TINT


@dataclass(frozen=True)
class Borders:
    """Widths of a scene's bars in pixels: left, top, right, bottom. `faint`: whether their edges are hardly seen."""

    widths: tuple[float, float, float, float]
    faint: bool = False

    @property
    def any(self) -> bool:
        return max(self.widths) > 0

    def shares(self, size: tuple[float, float]) -> tuple[float, float, float, float]:
        """The widths as shares of the width and the height of frames of `size`."""
        (left, top, right, bottom), (width, height) = self.widths, size
        return left / width, top / height, right / width, bottom / height


NONE = Borders((0, 0, 0, 0))


def find_borders(bars: Bars | None, size: tuple[float, float]) -> Borders:
    """The real bars of a scene with a picture of `size`, without those that are soft."""
    if bars is None:
        return NONE
    widths = [0.0] * 4
    for axis, sides in enumerate(SIDES_OF.values()):
        found = _pair(bars, sides, size[axis], is_upright=axis == 0)
        for side, width in zip(sides, found, strict=True):
            widths[side] = width
    return Borders((widths[0], widths[1], widths[2], widths[3]))


def _pair(bars: Bars, sides: tuple[int, int], length: float, is_upright: bool) -> tuple[float, float]:
    edges = [
        _edge(bars.even[:, side], bars.seen[:, side], bars.colour[:, side], bars.spread[:, side]) for side in sides
    ]
    first, last = edges
    if first and last and _is_pair(first, last, bars.moves):
        return first.width, last.width
    for at, edge in enumerate(edges):
        if edge is None or not _stands_alone(edge, length, is_upright):
            continue
        other = bars.even[:, sides[1 - at]]
        # The other bar of a pair, if its edge is never seen since the picture beside it is always dark.
        hidden = edge.is_dark and _share(other >= edge.width - NEAR) == 1
        found = (edge.width, edge.width if hidden else 0.0)
        return found if at == 0 else found[::-1]
    return 0.0, 0.0


def _edge(widths: np.ndarray, seen: np.ndarray, colour: np.ndarray, spread: np.ndarray) -> _Edge | None:
    counts = segments_seen(seen)
    clear = counts >= CLEAR
    width = _usual(widths[clear], counts[clear])
    if width is None or width < LEAST:
        return None
    here = clear & (np.abs(widths - width) <= NEAR)
    together = int(np.bitwise_or.reduce(seen[here]))
    sure = _share(here) >= SURE_IN and together.bit_count() >= WHOLE
    if _share(widths < width - BLURRED_BY) > (SURE_AGAINST if sure else AGAINST):
        return None
    if _share(widths < width - NEAR) > BLURRED_IN or _share(here) < SEEN_IN:
        return None
    return _Edge(
        width,
        together.bit_count(),
        here,
        np.median(colour[here], axis=0),
        float(np.median(spread[here])),
        bool(np.ptp(spread[here]) >= CHANGES),
    )


def _is_pair(first: _Edge, last: _Edge, moves: bool) -> bool:
    least = min(first.segments, last.segments)
    if first.is_dark and last.is_dark:
        return least >= MOST
    same = np.abs(first.colour - last.colour).max() <= SAME_COLOUR
    wide = min(first.width, last.width) >= LEAST_LIGHT
    return bool(moves and same and wide and least >= MOST and min(first.spread, last.spread) >= TEXTURE)


def _stands_alone(edge: _Edge, length: float, is_upright: bool) -> bool:
    """Whether a bar without a second one is believed. `length`: of the side of the frame along which it is measured."""
    if edge.segments < WHOLE:
        return False
    share = edge.width / length
    if edge.is_dark:
        return share <= THIN or (edge.changes and share <= (SINGLE_SIDE if is_upright else SINGLE_END))
    wide = edge.width >= LEAST_LIGHT and share <= SINGLE_SIDE
    return is_upright and wide and edge.changes and edge.spread >= 2 * TEXTURE


def find_soft_borders(bars: Bars | None, size: tuple[float, float]) -> Borders:
    """Bars of a scene that look like blurred pictures: whether they are, their pixels must tell (`blurred`)."""
    if bars is None or not bars.moves:
        return NONE
    for axis, (first, last) in enumerate(SIDES_OF.values()):
        for clear, whole, apart in ((CLEAR, HALF, max(NEAR, EVEN_PAIR * size[axis])), (1, FAINT, NEAR)):
            one, other = (
                _soft_edge(bars.soft[:, side], bars.soft_seen[:, side], clear, whole) for side in (first, last)
            )
            if one is None or other is None or min(one, other) < max(LEAST_SOFT, SOFT_SHARE * size[axis]):
                continue
            if abs(one - other) <= apart:
                widths = [0.0] * 4
                widths[first], widths[last] = one, other
                return Borders((widths[0], widths[1], widths[2], widths[3]), faint=whole == FAINT)
    return NONE


def _soft_edge(widths: np.ndarray, seen: np.ndarray, least: int, whole: int) -> float | None:
    """Where a soft bar ends. `least`, `whole`: the segments in which its edge is seen, in one frame and together."""
    counts = segments_seen(seen)
    clear = counts >= least
    width = _usual(widths[clear], counts[clear])
    if width is None:
        return None
    here = clear & (np.abs(widths - width) <= NEAR)
    if _share(widths < width - NEAR) > SOFT_AGAINST or _share(here) < SOFT_SEEN_IN:
        return None
    return width if int(np.bitwise_or.reduce(seen[here])).bit_count() >= whole else None


def segments_seen(seen: Sequence[int] | np.ndarray) -> np.ndarray:
    """In how many segments an edge is seen, of each number of `seen`."""
    bits = np.asarray(seen, int)[..., None] >> np.arange(SEGMENTS) & 1
    return bits.sum(-1)


def _usual(widths: np.ndarray, weights: np.ndarray) -> float | None:
    """The width that most frames show, to within a pixel; of several the smallest."""
    if not len(widths):
        return None
    support = [float(weights[np.abs(widths - width) <= 1].sum()) for width in widths]
    best = np.flatnonzero(np.array(support) >= max(support) - 1e-9)
    near = widths[np.abs(widths - widths[best].min()) <= 1]
    values, counts = np.unique(near, return_counts=True)
    return float(values[counts.argmax()])


def _share(which: np.ndarray) -> float:
    return float(np.mean(which))
