"""Opening media files safely: local files only, known containers only, whatever their names look like."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from pathlib import Path

import av
import av.error
from av.codec.context import Flags

from clipmill.base.errors import ItemError

# Containers, by FFmpeg's demuxer names. Playlists and scripts (hls, dash, concat, sdp …) are not among them, so a
# file that points elsewhere is refused, whatever it is called.
CONTAINERS = "mov,matroska,avi,flv,mpegts,mpeg,mpegvideo,rm,asf,h264,hevc,m4v,ogg,gif,dv,mxf"
PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")  # how PNG, JPEG, BMP and TIFF begin
PACKETS_TO_COUNT = 2000  # of several video streams: of one that moves, two are among the first ones
OPTIONS = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}


def file_url(path: Path | str) -> str:
    """`path` as a URL that FFmpeg takes literally: no leading dash, colon or protocol in it is interpreted."""
    return f"file:{Path(path).absolute()}"


def path_of(container: av.container.InputContainer) -> Path:
    """The file of a container that `open_video` opened."""
    return Path(container.name.removeprefix("file:"))


def open_video(path: Path | str, **options: str) -> av.container.InputContainer:
    """Open a video file for reading. Raises ItemError (vanished, empty, unreadable, not_a_video).

    `options`: further ones of FFmpeg's reader.
    """
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise ItemError("empty", "the file has 0 bytes; copy it again or remove it")
        return av.open(file_url(path), options={**OPTIONS, **options}, metadata_errors="replace")
    except FileNotFoundError as error:
        raise ItemError("vanished", "the file is gone; put it back and run again", lasting=False) from error
    except PermissionError as error:
        raise ItemError("unreadable", "no permission to read the file; change its mode", lasting=False) from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise _not_a_video(path, error) from error


def _not_a_video(path: Path, error: Exception) -> ItemError:
    """The error for a file that is none of the allowed containers: says what it is, as far as its first bytes show."""
    try:
        with open(path, "rb") as handle:
            head = handle.read(16)
    except OSError:  # a folder, or gone by now
        head = b""
    if head.startswith(PICTURES) or (head.startswith(b"RIFF") and head[8:12] == b"WEBP"):
        return ItemError("still_image", "a single picture, not a video; remove it or name it in `exclude`")
    if head.startswith(b"#EXTM3U"):
        return ItemError("playlist", "a playlist that points to other files; name those files instead")
    return ItemError("not_a_video", f"not a readable video ({ffmpeg_message(error)}); repair or remove it")


def best_video_stream(container: av.container.InputContainer) -> av.VideoStream:
    """The video stream to use: the largest one that can be decoded and moves.

    Cover pictures do not count, whether they are marked as such or stored as a track of one frame. Raises ItemError
    (no_video, no_decoder).
    """
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        count = len(container.streams.audio)
        raise ItemError("no_video", f"no video stream ({count} audio streams); remove it or name it in `exclude`")
    decodable = [stream for stream in streams if can_decode(stream)]
    if not decodable:
        raise ItemError("no_decoder", "FFmpeg has no decoder for its video; convert it or name it in `exclude`")
    moving = _moving(container, decodable) if len(decodable) > 1 else decodable
    best = max(moving or decodable, key=lambda stream: (stream.width or 0) * (stream.height or 0))
    best.codec_context.flags |= Flags.unaligned  # else FFmpeg crops less at the left than H.264 says
    return best


def sound_stream(container: av.container.InputContainer) -> av.AudioStream | None:
    """The first sound stream that can be decoded, if there is one."""
    return next((stream for stream in container.streams.audio if can_decode(stream)), None)


def can_decode(stream: av.stream.Stream) -> bool:
    """Whether FFmpeg has a decoder for a stream. Without one, PyAV's stream lacks most attributes."""
    return stream.codec_context is not None


def _moving(container: av.container.InputContainer, streams: list[av.VideoStream]) -> list[av.VideoStream]:
    """Those of `streams` that have more than one frame, as the header or the file's first packets say."""
    counted = {stream.index: stream.frames for stream in streams}
    if 0 in counted.values():  # the header does not say it
        counted = {index: min(frames, 2) for index, frames in counted.items()}
        # The caller reads `container` itself, and not every container can be sought.
        with (
            av.open(container.name, options=dict(OPTIONS), metadata_errors="replace") as other,
            suppress(av.error.FFmpegError),  # damage ends the counting
        ):
            for packet in islice(other.demux([other.streams[index] for index in counted]), PACKETS_TO_COUNT):
                counted[packet.stream.index] += packet.size > 0
                if min(counted.values()) > 1:
                    break
    return [stream for stream in streams if counted[stream.index] > 1]


def ffmpeg_message(error: Exception) -> str:
    """FFmpeg's own words for what went wrong, without the path."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
