"""The sound of a clip, read out of its video by its time.

Sound may begin later than the picture, end before it, or have gaps: there the clip is silent. It is decoded here, not
by ffmpeg, which loses such a delay in some containers (MPEG-TS and MPEG-PS) if it reads the sound alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import av.error
import numpy as np

from clipmill.decode.media import best_video_stream, open_video, sound_stream

AHEAD = (1.0, 15.0, None)  # seconds before a clip at which reading begins; None: at the file's beginning
JITTER = 0.02  # seconds by which the times of sound that goes on without a gap may be wrong
DRIFT = 0.003  # seconds by which they may be wrong on average
AVERAGED = 16  # frames: over about as many
REORDERED = 16  # frames, at most, that come earlier than one that is shown before them
BACK = 0.5  # seconds by which a clock must step back to have leapt


@dataclass(frozen=True)
class Sound:
    """Decoded sound. `samples`: float32, n × channels, of ±1."""

    samples: np.ndarray
    rate: int  # samples per second
    layout: str  # of the channels, FFmpeg's name

    @property
    def channels(self) -> int:
        return self.samples.shape[1]

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


def silence(seconds: float, rate: int, layout: str) -> Sound:
    """Sound in which nothing is heard."""
    count = av.AudioLayout(layout).nb_channels
    return Sound(np.zeros((round(seconds * rate), count), np.float32), rate, layout)


def resampled(sound: Sound, rate: int, layout: str | None = None) -> Sound:
    """The same sound at another rate, and with other channels if a `layout` is named, by FFmpeg's swresample."""
    layout = layout or sound.layout
    if (rate, layout) == (sound.rate, sound.layout):
        return sound
    more = Resampler(sound.layout, sound.rate, layout, rate)
    samples = np.concatenate([more.put(sound.samples), more.end()])
    return Sound(samples[: round(sound.seconds * rate)], rate, layout)


class Resampler:
    """FFmpeg's swresample for sound that comes in parts: float32, n × channels. What comes out lags behind."""

    def __init__(self, layout: str, rate: int, to_layout: str, to_rate: int):
        self._layout, self._rate = layout, rate
        self._resampler = av.AudioResampler(format="fltp", layout=to_layout, rate=to_rate)
        self._none = np.empty((0, av.AudioLayout(to_layout).nb_channels), np.float32)

    def put(self, samples: np.ndarray) -> np.ndarray:
        """The next samples."""
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), "fltp", self._layout)
        frame.sample_rate = self._rate
        return self._samples(self._resampler.resample(frame))

    def end(self) -> np.ndarray:
        """The last samples."""
        return self._samples(self._resampler.resample(None))

    def _samples(self, frames: list[av.AudioFrame]) -> np.ndarray:
        return np.concatenate([self._none, *(frame.to_ndarray().T for frame in frames)])


def read_sound(path: Path, start: float, seconds: float, middle: int | None = None) -> Sound | None:
    """The sound of a file from `start`, in seconds after the container's start, on; None if there is none then.

    `middle`: for a clock that leaps, where the same time may come twice: the number of a picture in the middle. The
    sound is that of the same run of the clock. Raises ItemError if the file cannot be opened.
    """
    start += picture_lag(path)
    for ahead in AHEAD if middle is None else (None,):
        reading = _Reading(start, seconds)
        with open_video(path) as container:
            begins_before = reading.read(container, ahead, middle or 0)
        if begins_before:
            break
    return reading.sound if reading.is_any else None


def picture_lag(path: Path) -> float:
    """By how many seconds FFmpeg shows the picture of an mp4 or mov file too early for its sound: less than a frame.

    Where an edit list begins between two frames, FFmpeg has the next frame come at once, and the sound at its own time.
    """
    with open_video(path) as container:
        if "mov" not in container.format.name or not container.streams.video:
            return 0.0
        picture = best_video_stream(container)
        first = next(iter(container.demux(picture)), None)
        if first is None or not first.is_discard or picture.start_time is None or not picture.average_rate:
            return 0.0
        index, shown, frame = picture.index, picture.start_time, 1 / float(picture.average_rate)
    with open_video(path, advanced_editlist="0") as container:
        stream = container.streams[index]
        assert stream.time_base is not None  # FFmpeg sets it for each stream that it finds
        later = (packet.pts - shown for packet in container.demux(stream) if packet.pts is not None)
        # In decode order some frames may come after others that are shown later.
        found = list(islice((time for time in later if time >= 0), REORDERED))
        lag = float(min(found, default=0) * stream.time_base)
    return lag if lag < frame else 0.0


