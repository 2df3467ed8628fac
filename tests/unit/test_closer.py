"""Places of a frame that are looked at again, enlarged."""

from __future__ import annotations

import numpy as np
import pytest

from clipmill.scores.text import closer

SHAPE = (200, 400, 3)


def box(left: float, top: float, width: float, height: float) -> np.ndarray:
    right, bottom = left + width, top + height
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)


def test_places_that_meet_are_one_and_end_at_the_frame():
    """The third one joins the first two."""
    boxes = np.stack([box(5, 50, 60, 10), box(5, 110, 60, 10), box(5, 80, 60, 10), box(300, 20, 50, 20)])
    apart, together = sorted(map(tuple, closer.places(boxes, SHAPE)), reverse=True)
    assert together == (0, 34, 81, 136)
    assert apart == (280, 0, 370, 60)
    assert closer.places(boxes[:0], SHAPE) == []


@pytest.mark.parametrize("place", [(30, 40, 131, 77), (350, 150, 400, 200)])
def test_an_enlarged_place_has_its_middles_where_they_were(place):
    """A ramp stays a ramp; its level says where in the frame a pixel is."""
    ramp = np.arange(SHAPE[1], dtype=np.float32)[None].repeat(SHAPE[0], 0)
    picture, (height, width) = closer.enlarged(ramp, np.array(place))
    left, top, right, bottom = place
    assert width >= right - left and height >= bottom - top
    assert picture.shape == (closer.TIMES * height, closer.TIMES * width)
    assert all(side % closer.GRID == 0 for side in picture.shape)
    shown = picture[5, : closer.TIMES * (right - left) - 4]
    wanted = left + (np.arange(len(shown)) + 0.5) / closer.TIMES - 0.5
    np.testing.assert_allclose(shown, wanted, atol=0.05)


def test_what_is_inside_is_told_by_its_middle():
    lines = np.stack([box(0, 0, 100, 20), box(0, 40, 100, 20)])
    found = np.stack([box(-5, -2, 60, 18), box(80, 10, 60, 15), box(0, 45, 90, 12)])
    assert closer.inside(lines, found).tolist() == [[True, False, False], [False, False, True]]
    assert closer.inside(lines, found[:0]).shape == (2, 0)
    assert closer.inside(lines[:0], found).shape == (0, 3)


def test_sides_of_turned_boxes():
    turned = np.array([[(0, 0), (30, 40), (22, 46), (-8, 6)]], np.float32)
    assert [side.tolist() for side in closer.sides(turned)] == [[10], [50]]
