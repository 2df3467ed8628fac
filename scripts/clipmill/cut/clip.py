"""Writing one clip of a video as an mp4 file: by copying packets where that loses nothing, else by re-encoding.

Either way the file is read again and compared with its source before it gets its name (`verify`).
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from clipmill.base.errors import ItemError, SetupError, without_addresses
from clipmill.base.files import atomic, clean_text
from clipmill.base.opencv import cv2
from clipmill.cut.feed import Feed, upright
from clipmill.cut.program import run_ffmpeg
from clipmill.cut.sound import LAYOUTS, check_sound
from clipmill.cut.tones import sdr_filters
from clipmill.cut.verify import (
    EIGHT_BIT_420,
    ClipFile,
    Mismatch,
    Origin,
    SourceFrames,
    Tolerance,
    check_thumbnails,
    verify,
)
from clipmill.decode.deinterlace import deinterlaced
from clipmill.decode.media import OPTIONS, best_video_stream, file_url, open_video, sound_stream
from clipmill.decode.pictures import UNKNOWN_MATRIX
from clipmill.decode.sound import Sound, resampled, silence, sound_of_frames
from clipmill.decode.tone import ToneMap, tone_map
from clipmill.shapes.counts import Counts
from clipmill.shapes.rates import exact_rate, frames_in
from clipmill.shapes.shown import SLACK, shown_frames
from clipmill.shapes.sizes import Crop, Fit, Size, fit, is_square, stored_size
from clipmill.shapes.target import has_target
from clipmill.store.table import Row
from clipmill.store.tables import BOTTOM_FIRST, PROGRESSIVE, TOP_FIRST, Clip, DecodedVideo

COPYABLE = {"h264", "hevc", "av1", "libdav1d", "vp9", "mpeg4"}  # codecs that players expect in mp4
THREADS = 1  # fixed: libx264's output depends on their number; clips are cut side by side
SEEK_AHEAD = (1.0, 15.0)  # seconds before a clip at which reading it for encoding begins
COUNT_FROM_START = 1800.0  # seconds: clips that begin later are not found by counting frames from the video's start
AUDIO_BITRATE = "192k"
REQUIRED = ("require", "required")  # values of `cut.audio`: a clip without sound is an error
SOURCE, TARGET, SOUND = "SOURCE", "TARGET", "SOUND"  # stand for the file names: ffmpeg-python takes only UTF-8
ROUNDING = 1e-6  # second: times are rounded to this in the tables
MICROSECONDS = 1_000_000  # in a second
TIMESCALE = 10_000  # ticks per second of an mp4 track, at least
FOR_TRAINERS = {"even_size", "eight_bit_420", "starts_at_zero", "rising_times", "sdr", "progressive"}
TINY = 8  # pixels: the side of a thumbnail

COPY_GREY_LEVELS = 0.5  # tolerance of a thumbnail: a copy decodes to the same picture; for encoding see `grey_levels`
ALWAYS = ("-hide_banner", "-v", "error", "-y", "-filter_complex_threads", str(THREADS))


@dataclass(frozen=True)
class CutSettings:
    """The section `cut` of the config, the shortest length that `split` allows, and the sizes of `export.buckets`."""

    mode: str
    max_trim_seconds: float
    crf: int
    preset: str
    audio: bool | str
    audio_rate: int
    audio_channels: int
    audio_silence: bool
    min_seconds: float
    fps: float | None
    frames: Counts | None
    size: Mapping[str, Any] | str | None
    codec: str
    resolutions: Sequence[Sequence[int]] | None  # if `size` is `bucket`
    tone_map: bool  # of the section `decode`: whether HDR becomes SDR
    deinterlace: str  # of the section `decode`

    @property
    def rate(self) -> Fraction | None:
        """The constant rate of the file; None keeps the times of the video."""
        return None if self.fps is None else exact_rate(self.fps)

    @property
    def for_trainer(self) -> bool:
        """Whether files must be as docs/promise.md says."""
        return has_target(vars(self))


@dataclass(frozen=True)
class CopyPlan:
    """The frames to copy, counted from the clip's first: from `first` to before `stop`."""

    first: int
    stop: int


