"""Opening media files safely: local files only, known containers only, whatever their names look like."""

from __future__ import annotations

from pathlib import Path

import av
import av.error

from clipmill.base.errors import ItemError

# Containers, by FFmpeg's demuxer names. Playlists and scripts (hls, dash, concat, sdp …) are not among them, so a
# file that points elsewhere is refused, whatever it is called.
CONTAINERS = "mov,matroska,avi,flv,mpegts,mpeg,mpegvideo,rm,asf,h264,hevc,m4v,ogg,gif,dv,mxf"
PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")  # how PNG, JPEG, BMP and TIFF begin
OPTIONS = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}


def file_url(path: Path | str) -> str:
    """`path` as a URL that FFmpeg takes literally: no leading dash, colon or protocol in it is interpreted."""
    return f"file:{Path(path).absolute()}"


def open_video(path: Path | str) -> av.container.InputContainer:
    """Open a video file for reading. Raises ItemError (vanished, empty, unreadable, not_a_video)."""
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise ItemError("empty", "the file has 0 bytes; copy it again or remove it")
        return av.open(file_url(path), options=dict(OPTIONS), metadata_errors="replace")
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
    """The video stream to use; cover pictures do not count. Raises ItemError (no_video)."""
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        count = len(container.streams.audio)
        raise ItemError("no_video", f"no video stream ({count} audio streams); remove it or name it in `exclude`")
    return max(streams, key=lambda stream: (stream.width or 0) * (stream.height or 0))


def ffmpeg_message(error: Exception) -> str:
    """FFmpeg's own words for what went wrong, without the path."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
