"""Text and logos laid over the edges of a picture: edges that stand still while the picture behind them moves.

The gradient of a frame is the picture's, but where an overlay begins or ends it is always the same. So the median over
time of the gradients leaves the overlays alone, semi-transparent ones too (Dekel et al., "On the effectiveness of
visible watermarks", 2017, use the same). Where the camera stands, all edges stand still: then nothing can be said.
What a camera zooms at, or turns around, hardly moves. An overlay does not move at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from clipmill.base.opencv import cv2
from clipmill.split.crop.rectangle import Box
from clipmill.split.crop.steady import drift, median, outermost

LEAST_FRAMES = 5  # with fewer, edges of the picture itself may stand still by chance
MANY_FRAMES = 10
EDGE = 3.0  # levels per pixel: the least median gradient of an overlay
FINE = 15  # pixels: what is broader is no edge
BAND = 0.25  # share of a side from the edge in which overlays lie
STILL_ELSEWHERE = 0.02  # share of all other edges that stand still, at most, or else the camera stands
MOVES = 3.0  # grey levels: median deviation in time of a pixel of a moving picture
MOVES_ALL, MOVES_AROUND = 0.4, 0.4  # share of such pixels in the picture, and beside an overlay
HARDLY_ELSEWHERE = 0.003  # share of all other edges that stand still: with less, MOVES_SOME of the picture is enough
MOVES_SOME = 0.15
JOINED = 0.03  # of the short side: parts of an overlay that are nearer are one
LEAST_EDGE = 24  # pixels of edges in an overlay
DENSE, DENSE_IN = 4, 5  # pixels of still edges in a square of so many pixels: fewer are chance
ONE_WAY = 0.12  # edges of one direction to those of the other, at least: less have lines along which a camera pans
ONE_WAY_AT_BORDER = 0.3  # the same of what begins at the border of the picture, as a post does
BORDER = 2  # pixels
MOST_DRIFT = 0.4  # pixels by which an overlay may seem to move within a scene
FAINT = 0.15, 0.4, 0.4  # share of an overlay's strongest edges that are no traces of coding: grey, two of colour
CLEAR = 0.25  # strength of a channel's edges to those of the strongest, at least, if it is asked where they are
COLOUR_BLUR = 2.0  # pixels by which coding may blur edges in colour
REACH = 6  # pixels around a box in which its edges are


class Allowed(NamedTuple):
    """How far frames may differ where an edge stands still.

    `beside`: how much of a frame's gradient may go another way than the median gradient does, as a share of that.
    `otherwise`: the share of the frames that may have any gradient. `of_few`: the same of fewer than MANY_FRAMES.
    """

    beside: float
    otherwise: float
    of_few: float

    def frames(self, count: int) -> int:
        """How many of `count` frames may have any gradient."""
        return int((self.otherwise if count >= MANY_FRAMES else self.of_few) * count)


# By the second one, what is found by the first one is completed. Few frames are often alike by chance.
STRICT, LOOSE = Allowed(0.7, 0.13, 0.13), Allowed(1.5, 0.25, 0.13)


@dataclass(frozen=True)
class _Channel:
    """One channel of the frames, and where its edges stand still: arrays of height × width."""

    levels: np.ndarray  # frames × height × width
    usual: np.ndarray  # 2 × height × width: the median gradient
    still: np.ndarray
    nearly: np.ndarray
    edges: float  # pixels of edges in a frame, on average


def find_overlays(frames: Sequence[np.ndarray]) -> list[Box]:
    """The boxes of a scene's overlays, in pixels of its kept frames (BGR, of one size), exact to a part of a pixel."""
    if len(frames) < LEAST_FRAMES:
        return []
    channels = [_channel(levels) for levels in _levels(frames)]
    moves = _moving(channels[0].levels)
    if moves.mean() < MOVES_SOME:
        return []
    still, nearly = (np.any([getattr(one, name) for one in channels], axis=0) for name in ("still", "nearly"))
    reach = max(3, round(JOINED * min(still.shape)))
    candidates = [box for box in _boxes(still, nearly, reach) if _may_be_overlay(channels, still, box)]
    elsewhere = still.copy()
    for box in candidates:
        elsewhere[box] = False
    share = elsewhere.sum() / max(1.0, channels[0].edges)
    found = [box for box in candidates if _moves_behind(moves, box, reach, share)]
    if found and share <= HARDLY_ELSEWHERE:
        found = candidates  # the camera moves, and they do not
    return [_exact(channels, box) for box in found]


