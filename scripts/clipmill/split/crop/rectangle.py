"""Parts of a picture: boxes, and rectangles of whole, even pixels. Knows numbers only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

ROUNDING = 1e-3  # pixel


class Rectangle(NamedTuple):
    """A part of a picture in whole pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def area(self) -> int:
        return self.width * self.height


class Box(NamedTuple):
    """A part of a picture by its edges, in pixels from the left and the top."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)


def even_inside(box: Box) -> Rectangle:
    """The largest rectangle with even numbers inside a box."""
    x, y = (2 * math.ceil((edge - ROUNDING) / 2) for edge in (box.left, box.top))
    right, bottom = (2 * math.floor((edge + ROUNDING) / 2) for edge in (box.right, box.bottom))
    return Rectangle(x, y, max(0, right - x), max(0, bottom - y))


def inside(box: Box, picture: Box) -> Box:
    """The part of a box that lies in a picture; its area is 0 if none does."""
    return Box(
        max(box.left, picture.left),
        max(box.top, picture.top),
        min(box.right, picture.right),
        min(box.bottom, picture.bottom),
    )


def largest_between(picture: Box, boxes: Sequence[Box]) -> Box:
    """The largest part of a picture that no box is in; of equal ones the first from the left."""
    boxes = [part for box in boxes if (part := inside(box, picture)).area > 0]
    best = Box(picture.left, picture.top, picture.left, picture.top)
    lefts = sorted({picture.left, *(box.right for box in boxes)})
    rights = sorted({picture.right, *(box.left for box in boxes)})
    for left in lefts:
        for right in (one for one in rights if one > left):
            top = picture.top
            between = sorted((box.top, box.bottom) for box in boxes if box.left < right and box.right > left)
            for first, last in [*between, (picture.bottom, picture.bottom)]:
                free = Box(left, top, right, first)
                if free.area > best.area:
                    best = free
                top = max(top, last)
    return best


def around(whole: Box, inner: Box) -> list[Box]:
    """The boxes that are `whole` without `inner`."""
    boxes = [
        Box(whole.left, whole.top, inner.left, whole.bottom),
        Box(inner.left, whole.top, inner.right, inner.top),
        Box(inner.right, whole.top, whole.right, whole.bottom),
        Box(inner.left, inner.bottom, inner.right, whole.bottom),
    ]
    return [box for box in boxes if box.area > 0]