class SoundClock:
    """Finds the place of each decoded frame of a sound track, and its samples. Feed frames in order.

    `begin`: the time of sample 0, in seconds of the container's clock. `rate` and `layout` are those of the first
    frame: sound that changes midway is made so by FFmpeg's swresample.
    """

    def __init__(self, begin: float):
        self._begin = begin
        self.rate, self.channels, self.layout = 0, 0, ""
        self.next = 0  # the sample after the last one
        self._off = 0.0  # by how many samples the times differ from the count of samples, on average
        self._resampler: av.AudioResampler | None = None

    @property
    def has_begun(self) -> bool:
        """Whether there was a frame with a time."""
        return self.rate > 0

    def place(self, frame: av.AudioFrame) -> int | None:
        """The number of the sample with which a frame begins; None if it has no time, and none before it had one."""
        if frame.pts is None:
            return self.next if self.has_begun else None
        assert frame.time is not None  # since it has a time stamp
        if not self.has_begun:
            self.rate, self.channels, self.layout = frame.rate, frame.layout.nb_channels, _layout(frame)
            self.next = self._stated(frame.time)
        stated = self._stated(frame.time)
        off = stated - self.next
        if abs(off) > JITTER * self.rate:
            self._off = 0.0
            return stated
        self._off += (off - self._off) / AVERAGED
        if abs(self._off) <= DRIFT * self.rate:
            return self.next
        place, self._off = self.next + round(self._off), 0.0
        return place

    def values(self, frame: av.AudioFrame, place: int) -> np.ndarray:
        """The samples of a frame that begins at `place`: float32, n × channels."""
        if (frame.rate, frame.layout.nb_channels) == (self.rate, self.channels):
            values = _values(frame)
        else:
            if self._resampler is None:
                self._resampler = av.AudioResampler(format="fltp", layout=self.layout, rate=self.rate)
            frames = self._resampler.resample(frame)
            values = np.concatenate([_values(one) for one in frames] or [np.empty((0, self.channels), np.float32)])
        self.next = place + len(values)
        return values

    def _stated(self, time: float) -> int:
        return round((time - self._begin) * self.rate)


class _Reading:
    """One try to read the sound of a clip."""

    def __init__(self, start: float, seconds: float):
        self._start, self._seconds = start, seconds
        self._samples: np.ndarray | None = None
        self._rate = 0
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
        clock = SoundClock(begin)
        for frame, pictures in _frames(container, stream, middle > 0):
            place = clock.place(frame)
            if place is None:
                continue
            if middle and place < clock.next - BACK * clock.rate:
                if pictures >= middle:
                    break
                self._forget()
            is_early = is_early or place <= 0
            self._add(clock, frame, place)
            if clock.next >= round(self._seconds * clock.rate) and pictures >= middle:
                break
        return is_early

    def _forget(self) -> None:
        """What was heard so far belongs to another run of the clock."""
        if self._samples is not None:
            self._samples[:] = 0
        self.is_any = False

    def _add(self, clock: SoundClock, frame: av.AudioFrame, place: int) -> None:
        values = clock.values(frame, place)
        if self._samples is None:
            self._rate, self._layout = clock.rate, clock.layout
            self._samples = np.zeros((round(self._seconds * clock.rate), clock.channels), np.float32)
        first, stop = max(0, place), min(len(self._samples), place + len(values))
        if first < stop:
            self._samples[first:stop] = values[first - place : stop - place]
            self.is_any = True


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
    """FFmpeg's name of a frame's channels. Files often do not say which are one and two; `3c` are the usual three."""
    count, name = frame.layout.nb_channels, frame.layout.name
    return {1: "mono", 2: "stereo"}.get(count, f"{count}c" if name.endswith("channels") else name)


def _values(frame: av.AudioFrame) -> np.ndarray:
    """The samples of a frame: float32, n × channels."""
    values = frame.to_ndarray()
    values = values.T if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels)
    if values.dtype.kind in "iu":
        middle = 128 if values.dtype.kind == "u" else 0
        values = (values.astype(np.float64) - middle) / 2.0 ** (8 * values.dtype.itemsize - 1)
    return values.astype(np.float32, copy=False)
