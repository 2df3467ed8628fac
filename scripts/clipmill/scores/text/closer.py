"""Where there may be small lines of text, a frame is looked at again, enlarged."""

from __future__ import annotations

import numpy as np

from clipmill.base.opencv import cv2

TIMES = 2  # the enlargement
SMALL = 18  # pixels: only lines up to this height are found better in the enlarged picture
TOGETHER = 54  # pixels: boxes up to this height may hold several small lines
AROUND = 1.0  # of a box's height: what is shown around it
LEAST_AROUND = 16  # pixels
GRID = 32  # sides of enlarged pictures are multiples of so many pixels, as the detector needs

# What the boxes depend on besides the detector.
ABOUT = {"times": TIMES, "small": SMALL, "together": TOGETHER, "around": AROUND, "least_around": LEAST_AROUND}


def sides(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The short and the long side of each of N boxes of 4 corners, in pixels."""
    lengths = np.linalg.norm(boxes - np.roll(boxes, 1, axis=1), axis=2)
    return lengths.min(axis=1), lengths.max(axis=1)


def places(boxes: np.ndarray, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Rectangles (left, top, right, bottom) around boxes in a frame of this height and width.

    Those that meet are one.
    """
    short, _ = sides(boxes)
    margin = np.maximum(AROUND * short, LEAST_AROUND)[:, None]
    limit = np.array([shape[1], shape[0]])
    least = np.maximum(np.floor(boxes.min(axis=1) - margin), 0)
    most = np.minimum(np.ceil(boxes.max(axis=1) + margin), limit)
    separate: list[np.ndarray] = []
    for place in np.hstack([least, most]).astype(int):
        while meeting := [other for other in separate if _meet(place, other)]:
            separate = [other for other in separate if not _meet(place, other)]
            together = np.array([place, *meeting])
            place = np.hstack([together[:, :2].min(axis=0), together[:, 2:].max(axis=0)])
        separate.append(place)
    return separate


def enlarged(frame: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """A place in a frame TIMES as large, and the height and width in the frame of what is shown.

    It is made larger to the right and below, to a multiple of GRID.
    """
    left, top, right, bottom = place
    width, height = (-(-TIMES * side // GRID) * GRID for side in (int(right - left), int(bottom - top)))
    between = 0.5 / TIMES - 0.5  # from the middle of the frame's first pixel to that of the first one here
    picture = cv2.warpAffine(
        frame,
        np.array([[1 / TIMES, 0, left + between], [0, 1 / TIMES, top + between]]),
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return picture, (height // TIMES, width // TIMES)


def inside(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether the middle of each of M other boxes is inside each of N boxes: N × M."""
    middles = others.mean(axis=1).astype(float)
    found = [[cv2.pointPolygonTest(box, tuple(middle), False) >= 0 for middle in middles] for box in boxes]
    return np.array(found, bool).reshape(len(boxes), len(others))


def _meet(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two rectangles have pixels in common."""
    return bool((one[:2] < other[2:]).all() and (other[:2] < one[2:]).all())
