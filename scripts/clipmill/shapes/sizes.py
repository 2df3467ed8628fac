"""Sizes of pictures: the bucket that a picture fits, and how it is scaled and cropped to a wanted size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Size = tuple[int, int]
"""Width and height in pixels."""

ROUNDING = 1e-3  # pixel


class Fit(NamedTuple):
    """How a picture gets a size: scaled, then cropped around its centre."""

    scaled: Size
    cropped: Size

    @property
    def place(self) -> tuple[int, int]:
        """Columns at the left and rows at the top that are cropped: even, as 4:2:0 needs it."""
        across, down = (side - want for side, want in zip(self.scaled, self.cropped, strict=True))
        return across // 4 * 2, down // 4 * 2


def is_square(pixel_aspect: float) -> bool:
    """Whether pixels are square to the eye. Scaling to whole numbers often leaves an aspect like 1281:1280 behind."""
    return abs(pixel_aspect - 1) < 0.005


def stored_size(video: Mapping[str, Any]) -> Size:
    """Width and height of a video as shown; if pixels are square but for rounding, the stored numbers.

    `video`: its row of the table `videos`.
    """
    if not is_square(video["pixel_aspect"]):
        return video["width"], video["height"]
    stored = video["coded_width"], video["coded_height"]
    return stored[::-1] if round(video["rotation"] / 90) % 2 else stored


class Crop(NamedTuple):
    """The part of a picture as shown that a clip has: its place in pixels from the left and the top, and its size."""

    x: int
    y: int
    size: Size
    whole: Size  # of the picture

    @staticmethod
    def of(clip: Mapping[str, Any]) -> Crop | None:
        """That of a row of the table `clips`; None if the clip has all of the picture."""
        if clip.get("crop_width") is None:
            return None
        size, whole = ((clip[f"{name}_width"], clip[f"{name}_height"]) for name in ("crop", "whole"))
        return Crop(clip["crop_x"], clip["crop_y"], size, whole)

    def within(self, size: Size) -> tuple[int, int, int, int]:
        """Of the same picture in another size, the edges of the pixels that lie wholly inside: at least of one.

        Returns left, top, right, bottom.
        """
        across, down = (side / whole for side, whole in zip(size, self.whole, strict=True))
        left, top = (math.ceil(edge - ROUNDING) for edge in (self.x * across, self.y * down))
        right = math.floor((self.x + self.size[0]) * across + ROUNDING)
        bottom = math.floor((self.y + self.size[1]) * down + ROUNDING)
        return left, top, max(right, left + 1), max(bottom, top + 1)


def apart(ratio: float, other: float) -> float:
    """How far two aspect ratios are from each other: 0 for the same; wide and upright ones count alike."""
    return round(abs(math.log(ratio / other)), 6)


def bucket_size(size: Size, resolutions: Sequence[Sequence[int]]) -> Size | None:
    """The one of `resolutions` nearest in aspect ratio that is nowhere larger, and of several the largest; or None."""
    width, height = size
    fitting = [(wide, high) for wide, high in resolutions if wide <= width and high <= height]
    ratio = width / height
    return min(fitting, key=lambda one: (apart(one[0] / one[1], ratio), -one[0] * one[1]), default=None)


def fit(size: Size, wanted: Mapping[str, Any] | str | None, resolutions: Sequence[Sequence[int]] | None) -> Fit | None:
    """How a picture of `size` gets a size as the config's `cut.size` says; None if it is too small.

    It is never enlarged, and both sides become even. `resolutions`: those of `export.buckets`, for `bucket`.
    """
    if wanted is None:
        return Fit(size, _floor(size, 2))
    if isinstance(wanted, str):
        bucket = bucket_size(size, resolutions or ())
        return bucket and _cover(size, bucket)
    step = math.lcm(2, wanted.get("multiple_of", 2))
    scale = min(1.0, wanted["short_side"] / min(size))
    if wanted.get("fit", "shrink") == "crop":
        inside = _floor((_rounded(size[0] * scale), _rounded(size[1] * scale)), step)
        return _cover(size, inside) if min(inside) else None
    near = [max(step, round(side * scale / step) * step) for side in size]
    width, height = (one if one <= side else one - step for one, side in zip(near, size, strict=True))
    return Fit((width, height), (width, height)) if min(width, height) > 0 else None


def _cover(size: Size, wanted: Size) -> Fit:
    scale = max(want / side for want, side in zip(wanted, size, strict=True))
    width, height = (max(want, round(side * scale)) for want, side in zip(wanted, size, strict=True))
    return Fit((width, height), wanted)


def _rounded(side: float) -> int:
    return math.floor(side + 0.5)


def _floor(size: Size, step: int) -> Size:
    return size[0] // step * step, size[1] // step * step
