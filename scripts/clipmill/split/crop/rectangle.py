"""Rectangles of whole, even pixels. Knows numbers only."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

ROUNDING = 1e-3  # pixel


class Rectangle(NamedTuple):
    """A part of a picture, in pixels as shown."""

    x: int
    y: int
    width: int
    height: int

    @property
    def area(self) -> int:
        return self.width * self.height


def even_inside(left: float, top: float, right: float, bottom: float) -> Rectangle:
    """The largest rectangle with even numbers inside these edges, in pixels from the left and the top."""
    x, y = (2 * math.ceil((edge - ROUNDING) / 2) for edge in (left, top))
    end_x, end_y = (2 * math.floor((edge + ROUNDING) / 2) for edge in (right, bottom))
    return Rectangle(x, y, max(0, end_x - x), max(0, end_y - y))


def largest_free(blocked: np.ndarray) -> tuple[int, int, int, int]:
    """The largest rectangle without a blocked cell: its first column and row, and the first ones after it.

    `blocked`: height × width, bool. Of several, the first from the top. A histogram of the free cells above each row,
    and a stack of rising bars: one look at each cell.
    """
    best, found = 0, (0, 0, 0, 0)
    heights = np.zeros(blocked.shape[1] + 1, int)  # the last one stays 0, and ends all bars of a row
    for row, line in enumerate(blocked):
        heights[:-1] = np.where(line, 0, heights[:-1] + 1)
        rising: list[tuple[int, int]] = []  # column at which a bar begins, and its height
        for column, height in enumerate(heights.tolist()):
            begin = column
            while rising and rising[-1][1] >= height:
                begin, taller = rising.pop()
                if taller * (column - begin) > best:
                    best, found = taller * (column - begin), (begin, row + 1 - taller, column, row + 1)
            rising.append((begin, height))
    return found
