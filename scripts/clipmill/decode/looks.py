"""What may change in the middle of a video: how its frames are stored and shown. Each change begins a new part."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from fractions import Fraction
from typing import NamedTuple

import av
import av.error
import av.video.format

from clipmill.decode.cropping import container_cropping
from clipmill.decode.pictures import UPRIGHT, Turn, announced_turn, is_full_range

# Transfer curves of HDR, and primaries: numbers of AVColorTransferCharacteristic and AVColorPrimaries.
TRANSFERS = {16: "pq", 18: "hlg"}
PRIMARIES = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    10: "smpte428",
    11: "smpte431",
    12: "smpte432",
    22: "ebu3213",
}
MOST_KEYS = 64  # key frames that a decoder may hold back
LIMITED_RANGE = 1  # number of AVColorRange

# What begins a part beside a change of the look.
CLOCK = "clock"  # the stream's clock leaps
DAMAGE = "damage"  # damaged frames were left out
PARAMETERS = "codec parameters"


def bits_per_colour(pixels: av.video.format.VideoFormat) -> int:
    """The bits of a pixel's colours, of that with the most."""
    return max(component.bits for component in pixels.components)


class Look(NamedTuple):
    """What is the same for all frames of a part. The fields have the words by which a change is reported."""

    size: tuple[int, int]
    pixel_format: str
    pixel_shape: float  # width of a stored pixel over its height
    rotation: Turn
    colours: tuple[int, int, int, int]  # matrix, range, transfer, primaries

    def changes(self, before: Look) -> list[str]:
        """What is not as it was, in words."""
        return [name.replace("_", " ") for name, new, old in zip(self._fields, self, before, strict=True) if new != old]

    @property
    def transfer(self) -> str:
        return TRANSFERS.get(self.colours[2], "sdr")

    @property
    def primaries(self) -> str:
        return PRIMARIES.get(self.colours[3], "unknown")

    @property
    def color_range(self) -> str:
        if is_full_range(self.pixel_format, self.colours[1]):
            return "full"
        return "limited" if self.colours[1] == LIMITED_RANGE else "unknown"

    @property
    def bit_depth(self) -> int:
        return bits_per_colour(av.video.format.VideoFormat(self.pixel_format))

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height as shown. Pixels become square by enlarging a side, so that no detail is lost."""
        width, height = self.size
        if self.pixel_shape < 1:
            height = max(1, round(height / self.pixel_shape))
        else:
            width = max(1, round(width * self.pixel_shape))
        return (height, width) if self.rotation[0] else (width, height)


Parameters = tuple[Fraction | None, Fraction | None, str | None, int | None]
"""Of a decoder: shape of its pixels, frame rate, profile and level."""


class Watch:
    """Follows the packets and frames of a stream, and says when their look changes."""

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream):
        self._context = stream.codec_context
        self.cropping = container_cropping(container, stream)
        self._shape = float(stream.sample_aspect_ratio or 1) if self.cropping.has_shape else 1.0
        self._parameters = _parameters(self._context)
        self._keys: deque[av.Packet] = deque(maxlen=MOST_KEYS)  # given to the decoder, and their frames have not come
        self._change: tuple[int | None, float] | None = None  # at which time stamp, and the shape of pixels from there
        self.is_gap = False  # whether damaged frames were left out after the last one
        self.look: Look | None = None

    def packet(self, packet: av.Packet) -> None:
        """Note a packet before it is decoded."""
        if packet.is_keyframe and packet.size:
            self._keys.append(packet)

    def decoded(self) -> None:
        """Note that a packet was decoded. A decoder has new parameters some frames before those of them come out."""
        parameters = _parameters(self._context)
        if parameters == self._parameters:
            return
        shape = float(parameters[0] or 1) if parameters[0] != self._parameters[0] else self._shape
        if self.look is None:
            self._shape = shape
        else:
            self._change = self._first_with(parameters), shape
        self._parameters = parameters

    def _first_with(self, parameters: Parameters) -> int | None:
        """The time stamp of the key frame that brings `parameters`: each that may be it is decoded by itself."""
        for packet in self._keys:
            alone = av.CodecContext.create(self._context.codec.name, "r")
            assert isinstance(alone, av.VideoCodecContext)
            alone.extradata = self._context.extradata
            alone.thread_count = 1
            with suppress(av.error.FFmpegError):  # it is no place to begin
                alone.decode(packet)
            if _parameters(alone)[:1] + _parameters(alone)[2:] == parameters[:1] + parameters[2:]:
                return packet.pts
        return self._keys[-1].pts if self._keys else None

    def breaks(self) -> None:
        """Note that damaged frames were left out before the next one, or at the end."""
        self.is_gap = True

    def see(self, frame: av.VideoFrame, leaps: bool) -> list[str]:
        """Look at the next frame. Returns in words what begins a new part; nothing if the part goes on.

        `leaps`: whether the clock does. A turn that a frame of the stream announces holds until another one does.
        """
        if frame.key_frame and any(packet.pts == frame.pts for packet in self._keys):
            while self._keys.popleft().pts != frame.pts:
                pass
        found = [CLOCK] if leaps else []
        if self.is_gap and self.look is not None:
            found.append(DAMAGE)
        self.is_gap = False
        if self._change and frame.key_frame and self._change[0] in (None, frame.pts):
            found.append(PARAMETERS)
            self._shape = self._change[1]
            self._change = None
        size = frame.width, frame.height
        turn = announced_turn(frame)
        if turn is None:
            goes_on = self.look is not None and not leaps and size == self.look.size
            turn = self.look.rotation if self.look is not None and goes_on else UPRIGHT
        colours = int(frame.colorspace), int(frame.color_range), int(frame.color_trc), int(frame.color_primaries)
        look = Look(size, frame.format.name, self._shape, turn, colours)
        if self.look is not None and look != self.look:
            named = look.changes(self.look)
            found = [*(word for word in found if word != PARAMETERS), *named]
        self.look = look
        return found


def _parameters(context: av.VideoCodecContext) -> Parameters:
    return context.sample_aspect_ratio, context.framerate, context.profile, context.level
