"""Pictures with text of which the tight area is known: the union of the rectangles around the ink of each line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from clipmill.base.opencv import cv2

HERSHEY = cv2.FONT_HERSHEY_DUPLEX
FAINT = 64  # of 255: pixels with less ink are none of a letter's
LETTER = 0.72  # of the size of a font: the height of a capital letter
PLATE = 0.3  # of the size of a font: how far a plate goes beyond the letters
DENSE = 0.6  # how much of the picture a plate hides

Colour = int | tuple[int, int, int]  # a level of grey, or blue, green, red


def lettered(
    picture: np.ndarray,
    lines: Sequence[str],
    size: int,
    place: tuple[int, int] = (80, 80),
    *,
    drawn: bool = False,
    font: str | None = None,
    angle: float = 0,
    ink: Colour = 255,
    rim: int = 0,
    opacity: float = 1,
    stretch: float = 1,
    slant: float = 0,
    gap: float = 1.4,
    plate: bool = False,
) -> tuple[np.ndarray, float]:
    """`picture` (BGR) with lines of text, and the share of its area inside their tight rectangles, without the rim.

    `size`: of the font in pixels. `place`: left and top of the first line. `drawn`: in OpenCV's font of strokes, else
    in that of the file `font`, or Pillow's. `angle`: degrees by which all is turned around the middle. `rim`: pixels of
    contrasting outline. `opacity`: of letters and rim, 0 to 1. `stretch`: times as wide. `slant`: pixels to the right
    per pixel upwards. `gap`: from line to line, in sizes. `plate`: a rectangle of the rim's colour behind all lines.
    """
    height, width = picture.shape[:2]
    share, area, behind = np.zeros((height, width), np.uint8), 0.0, np.zeros((height, width), np.uint8)
    right = bottom = 0
    for number, line in enumerate(lines):
        letters = line_of_letters(line, size, drawn=drawn, font=font, stretch=stretch, slant=slant)
        down, across = letters.shape
        top = place[1] + round(gap * size * number)
        part = share[top : top + down, place[0] : place[0] + across]
        np.maximum(part, letters, out=part)
        area += across * down
        right, bottom = max(right, place[0] + across), top + down
    margin = round(PLATE * size)
    behind[max(0, place[1] - margin) : bottom + margin, max(0, place[0] - margin) : right + margin] = 255
    if angle:
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
        share, behind = (
            cv2.warpAffine(layer, turn, (width, height), flags=cv2.INTER_CUBIC) for layer in (share, behind)
        )
    shown, contrasting = picture, 255 if np.dot(np.full(3, ink), (0.11, 0.59, 0.3)) < 128 else 0
    if plate:
        shown = _inked(shown, behind, contrasting, DENSE)
    if rim:
        around = cv2.dilate(share, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1, 2 * rim + 1)))
        shown = _inked(shown, around, contrasting, opacity)
    return _inked(shown, share, ink, opacity), area / (width * height)


def line_of_letters(
    line: str, size: int, *, drawn: bool = False, font: str | None = None, stretch: float = 1, slant: float = 0
) -> np.ndarray:
    """How much ink there is in each pixel of the tight rectangle of a line, 0 to 255. For the rest see `lettered`."""
    letters = _drawn(line, size) if drawn else _printed(line, size, font)
    if stretch != 1 or slant:
        down, across = letters.shape
        shape = (round(stretch * across + slant * down) + 2, down)
        flags = cv2.INTER_AREA if stretch < 1 else cv2.INTER_LINEAR
        letters = cv2.warpAffine(letters, np.array([[stretch, -slant, slant * down], [0, 1, 0]]), shape, flags=flags)
    x, y, across, down = cv2.boundingRect((letters >= FAINT).astype(np.uint8))
    return letters[y : y + down, x : x + across]


def _printed(line: str, size: int, file: str | None) -> np.ndarray:
    font = ImageFont.truetype(file, size) if file else ImageFont.load_default(size)
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


def _inked(picture: np.ndarray, share: np.ndarray, colour: Colour, opacity: float) -> np.ndarray:
    """Only where there is ink, since pictures of 2160 lines are large."""
    x, y, across, down = cv2.boundingRect(share)
    shown = picture.copy()
    part = shown[y : y + down, x : x + across]
    covered = opacity / 255 * share[y : y + down, x : x + across, None].astype(np.float32)
    part[...] = np.rint(part * (1 - covered) + np.float32(colour) * covered)
    return shown
