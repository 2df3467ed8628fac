"""Checking a clip file against its source: its frames are decoded and recognized by their 8 × 8 thumbnails."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import av
import av.error
import numpy as np
import pyarrow as pa
from av.video.reformatter import VideoReformatter

from clipmill.base.errors import ItemError
from clipmill.base.opencv import cv2
from clipmill.decode.media import best_video_stream, ffmpeg_message, open_video
from clipmill.decode.pictures import analysis_size, orientation, small_bgr, thumbnail

DECODER_THREADS = 2
UPRIGHT = (False, False, False)

# Frames are one too late or early if a shift by one lowers their difference to this share, and by these grey levels.
SHIFT_RATIO, SHIFT_LEVELS = 0.5, 0.25


class Mismatch(Exception):
    """The file is not the clip that was wanted; the message says how."""


@dataclass(frozen=True)
class SourceFrames:
    """The measurements of a clip's frames from decoding. `time` and `is_clean` have one more entry: the clip's end."""

    time: np.ndarray  # float: presentation time after the video's first frame
    is_key: np.ndarray  # bool
    is_clean: np.ndarray  # bool: packets can be copied up to this frame (not included) without a loss
    thumbnail: np.ndarray  # uint8, frames × 64

    @staticmethod
    def of(signals: pa.Table, times: np.ndarray, start: int, end: int) -> SourceFrames:
        """The frames from `start` to before `end` of a video; `times` ends with the end of its last frame."""
        thumbnails = b"".join(signals["thumbnail"].slice(start, end - start).to_pylist())
        is_clean = np.append(signals["is_clean"].to_numpy(), True)  # no packets come after the last frame's
        return SourceFrames(
            time=times[start : end + 1],
            is_key=signals["is_key"].to_numpy()[start:end],
            is_clean=is_clean[start : end + 1],
            thumbnail=np.frombuffer(thumbnails, np.uint8).reshape(-1, 64),
        )

    def part(self, first: int, stop: int) -> SourceFrames:
        """The frames from `first` to before `stop` of these."""
        return SourceFrames(
            self.time[first : stop + 1],
            self.is_key[first:stop],
            self.is_clean[first : stop + 1],
            self.thumbnail[first:stop],
        )

    def evenly(self, seconds: float) -> SourceFrames:
        """The same frames, `seconds` apart: for videos whose own times cannot be trusted."""
        return replace(self, time=self.time[0] + np.arange(len(self.time)) * seconds)

    @property
    def frames(self) -> int:
        return len(self.is_key)

    @property
    def seconds(self) -> float:
        return float(self.time[-1] - self.time[0])


@dataclass(frozen=True)
class Tolerance:
    """How far a clip file may be from its source."""

    seconds: float  # for a frame's time and for the whole duration; a frame's usual duration
    grey_levels: float  # for a frame's thumbnail: mean absolute difference


@dataclass(frozen=True)
class ClipFile:
    """The facts of a clip file that passed its check."""

    seconds: float
    frames: int
    width: int
    height: int
    bytes: int


def verify(path: Path, wanted: SourceFrames, allowed: Tolerance, every: bool = True) -> ClipFile:
    """Decode the file and compare it with the `wanted` frames: all times, and the pictures. Raises Mismatch.

    Without `every` only frames that others refer to, and the last frame, are decoded. That is enough for a copy: the
    packets of the other frames are the source's, and decode to the same pictures.
    """
    try:
        with open_video(path) as container:
            stream = best_video_stream(container)
            if not is_square(float(stream.sample_aspect_ratio or 1)):
                raise Mismatch("the pixels are not square")
            assert stream.time_base is not None  # FFmpeg sets it for each stream that it finds
            stamps, shown = _decode(container, stream, wanted.frames, every)
            if stream.duration is None:
                raise Mismatch("the file states no duration")
            seconds = float(stream.duration * stream.time_base)
            times = np.array([float(stamp * stream.time_base) for stamp in stamps])
            width, height = stream.width, stream.height
    except ItemError as error:
        raise Mismatch(f"the file cannot be read back: {error}") from error
    except (av.error.FFmpegError, ValueError) as error:
        raise Mismatch(f"the file cannot be decoded: {ffmpeg_message(error)}") from error
    check_times(times, seconds, wanted, allowed.seconds)
    places = np.searchsorted(stamps, sorted(shown))
    thumbnails = np.array([shown[stamp] for stamp in sorted(shown)], np.uint8).reshape(-1, 64)
    check_thumbnails(thumbnails, wanted.thumbnail, allowed.grey_levels, places)
    return ClipFile(seconds, len(times), width, height, path.stat().st_size)


def _decode(
    container: av.container.InputContainer, stream: av.VideoStream, most: int, every: bool
) -> tuple[list[int], dict[int, np.ndarray]]:
    """Time stamps of all frames, rising, and thumbnails of the decoded ones by their stamp; at most `most` frames."""
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = DECODER_THREADS
    packets = list(container.demux(stream))  # of one clip
    stamps: list[int] = []
    for packet in packets:
        if packet.size:
            if packet.pts is None:
                raise Mismatch(f"frame {len(stamps)} has no time")
            stamps.append(packet.pts)
    if len(stamps) > most:
        raise Mismatch(f"more than the {most} frames wanted")
    end = max(stamps, default=None)
    reformatter = VideoReformatter()
    shown: dict[int, np.ndarray] = {}
    for packet in packets:
        last = not packet.size or packet.pts == end
        stream.codec_context.skip_frame = "DEFAULT" if every or last else "NONREF"
        for frame in packet.decode():
            if orientation(frame) != UPRIGHT:
                raise Mismatch("the picture is stored turned or mirrored")
            if frame.pts is None:
                raise Mismatch(f"frame {len(shown)} has no time")
            small = small_bgr(frame, *analysis_size(stream.width, stream.height), reformatter, UPRIGHT)
            shown[frame.pts] = thumbnail(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY))
    if every and len(shown) != len(stamps):
        raise Mismatch(f"{len(shown)} of {len(stamps)} frames can be decoded")
    return sorted(stamps), shown


def is_square(pixel_aspect: float) -> bool:
    """Whether pixels are square to the eye. Scaling to whole numbers often leaves an aspect like 1281:1280 behind."""
    return abs(pixel_aspect - 1) < 0.005


def check_times(times: np.ndarray, seconds: float, wanted: SourceFrames, allowed: float) -> None:
    """Raise Mismatch unless the number of frames is as wanted, and their times are so to within `allowed` seconds."""
    if len(times) != wanted.frames:
        raise Mismatch(f"{len(times)} frames, {wanted.frames} wanted")
    if abs(times[0]) > allowed:
        raise Mismatch(f"the first frame is at {times[0]:.3f} s, not at 0")
    off = np.abs((times - times[0]) - (wanted.time[:-1] - wanted.time[0]))
    if off.max() > allowed:
        worst = int(off.argmax())
        raise Mismatch(f"frame {worst} is {off[worst]:.3f} s away from its time in the source")
    if abs(seconds - wanted.seconds) > allowed:
        raise Mismatch(f"{seconds:.3f} s long, {wanted.seconds:.3f} s wanted")


def check_thumbnails(
    thumbnails: np.ndarray, wanted: np.ndarray, allowed: float, places: np.ndarray | None = None
) -> None:
    """Raise Mismatch unless each frame shows the same as its source, and the frames fit better than shifted by one.

    `thumbnails`, `wanted`: uint8, frames × 64. `allowed`: grey levels. `places`: the numbers of the clip's frames that
    `thumbnails` show, rising; None: all. The first and the last must be there.
    """
    places = np.arange(len(wanted)) if places is None else places
    if len(places) != len(thumbnails) or not {0, len(wanted) - 1} <= set(places.tolist()):
        raise Mismatch("the first or the last frame cannot be decoded")
    off = _difference(thumbnails, wanted[places])
    if off.max() > allowed:
        worst = int(off.argmax())
        raise Mismatch(
            f"frame {places[worst]} does not show what the source does "
            f"({off[worst]:.1f} grey levels apart, {allowed:g} allowed)"
        )
    if len(off) < 2:
        return
    shifted = {
        "late": _difference(thumbnails[1:], wanted[places[1:] - 1]),
        "early": _difference(thumbnails[:-1], wanted[places[:-1] + 1]),
    }
    for name, other in shifted.items():
        if other.mean() < SHIFT_RATIO * off.mean() and off.mean() - other.mean() > SHIFT_LEVELS:
            raise Mismatch(
                f"the frames are one too {name} ({off.mean():.2f} grey levels apart, {other.mean():.2f} when shifted)"
            )


def _difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Mean absolute grey-level difference of thumbnails, frame by frame."""
    return np.abs(one.astype(np.int16) - other).mean(axis=1)
