"""Boxes of text made tight around the letters, where the letters stand out from their surround."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipmill.base.opencv import cv2

AIR = 0.25  # of the height of a box: how far around it letters are looked for
PLAIN = 0.1  # letters stand out if no more than this share of the pixels around them differs as they do
INK = 0.5  # of the difference of letters from the surround: what differs more is ink
LEAST_CONTRAST = 12  # grey levels: the least such difference
STROKE = 0.3  # of the height of a box: wider than the strokes of letters
PLATE = 0.6  # letters fill less of their rectangle; what fills more is a plate behind letters
PLATE_RIM = 1 / 6  # of a plate's height, two pixels at most: its blurred rim is none of its colour

# What the boxes depend on besides those of the detector.
ABOUT = {
    "air": AIR,
    "plain": PLAIN,
    "ink": INK,
    "stroke": STROKE,
    "least_contrast": LEAST_CONTRAST,
    "plate": PLATE,
    "plate_rim": PLATE_RIM,
}


def tight(picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Boxes (N × 4 corners × 2, clockwise from the top left) whose sides touch ink, on a picture with three colours.

    Coordinates are those of the edges of pixels: a whole picture is a box from 0, 0 to its width and height. Each side
    moves outwards as long as there is ink on it, or else inwards to the first ink; it stands where the difference from
    the surround has risen to INK, between two pixels. Where the ink is a plate, the letters on it are looked for in the
    same way. Where the surround is not plain, ink is what makes thin lines, if there are few such lines around the box.
    A box stays as it is where there are many, as over gravel and grass.
    """
    return np.array([_tight(picture, box) for box in boxes], np.float32).reshape(-1, 4, 2)


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


@dataclass(frozen=True)
class _Ink:
    """How far the pixels of a patch around a box differ from what the letters stand on."""

    off: np.ndarray  # height × width of the patch, at most `full`
    full: float  # the difference of the letters
    air: int  # pixels of the patch on each side of the box

    @property
    def level(self) -> float:
        """What differs more is ink."""
        return INK * self.full

    @property
    def sides(self) -> tuple[float, float, float, float]:
        """Where the ink begins and ends: left, right, top and bottom, in pixels of the patch."""
        return *self._ends(self.off.max(axis=0)), *self._ends(self.off.max(axis=1))

    @property
    def area(self) -> float:
        """That of the rectangle of the ink, in pixels."""
        left, right, top, bottom = self.sides
        return (right - left) * (bottom - top)

    def is_plate(self, left: float, right: float, top: float, bottom: float) -> bool:
        """Whether what lies between these sides is filled as no letters fill their rectangle."""
        inside = self.off[round(top) : round(bottom), round(left) : round(right)]
        return inside.size > 0 and bool((inside >= self.level).mean() > PLATE)

    def _ends(self, most: np.ndarray) -> tuple[float, float]:
        """From the sides of the box outwards through ink, or inwards to it. `most`: of each line of pixels."""
        inked = most >= self.level
        first, last = self.air, len(most) - 1 - self.air
        inside = np.flatnonzero(inked[first : last + 1]) + first
        if not inside.size:
            return first, last + 1
        before, after = np.flatnonzero(~inked[:first]), np.flatnonzero(~inked[last + 1 :])
        begin = before[-1] + 1 if inside[0] == first and before.size else inside[0]
        end = last + after[0] if inside[-1] == last and after.size else inside[-1]
        return _crossing(most, self.level, begin, -1), _crossing(most, self.level, end, 1)


def _crossing(most: np.ndarray, level: float, at: int, step: int) -> float:
    """Where `most` falls below the level, between the middles of the pixel `at` and the next one in this direction."""
    if not 0 <= at + step < len(most) or most[at + step] >= level:
        return float(at + (step > 0))
    return float(at + 0.5 + step * (most[at] - level) / (most[at] - most[at + step]))


def _tight(picture: np.ndarray, box: np.ndarray, share: float = AIR) -> np.ndarray:
    """A box made tight. `share`: how far around it letters are looked for, in shares of its height."""
    (right,), (down,), (width,), (height,) = _axes(box[None])
    air = max(1, round(share * height))
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
        return box
    left, end, top, bottom = ink.sides
    found = np.array(
        [start + x * right + y * down for x, y in ((left, top), (end, top), (end, bottom), (left, bottom))]
    )
    if share and ink.is_plate(left, end, top, bottom):
        rim = min(2.0, PLATE_RIM * (bottom - top))
        plate = _grown(found[None], np.array([-rim]))[0]
        letters = _tight(picture, plate, 0)
        return found if np.array_equal(letters, plate) else letters
    return found


def _ink(patch: np.ndarray, air: int) -> _Ink | None:
    """The ink of a patch; None if letters do not stand out from what is around the box."""
    surround = np.concatenate([patch[0], patch[-1], patch[:, 0], patch[:, -1]])
    off = np.abs(patch - np.median(surround, axis=0)).max(axis=-1)
    around = np.concatenate([off[0], off[-1], off[:, 0], off[:, -1]])
    return _standing_out(off, around, air) or _strokes(patch, air)


def _standing_out(off: np.ndarray, around: np.ndarray, air: int) -> _Ink | None:
    """The ink by how far pixels differ; None if pixels around the box differ, too."""
    full = float(np.quantile(off[air : len(off) - air, air : off.shape[1] - air], 0.95))
    if INK * full < LEAST_CONTRAST or (around > INK * full).mean() > PLAIN:
        return None
    return _Ink(np.minimum(off, full).astype(np.float32), full, air)


def _strokes(patch: np.ndarray, air: int) -> _Ink | None:
    """The ink as thin lines that are lighter, or darker, in one colour: by top hats (Meyer, 1979)."""
    side = max(3, 2 * round(STROKE * (len(patch) - 2 * air) / 2) + 1)
    element = np.ones((side, side), np.uint8)
    outside = np.ones(patch.shape[:2], bool)
    outside[air : len(patch) - air, air : patch.shape[1] - air] = False
    found = []
    for hat in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
        for off in cv2.split(cv2.morphologyEx(patch, hat, element)):
            ink = _standing_out(off, off[outside], air)
            if ink is not None:
                found.append(ink)
    return max(found, key=lambda ink: (ink.full, ink.area), default=None)  # gaps between letters reach less far
