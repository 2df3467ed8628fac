"""Writing one clip of a video as an mp4 file: by copying packets where that loses nothing, else by re-encoding.

Either way the file is read again and compared with its source before it gets its name (`verify`).
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ffmpeg
import imageio_ffmpeg
import numpy as np

from clipmill.base.errors import ItemError, SetupError
from clipmill.base.files import atomic, clean_text
from clipmill.base.processes import die_with
from clipmill.cut.verify import ClipFile, Mismatch, Origin, SourceFrames, Tolerance, is_square, verify
from clipmill.decode.media import OPTIONS, best_video_stream, file_url, open_video
from clipmill.store.table import Row
from clipmill.store.tables import Clip, DecodedVideo

COPYABLE = {"h264", "hevc", "av1", "libdav1d", "vp9", "mpeg4"}  # codecs that players expect in mp4
THREADS = 1  # fixed: libx264's output depends on their number; clips are cut side by side
SEEK_AHEAD = (1.0, 15.0)  # seconds before a clip at which reading it for encoding begins
COUNT_FROM_START = 1800.0  # seconds: clips that begin later are not found by counting frames from the video's start
AUDIO_BITRATE = "192k"
SOURCE, TARGET = "SOURCE", "TARGET"  # stand for the file names: ffmpeg-python takes only UTF-8
ROUNDING = 1e-6  # second: times are rounded to this in the tables

COPY_GREY_LEVELS = 0.5  # tolerance of a thumbnail: a copy decodes to the same picture; for encoding see `grey_levels`
ALWAYS = ("-nostdin", "-hide_banner", "-v", "error", "-y", "-filter_complex_threads", str(THREADS))


@dataclass(frozen=True)
class CutSettings:
    """The section `cut` of the config, and the shortest length that `split` allows."""

    mode: str
    max_trim_seconds: float
    crf: int
    preset: str
    audio: bool
    min_seconds: float


@dataclass(frozen=True)
class CopyPlan:
    """The frames to copy, counted from the clip's first: from `first` to before `stop`."""

    first: int
    stop: int


def plan_copy(video: DecodedVideo, frames: SourceFrames, settings: CutSettings) -> CopyPlan | str:
    """The longest part of the clip whose packets can be copied, or why there is none.

    It begins at a key frame and ends before another frame; the packets of all frames before either of these frames come
    before those of all other frames. Either end may be up to `max_trim_seconds` inside the clip.
    """
    if video["codec"] not in COPYABLE:
        return f"mp4 does not take the codec {video['codec']} well"
    if video["rotation"] or not is_square(video["pixel_aspect"]):
        return "the video is stored turned or with pixels that are not square"
    if video["repaired_times"]:
        return "the video lacks time stamps"
    most = settings.max_trim_seconds + ROUNDING
    starts = np.flatnonzero(frames.is_key & frames.is_clean[:-1] & (frames.time[:-1] - frames.time[0] <= most))
    if not len(starts):
        return f"no key frame to begin with in the first {settings.max_trim_seconds:g} s"
    stops = np.flatnonzero(frames.is_clean & (frames.time[-1] - frames.time <= most))
    plan = CopyPlan(int(starts[0]), int(stops[-1]) if len(stops) else 0)
    if plan.stop <= plan.first:
        return f"no place to end in the last {settings.max_trim_seconds:g} s"
    if frames.part(plan.first, plan.stop).seconds < settings.min_seconds - ROUNDING:
        return f"from key frame to key frame it is shorter than {settings.min_seconds:g} s"
    return plan


def cut_clip(
    source: Path,
    target: Path,
    video: DecodedVideo,
    clip: Clip,
    signals: SourceFrames,
    settings: CutSettings,
) -> Row:
    """Write the clip to `target` and return its row of the table `cuts`, without `clip_id` and `file`.

    Raises ItemError (no_copy, bad_cut, and what opening the source raises) and OSError for a full disk.
    """
    plan = None if settings.mode == "reencode" else plan_copy(video, signals, settings)
    if settings.mode == "copy" and isinstance(plan, str):
        raise ItemError("no_copy", f"packets cannot be copied: {plan}; use cut.mode auto, or raise max_trim_seconds")
    failed = None
    with atomic(target) as temporary:
        job = _Job(source, temporary, video, settings)
        if isinstance(plan, CopyPlan):
            try:
                file = job.copy(signals.part(plan.first, plan.stop))
                return _row("copy", None, float(signals.time[plan.first] - signals.time[0]), file)
            except Mismatch as error:
                failed = str(error)
                if settings.mode == "copy":
                    message = f"the copied clip failed its check: {failed}; use cut.mode auto"
                    raise ItemError("no_copy", message) from error
        try:
            file = job.reencode(signals, clip["start_frame"])
        except Mismatch as error:
            message = f"the file written is not the clip: {error}; check whether the video is damaged, or leave it out"
            raise ItemError("bad_cut", message) from error
        return _row("reencode", failed, 0.0, file)


