"""Checking a clip file against its source.

Frames are decoded and recognized by their 8 × 8 thumbnails. Of a copy whose packets are the source's, byte by byte,
only the beginning and the key frames are decoded: the others must come out as they did from the source.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import av.error
import numpy as np
import pyarrow as pa
from av.codec.context import Flags
from av.video.reformatter import VideoReformatter

from clipmill.base.errors import ItemError
from clipmill.base.opencv import cv2
from clipmill.decode.looks import TRANSFERS
from clipmill.decode.media import best_video_stream, ffmpeg_message, open_video
from clipmill.decode.mp4 import edits
from clipmill.decode.pictures import UPRIGHT, analysis_size, orientation, small_bgr
from clipmill.decode.signals import thumbnail
from clipmill.shapes.shown import shown_frames
from clipmill.shapes.sizes import is_square

DECODER_THREADS = 1  # more cost processor time, and clips are checked side by side
BEGINNING = 16  # frames: if one of a copy refers to a frame before the copy, some of these do, and show it
EIGHT_BIT_420 = {"yuv420p", "yuvj420p"}

# Frames are one too late or early if a shift by one lowers their difference to this share, and by these grey levels.
SHIFT_RATIO, SHIFT_LEVELS = 0.5, 0.25


class Mismatch(Exception):
    """The file is not the clip that was wanted; the message says how."""


@dataclass(frozen=True)
class SourceFrames:
    """The measurements of a clip's frames from decoding. `time` and `is_clean` have one more entry: the clip's end.

    Also what is wanted of a file: its frames, each with the measurements of the source's frame that it shows.
    """

    time: np.ndarray  # float: presentation time after the video's first frame
    is_key: np.ndarray  # bool
    is_clean: np.ndarray  # bool: packets can be copied up to this frame (not included) without a loss
    thumbnail: np.ndarray  # uint8, frames × 64
    gap: float = math.inf  # seconds from the frame before the first one to this one; infinite if there is none

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
            gap=_gap(times, start, math.inf),
        )

    def part(self, first: int, stop: int) -> SourceFrames:
        """The frames from `first` to before `stop` of these."""
        return SourceFrames(
            self.time[first : stop + 1],
            self.is_key[first:stop],
            self.is_clean[first : stop + 1],
            self.thumbnail[first:stop],
            _gap(self.time, first, self.gap),
        )

    def evenly(self, seconds: float) -> SourceFrames:
        """The same frames, `seconds` apart: for videos whose own times cannot be trusted."""
        return replace(self, time=self.time[0] + np.arange(len(self.time)) * seconds)

    def at_rate(self, rate: Fraction, count: int) -> SourceFrames:
        """The frames that a file of `count` frames at a constant rate shows."""
        shown = shown_frames(self.time[:-1], rate, count)
        return SourceFrames(
            self.time[0] + np.arange(count + 1) / float(rate),
            self.is_key[shown],
            self.is_clean[np.append(shown, -1)],
            self.thumbnail[shown],
        )

    def showing(self, thumbnail: np.ndarray) -> SourceFrames:
        """The same frames with other thumbnails."""
        return replace(self, thumbnail=thumbnail)

    @property
    def frames(self) -> int:
        return len(self.is_key)

    @property
    def seconds(self) -> float:
        return float(self.time[-1] - self.time[0])

    @property
    def alone(self) -> float:
        """Seconds around the time of the first frame, before and after it, in which no other frame begins."""
        return min(self.gap, float(self.time[1] - self.time[0]))


def _gap(times: np.ndarray, frame: int, of_first: float) -> float:
    return float(times[frame] - times[frame - 1]) if frame else of_first


@dataclass(frozen=True)
class Tolerance:
    """How far a clip file may be from its source."""

    seconds: float  # for a frame's time and for the whole duration; a frame's usual duration
    grey_levels: float  # for a frame's thumbnail: mean absolute difference


@dataclass(frozen=True)
class ClipFile:
    """The facts of a clip file that passed its check. `promises`: the columns PROMISES but `frames_exact`."""

    seconds: float
    frames: int
    width: int
    height: int
    bytes: int
    codec: str
    has_sound: bool
    promises: dict[str, bool]


@dataclass(frozen=True)
class Origin:
    """Where the packets of a copy come from."""

    path: Path
    offset: float  # seconds from the container's start to the video's first frame
    frames: SourceFrames  # as they are in the source


def verify(path: Path, wanted: SourceFrames, allowed: Tolerance, origin: Origin | None = None) -> ClipFile:
    """Compare a clip file with the `wanted` frames: all times, and the pictures. Raises Mismatch.

    `origin`: given for a copy. If the packets are those of the source, the first BEGINNING frames and all key frames
    are decoded; if not, as a container may demand another form of them, all frames, as of other files.
    """
    try:
        with open_video(path) as container:
            stream = best_video_stream(container)
            stream.codec_context.flags &= ~Flags.unaligned  # as most readers leave it
            if not is_square(float(stream.sample_aspect_ratio or 1)):
                raise Mismatch("the pixels are not square")
            assert stream.time_base is not None  # FFmpeg sets it for each stream that it finds
            packets = list(container.demux(stream))  # of one clip
            stamps = _stamps(packets, wanted.frames)
            same_packets = origin is not None and _are_of(packets, stream, origin)
            shown, progressive = _decode(packets, stream, BEGINNING if same_packets else len(packets))
            if stream.duration is None:
                raise Mismatch("the file states no duration")
            seconds = float(stream.duration * stream.time_base)
            times = np.array([float(stamp * stream.time_base) for stamp in stamps])
            file = ClipFile(
                seconds=seconds,
                frames=len(times),
                width=stream.width,
                height=stream.height,
                bytes=path.stat().st_size,
                codec=stream.codec_context.codec.canonical_name,
                has_sound=bool(container.streams.audio),
                promises=_promises(path, stream, stamps, progressive),
            )
    except ItemError as error:
        raise Mismatch(f"the file cannot be read back: {error}") from error
    except (av.error.FFmpegError, ValueError) as error:
        raise Mismatch(f"the file cannot be decoded: {ffmpeg_message(error)}") from error
    check_times(times, seconds, wanted, allowed.seconds)
    places = np.searchsorted(stamps, sorted(shown))
    needed = [0] if same_packets else range(wanted.frames)
    if lost := set(needed) - set(places.tolist()):
        raise Mismatch(f"frame {min(lost)} cannot be decoded")
    thumbnails = np.array([shown[stamp] for stamp in sorted(shown)], np.uint8).reshape(-1, 64)
    check_thumbnails(thumbnails, wanted.thumbnail, allowed.grey_levels, places)
    return file


def _promises(path: Path, stream: av.VideoStream, stamps: list[int], progressive: bool) -> dict[str, bool]:
    """Which of the columns PROMISES hold. Those that `verify` demands of every file are not looked at again."""
    gaps = np.diff([*stamps, stream.duration or 0])
    return {
        "constant_rate": bool((gaps == gaps[0]).all()),
        "rising_times": bool((gaps > 0).all()),
        "starts_at_zero": stamps[0] == 0 and all(times == [0] for times in edits(path)[: stream.index + 1]),
        "upright": True,
        "square_pixels": True,
        "even_size": stream.width % 2 == 0 and stream.height % 2 == 0,
        "eight_bit_420": stream.codec_context.pix_fmt in EIGHT_BIT_420,
        "sdr": int(stream.codec_context.color_trc) not in TRANSFERS,
        "progressive": progressive,
    }


def _stamps(packets: list[av.Packet], most: int) -> list[int]:
    """The time stamps of a clip's frames, rising; at most `most` frames."""
    stamps: list[int] = []
    for packet in packets:
        if packet.size:
            if packet.pts is None:
                raise Mismatch(f"frame {len(stamps)} has no time")
            stamps.append(packet.pts)
    if len(stamps) > most:
        raise Mismatch(f"more than the {most} frames wanted")
    return sorted(stamps)


