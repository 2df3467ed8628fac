"""What is cut away from the clips of a scene: one rectangle is left for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from clipmill.split.crop.blurred import are_blurred_copies
from clipmill.split.crop.borders import NONE, Bars, Borders, find_borders, find_soft_borders
from clipmill.split.crop.overlays import find_overlays, place_again
from clipmill.split.crop.rectangle import Box, Rectangle, around, even_inside, largest_between
from clipmill.split.measured import NO_BORDERS, Sides

MOST_FRAMES = 16  # kept frames of a scene that are looked at

Look = Callable[[int, int, int], Sequence[np.ndarray]]
"""Gives kept frames (BGR) of the video's frames from the first to before the second number, at most the third."""


def no_frames(*_: int) -> Sequence[np.ndarray]:
    """The Look that sees nothing."""
    return []


@dataclass(frozen=True)
class CropSettings:
    """The section `crop` of the config."""

    borders: bool
    overlays: bool
    min_area: float
    masks: bool


@dataclass(frozen=True)
class SceneCrop:
    """What a scene has around its picture, and what is done about it.

    `borders`: those that stay, as shares of the width and the height at the left, top, right and bottom. `rectangle`:
    what is left; None if nothing is cut away. `masked`: boxes in pixels that a mask hides instead. `too_much`: whether
    so much is under overlays that the scene is of no use.
    """

    borders: Sides = NO_BORDERS
    rectangle: Rectangle | None = None
    masked: tuple[Box, ...] = ()
    too_much: bool = False


class SceneBorders:
    """Finds the bars of the scenes of one part of a video.

    `part`: the signals of the part, which begins at frame `first`. `size`: of its frames as shown. `look`: reads its
    kept frames.
    """

    def __init__(self, part: pa.Table, first: int, size: tuple[int, int], look: Look):
        self._part, self._first, self._size, self._look = part, first, size, look
        self._usual = find_borders(Bars.of(part, size), size)

    def of(self, start: int, end: int) -> Borders:
        """Of the scene of frames `start` to before `end`. May raise ItemError."""
        bars = Bars.of(self._part.slice(start - self._first, end - start), self._size)
        borders = find_borders(bars, self._size)
        if borders.any or bars is None:
            return borders
        if self._usual.any and bars.leave_room_for(self._usual):
            return self._usual
        soft = find_soft_borders(bars, self._size)
        if not soft.any:
            return NONE
        frames = self._look(start, end, MOST_FRAMES)
        if are_blurred_copies(frames, soft.shares(self._size), must_change=soft.faint):
            return soft
        return NONE


class Scenes:
    """Finds what surrounds the picture in the scenes of one part of a video. Arguments as of `SceneBorders`.

    `look_closer`: reads large pictures of the same kept frames, if there are any.
    """

    def __init__(
        self,
        part: pa.Table,
        first: int,
        size: tuple[int, int],
        look: Look,
        settings: CropSettings,
        look_closer: Look = no_frames,
    ):
        self._size, self._look, self._look_closer, self._settings = size, look, look_closer, settings
        self._borders = SceneBorders(part, first, size, look)

    def crop(self, start: int, end: int) -> SceneCrop:
        """Of the scene of frames `start` to before `end`. May raise ItemError."""
        whole = Box(0, 0, *self._size)
        borders = self._borders.of(start, end)
        framed = _between(whole, borders)
        least = self._settings.min_area * whole.area
        inner = framed if self._settings.borders and even_inside(framed).area >= least else whole
        stay = borders.shares(self._size) if inner is whole else NO_BORDERS
        overlays = self._overlays(start, end, inner) if self._settings.overlays else []
        rectangle = even_inside(largest_between(inner, overlays))
        if rectangle.area < least:
            return SceneCrop(stay, too_much=bool(overlays))
        if self._settings.masks:
            return SceneCrop(stay, masked=(*around(whole, inner), *overlays))
        if inner == whole and not overlays:
            return SceneCrop(stay)
        return SceneCrop(stay, rectangle)

    def _overlays(self, start: int, end: int, inner: Box) -> list[Box]:
        """The overlays inside a part of the picture, in pixels of the picture as shown."""
        frames = self._look(start, end, MOST_FRAMES)
        if not frames:
            return []
        kept = _Inside(frames, self._size, inner)
        found = [kept.in_picture(box) for box in find_overlays(kept.frames)]
        closer = self._look_closer(start, end, MOST_FRAMES) if found else []
        if not closer:
            return found
        large = _Inside(closer, self._size, inner)
        return [large.in_picture(place_again(large.frames, large.in_frames(box))) for box in found]


class _Inside:
    """A part of frames, which show a picture of `size` in another size. `inner`: the part, in pixels of the picture."""

    def __init__(self, frames: Sequence[np.ndarray], size: tuple[int, int], inner: Box):
        height, width = frames[0].shape[:2]
        self._scales = (size[0] / width, size[1] / height) * 2
        left, top, right, bottom = (round(edge / scale) for edge, scale in zip(inner, self._scales, strict=True))
        self._begin = (left, top) * 2
        self.frames = [frame[top:bottom, left:right] for frame in frames]

    def in_picture(self, box: Box) -> Box:
        """A box of the part, in pixels of the picture."""
        return Box(*((begin + edge) * scale for edge, begin, scale in zip(box, self._begin, self._scales, strict=True)))

    def in_frames(self, box: Box) -> Box:
        """A box of the picture, in pixels of the part."""
        return Box(*(edge / scale - begin for edge, begin, scale in zip(box, self._begin, self._scales, strict=True)))


def _between(whole: Box, borders: Borders) -> Box:
    left, top, right, bottom = borders.widths
    return Box(left, top, whole.right - right, whole.bottom - bottom)