def _row(method: str, failed: str | None, start: float, file: ClipFile) -> Row:
    return {
        "cut_method": method,
        "copy_failed": failed,
        "cut_start": start,
        "cut_seconds": file.seconds,
        "cut_frames": file.frames,
        "cut_width": file.width,
        "cut_height": file.height,
        "cut_bytes": file.bytes,
    }


class _Job:
    """Writes frames of one video to one file, and verifies it."""

    def __init__(self, source: Path, target: Path, video: DecodedVideo, settings: CutSettings):
        self.source, self.target, self.video, self.settings = source, target, video, settings
        with open_video(source) as container:
            self.picture = str(best_video_stream(container).index)
            self.sound = str(container.streams.audio[0].index) if settings.audio and container.streams.audio else None
        self.frame_seconds = 1 / video["fps"]

    def copy(self, frames: SourceFrames) -> ClipFile:
        """Copy the packets of `frames`, whose first must be a key frame. Raises Mismatch.

        Reading may begin at any earlier key frame: packets before the first of `frames` are dropped by their time. The
        end is given as a number of packets, since FFmpeg would take a time for a decoding time.
        """
        self._run(
            self._input(self._just_before(frames))[self.picture],
            frames,
            "setts=pts=PTS-STARTPTS:dts=DTS-STARTPTS",
            **{"c:v": "copy", "copypriorss": 0},
        )
        origin = Origin(self.source, self.video["offset"])
        return verify(self.target, frames, Tolerance(self.frame_seconds, COPY_GREY_LEVELS), origin)

    def reencode(self, frames: SourceFrames, start_frame: int) -> ClipFile:
        """Re-encode `frames`: upright, square pixels, even size, times as they are. Raises Mismatch."""
        for picture, wanted in self._ways_to_read(frames, start_frame):
            try:
                self._encode(picture, wanted)
                return verify(self.target, wanted, Tolerance(self.frame_seconds, grey_levels(self.settings.crf)))
            except Mismatch as error:
                mismatch = error
        raise mismatch

    def _ways_to_read(self, frames: SourceFrames, start_frame: int) -> list[tuple[Any, SourceFrames]]:
        """Streams that begin with the first of `frames`, each with the times that it must have; the cheapest first.

        FFmpeg seeks by decoding time and, in some containers, to places where decoding cannot begin. So reading
        begins some time before the clip; if that was not enough, earlier, and at last at the video's first frame.
        """
        start = self._just_before(frames)
        ways = [
            self._input(begin)[self.picture].filter("trim", start=f"{max(0.0, start - begin):.6f}")
            for begin in dict.fromkeys(max(0.0, start - ahead) for ahead in SEEK_AHEAD)
        ]
        if frames.time[0] <= COUNT_FROM_START:
            ways.append(self._input(0)[self.picture].filter("select", f"gte(n,{start_frame})"))
        result = [(way.filter("setpts", "PTS-STARTPTS"), frames) for way in ways]
        if self.video["repaired_times"]:  # FFmpeg may repair them differently than decode did: space them evenly
            even = frames.evenly(self.frame_seconds)
            spacing = f"N*{self.frame_seconds * 90000:.6f}"
            result += [(way.filter("settb", "1/90000").filter("setpts", spacing), even) for way in ways]
        return result

    def _encode(self, picture: Any, frames: SourceFrames) -> None:
        width, height = self._size()
        picture = (
            picture.filter("scale", width, height)
            .filter("setsar", 1)
            .filter("crop", width - width % 2, height - height % 2, 0, 0)
        )
        self._run(
            picture,
            frames,
            "setts=pts=PTS:dts=DTS",
            **{"c:v": "libx264", "crf": self.settings.crf, "preset": self.settings.preset, "pix_fmt": "yuv420p"},
            **{"fps_mode": "passthrough", "enc_time_base": "filter", "threads:v": THREADS},
        )

    def _size(self) -> tuple[int, int]:
        """Width and height as shown; if pixels are square but for rounding, the stored numbers."""
        if not is_square(self.video["pixel_aspect"]):
            return self.video["width"], self.video["height"]
        stored = self.video["coded_width"], self.video["coded_height"]
        return stored[::-1] if round(self.video["rotation"] / 90) % 2 else stored

    def _just_before(self, frames: SourceFrames) -> float:
        """The time half a frame before the first of `frames`, in seconds after the container's start."""
        gap = min(self.frame_seconds, float(frames.time[1] - frames.time[0]))
        return self.video["offset"] + float(frames.time[0]) - gap / 2

    def _input(self, begin: float, **options: Any) -> Any:
        if begin > 0:
            options["ss"] = f"{begin:.6f}"
        return ffmpeg.input(SOURCE, threads=THREADS, **OPTIONS, **options)

    def _run(self, picture: Any, frames: SourceFrames, times: str, **options: Any) -> None:
        """Run ffmpeg on the video stream `picture`, with the sound where it is wanted. Raises Mismatch.

        `times`: bitstream filter that sets the packets' times. Where the last frames are unevenly spaced, the last
        packet in decode order is not the last frame, and the muxer would end the file before that frame's end.
        """
        end = f"{frames.seconds:.6f}/TB-(DTS-STARTDTS)"
        times = rf"{times}:duration=if(eq(N\,{frames.frames - 1})\,{end}\,DURATION)"
        streams = [picture]
        if self.sound is not None:
            start = self.video["offset"] + float(frames.time[0])
            streams.append(self._input(start, t=f"{frames.seconds:.6f}")[self.sound])
            options |= {"c:a": "aac", "b:a": AUDIO_BITRATE}
        output = ffmpeg.output(
            *streams,
            TARGET,
            format="mp4",
            **{"frames:v": frames.frames, "map_metadata": -1, "map_chapters": -1, "movflags": "+faststart"},
            **{"fflags": "+bitexact", "flags:v": "+bitexact", "flags:a": "+bitexact"},
            **{"bsf:v": times},
            **options,
        )
        names = {SOURCE: file_url(self.source), TARGET: file_url(self.target)}
        self._check(run_ffmpeg([*ALWAYS, *(names.get(argument, argument) for argument in output.get_args())]))

    def _check(self, result: subprocess.CompletedProcess[bytes]) -> None:
        """Raise the error that a failed run of ffmpeg stands for."""
        if result.returncode == 0:
            return
        said = clean_text(result.stderr.decode("utf-8", "replace"))
        for code in (errno.ENOSPC, errno.EDQUOT):
            if os.strerror(code) in said:
                raise OSError(code, os.strerror(code), str(self.target))
        if result.returncode == -signal.SIGKILL:
            raise SetupError(
                "ffmpeg was killed, most likely because the memory ran out; "
                "give the job more memory (resources.cut.mem_mb) or fewer threads, and run again"
            )
        if not self.source.exists():
            raise ItemError("vanished", "the file is gone; put it back and run again", lasting=False)
        first = said.strip().splitlines()[:1] or [f"it ended with status {result.returncode}"]
        raise Mismatch(f"ffmpeg failed: {first[0]}")


def grey_levels(crf: int) -> float:
    """How far the thumbnail of a frame that libx264 encoded at `crf` may be from its source's, in mean grey levels.

    Measured on real videos, the worst frame was 0.4 away at crf 18, 1.2 at 28, 3.7 at 40 and 13 at 51: it follows the
    quantiser's step. Cropping the odd row and column of a small video (161 × 97) cost 2.2; a hard cut changes 17 to 83.
    """
    return 4 + 0.625 * 2 ** (crf / 6) / 16


def run_ffmpeg(arguments: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Run ffmpeg (6.1 or newer), which dies with this process. Raises SetupError if there is no ffmpeg."""
    try:
        program = imageio_ffmpeg.get_ffmpeg_exe()
        return subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=partial(die_with, os.getpid()),
        )
    except (RuntimeError, FileNotFoundError, PermissionError) as error:
        raise SetupError(
            f"no ffmpeg to run ({error}); install imageio-ffmpeg with its binary, or set IMAGEIO_FFMPEG_EXE to one"
        ) from error
