"""Frames that are decoded here and handed to ffmpeg through a pipe, exactly as decoding saw them.

ffmpeg reads most videos by itself. It starts its filters anew where a picture changes its size or its turn, mends
clocks in its own way, and cannot seek in every container. Then these frames are given to it, with decode's times.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import ffmpeg

from clipmill.cut.program import Pipe
from clipmill.cut.verify import Mismatch, SourceFrames
from clipmill.decode.deinterlace import whole_frames
from clipmill.decode.looks import DAMAGE, Watch
from clipmill.decode.media import best_video_stream, open_video
from clipmill.decode.pictures import turn_of
from clipmill.decode.stream import Damage, frames_of
from clipmill.store.tables import DecodedVideo

UNIT = Fraction(1, 1_000_000)  # second: the unit of the times that are handed over
AHEAD = 5.0  # seconds before a clip at which reading begins


def upright(picture: Any, video: DecodedVideo) -> Any:
    """A stream of a video's pictures as they are stored, turned as decode turns them."""
    swap, left_right, top_bottom = turn_of(video["rotation"], video["mirrored"])
    for wanted, name, given in (
        (swap, "transpose", {"dir": "cclock_flip"}),
        (left_right, "hflip", {}),
        (top_bottom, "vflip", {}),
    ):
        if wanted:
            picture = picture.filter(name, **given)
    return picture


class Feed:
    """The `frames` of a clip, the first of which is the video's frame `start_frame`. Use as a context manager.

    `video`: with the facts of the clip's part. `seeks`: whether to begin near the clip; it is found by its time then,
    else by counting from the video's first frame. `makes_whole`: whether frames are deinterlaced.
    """

    def __init__(
        self,
        source: Path,
        video: DecodedVideo,
        frames: SourceFrames,
        start_frame: int,
        seeks: bool,
        makes_whole: bool,
    ):
        self._source, self._video, self._frames = source, video, frames
        self._start_frame, self._seeks, self._makes_whole = start_frame, seeks, makes_whole

    def __enter__(self) -> Feed:
        self._decoded = self._of_clip()
        self._first = next(self._decoded, None)
        return self

    def __exit__(self, *_: object) -> None:
        self._decoded.close()

    @property
    def finds_clip(self) -> bool:
        """Whether the first frame of the clip is found. If not, there is nothing to stream or write."""
        return self._first is not None

    def stream(self, **options: Any) -> Any:
        """The upright frames as a stream of ffmpeg's, whose standard input `write` fills."""
        first = self._first
        assert first is not None
        picture = ffmpeg.input("pipe:0", format="nut", protocol_whitelist="pipe", **options).video.filter(
            "setparams",
            range=int(first.color_range),
            colorspace=int(first.colorspace),
            color_trc=int(first.color_trc),
            color_primaries=int(first.color_primaries),
        )
        return upright(picture, self._video)

    def write(self, pipe: Pipe) -> None:
        """Write all frames, with decode's times, as long as somebody reads.

        Raises Mismatch if they cannot be decoded or do not come at their times.
        """
        times, frame = self._frames.time - self._frames.time[0], self._first
        assert frame is not None
        with av.open(pipe, "w", format="nut") as target:
            stream = target.add_stream("rawvideo", rate=Fraction(self._video["fps"]).limit_denominator(10_000))
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height = frame.width, frame.height
            stream.pix_fmt = frame.format.name
            stream.time_base = stream.codec_context.time_base = UNIT
            begin = frame.time
            for number, time in enumerate(times[:-1]):
                if pipe.is_closed:
                    return
                if frame is None:
                    raise Mismatch("fewer frames can be decoded than decoding found")
                off = 0.0 if frame.time is None or begin is None else abs(frame.time - begin - time)
                if off > 1 / self._video["fps"] and not self._video["repaired_times"]:
                    raise Mismatch(f"frame {number} is {off:.3f} s away from its time in the source")
                frame.pts, frame.time_base = round(time / float(UNIT)), UNIT
                target.mux(stream.encode(frame))
                frame = next(self._decoded, None)
            target.mux(stream.encode(None))

    def _of_clip(self) -> Generator[av.VideoFrame]:
        """The frames from the clip's first one on, as far as they can be decoded; none if it is not found."""
        with open_video(self._source) as container:
            stream = best_video_stream(container)
            stream.thread_type = "AUTO"
            try:
                is_damaged = DAMAGE in (self._video["changes"] or "")
                frames = frames_of(container, stream, Watch(container, stream), keeps_rest=is_damaged)
                if self._makes_whole:
                    frames = whole_frames(frames, self._video["field_order"])
                first = self._found(container, stream, frames) if self._seeks else self._counted(frames)
                if first is not None:
                    yield first
                    yield from frames
            except Damage:
                return  # other ways to read may do better; the check of the file says what is missing

    def _counted(self, frames: Iterator[av.VideoFrame]) -> av.VideoFrame | None:
        for _ in range(self._start_frame):
            next(frames, None)
        return next(frames, None)

    def _found(
        self, container: av.container.InputContainer, stream: av.VideoStream, frames: Iterator[av.VideoFrame]
    ) -> av.VideoFrame | None:
        assert stream.time_base is not None  # FFmpeg sets it for each stream that it finds
        start = (container.start_time or 0) / av.time_base + self._video["offset"] + float(self._frames.time[0])
        slack = self._frames.alone / 2
        try:
            container.seek(int((start - AHEAD) / float(stream.time_base)), stream=stream)
        except av.error.FFmpegError:  # some containers cannot seek
            return None
        for frame in frames:
            if frame.pts is not None and abs(float(frame.pts * stream.time_base) - start) < slack:
                return frame
            if frame.pts is not None and frame.pts * stream.time_base > start + slack:
                return None
        return None
