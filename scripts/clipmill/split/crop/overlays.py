"""Text and logos laid over the edges of a picture: edges that stand still while the picture behind them moves.

The gradient of a frame is the picture's, but where an overlay begins or ends it is always the same. So the median over
time of the gradients leaves the overlays alone, semi-transparent ones too (Dekel et al., "On the effectiveness of
visible watermarks", 2017, use the same). Where the camera stands, all edges stand still: then nothing can be said.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clipmill.base.opencv import cv2
from clipmill.split.crop.rectangle import Box

LEAST_FRAMES = 5  # with fewer, edges of the picture itself may stand still by chance
EDGE = 3.0  # grey levels per pixel: the least median gradient of an overlay
FINE = 15  # pixels: what is broader is no edge
STEADY = 0.8  # share of the frames that have at least half of the median gradient
BAND = 0.25  # share of a side from the edge in which overlays lie
STILL_ELSEWHERE = 0.02  # share of all other edges that stand still, at most, or else the camera stands
MOVES = 3.0  # grey levels: median deviation in time of a pixel of a moving picture
MOVES_ALL, MOVES_AROUND = 0.4, 0.4  # share of such pixels in the picture, and beside an overlay
JOINED = 0.03  # of the short side: parts of an overlay that are nearer are one
LEAST_EDGE = 24  # pixels of edges in an overlay
ONE_WAY = 0.12  # edges of one direction to those of the other, at least: less have lines along which a camera pans
MARGIN = 1  # pixels around an overlay: its edges are blurred


def find_overlays(frames: Sequence[np.ndarray]) -> list[Box]:
    """The boxes of a scene's overlays, in pixels of its kept frames (BGR, of one size)."""
    if len(frames) < LEAST_FRAMES:
        return []
    greys = np.array([cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames], np.float32)
    across, down = (np.array([_fine_gradient(grey, *way) for grey in greys]) for way in ((1, 0), (0, 1)))
    usual_across, usual_down = np.median(across, axis=0), np.median(down, axis=0)
    strength = usual_across**2 + usual_down**2
    along = across * usual_across + down * usual_down  # how far a frame's gradient goes the usual way
    still = (strength >= EDGE**2) & ((along >= strength / 2).mean(0) >= STEADY)
    moves = _moving(greys)
    if moves.mean() < MOVES_ALL:
        return []
    reach = max(3, round(JOINED * min(still.shape)))
    joined = cv2.morphologyEx(still.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((reach, reach), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(joined)
    found = []
    for left, top, across_, down_, _ in stats[1:count].tolist():
        box = slice(top, top + down_), slice(left, left + across_)
        if still[box].sum() < LEAST_EDGE or not _is_at_an_edge(left, top, across_, down_, still.shape):
            continue
        ways = sorted(float(np.abs(one[box][still[box]]).sum()) for one in (usual_across, usual_down))
        if ways[0] >= ONE_WAY * ways[1] and _moves_around(moves, box, reach):
            found.append(_widened(left, top, across_, down_, still.shape))
    for left, top, right, bottom in found:
        still[int(top) : int(bottom), int(left) : int(right)] = False
    edges = float((across**2 + down**2 >= EDGE**2).mean(0).sum())
    return found if still.sum() <= STILL_ELSEWHERE * edges else []


def _fine_gradient(grey: np.ndarray, across: int, down: int) -> np.ndarray:
    """Grey levels per pixel in one direction, less their mean around: broad slopes hardly change as a picture moves."""
    gradient = cv2.Sobel(grey, cv2.CV_32F, across, down, ksize=3, scale=1 / 8)
    return gradient - cv2.blur(gradient, (FINE, FINE))


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
