"""Pictures with text of which the tight area is known: the union of the rectangles around the ink of each line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from clipmill.base.opencv import cv2

HERSHEY = cv2.FONT_HERSHEY_DUPLEX
FAINT = 64  # of 255: pixels with less ink are none of a letter's
LETTER = 0.72  # of the size of a font: the height of a capital letter


def lettered(
    picture: np.ndarray,
    lines: Sequence[str],
    size: int,
    place: tuple[int, int] = (80, 80),
    *,
    drawn: bool = False,
    angle: float = 0,
    ink: int = 255,
    rim: int = 0,
) -> tuple[np.ndarray, float]:
    """`picture` (BGR) with lines of text, and the share of its area inside their tight rectangles, without the rim.

    `size`: of the font in pixels. `place`: left and top of the first line. `drawn`: in OpenCV's font of strokes, else
    in Pillow's. `angle`: degrees by which all is turned around the middle. `rim`: pixels of contrasting outline.
    """
    height, width = picture.shape[:2]
    share, area = np.zeros((height, width), np.uint8), 0.0
    for number, line in enumerate(lines):
        letters = _drawn(line, size) if drawn else _printed(line, size)
        x, y, across, down = cv2.boundingRect((letters >= FAINT).astype(np.uint8))
        top = place[1] + round(1.4 * size * number)
        share[top : top + down, place[0] : place[0] + across] = letters[y : y + down, x : x + across]
        area += across * down
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
    share = cv2.warpAffine(share, turn, (width, height), flags=cv2.INTER_CUBIC) if angle else share
    shown = picture
    if rim:
        around = cv2.dilate(share, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1, 2 * rim + 1)))
        shown = _inked(shown, around, 255 - ink)
    return _inked(shown, share, ink), area / (width * height)


def _printed(line: str, size: int) -> np.ndarray:
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(line)
    image = Image.new("L", (round(right - left) + 20, round(bottom - top) + 20))
    ImageDraw.Draw(image).text((10 - left, 10 - top), line, fill=255, font=font)
    return np.array(image)


def _drawn(line: str, size: int) -> np.ndarray:
    thickness = max(1, round(size / 16))
    tall = cv2.getTextSize(line, HERSHEY, 1, 1)[0][1]
    scale = LETTER * size / tall
    across, down = cv2.getTextSize(line, HERSHEY, scale, thickness)[0]
    canvas = np.zeros((2 * down + 40, across + 40), np.uint8)
    return cv2.putText(canvas, line, (20, down + 20), HERSHEY, scale, 255, thickness, cv2.LINE_AA)


def _inked(picture: np.ndarray, share: np.ndarray, level: int) -> np.ndarray:
    part = share[..., None].astype(np.float32) / 255
    return np.rint(picture * (1 - part) + level * part).astype(np.uint8)