def _levels(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Grey and the two differences of colour: 3 × frames × height × width."""
    return np.array([cv2.cvtColor(frame, cv2.COLOR_BGR2YCrCb) for frame in frames], np.float32).transpose(3, 0, 1, 2)


def _channel(levels: np.ndarray) -> _Channel:
    levels = np.ascontiguousarray(levels)
    gradients = np.array([_gradient(one) for one in levels])
    usual = median(gradients)
    rows, columns = np.nonzero((usual**2).sum(0) >= EDGE**2)
    there = gradients[:, :, rows, columns]
    # Broad slopes hardly change as a picture moves.
    fine = there - np.array(
        [[cv2.blur(one, (FINE, FINE))[rows, columns] for one in gradient] for gradient in gradients]
    )
    usual_fine = median(fine)
    still, nearly = np.zeros((2, *usual.shape[1:]), bool)
    for found, allowed in ((still, STRICT), (nearly, LOOSE)):
        found[rows, columns] = _still(there, usual[:, rows, columns], allowed) & _still(fine, usual_fine, allowed)
    edges = float(np.mean([np.count_nonzero((one**2).sum(0) >= EDGE**2) for one in gradients]))
    return _Channel(levels, usual, still, nearly, edges)


def _gradient(levels: np.ndarray) -> np.ndarray:
    """Levels per pixel to the right and downwards: 2 × height × width."""
    return np.array([cv2.Sobel(levels, cv2.CV_32F, *way, ksize=3, scale=1 / 8) for way in ((1, 0), (0, 1))])


def _still(gradients: np.ndarray, usual: np.ndarray, allowed: Allowed) -> np.ndarray:
    """Where the gradients of frames (frames × 2 × pixels) are nearly the same in nearly all of them.

    `usual`: their median.
    """
    strength = (usual**2).sum(0)
    along = (gradients * usual).sum(1)
    beside = np.abs(gradients[:, 0] * usual[1] - gradients[:, 1] * usual[0])
    alike = (along >= strength / 2) & (beside <= allowed.beside * strength)
    return (strength >= EDGE**2) & (alike.sum(0) >= len(gradients) - allowed.frames(len(gradients)))


def _moving(greys: np.ndarray) -> np.ndarray:
    """Which pixels of frames (frames × height × width) usually differ from what they mostly are.

    Light that changes everywhere is no motion, and neither is what passes once.
    """
    off = greys - median(greys)
    off -= np.median(off, axis=(1, 2), keepdims=True)
    return median(np.abs(off)) >= MOVES


Part = tuple[slice, slice]  # rows and columns


def _boxes(still: np.ndarray, nearly: np.ndarray, reach: int) -> list[Part]:
    """The boxes of edges that stand still, with what is near to them and nearly does."""
    dense = still & (cv2.boxFilter(still.astype(np.float32), -1, (DENSE_IN, DENSE_IN), normalize=False) >= DENSE - 0.5)
    square = np.ones((reach, reach), np.uint8)
    wide = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    near = cv2.dilate(dense.astype(np.uint8), wide) & nearly.astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(cv2.morphologyEx(near, cv2.MORPH_CLOSE, square))
    return [(slice(top, top + high), slice(left, left + wide)) for left, top, wide, high, _ in stats[1:count].tolist()]


def _may_be_overlay(channels: Sequence[_Channel], still: np.ndarray, box: Part) -> bool:
    """Whether edges in a box lie where overlays do, go more than one way, and do not move at all."""
    if still[box].sum() < LEAST_EDGE or not _is_at_an_edge(box, still.shape):
        return False
    channel = _clearest(channels, box)
    ways = sorted(float(np.abs(one[box][channel.still[box]]).sum()) for one in channel.usual)
    if ways[0] < (ONE_WAY_AT_BORDER if _is_at_border(box, still.shape) else ONE_WAY) * ways[1]:
        return False
    return drift(channel.levels[:, *box], channel.nearly[box]) <= MOST_DRIFT


def _clearest(channels: Sequence[_Channel], box: Part) -> _Channel:
    """The channel in which the edges in a box are strongest."""
    return max(channels, key=lambda one: _strength(one, box))


def _strength(channel: _Channel, box: Part) -> float:
    return float(np.abs(channel.usual[:, *box] * channel.still[box]).sum())


def _is_at_an_edge(box: Part, shape: tuple[int, ...]) -> bool:
    """Whether a box lies within the band along one side of the picture."""
    return any(
        part.stop <= BAND * length or part.start >= (1 - BAND) * length for part, length in zip(box, shape, strict=True)
    )


def _is_at_border(box: Part, shape: tuple[int, ...]) -> bool:
    return any(part.start < BORDER or part.stop > length - BORDER for part, length in zip(box, shape, strict=True))


def _moves_behind(moves: np.ndarray, box: Part, reach: int, still_elsewhere: float) -> bool:
    """Whether the picture behind a box moves, as far as that can be told from what is around it, and elsewhere."""
    if _moves_around(moves, box, reach) < MOVES_AROUND:
        return False
    if moves.mean() >= MOVES_ALL:
        return still_elsewhere <= STILL_ELSEWHERE
    return still_elsewhere <= HARDLY_ELSEWHERE and not _is_at_border(box, moves.shape)


def _moves_around(moves: np.ndarray, box: Part, reach: int) -> float:
    """The share of the pixels around a box that move."""
    around = tuple(slice(max(0, side.start - reach), side.stop + reach) for side in box)
    inner = np.zeros_like(moves)
    inner[box] = True
    ring = ~inner[around]
    return float(moves[around][ring].mean()) if ring.any() else 0.0


def _exact(channels: Sequence[_Channel], box: Part) -> Box:
    """The edges of an overlay to a part of a pixel, or to a pixel where nobody can tell."""
    (top, bottom), (left, right) = (
        (max(0, part.start - REACH), min(length, part.stop + REACH))
        for part, length in zip(box, channels[0].still.shape, strict=True)
    )
    known = box[1].start - left, box[0].start - top, right - box[1].stop, bottom - box[0].stop
    clear = [(one.levels[:, top:bottom, left:right], faint) for one, faint in _clear(channels, box)]
    first, second, third, fourth = (
        _place([(_seen_from(side, levels), faint) for levels, faint in clear], known[side]) for side in range(4)
    )
    return Box(left + first, top + second, right - third, bottom - fourth)


def _clear(channels: Sequence[_Channel], box: Part) -> list[tuple[_Channel, float]]:
    """The channels in which edges in a box are clearly seen, and the shares of FAINT."""
    strengths = [_strength(one, box) for one in channels]
    least = CLEAR * max(strengths)
    return [(one, faint) for one, faint, has in zip(channels, FAINT, strengths, strict=True) if has >= least]


def _seen_from(side: int, levels: np.ndarray) -> np.ndarray:
    """Frames × rows × columns with the left, top, right or bottom side at the top."""
    turned = levels if side % 2 else levels.swapaxes(1, 2)
    return turned if side < 2 else turned[:, ::-1]


def _place(channels: Sequence[tuple[np.ndarray, float]], known: float) -> float:
    """Where an overlay begins from the top, as the first channel says, or all others if they see it well outside.

    The first one is grey, whose edges are the sharpest, unless they are hardly seen.
    """
    places = [outermost(levels, EDGE, faint, LOOSE.frames(len(levels))) for levels, faint in channels]
    first, *others = [place for place in places if place is not None] or [known]
    outside = max(others, default=first)
    return outside if outside < first - COLOUR_BLUR else first
