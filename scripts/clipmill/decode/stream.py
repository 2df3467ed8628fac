"""The frames of an open video, in order of presentation: the one loop over its packets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

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
        self._packets: deque[tuple[int | None, bool]] = deque(maxlen=REMEMBERED)  # time stamp, is a key frame
        self._held: deque[av.VideoFrame] = deque()
        self._spoilt: set[int] = set()  # time stamps
        self._is_spoilt = self._is_broken = False  # in decode order, in order of presentation

    def add(self, packet: av.Packet | Damage, frames: list[av.VideoFrame | Damage]) -> Iterator[av.VideoFrame]:
        """Note the next packet and the frames that it completes. Returns the frames that are whole for certain."""
        if isinstance(packet, av.Packet):
            is_key = packet.is_keyframe and not packet.is_corrupt  # of a transmission it may be known to have holes
            self._packets.append((packet.pts, is_key))
            self._is_spoilt = (self._is_spoilt and not is_key) or packet.is_corrupt
            self._note(packet.pts)
        for frame in frames:
            if isinstance(frame, av.VideoFrame):
                self._held.append(frame)
            else:
                self._spoil_from(frame.pts)
        return self._release(HELD)

    def end(self) -> Iterator[av.VideoFrame]:
        """The frames that are left."""
        return self._release(0)

    def _note(self, pts: int | None) -> None:
        if self._is_spoilt and pts is not None:
            self._spoilt.add(pts)

    def _spoil_from(self, pts: int | None) -> None:
        """The packet with this time stamp is damaged; without one, all that was read lately may be."""
        stamps = [stamp for stamp, _ in self._packets]
        first = stamps.index(pts) if pts is not None and pts in stamps else None
        if first is None:
            self._held.clear()
            self._is_broken = True
        self._is_spoilt = True
        for stamp, is_key in list(self._packets)[0 if first is None else first + 1 :]:
            if is_key and first is not None:
                self._is_spoilt = False
            self._note(stamp)
        if pts is not None:
            self._spoilt.add(pts)

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
