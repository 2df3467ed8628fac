"""Text and logos laid over the edges of a picture: edges that stand still while the picture behind them moves.

The gradient of a frame is the picture's, but where an overlay begins or ends it is always the same. So the median over
time of the gradients leaves the overlays alone, semi-transparent ones too (Dekel et al., "On the effectiveness of
visible watermarks", 2017, use the same). Where the camera stands, all edges stand still: then nothing can be said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clipmill.base.opencv import cv2
from clipmill.split.crop.rectangle import Box

LEAST_FRAMES = 5  # with fewer, edges of the picture itself may stand still by chance
EDGE = 3.0  # grey levels per pixel: the least median gradient of an overlay
FINE = 15  # pixels: what is broader is no edge
BAND = 0.25  # share of a side from the edge in which overlays lie
STILL_ELSEWHERE = 0.02  # share of all other edges that stand still, at most, or else the camera stands
MOVES = 3.0  # grey levels: median deviation in time of a pixel of a moving picture
MOVES_ALL, MOVES_AROUND = 0.4, 0.4  # share of such pixels in the picture, and beside an overlay
JOINED = 0.03  # of the short side: parts of an overlay that are nearer are one
LEAST_EDGE = 24  # pixels of edges in an overlay
ONE_WAY = 0.12  # edges of one direction to those of the other, at least: less have lines along which a camera pans
MARGIN = 1  # pixels around an overlay: its edges are blurred


class Allowed(NamedTuple):
    """How far frames may differ where an edge stands still.

    `beside`: how much of a frame's gradient may go another way than the median gradient does, as a share of that.
    `otherwise`: the share of the frames that may have any gradient.
    """

    beside: float
    otherwise: float


STRICT, LOOSE = Allowed(0.7, 0.13), Allowed(1.5, 0.25)  # by the second one, what is found by the first one is completed


def find_overlays(frames: Sequence[np.ndarray]) -> list[Box]:
    """The boxes of a scene's overlays, in pixels of its kept frames (BGR, of one size)."""
    if len(frames) < LEAST_FRAMES:
        return []
    greys = np.array([cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames], np.float32)
    gradients = np.array([_gradient(grey) for grey in greys])
    broad = np.array([[cv2.blur(one, (FINE, FINE)) for one in gradient] for gradient in gradients])
    fine = gradients - broad  # broad slopes hardly change as a picture moves
    usual, usual_fine = np.median(gradients, axis=0), np.median(fine, axis=0)
    still, nearly = (
        _still(gradients, usual, allowed) & _still(fine, usual_fine, allowed) for allowed in (STRICT, LOOSE)
    )
    moves = _moving(greys)
    if moves.mean() < MOVES_ALL:
        return []
    reach = max(3, round(JOINED * min(still.shape)))
    joined = cv2.morphologyEx(nearly.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((reach, reach), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(joined)
    found = []
    for left, top, across_, down_, _ in stats[1:count].tolist():
        box = slice(top, top + down_), slice(left, left + across_)
        if still[box].sum() < LEAST_EDGE or not _is_at_an_edge(left, top, across_, down_, still.shape):
            continue
        ways = sorted(float(np.abs(one[box][still[box]]).sum()) for one in usual)
        if ways[0] >= ONE_WAY * ways[1] and _moves_around(moves, box, reach):
            found.append(_widened(left, top, across_, down_, still.shape))
    for left, top, right, bottom in found:
        still[int(top) : int(bottom), int(left) : int(right)] = False
    edges = float(((gradients**2).sum(1) >= EDGE**2).mean(0).sum())
    return found if still.sum() <= STILL_ELSEWHERE * edges else []


def _gradient(grey: np.ndarray) -> np.ndarray:
    """Grey levels per pixel to the right and downwards: 2 × height × width."""
    return np.array([cv2.Sobel(grey, cv2.CV_32F, *way, ksize=3, scale=1 / 8) for way in ((1, 0), (0, 1))])


def _still(gradients: np.ndarray, usual: np.ndarray, allowed: Allowed) -> np.ndarray:
    """Where the gradients of frames (frames × 2 × height × width) are nearly the same in nearly all of them.

    `usual`: their median.
    """
    strength = (usual**2).sum(0)
    along = (gradients * usual).sum(1)
    beside = np.abs(gradients[:, 0] * usual[1] - gradients[:, 1] * usual[0])
    alike = (along >= strength / 2) & (beside <= allowed.beside * strength)
    return (strength >= EDGE**2) & (alike.sum(0) >= len(gradients) - int(allowed.otherwise * len(gradients)))


def _moving(greys: np.ndarray) -> np.ndarray:
    """Which pixels of frames (frames × height × width) usually differ from what they mostly are.

    Light that changes everywhere is no motion, and neither is what passes once.
    """
    off = greys - np.median(greys, axis=0)
    off -= np.median(off, axis=(1, 2), keepdims=True)
    return np.median(np.abs(off), axis=0) >= MOVES


def _is_at_an_edge(left: int, top: int, width: int, height: int, shape: tuple[int, ...]) -> bool:
    """Whether a box lies within the band along one side of the picture."""
    high, wide = shape
    return (
        left + width <= BAND * wide
        or left >= (1 - BAND) * wide
        or top + height <= BAND * high
        or top >= (1 - BAND) * high
    )


def _moves_around(moves: np.ndarray, box: tuple[slice, slice], reach: int) -> bool:
    around = tuple(slice(max(0, side.start - reach), side.stop + reach) for side in box)
    inner = np.zeros_like(moves)
    inner[box] = True
    ring = ~inner[around]
    return bool(ring.any()) and float(moves[around][ring].mean()) >= MOVES_AROUND


def _widened(left: int, top: int, width: int, height: int, shape: tuple[int, ...]) -> Box:
    high, wide = shape
    return Box(
        max(0, left - MARGIN), max(0, top - MARGIN), min(wide, left + width + MARGIN), min(high, top + height + MARGIN)
    )