def plan_copy(
    video: DecodedVideo,
    frames: SourceFrames,
    settings: CutSettings,
    target_frames: int | None = None,
    crop: Crop | None = None,
) -> CopyPlan | str:
    """The longest part of the clip whose packets can be copied, or why there is none.

    It begins at a key frame and ends before another frame; the packets of all frames before either of these frames come
    before those of all other frames. Either end may be up to `max_trim_seconds` inside the clip, unless the file must
    have `target_frames` frames.
    """
    if video["codec"] not in COPYABLE:
        return f"mp4 does not take the codec {video['codec']} well"
    if settings.codec == "h264" and video["codec"] != "h264":
        return f"cut.codec is h264, and the codec is {video['codec']}"
    if video["rotation"] or video["mirrored"] or not is_square(video["pixel_aspect"]):
        return "the video is stored turned or with pixels that are not square"
    if video["cropped"]:
        return "the container says to show only a part of the picture"
    if crop:
        return "the picture is cropped"
    if makes_whole(video, settings):
        return "its frames are interlaced"
    if video["changes"]:
        return "the video changes midway"
    if video["repaired_times"]:
        return "the video lacks time stamps"
    if tones_of(video, settings):
        return "the colours are HDR, and decode.tone_map makes them SDR"
    if settings.for_trainer and video["pixel_format"] not in EIGHT_BIT_420:
        return f"the pixels are {video['pixel_format']}, not 8-bit 4:2:0"
    if settings.for_trainer and fit_of(stored_size(video), settings) != Fit(stored_size(video), stored_size(video)):
        return "the size changes"
    most = ROUNDING if target_frames else settings.max_trim_seconds + ROUNDING
    starts = np.flatnonzero(frames.is_key & frames.is_clean[:-1] & (frames.time[:-1] - frames.time[0] <= most))
    if not len(starts):
        return f"no key frame to begin with in the first {most:g} s"
    stops = np.flatnonzero(frames.is_clean & (frames.time[-1] - frames.time <= most))
    plan = CopyPlan(int(starts[0]), int(stops[-1]) if len(stops) else 0)
    if plan.stop <= plan.first:
        return f"no place to end in the last {most:g} s"
    part = frames.part(plan.first, plan.stop)
    if settings.rate and not np.array_equal(
        shown_frames(part.time[:-1], settings.rate, part.frames), range(part.frames)
    ):
        return f"the frames do not come at {settings.fps:g} per second"
    if target_frames not in (None, part.frames):
        return f"it would have {part.frames} frames, not {target_frames}"
    if target_frames is None and part.seconds < settings.min_seconds - ROUNDING:
        return f"from key frame to key frame it is shorter than {settings.min_seconds:g} s"
    return plan


def makes_whole(video: DecodedVideo, settings: CutSettings) -> bool:
    """Whether frames of a clip are deinterlaced, as decoding has done. `video`: with the clip's field order."""
    return video["field_order"] in (TOP_FIRST, BOTTOM_FIRST) and settings.deinterlace == "auto"


def fit_of(size: Size, settings: CutSettings) -> Fit:
    """How pictures of `size` get the size of the clip. Raises ItemError (too_small)."""
    found = fit(size, settings.size, settings.resolutions)
    if found and not min(found.cropped):
        raise ItemError(
            "too_small", f"{size[0]} × {size[1]} pixels are too few: a clip has two in each direction at least"
        )
    if found is None:
        wanted = "bucket of export.buckets.resolutions" if settings.size == "bucket" else "size that cut.size allows"
        raise ItemError("too_small", f"{size[0]} × {size[1]} pixels are smaller than any {wanted}; allow a smaller one")
    return found


