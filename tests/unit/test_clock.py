"""Time stamps that cannot be used: how far their repair moves the frames around them."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from clipmill.decode.clock import Clock

USUAL = 10  # units


def times(stamps: list[int | None]) -> tuple[list[float], int]:
    """The times of frames with these time stamps, in frames, and how many were repaired."""
    stream: Any = SimpleNamespace(time_base=Fraction(1, 250), average_rate=Fraction(25), guessed_rate=None)
    clock, found = Clock(stream, "mpeg"), []
    for pts in stamps:
        frame: Any = SimpleNamespace(pts=pts, duration=USUAL, key_frame=False)
        clock.tick(frame, leaps=False)
        found.append(clock.time * 25)
    return found, clock.repaired


@pytest.mark.parametrize(
    ("stamps", "found", "repaired"),
    [
        ([0, 10, 20, 30], [0, 1, 2, 3], 0),
        ([0, None, None, 30], [0, 1, 2, 3], 2),
        ([0, 0, 0, 0], [0, 1, 2, 3], 3),
        # A reader gave three frames the time stamps of the next ones.
        ([0, 20, 30, 40, 40, 50, 60, 70], [0, 2, 3, 4, 5, 5.5, 6, 7], 2),
        ([0, 10, 5, 30, 40], [0, 1, 2, 3, 4], 1),
    ],
)
def test_a_wrong_time_stamp_moves_few_frames(stamps, found, repaired):
    assert times(stamps) == (pytest.approx(found), repaired)
