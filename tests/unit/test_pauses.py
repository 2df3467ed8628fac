"""Borders that splitting invents: they move into pauses of speech, within the lengths allowed; others never move."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_config import changed
from whole import video_clips

from clipmill.decode.sound_signals import PER_SECOND, SPEECH_RATE, SPEECH_WINDOW
from clipmill.split.pauses import Pauses, in_pauses
from clipmill.split.settings import SplitSettings
from clipmill.split.sound import HeardVideo
from clipmill.split.transitions import Transition
from clipmill.store import tables
from default_config import SPLIT_SETTINGS, problems_of

FPS = 24
SETTINGS = replace(SplitSettings(**SPLIT_SETTINGS), keep_speech=True, min_seconds=3, max_seconds=10, pieces="equal")


def moved(seconds: float, edges: list[float], pauses: list[tuple[float, float]], **settings: float) -> list[float]:
    """Where the edges of pieces come, in seconds."""
    times = np.arange(round(seconds * FPS) + 1) / FPS
    is_pause = np.zeros(len(times), bool)
    for begin, end in pauses:
        is_pause |= (times >= begin - 1e-6) & (times <= end + 1e-6)
    frames = in_pauses(times, [round(edge * FPS) for edge in edges], is_pause, replace(SETTINGS, **settings))
    return [round(frame / FPS, 3) for frame in frames]


@pytest.mark.parametrize(
    ("edges", "pauses", "wanted"),
    [
        ([0, 8, 16], [(7.5, 8.5)], [0, 8, 16]),  # it is in a pause
        ([0, 8, 16], [(5, 6.5), (9, 9.5)], [0, 9, 16]),  # the nearest pause, and its nearest end
        ([0, 8, 16], [(7, 7.5), (12, 13)], [0, 7.5, 16]),
        ([0, 8, 16], [(1, 2), (10.5, 15)], [0, 8, 16]),  # none within the lengths allowed: 6 to 10
        ([0, 8, 16], [], [0, 8, 16]),
        ([0, 8, 16], [(10, 11), (5, 6)], [0, 6, 16]),  # equally near: the earlier one
        ([0, 9, 18, 27], [(8, 8.25), (17.5, 17.75)], [0, 8.25, 17.75, 27]),
        ([0, 10, 20, 25], [(9, 9.25), (18, 18.25)], [0, 9.25, 18.25, 25]),  # of longest pieces and a rest
        ([0, 10, 20, 30], [(9, 9.25), (18, 18.25)], [0, 10, 20, 30]),  # there is no room
    ],
)
def test_borders_move_into_pauses(edges, pauses, wanted):
    assert moved(edges[-1], edges, pauses) == pytest.approx(wanted, abs=0.5 / FPS)


def test_as_many_borders_as_possible_are_in_pauses_before_they_are_near():
    """The first border takes the farther pause, so that the second one has room for its own."""
    found = moved(24, [0, 8, 16, 24], [(7, 7.25), (9, 9.25), (18, 18.25)], max_seconds=9.5)
    assert found == pytest.approx([0, 9, 18, 24], abs=0.5 / FPS)


@pytest.mark.parametrize("seed", range(30))
def test_lengths_stay_allowed_and_no_border_gets_worse(seed):
    chance = np.random.default_rng(seed)
    count = int(chance.integers(2, 7))
    seconds = count * float(chance.uniform(4, 9.5))
    edges = [round(seconds * k / count * FPS) / FPS for k in range(count)] + [round(seconds * FPS) / FPS]
    pauses = [(begin, begin + 0.3) for begin in chance.uniform(0, seconds, int(chance.integers(0, 12)))]
    found = moved(edges[-1], edges, pauses)
    assert (found[0], found[-1], len(found)) == (0, pytest.approx(edges[-1], abs=0.001), len(edges))
    assert all(3 - 0.01 <= length <= 10 + 0.01 for length in np.diff(found))

    def quiet(frame: float) -> bool:
        return any(begin - 0.01 <= frame <= end + 0.01 for begin, end in pauses)

    assert sum(map(quiet, found[1:-1])) >= sum(map(quiet, edges[1:-1]))


# --- of a video -------------------------------------------------------------------------------------------------------


def heard(seconds: float, said: list[tuple[float, float]], offset: float = 0.0, looked: bool = True) -> HeardVideo:
    """The sound of a video, in which somebody speaks in these spans of its own clock."""
    rows = []
    for hop in range(math.ceil((seconds + offset) * PER_SECOND)):
        first, stop = (math.ceil(number * SPEECH_RATE / (PER_SECOND * SPEECH_WINDOW)) for number in (hop, hop + 1))
        middles = [(window + 0.5) * SPEECH_WINDOW / SPEECH_RATE - offset for window in range(first, stop)]
        speech = bytes(250 * any(begin <= middle < end for begin, end in said) for middle in middles)
        rows.append({"hop": hop, "picture": 0, "filled": 1.0, "speech": speech if looked else None})
    return HeardVideo.of(tables.SOUND_SIGNALS.from_rows(rows))


def clips(
    seconds: float, sound: HeardVideo | None, cuts: Sequence[float] = (), **settings: Any
) -> list[tuple[float, float]]:
    """Begin and end of the clips of a video at which nothing can be copied, so that borders are where they are best."""
    count = round(seconds * FPS)
    rows = [{"frame": n, "time": n / FPS, "is_key": n == 0, "is_clean": n == 0} for n in range(count)]
    video = {"video_id": "v", "seconds": seconds, "offset": 2.0, "changes": None}
    transitions = [Transition(round(cut * FPS), round(cut * FPS), "cut", 1.0) for cut in cuts]
    chosen = replace(SETTINGS, guard_frames=0, **settings)
    found = video_clips(video, tables.SIGNALS.from_rows(rows), transitions, chosen, sound)
    return [(round(clip["start"], 2), round(clip["end"], 2)) for clip in found]


def test_a_sentence_is_not_cut():
    """Somebody speaks over the middle of a scene of 16 s, with pauses of a tenth and of half a second."""
    said = [(5.0, 8.6), (8.7, 9.3), (9.8, 15.0)]
    (_, border), _ = clips(16, heard(16, said, offset=2.0))
    assert 9.3 + 0.1 - 0.05 <= border <= 9.8 - 0.1 + 0.05
    for sound in (None, heard(16, said, offset=2.0, looked=False)):
        assert clips(16, sound) == [(0, 8), (8, 16)]
    assert clips(16, heard(16, said, offset=2.0), keep_speech=False) == [(0, 8), (8, 16)]


def test_a_real_cut_stays_in_the_middle_of_a_word():
    said = [(0.5, 4.8), (5.3, 12.0)]
    assert clips(12, heard(12, said, offset=2.0), cuts=[6.0]) == [(0, 6), (6, 12)]


def test_where_there_is_no_sound_nobody_speaks():
    sound = heard(4, [(0, 4)], offset=2.0)
    assert clips(16, sound) == [(0, 8), (8, 16)]
    times = np.arange(16 * FPS + 1) / FPS
    assert Pauses(HeardVideo.of(sound.table.slice(0, 0)), {"offset": 0.0, "changes": None}, times).at(0, 48) is None


def test_exact_pieces_do_not_move():
    (problem,) = problems_of(changed({"split.keep_speech": True, "split.pieces": "exact", "cut.frames": [81]}))
    assert problem.startswith("split.keep_speech: pieces of exact numbers of frames do not move")
