"""The frames of an open video, in order of presentation: the one loop over its packets."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import av
import av.error

from clipmill.decode.looks import Watch
from clipmill.decode.media import ffmpeg_message


class Damage(Exception):
    """The stream cannot be decoded any further; the message says why."""


def frames_of(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    watch: Watch,
    packet_comes: Callable[[av.Packet], None] = lambda packet: None,
) -> Iterator[av.VideoFrame]:
    """Decode from where the container stands. Damage after the first frame raises Damage.

    `watch` is kept informed of the stream's parameters. `packet_comes` is called with each packet before it is decoded.
    """
    seen = False
    for packet in _packets(container, stream):
        packet_comes(packet)
        watch.packet(packet)
        try:
            decoded = packet.decode()
        except av.error.FFmpegError as error:
            if not seen:
                continue  # a recording may begin in the middle of a group of pictures
            raise Damage(ffmpeg_message(error)) from error
        watch.decoded()
        for frame in decoded:
            if frame.is_corrupt and seen:
                raise Damage("a damaged frame")
            seen = True
            yield frame


def _packets(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    try:
        yield from container.demux(stream)
    except av.error.FFmpegError as error:
        raise Damage(ffmpeg_message(error)) from error