def _are_of(packets: list[av.Packet], stream: av.VideoStream, origin: Origin) -> bool:
    """Whether the clip's packets are those of the source's frames, with the same bytes, order and, nearly, times.

    If so, and the decoder is set up with the same data, it decodes them to the same pictures.
    """
    try:
        with open_video(origin.path) as container:
            source = best_video_stream(container)
            if source.codec_context.extradata not in (None, stream.codec_context.extradata):
                return False
            assert source.time_base is not None and stream.time_base is not None  # FFmpeg sets them
            copied = (packet for packet in packets if packet.size)
            shifts = []
            wanted = origin.frames
            for packet in islice(_packets_of(container, source, origin), wanted.frames):
                copy = next(copied, None)
                if copy is None or copy.is_discard or packet.has_sidedata("new_extradata"):
                    return False
                if bytes(packet) != bytes(copy) or packet.pts is None or copy.pts is None:
                    return False
                shifts.append(float(packet.pts * source.time_base - copy.pts * stream.time_base))
            same_times = np.ptp(shifts) < np.diff(wanted.time).min() / 2 if shifts else False
            return same_times and len(shifts) == wanted.frames and next(copied, None) is None
    except av.error.FFmpegError:  # some containers cannot seek
        return False


def _packets_of(container: av.container.InputContainer, stream: av.VideoStream, origin: Origin) -> Iterator[av.Packet]:
    """The packets of a source's frames, as their times say."""
    wanted = origin.frames
    slack = float(np.diff(wanted.time).min()) / 2
    start = (container.start_time or 0) / av.time_base + origin.offset
    begin, end = float(wanted.time[0]) + start, float(wanted.time[-1]) + start
    assert stream.time_base is not None  # FFmpeg sets it for each stream that it finds
    unit = float(stream.time_base)
    container.seek(int(begin / unit), stream=stream)
    for packet in container.demux(stream):
        if packet.dts is not None and packet.dts * unit > end:
            return
        if packet.pts is not None and begin - slack < packet.pts * unit < end - slack:
            yield packet


