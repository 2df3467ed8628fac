"""What looks like lines of letters, found without a network."""

from __future__ import annotations

import numpy as np
import pytest
from lettering import Colour, lettered

from clipmill.demo import render
from clipmill.scores.text import closer, strokes

SIZE = (640, 360)
PLACE = (200, 150)
ANYWHERE = np.ones((90, 160), bool)  # a map of a quarter of the frame's size


def around_letters() -> np.ndarray:
    """A map that is true at one place of the letters."""
    likely = np.zeros_like(ANYWHERE)
    likely[PLACE[1] // 4 + 1, PLACE[0] // 4 + 2] = True
    return likely


def shown(colour: Colour, paper: tuple[int, int, int], angle: float = 0) -> np.ndarray:
    picture, _ = lettered(render.flat(SIZE, paper), ["Ten seconds to go"], 14, PLACE, ink=colour, angle=angle)
    return picture


@pytest.mark.parametrize(
    ("colour", "paper"),
    [(255, (90, 60, 30)), (10, (200, 220, 240)), ((40, 40, 250), (40, 150, 40))],
    ids=["lighter", "darker", "coloured"],
)
@pytest.mark.parametrize("angle", [0, 8])
def test_a_line_of_letters_is_found(colour, paper, angle):
    picture = shown(colour, paper, angle=angle)
    found = strokes.lines(picture, ANYWHERE)
    ink = np.argwhere((picture != render.flat(SIZE, paper)).any(axis=2))
    _, long = closer.sides(found)
    assert long.max() > 0.8 * np.ptp(ink[:, 1])
    middle = found[long.argmax()].mean(axis=0)
    np.testing.assert_allclose(middle, ink.mean(axis=0)[::-1], atol=6)


def test_only_where_there_may_be_letters():
    picture = shown(255, (90, 60, 30))
    assert len(strokes.lines(picture, around_letters()))
    elsewhere = np.roll(around_letters(), 60, axis=1)
    assert strokes.lines(picture, elsewhere).shape == (0, 4, 2)
    assert strokes.lines(picture, ANYWHERE & False).shape == (0, 4, 2)


def test_what_has_no_thin_strokes_has_no_lines():
    square = render.flat(SIZE, (90, 60, 30))
    square[100:140, 200:320] = 255
    assert [len(strokes.lines(picture, ANYWHERE)) for picture in (render.gradient(SIZE), square)] == [0, 0]
