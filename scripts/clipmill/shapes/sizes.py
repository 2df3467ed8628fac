"""Sizes of pictures: the bucket that a picture fits, and how it is scaled and cropped to a wanted size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Size = tuple[int, int]
"""Width and height in pixels."""


class Fit(NamedTuple):
    """How a picture gets a size: scaled, then cropped around its centre."""

    scaled: Size
    cropped: Size


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