def _decode(packets: list[av.Packet], stream: av.VideoStream, beginning: int) -> tuple[dict[int, np.ndarray], bool]:
    """Thumbnails of the frames in the first `beginning` packets and of all key frames, by their time stamps.

    Also whether all of these frames are progressive.
    """
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = DECODER_THREADS
    reformatter = VideoReformatter()
    shown: dict[int, np.ndarray] = {}
    progressive = True
    for number, packet in enumerate(packets):
        if number >= beginning and packet.size and not packet.is_keyframe:
            continue
        for frame in packet.decode():
            if orientation(frame) != UPRIGHT:
                raise Mismatch("the picture is stored turned or mirrored")
            if (frame.width, frame.height) != (stream.width, stream.height):
                raise Mismatch(f"readers see {frame.width} × {frame.height} pixels of a frame, more than are shown")
            if frame.pts is None:
                raise Mismatch(f"frame {len(shown)} has no time")
            small = small_bgr(frame, *analysis_size(stream.width, stream.height), reformatter, UPRIGHT)
            shown[frame.pts] = thumbnail(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY))
            progressive = progressive and not frame.interlaced_frame
    return shown, progressive


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


def check_thumbnails(thumbnails: np.ndarray, wanted: np.ndarray, allowed: float, places: np.ndarray) -> None:
    """Raise Mismatch unless each frame shows the same as its source, and the frames fit better than shifted by one.

    `thumbnails`, `wanted`: uint8, frames × 64. `allowed`: grey levels. `places`: the numbers of the clip's frames that
    `thumbnails` show, rising.
    """
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
