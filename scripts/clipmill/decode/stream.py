"""The frames of an open video, in order of presentation: the one loop over its packets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import av
import av.error

from clipmill.decode.cropping import Cropper
from clipmill.decode.looks import Watch
from clipmill.decode.media import ffmpeg_message

# Frames that a damaged one may have spoilt although they are shown before it: B-frames refer to later frames.
SPOILT = 16


class Damage(Exception):
    """The stream cannot be decoded any further; the message says why."""


def frames_of(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    watch: Watch,
    packet_comes: Callable[[av.Packet], None] = lambda packet: None,
    keeps_rest: bool = False,
) -> Iterator[av.VideoFrame]:
    """Decode from where the container stands. Damage after the first frame raises Damage.

    With `keeps_rest` damaged frames are left out instead, with those before them that they may have spoilt and all up
    to the next key frame. `watch` is kept informed of the stream's parameters and of such a gap. `packet_comes` is
    called with each packet of the file, of whatever stream, before it is decoded.
    """
    rest = _Rest(watch, SPOILT if stream.codec_context.has_b_frames else 0) if keeps_rest else None
    crop = Cropper(watch.cropping)
    seen = False
    for packet in _packets(container):
        if isinstance(packet, Damage):
            frames: list[av.VideoFrame | Damage] = [packet]
        else:
            packet_comes(packet)
            if packet.stream.index != stream.index:
                continue
            watch.packet(packet)
            frames = _decode(packet)
            watch.decoded()
        for frame in frames:
            if isinstance(frame, av.VideoFrame):
                seen = True
            elif not seen:
                continue  # a recording may begin in the middle of a group of pictures
            if rest:
                yield from map(crop, rest.add(frame))
            elif isinstance(frame, Damage):
                raise frame
            else:
                yield crop(frame)
    if rest:
        yield from map(crop, rest.end())


class _Rest:
    """Leaves out what damage may have spoilt."""

    def __init__(self, watch: Watch, spoilt: int):
        self._watch, self._spoilt = watch, spoilt
        self._held: deque[av.VideoFrame] = deque()  # frames that the next damage would spoil
        self._is_broken = self._is_gap = False

    def add(self, frame: av.VideoFrame | Damage) -> Iterator[av.VideoFrame]:
        """Note the next frame, or damage. Returns the frames that are safe by now."""
        if isinstance(frame, Damage):
            self._held.clear()
            self._is_broken = self._is_gap = True
        elif not self._is_broken or frame.key_frame:
            self._is_broken = False
            self._held.append(frame)
        return self._release(self._spoilt)

    def end(self) -> Iterator[av.VideoFrame]:
        """The frames that are left."""
        return self._release(0)

    def _release(self, most: int) -> Iterator[av.VideoFrame]:
        while len(self._held) > most:
            if self._is_gap:
                self._watch.breaks()
                self._is_gap = False
            yield self._held.popleft()


def _decode(packet: av.Packet) -> list[av.VideoFrame | Damage]:
    """The frames that a packet completes, and Damage in the place of those that are damaged."""
    try:
        return [Damage("a damaged frame") if frame.is_corrupt else frame for frame in packet.decode()]
    except av.error.FFmpegError as error:
        return [Damage(ffmpeg_message(error))]


def _packets(container: av.container.InputContainer) -> Iterator[av.Packet | Damage]:
    """All packets of a file, and Damage where it cannot be read; ends where nothing can be read after that."""
    goes_on = True
    while goes_on:
        goes_on = False
        try:
            for packet in container.demux():
                goes_on = True
                yield packet
            return
        except av.error.FFmpegError as error:
            yield Damage(ffmpeg_message(error))
