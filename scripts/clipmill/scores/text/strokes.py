"""What looks like lines of small letters in a frame: thin strokes side by side, lighter or darker than what is around.

It is found without a network, and much of it is no text. So it only says where the detector should look closer.
"""

from __future__ import annotations

import numpy as np

from clipmill.base.opencv import cv2

WIDEST = 7  # pixels: strokes are thinner
CONTRASTS = (40, 70)  # levels between strokes and what is beside them: the second one parts letters from textures
APART = 5  # pixels: gaps between the strokes of a line are smaller
LEAST_HEIGHT = 4  # pixels of a line
MOST_HEIGHT = 24
LEAST_WIDTH = 20
TIMES = 2.5  # a line is at least so many times as long as it is high
FILLED = 0.5  # share of its rectangle that a line fills when its gaps are closed
REACH = 48  # pixels around a part of a frame: lines that begin there are found too

# What the boxes depend on besides the detector.
ABOUT = {
    "stroke_widest": WIDEST,
    "stroke_contrasts": list(CONTRASTS),
    "stroke_gap": APART,
    "stroke_least_height": LEAST_HEIGHT,
    "stroke_most_height": MOST_HEIGHT,
    "stroke_least_width": LEAST_WIDTH,
    "stroke_times": TIMES,
    "stroke_filled": FILLED,
    "stroke_reach": REACH,
}


def lines(frame: np.ndarray, likely: np.ndarray) -> np.ndarray:
    """Boxes of lines of strokes in a BGR frame, N × 4 corners × 2 in its pixels, in order around each box.

    `likely`: a map of the whole frame of any size, true where there may be letters. Each line touches such a place.
    """
    scale = np.array(frame.shape[1::-1]) / likely.shape[::-1]
    x, y, width, height = cv2.boundingRect(likely.astype(np.uint8))
    if not width:
        return np.empty((0, 4, 2), np.float32)
    # Only this part is searched. Often it is a small one.
    left, top = np.maximum(np.array([x, y]) * scale - REACH, 0).astype(int)
    right, bottom = (np.array([x + width, y + height]) * scale + REACH).astype(int)
    found = []
    for strength in _strokes(frame[top:bottom, left:right]):
        for contrast in CONTRASTS:
            strokes = (strength > contrast).astype(np.uint8)
            contours, _ = cv2.findContours(strokes, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            found += [contour + (left, top) for contour in contours if _like_a_line(contour)]
    boxes = [cv2.boxPoints(cv2.minAreaRect(contour)) + 0.5 for contour in found]  # from the middle of a pixel
    return np.array([box for box in boxes if _touches(box / scale, likely)], np.float32).reshape(-1, 4, 2)


def _strokes(picture: np.ndarray) -> list[np.ndarray]:
    """How many levels lighter, and darker, each pixel is than what is left of the picture without thin strokes.

    These are the top hats of Meyer (1979), of the colour in which they are highest. The gaps between the strokes of a
    line are closed, and what is as thin as one stroke is left out.
    """
    square, gap = np.ones((WIDEST, WIDEST), np.uint8), np.ones((3, APART), np.uint8)
    found = []
    for kind in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
        blue, green, red = cv2.split(cv2.morphologyEx(picture, kind, square))
        closed = cv2.morphologyEx(cv2.max(cv2.max(blue, green), red), cv2.MORPH_CLOSE, gap)
        found.append(cv2.morphologyEx(closed, cv2.MORPH_OPEN, gap))
    return found


def _like_a_line(contour: np.ndarray) -> bool:
    """Whether an outline is that of a line of letters whose gaps are closed."""
    _, _, width, height = cv2.boundingRect(contour)
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        return False
    _, size, _ = cv2.minAreaRect(contour)  # from the middle of a pixel to that of another
    low, long = min(size) + 1, max(size) + 1
    return (
        LEAST_HEIGHT <= low <= MOST_HEIGHT
        and long >= TIMES * low
        and cv2.contourArea(contour) >= FILLED * (low - 1) * (long - 1)
    )


def _touches(box: np.ndarray, likely: np.ndarray) -> bool:
    """Whether the upright rectangle around a box has a true place of the map in it."""
    left, top = np.maximum(box.min(axis=0), 0).astype(int)
    right, bottom = np.ceil(box.max(axis=0)).astype(int) + 1
    return bool(likely[top:bottom, left:right].any())
