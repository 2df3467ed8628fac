"""What a container says of the part of the stored picture that is to be shown.

A clean aperture (`clap`) in mp4 and mov, PixelCrop in Matroska. From 7.1 on, FFmpeg's program applies both when it
decodes, its library does not: here frames are cropped as the program does it. What a codec itself crops (H.264, HEVC)
is cropped by the decoder already.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction

import av
from av.filter import Graph

from clipmill.base.errors import ItemError
from clipmill.decode import matroska, mp4
from clipmill.decode.filtering import graph_of
from clipmill.decode.media import path_of


@dataclass(frozen=True)
class Cropping:
    """Pixels of the decoded picture that are not shown. `has_shape`: whether the file states the pixels' shape."""

    left: int
    top: int
    right: int
    bottom: int
    has_shape: bool = True

    @property
    def is_any(self) -> bool:
        return any((self.left, self.top, self.right, self.bottom))


NONE = Cropping(0, 0, 0, 0)


def container_cropping(container: av.container.InputContainer, stream: av.VideoStream) -> Cropping:
    """How the container crops the pictures of a stream. Cropping that leaves nothing is not obeyed."""
    path = path_of(container)
    if "mp4" in container.format.name.split(","):
        return _of_description(mp4.picture_description(path, stream.id))
    if "matroska" in container.format.name.split(","):
        number, found = container.streams.video.index(stream), matroska.croppings(path)
        if number < len(found):
            left, top, right, bottom = found[number]
            cropping = Cropping(left, top, right, bottom)
            if cropping.left + cropping.right < stream.width and cropping.top + cropping.bottom < stream.height:
                return cropping
    return NONE


def _of_description(description: bytes) -> Cropping:
    """The cropping by a clean aperture: its size, and how far its centre is from the picture's, all as fractions."""
    own = description[mp4.SAMPLE_ENTRY - 24 :]
    aperture = [box for box in mp4.boxes(own, b"clap") if len(box) >= 32]
    if not aperture:
        return NONE
    width, height = struct.unpack_from(">HH", description)
    numbers = struct.unpack_from(">IIIIiIiI", aperture[-1])
    if 0 in numbers[1::2]:
        return NONE
    wide, high, right, down = (Fraction(*numbers[at : at + 2]) for at in range(0, 8, 2))
    left, top = (width - wide) / 2 + right, (height - high) / 2 + down
    if min(wide, high) < 1 or min(left, top) < 0 or left + wide > width or top + high > height:
        return NONE
    before = math.floor(left), math.floor(top)
    behind = width - 1 - math.floor(left + wide - 1), height - 1 - math.floor(top + high - 1)
    return Cropping(*before, *behind, has_shape=any(True for _ in mp4.boxes(own, b"pasp")))


class Cropper:
    """Crops the frames of one video."""

    def __init__(self, cropping: Cropping):
        self.cropping = cropping
        self._graph: Graph | None = None
        self._made_for: tuple[object, ...] = ()

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The part of the frame that is shown; the same pixels, not copied. Raises ItemError (bad_cropping)."""
        if not self.cropping.is_any:
            return frame
        kind = frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range
        if kind != self._made_for:
            self._graph, self._made_for = self._cropping(frame), kind
        assert self._graph is not None
        self._graph.push(frame)
        cropped = self._graph.pull()
        assert isinstance(cropped, av.VideoFrame)
        return cropped

    def _cropping(self, frame: av.VideoFrame) -> Graph:
        one = self.cropping
        width, height = frame.width - one.left - one.right, frame.height - one.top - one.bottom
        if min(width, height) < 1:
            raise ItemError("bad_cropping", "the container crops the whole picture away; write it anew without that")
        return graph_of(frame, "crop", w=width, h=height, x=one.left, y=one.top)