def tones_of(video: DecodedVideo, settings: CutSettings) -> ToneMap | None:
    """What makes the pictures of a video SDR; None if they stay as they are."""
    return tone_map(video["transfer"], video["primaries"]) if settings.tone_map else None


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
    target_frames, crop = clip["target_frames"], Crop.of(clip)
    plan = None if settings.mode == "reencode" else plan_copy(video, signals, settings, target_frames, crop)
    if settings.mode == "copy" and isinstance(plan, str):
        raise ItemError("no_copy", f"packets cannot be copied: {plan}; use cut.mode auto, or raise max_trim_seconds")
    failed = None
    with atomic(target) as temporary, sdr_filters(tones_of(video, settings)) as to_sdr:
        job = _Job(source, temporary, video, settings, clip["start_frame"], crop, to_sdr)
        if isinstance(plan, CopyPlan):
            try:
                file = job.copy(signals.part(plan.first, plan.stop))
                whole = (plan.first, plan.stop) == (0, signals.frames)
                return _row("copy", None, float(signals.time[plan.first] - signals.time[0]), file, whole)
            except Mismatch as error:
                failed = str(error)
                if settings.mode == "copy":
                    message = f"the copied clip failed its check: {failed}; use cut.mode auto"
                    raise ItemError("no_copy", message) from error
        try:
            file = job.reencode(signals, clip["start_frame"], target_frames)
        except Mismatch as error:
            message = f"the file written is not the clip: {error}; check whether the video is damaged, or leave it out"
            raise ItemError("bad_cut", message) from error
        return _row("reencode", failed, 0.0, file, True)


def _row(method: str, failed: str | None, start: float, file: ClipFile, whole: bool) -> Row:
    return {
        "cut_method": method,
        "copy_failed": failed,
        "cut_start": start,
        "cut_seconds": file.seconds,
        "cut_frames": file.frames,
        "cut_width": file.width,
        "cut_height": file.height,
        "cut_bytes": file.bytes,
        "cut_fps": file.frames / file.seconds,
        "cut_codec": file.codec,
        "cut_sound": file.has_sound,
        "frames_exact": whole,
        **file.promises,
    }


