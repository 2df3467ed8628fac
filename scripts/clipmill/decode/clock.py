"""The clock of a video: times of its frames in seconds, as they are shown, and the places at which a clock leaps.

A stream's clock may start anew or leap by an hour, where recordings were joined or a transmission broke off. The
video's clock counts the film that is there: after a leap it goes on where the last frame ended.
"""

from __future__ import annotations

from fractions import Fraction

import av

# Containers that are sent or recorded as a stream: a pause in their time stamps is lost film. In others, such as the
# recording of a screen, a frame may stand for minutes.
STREAMED = {"mpegts", "mpeg", "mpegvideo", "h264", "hevc", "m4v"}
LOST_AFTER, LOST_FRAMES = 1.0, 8  # seconds and usual frames: a longer pause in a streamed container is lost film
LEAP_AFTER = 600.0  # seconds: a longer pause in any other container is a leap of its clock
HELD_AFTER, HELD_FRAMES = 2.0, 5  # seconds and usual frames: a frame that stands longer is a still picture
UNEVEN, UNEVEN_SECONDS = 0.2, 0.0025  # share and seconds by which frames at a constant rate differ at most


class Clock:
    """Gives each frame its time. Repairs frames without a usable time stamp."""

    def __init__(self, stream: av.VideoStream, container: str):
        assert stream.time_base is not None  # FFmpeg sets it for each stream that it finds
        self.unit = stream.time_base
        self._numerator, self._denominator = self.unit.numerator, self.unit.denominator
        self.rate = stream.average_rate or stream.guessed_rate or Fraction(25)  # frames per second, as announced
        self._usual = max(1, round(1 / self.rate / self.unit))
        if container in STREAMED:
            self._most = LOST_AFTER / float(self.unit), LOST_FRAMES
        else:
            self._most = LEAP_AFTER / float(self.unit), 0
        self.first: int | None = None  # time stamp of the first frame since the last leap
        self._base = 0.0  # its time
        self.pts: int | None = None
        self._given: int | None = None  # the last frame's time stamp as the file has it
        self._last = 0
        self.frames = self.repaired = self.leaps = 0

    def leaps_at(self, frame: av.VideoFrame) -> bool:
        """Whether the stream's clock leaps before the next frame.

        Backwards only before a key frame: a single wrong time stamp is no leap.
        """
        if self.pts is None or frame.pts is None:
            return False
        gap, usual = frame.pts - self.pts, frame.duration or self._usual
        if gap < 0:
            return frame.key_frame and -gap > usual
        ticks, frames = self._most
        return gap > max(ticks, frames * usual)

    def holds_at(self, frame: av.VideoFrame) -> bool:
        """Whether the last frame stands for long before the next one."""
        if self.pts is None or frame.pts is None:
            return False
        return is_held(float((frame.pts - self.pts) * self.unit), self.usual)

    def tick(self, frame: av.VideoFrame, leaps: bool) -> None:
        """Go on to the next frame. `leaps`: whether it follows the last one at once, whatever their time stamps say."""
        pts, usual = frame.pts, frame.duration or self._usual
        if leaps:
            self._base, self.first, self._given = self.seconds, pts, pts
            self.leaps += 1
        elif self.pts is not None and (pts is None or pts <= self.pts):
            # If only repairs have run ahead of the stream, it may catch up: one wrong time stamp moves few frames.
            is_ahead = pts is not None and self._given is not None and pts > self._given
            self._given = pts
            pts = self.pts + (max(1, usual // 2) if is_ahead else usual)
            self.repaired += 1
        else:
            self._given = pts
        pts = pts or 0
        if self.first is None:
            self.first = pts
        self.pts, self._last = pts, usual
        self.frames += 1

    @property
    def usual(self) -> float:
        """For how many seconds the last frame stands by its own account."""
        return self._last * self._numerator / self._denominator

    @property
    def time(self) -> float:
        """The time of the last frame."""
        return self._base + ((self.pts or 0) - (self.first or 0)) * self._numerator / self._denominator

    @property
    def seconds(self) -> float:
        """End of the last frame."""
        return self.time + self.usual

    @property
    def offset(self) -> float:
        """What must be added to a time since the last leap to have the stream's own."""
        return float((self.first or 0) * self.unit) - self._base


class Rate:
    """How far apart the frames of a part of a video are. Feed each frame, and at last the part's end."""

    def __init__(self, start: float):
        self.start = self.end = start
        self.frames = self._held = 0
        self._held_seconds = self._most = 0.0
        self._least = float("inf")

    def add(self, time: float, usual: float) -> None:
        """Note when the last frame ended; before it, frames stood for `usual` seconds or so."""
        gap, self.end = time - self.end, time
        self.frames += 1
        if is_held(gap, usual):
            self._held += 1
            self._held_seconds += gap
        else:
            self._least, self._most = min(self._least, gap), max(self._most, gap)

    @property
    def fps(self) -> float:
        """Frames per second, without the frames that stand for long, unless there are no others."""
        seconds = self.end - self.start
        if self._held == self.frames:
            return self.frames / seconds
        return (self.frames - self._held) / (seconds - self._held_seconds)

    @property
    def is_variable(self) -> bool:
        return self._held > 0 or self._most - self._least > max(UNEVEN_SECONDS, UNEVEN * self._least)


def is_held(gap: float, usual: float) -> bool:
    """Whether a frame that stands for `gap` seconds is a still picture, where others stand for `usual` seconds."""
    return gap > max(HELD_AFTER, HELD_FRAMES * usual)
