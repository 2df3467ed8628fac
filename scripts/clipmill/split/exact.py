"""Clips of exactly as many frames as a trainer takes (the config's `cut.fps` and `cut.frames`)."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from clipmill.shapes.counts import Counts, largest
from clipmill.shapes.rates import ROUNDED, exact_rate, frames_in
from clipmill.shapes.shown import shown_frames

Piece = tuple[int, int, int]
"""Its first frame, the first frame after it, and the number of frames of its file."""


class ExactFrames:
    """Divides the frames of one video into pieces whose files have exact numbers of frames.

    `times`: presentation times of all frames and, last, the end of the video, in seconds. `keys`: frames at which
    copying can begin. `is_clean`: per frame, whether packets can be copied up to it. `fps`: the rate of the files, or
    None for that of the video.
    """

    def __init__(self, times: np.ndarray, keys: np.ndarray, is_clean: np.ndarray, counts: Counts, fps: float | None):
        self._counts, self._keys, self._is_clean = counts, keys, np.append(is_clean, True)
        # Without a rate frames count, however far apart they are: as if one came every second.
        self._clock = np.arange(len(times), dtype=float) if fps is None else times
        self._rate = Fraction(1) if fps is None else exact_rate(fps)

    def piece(self, begin: int, end: int) -> Piece | None:
        """The longest piece of frames `begin` to before `end`; None if they are too few.

        It begins where its packets can be copied, if there is such a place, else at `begin`.
        """
        count = self._fill(begin, end)
        return self._placed(begin, end, count, self._room(begin, end, count)) if count else None

    def pieces(self, begin: int, end: int) -> Iterator[Piece]:
        """Pieces of frames `begin` to before `end`: as many of the largest number as fit, then smaller ones.

        Frames for which there is no use are left out where they let a piece begin as `piece` does.
        """
        counts: list[int] = []
        place, room = begin, 0.0
        while count := self._fill(place, end):
            counts.append(count)
            room = self._room(place, end, count)
            place = self._stop(place, end, count)
        place = begin
        for wanted in counts:
            count = min(wanted, self._fill(place, end) or 0)  # less if frames left out came at another rate than others
            if count == 0:
                return
            first, stop, _ = self._placed(place, end, count, room)
            room -= float(self._clock[first] - self._clock[place])
            place = stop
            yield first, stop, count

    def _fill(self, begin: int, end: int) -> int | None:
        """The largest number of frames that frames `begin` to before `end` fill."""
        return largest(self._counts, frames_in(float(self._clock[end] - self._clock[begin]), self._rate))

    def _room(self, begin: int, end: int, count: int) -> float:
        """By how much a piece may begin later than at `begin`."""
        return float(self._clock[end] - self._clock[begin]) - count / float(self._rate) + ROUNDED

    def _stop(self, begin: int, end: int, count: int) -> int:
        """The first frame after the last one that a file shows."""
        return begin + int(self._shown(begin, end, count)[-1]) + 1

    def _shown(self, begin: int, end: int, count: int) -> np.ndarray:
        """Which frames, counted from `begin`, a file shows. Frames long after its end are not looked at."""
        last = int(np.searchsorted(self._clock, self._clock[begin] + count / float(self._rate)))
        return shown_frames(self._clock[begin : min(end, last + 1)], self._rate, count)

    def _placed(self, begin: int, end: int, count: int, room: float) -> Piece:
        for key in self._keys[np.searchsorted(self._keys, begin) :]:
            first = int(key)
            if self._clock[first] - self._clock[begin] > room:
                break
            if np.array_equal(self._shown(first, end, count), np.arange(count)) and self._is_clean[first + count]:
                return first, first + count, count
        return begin, self._stop(begin, end, count), count
