"""The sound of a clip, read out of its video by its time.

Sound may begin later than the picture, end before it, or have gaps: there the clip is silent. It is decoded here, not
by ffmpeg, which loses such a delay in some containers (MPEG-TS and MPEG-PS) if it reads the sound alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import numpy as np

from clipmill.decode.looks import CLOCK
from clipmill.decode.media import best_video_stream, open_video, sound_stream
from clipmill.store.tables import DecodedVideo

AHEAD = (1.0, 15.0, None)  # seconds before a clip at which reading begins; None: at the file's beginning
JITTER = 0.02  # seconds by which the times of sound that goes on without a gap may be wrong
BACK = 0.5  # seconds by which a clock must step back to have leapt


@dataclass(frozen=True)
class Sound:
    """Decoded sound. `samples`: float32, n × channels, of ±1."""

    samples: np.ndarray
    rate: int  # samples per second
    layout: str  # of the channels, FFmpeg's name


def sound_of_frames(path: Path, video: DecodedVideo, start_frame: int, start: float, seconds: float) -> Sound | None:
    """The sound of a file while some of its frames are shown; None if there is none then. Raises as `read_sound`.

    `video`: with the facts of the part that the frames lie in, as `parts.as_of_part` returns it. `start`: when the
    first of them, number `start_frame`, is shown, in seconds after the video's first frame.
    """
    leaps = CLOCK in (video["changes"] or "")
    middle = start_frame + round(seconds * video["fps"] / 2) if leaps else None
    return read_sound(path, video["offset"] + start, seconds, middle)


def resampled(sound: Sound, rate: int, layout: str | None = None) -> Sound:
    """The same sound at another rate, and with other channels if a `layout` is named, by FFmpeg's swresample.

    Its filter keeps out what is above half of the new rate, and delays nothing.
    """
    layout = layout or sound.layout
    if (rate, layout) == (sound.rate, sound.layout):
        return sound
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.samples.T), format="fltp", layout=sound.layout)
    frame.sample_rate = sound.rate
    made = [part.to_ndarray().T for part in (*resampler.resample(frame), *resampler.resample(None))]
    return Sound(np.concatenate(made)[: round(len(sound.samples) * rate / sound.rate)], rate, layout)


def read_sound(path: Path, start: float, seconds: float, middle: int | None = None) -> Sound | None:
    """The sound of a file from `start`, in seconds after the container's start, on; None if there is none then.

    `middle`: for a clock that leaps, where the same time may come twice: the number of a picture in the middle. The
    sound is that of the same run of the clock. Raises ItemError if the file cannot be opened.
    """
    for ahead in AHEAD if middle is None else (None,):
        reading = _Reading(start, seconds)
        with open_video(path) as container:
            begins_before = reading.read(container, ahead, middle or 0)
        if begins_before:
            break
    return reading.sound if reading.is_any else None


class _Reading:
    """One try to read the sound of a clip."""

    def __init__(self, start: float, seconds: float):
        self._start, self._seconds = start, seconds
        self._samples: np.ndarray | None = None
        self._rate = self._next = 0
        self._layout = ""
        self.is_any = False

    @property
    def sound(self) -> Sound:
        assert self._samples is not None  # since there is any
        return Sound(self._samples, self._rate, self._layout)

    def read(self, container: av.container.InputContainer, ahead: float | None, middle: int) -> bool:
        """Read it, up to the picture `middle` at least. Returns whether reading began early enough for all of it."""
        stream = sound_stream(container)
        if stream is None:
            return True
        begin = (container.start_time or 0) / av.time_base + self._start
        if ahead is not None and not _seek(container, stream, begin - ahead):
            return False
        is_early = ahead is None
        for frame, pictures in _frames(container, stream, middle > 0):
            if frame.pts is None and self._samples is None:
                continue
            place = self._place(frame, begin)
            if middle and place < self._next - BACK * self._rate:
                if pictures >= middle:
                    break
                self._forget()
            is_early = is_early or place <= 0
            self._add(frame, place)
            if self._next >= round(self._seconds * self._rate) and pictures >= middle:
                break
        return is_early

    def _place(self, frame: av.AudioFrame, begin: float) -> int:
        """The number of the sample of the clip with which a frame begins."""
        if self._samples is None:
            self._rate, self._layout = frame.rate, _layout(frame)
            self._samples = np.zeros((round(self._seconds * self._rate), frame.layout.nb_channels), np.float32)
        elif frame.pts is None:
            return self._next
        assert frame.time is not None  # since it has a time stamp
        place = round((frame.time - begin) * self._rate)
        goes_on = self._next and abs(place - self._next) <= JITTER * self._rate
        return self._next if goes_on else place

    def _forget(self) -> None:
        """What was heard so far belongs to another run of the clock."""
        assert self._samples is not None  # `_place` was asked
        self._samples[:] = 0
        self.is_any = False

    def _add(self, frame: av.AudioFrame, place: int) -> None:
        assert self._samples is not None  # `_place` was asked
        values = _values(frame, self._rate, self._samples.shape[1])
        first, stop = max(0, place), min(len(self._samples), place + len(values))
        if first < stop:
            self._samples[first:stop] = values[first - place : stop - place]
            self.is_any = True
        self._next = place + len(values)


def _seek(container: av.container.InputContainer, stream: av.AudioStream, time: float) -> bool:
    assert stream.time_base is not None  # FFmpeg sets it for each stream that it finds
    try:
        container.seek(int(time / float(stream.time_base)), stream=stream)
    except av.error.FFmpegError:  # some containers cannot seek
        return False
    return True


def _frames(
    container: av.container.InputContainer, stream: av.AudioStream, counts: bool
) -> Iterator[tuple[av.AudioFrame, int]]:
    """Decoded sound; what is damaged is left out. Also how many pictures came before, if they are to be counted."""
    streams: list[av.stream.Stream] = [stream]
    if counts:
        streams.append(best_video_stream(container))
    pictures = 0
    try:
        for packet in container.demux(streams):
            if packet.stream.index != stream.index:
                pictures += packet.size > 0
                continue
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue
            yield from ((frame, pictures) for frame in frames if isinstance(frame, av.AudioFrame))
    except av.error.FFmpegError:  # nothing can be read any more
        return


def _layout(frame: av.AudioFrame) -> str:
    """FFmpeg's name of a frame's channels; files often do not say which are one and two."""
    return {1: "mono", 2: "stereo"}.get(frame.layout.nb_channels, frame.layout.name)


def _values(frame: av.AudioFrame, rate: int, channels: int) -> np.ndarray:
    """The samples of a frame: float32, n × channels. Sound that changes midway gets the rate and channels it had."""
    values = frame.to_ndarray()
    own = frame.layout.nb_channels
    values = values.T if frame.format.is_planar else values.reshape(-1, own)
    if values.dtype.kind in "iu":
        middle = 128 if values.dtype.kind == "u" else 0
        values = (values.astype(np.float64) - middle) / 2.0 ** (8 * values.dtype.itemsize - 1)
    if own != channels:
        values = np.repeat(values.mean(axis=1, keepdims=True), channels, axis=1)
    if frame.rate != rate:
        old, new = np.arange(len(values)), np.arange(round(len(values) * rate / frame.rate)) * frame.rate / rate
        values = np.stack([np.interp(new, old, channel) for channel in values.T], axis=1)
    return values.astype(np.float32)
