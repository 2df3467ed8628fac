"""Borders that splitting has invented inside a scene, moved into pauses of speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipmill.decode.sound_signals import SPEECH_RATE, SPEECH_WINDOW
from clipmill.split.settings import SplitSettings
from clipmill.split.sound import SPOKEN, HeardVideo, middle_of, spoken
from clipmill.store.tables import DecodedVideo

APART = 0.1  # seconds from a border to speech, at least
NEAREST = 16  # pauses that are tried for each border
SLACK = 1e-6  # seconds by which rounding may exceed a limit


@dataclass(frozen=True)
class Pauses:
    """Finds the frames of a part of a video at which nobody speaks. `video`: with the facts of the part."""

    heard: HeardVideo
    video: DecodedVideo
    times: np.ndarray

    def at(self, start: int, end: int) -> np.ndarray | None:
        """Of each frame from `start` to `end` whether nobody speaks around its beginning; None if that is not known.

        Where there is no sound nobody speaks.
        """
        begins = self.times[start : end + 1] + self.video["offset"]
        rows = self.heard.rows(float(begins[0]) - 1, float(begins[-1]) + 1, middle_of(self.video, start, end))
        found = spoken(rows)
        if found is None:
            return None
        windows, sure = found
        said = windows[sure >= SPOKEN]
        reach = APART + SPEECH_WINDOW / SPEECH_RATE / 2
        return np.searchsorted(said, begins - reach) == np.searchsorted(said, begins + reach, side="right")


def in_pauses(times: np.ndarray, edges: Sequence[int], is_pause: np.ndarray, settings: SplitSettings) -> list[int]:
    """Edges of the same number of pieces, as many of them in pauses as can be, and then as near as can be to `edges`.

    `edges`: the frames at which pieces of a scene begin, and its end; the first and the last one stay. `is_pause`: of
    each frame from the first edge to the last one. Pieces stay within the lengths that the settings allow.
    """
    choices = [[edges[0]], *(_choices(times, edge, edges, is_pause) for edge in edges[1:-1]), [edges[-1]]]
    # frame -> borders in speech, seconds moved, frame before
    best: list[dict[int, tuple[int, float, int]]] = [{edges[0]: (0, 0.0, -1)}]
    for place in range(1, len(choices)):
        is_last = place == len(choices) - 1
        ways: dict[int, tuple[int, float, int]] = {}
        for frame in choices[place]:
            cost = 0 if is_last or is_pause[frame - edges[0]] else 1
            moved = abs(float(times[frame] - times[edges[place]]))
            found = [
                (speaks + cost, seconds + moved, before)
                for before, (speaks, seconds, _) in best[-1].items()
                if (before, frame) == (edges[place - 1], edges[place]) or _fits(times, before, frame, settings)
            ]
            if found:
                ways[frame] = min(found)
        best.append(ways)
    chosen = [edges[-1]]
    for ways in reversed(best[1:]):
        chosen.append(ways[chosen[-1]][2])
    return chosen[::-1]


def _fits(times: np.ndarray, begin: int, end: int, settings: SplitSettings) -> bool:
    """Whether a piece has an allowed length."""
    length = float(times[end] - times[begin])
    return begin < end and settings.min_seconds - SLACK <= length <= settings.max_seconds + SLACK


def _choices(times: np.ndarray, edge: int, edges: Sequence[int], is_pause: np.ndarray) -> list[int]:
    """The frames at which a border may come: where it is, and the nearest frame of each of the nearest pauses."""
    bounds = np.flatnonzero(np.diff(np.concatenate([[False], is_pause, [False]])))
    firsts, lasts = bounds[::2] + edges[0], bounds[1::2] - 1 + edges[0]
    frames = np.clip(edge, firsts, lasts)
    inside = (frames > edges[0]) & (frames < edges[-1]) & (frames != edge)
    nearest = sorted(frames[inside].tolist(), key=lambda frame: (abs(times[frame] - times[edge]), frame))
    return [edge, *nearest[:NEAREST]]
