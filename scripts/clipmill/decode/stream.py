"""The frames of an open video, in order of presentation: the one loop over its packets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import av
import av.error

from clipmill.decode.cropping import Cropper
from clipmill.decode.looks import Watch
from clipmill.decode.media import ffmpeg_message

HELD = 16  # frames: of no more a usual encoder makes a frame that is shown after others that refer to it
REMEMBERED = 64  # packets: a frame comes out of the decoder no later


class Damage(Exception):
    """The stream cannot be decoded any further; the message says why. `pts`: the time stamp of what is damaged."""

    def __init__(self, message: str, pts: int | None = None):
        super().__init__(message)
        self.pts = pts


def frames_of(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    watch: Watch,
    packet_comes: Callable[[av.Packet], None] = lambda packet: None,
    keeps_rest: bool = False,
) -> Iterator[av.VideoFrame]:
    """Decode from where the container stands. Damage after the first frame raises Damage.

    With `keeps_rest` damaged frames are left out instead, and all that may refer to them: those up to the next key
    frame. `watch` is kept informed of the stream's parameters and of such a gap. `packet_comes` is called with each
    packet of the file, of whatever stream, before it is decoded.
    """
    rest = _Rest(watch) if keeps_rest else None
    if rest:
        stream.thread_type = "SLICE"  # with others, an error is reported some packets later
        if stream.codec_context.name == "hevc":  # it marks no frame as damaged
            stream.codec_context.options = {"err_detect": "explode"}
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
        if rest:
            yield from map(crop, rest.add(packet, frames))
            continue
        for frame in frames:
            if isinstance(frame, av.VideoFrame):
                seen = True
                yield crop(frame)
            elif seen:  # a recording may begin in the middle of a group of pictures
                raise frame
    if rest:
        yield from map(crop, rest.end())


class _Rest:
    """Leaves out the frames that damage has spoilt: a damaged one, and in decode order all up to the next key frame.

    Packets and frames are known by their time stamps. A frame may turn out to be damaged after others that refer to it
    and are shown before it, so some are held back.
    """

    def __init__(self, watch: Watch):
        self._watch = watch
        self._packets: deque[_Packet] = deque(maxlen=REMEMBERED)
        self._held: deque[av.VideoFrame] = deque()
        self._spoilt: set[int] = set()  # time stamps
        self._is_broken = False  # in order of presentation

    def add(self, packet: av.Packet | Damage, frames: list[av.VideoFrame | Damage]) -> Iterator[av.VideoFrame]:
        """Note the next packet and the frames that it completes. Returns the frames that are whole for certain."""
        if isinstance(packet, av.Packet):
            self._packets.append(_Packet(packet.pts, packet.is_keyframe))
            self._carry_on(len(self._packets) - 1)
            if packet.is_corrupt:  # of a transmission it may be known to have holes
                self._spoil_from(packet.pts)
        for frame in frames:
            if isinstance(frame, av.VideoFrame):
                self._held.append(frame)
            else:
                self._spoil_from(frame.pts)
        return self._release(HELD)

    def end(self) -> Iterator[av.VideoFrame]:
        """The frames that are left."""
        yield from self._release(0)
        if self._is_broken or self._spoilt:
            self._watch.breaks()

    def _spoil_from(self, pts: int | None) -> None:
        """The packet with this time stamp is damaged; without one, all that was read lately may be."""
        places = [place for place, packet in enumerate(self._packets) if packet.pts == pts] if pts is not None else []
        if not places:
            self._held.clear()
            self._is_broken = True
        for place in range(places[-1] if places else 0, len(self._packets)):
            if not places or place == places[-1]:
                self._spoil(place)
            else:
                self._carry_on(place)

    def _carry_on(self, place: int) -> None:
        """A packet is spoilt if the one before it is, but for a key frame, and for what follows a leading frame.

        Leading frames come after a key frame and are shown before it: only others of them refer to them.
        """
        packet, before = self._packets[place], self._packets[place - 1] if place else None
        packet.key_pts = packet.pts if packet.is_key else before.key_pts if before else None
        if before and not packet.is_key and (before.spoils_all or (before.spoils_leading and packet.is_leading)):
            self._spoil(place)
        elif before and not packet.is_key:
            packet.spoils_leading = before.spoils_leading

    def _spoil(self, place: int) -> None:
        packet = self._packets[place]
        packet.spoils_leading = True
        before = self._packets[place - 1] if place else None
        packet.spoils_all = not packet.is_leading or bool(before and before.spoils_all)
        if packet.pts is not None:
            self._spoilt.add(packet.pts)

    def _release(self, most: int) -> Iterator[av.VideoFrame]:
        while len(self._held) > most:
            frame = self._held.popleft()
            if self._takes(frame):
                yield frame

    def _takes(self, frame: av.VideoFrame) -> bool:
        """Whether the next frame in order of presentation is whole. After a gap, those before a key frame are not."""
        is_spoilt = frame.pts in self._spoilt
        if frame.pts is not None and (passed := {pts for pts in self._spoilt if pts <= frame.pts}):
            self._spoilt -= passed
            self._is_broken = True
        if is_spoilt or (self._is_broken and not frame.key_frame):
            return False
        if self._is_broken:
            self._watch.breaks()
            self._is_broken = False
        return True


@dataclass
class _Packet:
    """A packet and what damage means to those after it, up to the next key frame."""

    pts: int | None
    is_key: bool
    key_pts: int | None = None  # of the last key frame in decode order
    spoils_all: bool = False
    spoils_leading: bool = False

    @property
    def is_leading(self) -> bool:
        return self.pts is not None and self.key_pts is not None and self.pts < self.key_pts


def _decode(packet: av.Packet) -> list[av.VideoFrame | Damage]:
    """The frames that a packet completes, and Damage in the place of those that are damaged."""
    try:
        return [Damage("a damaged frame", frame.pts) if frame.is_corrupt else frame for frame in packet.decode()]
    except av.error.FFmpegError as error:
        return [Damage(ffmpeg_message(error), packet.pts)]


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
