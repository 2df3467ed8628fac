"""Boxes of text made tight around the letters, where the letters stand out from their surround."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipmill.base.opencv import cv2

AIR = 0.25  # of the height of a box: what is read with it on each side
REACH = 0.1  # of the height of a box, and a pixel: how far around it letters are looked for
PLAIN = 0.1  # letters stand out if less than this share of the pixels around them looks like them
SPARED = 0.5  # of the pixels that look like letters on a line of pixels around them: so many are none of a letter's
ALIKE = 0.8  # of the clearest letters' clearness: as clear may be the gaps between letters, but these reach less far
INK = 0.5  # of the way from the surround to the colour of the letters: what is nearer to them is ink
DEEP = 0.5  # of the height of a box: a side moves no further inwards, since letters of other colours may be there
PURE = 0.95  # of the pixels in a box: those that differ more than these from the surround have the letters' colour
LEAST_CONTRAST = 24  # grey levels between letters and surround
STROKE = 0.3  # of the height of a box: wider than the strokes of letters
PLATE = 0.6  # letters fill less of their rectangle; what fills more is a plate behind letters
PLATE_RIM = 1 / 6  # of a plate's height, two pixels at most: its blurred rim is none of its colour

# JPEG keeps colours at half the size, so they run two pixels beyond small letters. Brightness says where these end.
GREY = (0.114, 0.587, 0.299)  # of blue, green and red
COLOURS = 0.7  # weight of differences of colour besides those of brightness
LOW = 14  # pixels: in boxes that are higher all colours count alike

# What the boxes depend on besides those of the detector.
ABOUT = {
    "colours": COLOURS,
    "low": LOW,
    "air": AIR,
    "reach": REACH,
    "plain": PLAIN,
    "spared": SPARED,
    "alike": ALIKE,
    "ink": INK,
    "deep": DEEP,
    "pure": PURE,
    "stroke": STROKE,
    "least_contrast": LEAST_CONTRAST,
    "plate": PLATE,
    "plate_rim": PLATE_RIM,
}


def tight(picture: np.ndarray, boxes: np.ndarray, loose: float = 0.0) -> np.ndarray:
    """Boxes (N × 4 corners × 2, clockwise from the top left) whose sides touch ink, on a BGR picture.

    Coordinates are those of the edges of pixels: a whole picture is a box from 0, 0 to its width and height. Each side
    moves outwards as long as there is ink on it, or else inwards to the first ink; it stands where the colour has come
    INK of the way to that of the letters, between two pixels. Where the ink is a plate, the letters on it are looked
    for in the same way. Letters stand out from the one colour around the box, or they are thin lines that stand out
    from what is beside them; what has the most contrast and is least like the pixels around the box counts.
    Where too many of these pixels look like letters, as over gravel and grass, a box is only made smaller, on each
    side, by what it usually has around letters: `loose`, a share of its height.
    """
    _, _, _, height = _axes(boxes)
    usual = _grown(boxes, -loose * height)
    found = [_tight(picture, box) for box in boxes]
    sides = [there if made is None else made for made, there in zip(found, usual, strict=True)]
    return np.array(sides, np.float32).reshape(-1, 4, 2)


def with_air(boxes: np.ndarray) -> np.ndarray:
    """Boxes made larger on each side, by a share of their height (AIR): N × 4 corners × 2, clockwise from top left."""
    _, _, _, height = _axes(boxes)
    return _grown(boxes, AIR * height)


def _grown(boxes: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Boxes with a margin of so many pixels on each side, one per box; less than 0 makes them smaller."""
    right, down, _, _ = _axes(boxes)
    corners = [right * x + down * y for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    return (boxes + margin[:, None, None] * np.stack(corners, axis=1)).astype(np.float32)


def _axes(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each box the directions of its lines and across them (N × 2, of length 1), its width and its height."""
    right = (boxes[:, 1] + boxes[:, 2] - boxes[:, 0] - boxes[:, 3]) / 2
    down = (boxes[:, 2] + boxes[:, 3] - boxes[:, 0] - boxes[:, 1]) / 2
    width, height = (np.maximum(np.linalg.norm(side, axis=1), 1e-6) for side in (right, down))
    return right / width[:, None], down / height[:, None], width, height


@dataclass(frozen=True, eq=False)
class _Ink:
    """How much of the letters' colour the pixels of a patch around a box have."""

    share: np.ndarray  # height × width of the patch, 0 to 1
    air: int  # pixels of the patch on each side of the box
    contrast: float  # of the letters, in grey levels
    clutter: float  # share of the pixels around the box that look like letters

    @property
    def clearness(self) -> float:
        """How well the letters stand out: their contrast, or 0 or less where too much looks like them."""
        return self.contrast * (1 - self.clutter / PLAIN)

    @property
    def sides(self) -> tuple[float, float, float, float]:
        """Where the ink begins and ends: left, right, top and bottom, in pixels of the patch."""
        return *self._ends(self._most(0)), *self._ends(self._most(1))

    @property
    def area(self) -> float:
        """That of the rectangle of the ink, in pixels."""
        left, right, top, bottom = self.sides
        return (right - left) * (bottom - top)

    def _most(self, axis: int) -> np.ndarray:
        """The largest share in each line of pixels along this axis, but for the few that are likely no letter's."""
        place = -1 - int(SPARED * self.clutter * self.share.shape[axis])
        return np.partition(self.share, place, axis).take(place, axis) if place < -1 else self.share.max(axis)

    def is_plate(self, left: float, right: float, top: float, bottom: float) -> bool:
        """Whether what lies between these sides is filled as no letters fill their rectangle."""
        inside = self.share[round(top) : round(bottom), round(left) : round(right)]
        return inside.size > 0 and bool((inside >= INK).mean() > PLATE)

    def _ends(self, most: np.ndarray) -> tuple[float, float]:
        """From the sides of the box outwards through ink, or inwards to it. `most`: of each line of pixels."""
        inked = most >= INK
        first, last = self.air, len(most) - 1 - self.air
        inside = np.flatnonzero(inked[first : last + 1]) + first
        if not inside.size:
            return first, last + 1
        before, after = np.flatnonzero(~inked[:first]), np.flatnonzero(~inked[last + 1 :])
        begin = before[-1] + 1 if inside[0] == first and before.size else inside[0]
        end = last + after[0] if inside[-1] == last and after.size else inside[-1]
        deep = DEEP * (len(self.share) - 2 * self.air)
        return (
            _crossing(most, begin, -1) if begin - first <= deep else float(first),
            _crossing(most, end, 1) if last - end <= deep else float(last + 1),
        )


def _crossing(most: np.ndarray, at: int, step: int) -> float:
    """Where `most` falls below INK, between the middles of the pixel `at` and the next one in this direction."""
    if not 0 <= at + step < len(most) or most[at + step] >= INK:
        return float(at + (step > 0))
    return float(at + 0.5 + step * (most[at] - INK) / (most[at] - most[at + step]))


def _tight(picture: np.ndarray, box: np.ndarray, reach: float = REACH) -> np.ndarray | None:
    """A box made tight, or None where no letters stand out.

    `reach`: how far around it letters are looked for, in shares of its height.
    """
    (right,), (down,), (width,), (height,) = _axes(box[None])
    air = 1 + round(reach * height)  # the letters' blurred rim is a pixel wide
    across, high = round(width), round(height)
    start = box[0] - air * (right + down)
    patch = cv2.warpAffine(
        picture,
        np.column_stack([right, down, start + (right + down - 1) / 2]),  # the middle of the first pixel
        (across + 2 * air, high + 2 * air),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    ink = _ink(patch, air) if min(across, high) > 0 else None
    if ink is None:
        return None
    left, end, top, bottom = ink.sides
    found = np.array(
        [start + x * right + y * down for x, y in ((left, top), (end, top), (end, bottom), (left, bottom))]
    )
    if reach and ink.is_plate(left, end, top, bottom):
        rim = min(2.0, PLATE_RIM * (bottom - top))
        letters = _tight(picture, _grown(found[None], np.array([-rim]))[0], 0)
        return found if letters is None else letters
    return found


def _ink(patch: np.ndarray, air: int) -> _Ink | None:
    """The ink of a patch; None if letters do not stand out from what is around the box.

    They may stand out from one colour all around, or as thin lines that are lighter, or darker, than what is left of
    the picture without such lines: its opening and its closing (as in the top hats of Meyer, 1979).
    """
    border = np.ones(patch.shape[:2], bool)
    border[1:-1, 1:-1] = False
    around = np.ones(patch.shape[:2], bool)
    around[air : len(patch) - air, air : patch.shape[1] - air] = False
    side = max(3, 2 * round(STROKE * (len(patch) - 2 * air) / 2) + 1)
    element = np.ones((side, side), np.uint8)
    plain = _standing_out(patch, np.median(patch[border], axis=0)[None, None], border, air)
    opened, closed = (
        _standing_out(patch, cv2.morphologyEx(patch, kind, element), around, air)
        for kind in (cv2.MORPH_OPEN, cv2.MORPH_CLOSE)
    )
    clear = [ink for ink in (plain, opened, closed) if ink is not None and ink.clearness > 0]
    best = max((ink.clearness for ink in clear), default=0)
    alike = [ink for ink in clear if ink.clearness >= ALIKE * best]
    return plain if plain in alike else max(alike, key=lambda ink: ink.area, default=None)


def _standing_out(patch: np.ndarray, ground: np.ndarray, around: np.ndarray, air: int) -> _Ink | None:
    """The ink of letters on a ground: one colour, or one for each pixel. `around`: the pixels around the letters.

    The letters' colour is that of the pixels in the box that differ most from the ground. None if these differ little.
    """
    low = len(patch) - 2 * air <= LOW
    pixels, ground = _planes(patch, low), _planes(ground, low)
    inside = np.s_[air : len(patch) - air, air : patch.shape[1] - air]
    off = np.abs(pixels - ground).max(axis=0)[inside]
    contrast = float(np.quantile(off, PURE))
    if contrast < LEAST_CONTRAST:
        return None
    letters = np.median(pixels[:, *inside][:, off >= contrast], axis=1)[:, None, None]
    most = _distance(ground, letters)
    share = 1 - _distance(pixels, letters) / np.maximum(most, 1)
    share = np.where(most >= LEAST_CONTRAST, np.maximum(share, 0), 0)
    return _Ink(share, air, contrast, float((share[around] > INK).mean()))


def _planes(picture: np.ndarray, low: bool) -> np.ndarray:
    """The colours of a picture first, 3 × height × width: numpy computes over these ten times as fast.

    `low`: brightness, which counts more, and two differences of colour instead. Two greys are as far apart.
    """
    planes = np.ascontiguousarray(np.moveaxis(picture, -1, 0), np.float32)
    if not low:
        return planes
    blue, green, red = planes
    grey = GREY[0] * blue + GREY[1] * green + GREY[2] * red
    return np.stack([3**0.5 * grey, COLOURS * (blue - grey), COLOURS * (red - grey)])


def _distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of each pixel how far apart two colours are, in levels."""
    return np.sqrt(np.square(one - other).sum(axis=0))