class _Job:
    """Writes frames of one video to one file, and verifies it."""

    def __init__(
        self,
        source: Path,
        target: Path,
        video: DecodedVideo,
        settings: CutSettings,
        start_frame: int,
        crop: Crop | None,
        to_sdr: Callable[[Any, str], Any],
    ):
        self.source, self.target, self.video, self.settings, self.crop = source, target, video, settings, crop
        self.start_frame = start_frame
        with open_video(source) as container:
            stream = best_video_stream(container)
            self.picture = str(stream.index)
            self.matrix = "bt2020" if stream.codec_context.colorspace == UNKNOWN_MATRIX else "auto"  # of HDR
            self.has_sound = bool(settings.audio) and sound_stream(container) is not None
            if settings.audio in REQUIRED and not self.has_sound:
                raise _no_sound(bool(container.streams.audio))
        self.sound: Sound | None = None
        self.frame_seconds = 1 / video["fps"]
        self.makes_whole = makes_whole(video, settings)
        self.fit = fit_of(crop.size if crop else stored_size(video), settings)
        self.to_sdr = to_sdr

    def copy(self, frames: SourceFrames) -> ClipFile:
        """Copy the packets of `frames`, whose first must be a key frame. Raises Mismatch.

        Reading may begin at any earlier key frame: packets before the first of `frames` are dropped by their time. The
        end is given as a number of packets, since FFmpeg would take a time for a decoding time.
        """
        rate = self.settings.rate
        wanted = frames.at_rate(rate, frames.frames) if rate else frames
        # With `r` FFmpeg rounds the times to whole frames, counted from the place at which reading begins.
        packets = self._input(self._before(frames, 0.1 if rate else 0.5))[self.picture]
        unit = {"r:v": f"{rate.numerator}/{rate.denominator}"} if rate else {}
        self._run([packets], wanted, "PTS-STARTPTS", {"c:v": "copy", "copypriorss": 0, **unit})
        tolerance = Tolerance(self.frame_seconds, COPY_GREY_LEVELS)
        return self._verified(wanted, tolerance, Origin(self.source, self.video["offset"], frames))

    def reencode(self, frames: SourceFrames, start_frame: int, target_frames: int | None) -> ClipFile:
        """Re-encode `frames`: upright, square pixels, even size, at the wanted rate or times as they are.

        `target_frames`: how many frames the file must have, if that is known. Raises Mismatch.
        """
        rate = self.settings.rate
        if self.video["repaired_times"]:
            frames = frames.evenly(self.frame_seconds)
        mismatch = Mismatch("its first frame cannot be found in the video")
        for picture, feed in self._ways_to_read(frames, start_frame):
            wanted = frames
            if self.settings.for_trainer:  # of the next shot no frame is shown
                picture = picture.filter("trim", end_frame=frames.frames)
            if rate:
                wanted = wanted.at_rate(rate, target_frames or frames_in(wanted.seconds, rate))
                picture = _at_rate(picture, rate)
            try:
                wanted = self._encode(wanted, feed, picture)
                return self._verified(wanted, Tolerance(self.frame_seconds, grey_levels(self.settings.crf)))
            except Mismatch as error:
                mismatch = error
        raise mismatch

    def _verified(self, wanted: SourceFrames, allowed: Tolerance, origin: Origin | None = None) -> ClipFile:
        file = verify(self.target, wanted, allowed, origin)
        if self.sound is not None:
            rate, channels = self.settings.audio_rate, self.settings.audio_channels
            check_sound(self.target, self.sound, rate, channels, self.frame_seconds)
        if not self.makes_whole and self.video["field_order"] != PROGRESSIVE:  # the file may not be marked as such
            file = replace(file, promises={**file.promises, "progressive": False})
        demanded = FOR_TRAINERS if self.settings.for_trainer else set()
        if not self.settings.tone_map:
            demanded = demanded - {"sdr"}
        if self.settings.deinterlace == "off":
            demanded = demanded - {"progressive"}
        demanded = demanded | ({"constant_rate"} if self.settings.fps else set())
        if broken := sorted(name for name in demanded if not file.promises[name]):
            raise Mismatch(f"the file is not as a trainer wants it: {', '.join(broken)} is false")
        return file

    def _ways_to_read(self, frames: SourceFrames, start_frame: int) -> Iterator[tuple[Any, Feed | None]]:
        """Streams that begin with the first of `frames`, and who feeds them; the cheapest first.

        FFmpeg seeks by decoding time and, in some containers, to places where decoding cannot begin. So reading begins
        some time before the clip, and then earlier. At last the frames are decoded here: at once where ffmpeg would see
        other frames than decode did.
        """
        is_plain = not (self.video["changes"] or self.video["repaired_times"] or self.video["cropped"])
        if is_plain:
            start = self._before(frames)
            for begin in dict.fromkeys(max(0.0, start - ahead) for ahead in SEEK_AHEAD):
                picture = self._input(begin)[self.picture]
                if self.makes_whole:  # before frames are taken out: those around the first and the last one count too
                    picture = deinterlaced(_apply, picture, self.video["field_order"], self.video["bit_depth"])
                picture = picture.filter("trim", start=f"{max(0.0, start - begin):.6f}")
                yield upright(picture.filter("setpts", "PTS-STARTPTS"), self.video), None
        for seeks in (True, False):
            if seeks or not is_plain or frames.time[0] <= COUNT_FROM_START:
                with Feed(self.source, self.video, frames, start_frame, seeks, self.makes_whole) as feed:
                    if feed.finds_clip:
                        yield feed.stream(threads=THREADS), feed

    def _encode(self, wanted: SourceFrames, feed: Feed | None, picture: Any) -> SourceFrames:
        """Encode a stream of pictures. Returns `wanted`, with the pictures as they are when they have been changed."""
        source = None  # the pictures before they are cropped
        if self.crop:
            picture, source = self._cropped(self.crop, picture)
        (wide, high), (width, height) = self.fit
        picture = self.to_sdr(picture.filter("scale", wide, high).filter("setsar", 1), self.matrix)
        if source is None and (wide - width > 1 or high - height > 1):
            both = picture.filter_multi_output("split")
            picture, source = both[0], both[1]
        picture = picture.filter("crop", width, height, *self.fit.place)
        streams = [picture]
        if source is not None:
            inner = picture.filter_multi_output("split")
            streams = [inner[0], ffmpeg.filter([_tiny(source), _tiny(inner[1])], "vstack")]
        printed = self._run(
            streams,
            wanted,
            "PTS",
            {
                "c:v": "libx264",
                "crf": self.settings.crf,
                "preset": self.settings.preset,
                "pix_fmt": "yuv420p",
                "fps_mode": "passthrough",
                "enc_time_base": "filter",
                "threads:v": THREADS,
            },
            feed,
        )
        if source is None:
            return wanted
        tiny = np.frombuffer(printed, np.uint8).reshape(-1, TINY, TINY, 3)
        if len(tiny) != 2 * wanted.frames:
            raise Mismatch(f"{len(tiny) // 2} frames were encoded, {wanted.frames} wanted")
        whole, cropped = (
            np.array([cv2.cvtColor(one, cv2.COLOR_BGR2GRAY).reshape(-1) for one in tiny[part::2]]) for part in (0, 1)
        )
        check_thumbnails(whole, wanted.thumbnail, grey_levels(0), np.arange(wanted.frames))
        return wanted.showing(cropped)

    def _cropped(self, crop: Crop, picture: Any) -> tuple[Any, Any]:
        """A stream of pictures, with square pixels and cropped, and the same pictures as they were, as SDR."""
        both = picture.filter("scale", *stored_size(self.video)).filter("setsar", 1).filter_multi_output("split")
        return both[0].filter("crop", *crop.size, crop.x, crop.y), self.to_sdr(both[1], self.matrix)

    def _before(self, frames: SourceFrames, share: float = 0.5) -> float:
        """The time half a frame, or another share, before the first of `frames`, after the container's start."""
        gap = min(self.frame_seconds, frames.alone)
        return self.video["offset"] + float(frames.time[0]) - gap * share

    def _input(self, begin: float, **options: Any) -> Any:
        if begin > 0:
            options["ss"] = f"{begin:.6f}"
        # Not turned by ffmpeg, which would turn by 2 degrees, too, and cut off or add corners.
        options |= {"display_rotation": 0, "flags:v": "+unaligned"}  # as `best_video_stream` sets it
        return ffmpeg.input(SOURCE, threads=THREADS, **OPTIONS, **options)

    def _run(
        self,
        streams: Sequence[Any],
        wanted: SourceFrames,
        times: str,
        options: dict[str, Any],
        feed: Feed | None = None,
    ) -> bytes:
        """Run ffmpeg on a video stream, with the sound where it is wanted. Raises Mismatch.

        `streams`: the stream, and maybe another whose raw pictures are returned. `times`: of a packet, as the bitstream
        filter `setts` counts it; of its decoding the same with DTS. Where the last frames are unevenly spaced, the file
        ends too early unless its last packet lasts to the end both by its own time and by that of its decoding: with an
        edit list readers take the smaller one, and without it the second one.
        """
        rate, for_trainer = self.settings.rate, self.settings.for_trainer
        self.sound = self._read_sound(wanted)
        has_edits = not for_trainer or self.sound is not None  # sound begins after what its encoder puts before it
        options = options | {"movflags": "+faststart+negative_cts_offsets" if for_trainer else "+faststart"}
        if not has_edits:
            options |= {"use_editlist": 0}
        packet_times = f"pts={times}:dts={times.replace('PTS', 'DTS', 1)}"
        if rate:  # the unit of time is a frame
            packet_times += ":duration=1"
            options |= {"video_track_timescale": rate.numerator * -(-TIMESCALE // rate.numerator)}
        else:
            by_time, by_decoding = (f"{wanted.seconds:.6f}/TB-({clock}-START{clock})" for clock in ("PTS", "DTS"))
            last = rf"max({by_time}\,{by_decoding})" if has_edits else by_decoding
            packet_times += rf":duration=if(eq(N\,{wanted.frames - 1})\,{last}\,DURATION)"
        inputs = [streams[0]]
        heard = self.target.with_suffix(".pcm")
        if self.sound is not None:
            samples, kind = self.sound.samples, {"ar": self.sound.rate, "ch_layout": self.sound.layout}
            heard.write_bytes(samples.astype("<f4").tobytes())
            inputs.append(ffmpeg.input(SOUND, format="f32le", protocol_whitelist="file", **kind))
            options |= {"c:a": "aac", "b:a": AUDIO_BITRATE}
        output = ffmpeg.output(
            *inputs,
            TARGET,
            format="mp4",
            **{"frames:v": wanted.frames, "map_metadata": -1, "map_chapters": -1},
            **{"fflags": "+bitexact", "flags:v": "+bitexact", "flags:a": "+bitexact"},
            **{"bsf:v": f"setts={packet_times}"},
            **options,
        )
        for pictures in streams[1:]:
            raw = {"format": "rawvideo", "frames:v": wanted.frames, "fps_mode": "passthrough"}
            output = ffmpeg.merge_outputs(output, ffmpeg.output(pictures, "pipe:1", **raw))
        names = {SOURCE: file_url(self.source), TARGET: file_url(self.target), SOUND: file_url(heard)}
        arguments = [*ALWAYS, *(names.get(argument, argument) for argument in output.get_args())]
        try:
            result = run_ffmpeg(arguments, feed.write if feed else None)
        finally:
            heard.unlink(missing_ok=True)
        self._check(result)
        return result.stdout

    def _read_sound(self, wanted: SourceFrames) -> Sound | None:
        """The sound for the file: what is heard meanwhile, or silence if the config says so; None without sound.

        Raises ItemError if there is none and it is required.
        """
        settings = self.settings
        sound, layout = None, LAYOUTS[settings.audio_channels]
        if self.has_sound:
            sound = sound_of_frames(self.source, self.video, self.start_frame, float(wanted.time[0]), wanted.seconds)
            if sound is None and settings.audio in REQUIRED:
                raise _no_sound(False)
        if sound is None and settings.audio and settings.audio_silence:
            return silence(wanted.seconds, settings.audio_rate, layout)
        return sound and resampled(sound, settings.audio_rate, layout)

    def _check(self, result: subprocess.CompletedProcess[bytes]) -> None:
        """Raise the error that a failed run of ffmpeg stands for."""
        if result.returncode == 0:
            return
        said = without_addresses(clean_text(result.stderr.decode("utf-8", "replace")))
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


def _no_sound(is_undecodable: bool) -> ItemError:
    advice = "cut.audio: true keeps such clips, without sound"
    if is_undecodable:
        return ItemError("no_decoder", f"FFmpeg has no decoder for its sound; convert it, or {advice}")
    return ItemError("no_sound", f"it has no sound; {advice}")


def _at_rate(picture: Any, rate: Fraction) -> Any:
    """The frames of a stream at a constant rate: at each time the frame that is nearest, without end.

    Each frame gets the time from which on it is the nearest one, half way after the frame before. The filter `fps`
    then shows it from there on. The same as `shown_frames` says.
    """
    slack = round(SLACK * MICROSECONDS)
    return (
        picture.filter("settb", f"1/{MICROSECONDS}")
        .filter("setpts", f"if(isnan(PREV_INPTS),PTS,(PTS+PREV_INPTS)/2+{slack})")
        .filter("fps", f"{rate.numerator}/{rate.denominator}", round="up", start_time=0)
        .filter("tpad", stop=-1, stop_mode="clone")
    )


def _apply(name: str, *pictures: Any, **options: Any) -> Any:
    """A filter of ffmpeg's on streams of pictures, as `decode.filtering.Apply`."""
    return ffmpeg.filter_multi_output(pictures, name, **options)


def _tiny(picture: Any) -> Any:
    """A stream's pictures as small as thumbnails."""
    return picture.filter("format", "bgr24").filter("scale", TINY, TINY, flags="area")


def grey_levels(crf: int) -> float:
    """How far the thumbnail of a frame that libx264 encoded at `crf` may be from its source's, in mean grey levels.

    Measured on real videos, the worst frame was 0.4 away at crf 18, 1.2 at 28, 3.7 at 40 and 13 at 51: it follows the
    quantiser's step. Cropping the odd row and column of a small video (161 × 97) cost 2.2; a hard cut changes 17 to 83.
    """
    return 4 + 0.625 * 2 ** (crf / 6) / 16
