"""Areas of text boxes, and which of them stand still, against boxes of known places."""

from __future__ import annotations

import numpy as np
import pytest

from clipmill.base.opencv import cv2
from clipmill.scores.text.boxes import TextBoxes, overlap, polygons_area, standing, text_columns

SHAPE = (500, 1000)  # height, width
SUBTITLE = (300, 430, 700, 470)
LOGO = (880, 20, 980, 60)
SIGN = (450, 200, 600, 260)  # in the middle


def box(left, top, right, bottom, turned=0):
    if turned:
        return cv2.boxPoints((((left + right) / 2, (top + bottom) / 2), (right - left, bottom - top), turned))
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def found(*boxes, shape=SHAPE) -> TextBoxes:
    """A frame with upright boxes (left, top, right, bottom), or turned ones (…, degrees)."""
    return TextBoxes(np.array([box(*each) for each in boxes], np.float32).reshape(-1, 4, 2), shape)


def share(*boxes) -> float:
    return sum((right - left) * (bottom - top) for left, top, right, bottom in boxes) / (SHAPE[0] * SHAPE[1])


def moved(place, right, down):
    return (place[0] + right, place[1] + down, place[2] + right, place[3] + down)


# --- areas ------------------------------------------------------------------------------------------------------------


def test_columns_of_a_subtitled_street():
    """A subtitle that stands, a sign that moves; half of the sign's last place is under a second box."""
    signs = [SIGN, moved(SIGN, 0, -80), moved(SIGN, 0, -160)]
    frames = [found(SUBTITLE, sign) for sign in signs]
    frames[2] = found(SUBTITLE, signs[2], (525, 40, 600, 100))
    columns = text_columns(frames)
    text = share(SUBTITLE, SIGN)
    # A box's border pixels are counted to it.
    assert columns["text_area_frames"] == pytest.approx([text, text, text], rel=0.03)
    assert columns["text_area"] == pytest.approx(text, rel=0.03)
    assert columns["text_static_area"] == pytest.approx(share(SUBTITLE), rel=0.03)
    assert columns["text_scene_area"] == pytest.approx(share(SIGN), rel=0.03)


def test_static_and_scene_area_part_the_text_area():
    generator = np.random.default_rng(1)
    for _ in range(50):
        frames = []
        for _ in range(generator.integers(2, 6)):
            corners = generator.integers((0, 0), (900, 460), size=(generator.integers(0, 8), 2))
            frames.append(found(*((x, y, x + 100, y + 40) for x, y in corners), SUBTITLE, (20, 430, 400, 470)))
        columns = text_columns(frames)
        assert columns["text_static_area"] > 0
        assert columns["text_scene_area"] >= 0
        both = columns["text_static_area"] + columns["text_scene_area"]
        assert both == pytest.approx(columns["text_area"])
        assert columns["text_area"] == pytest.approx(np.mean(columns["text_area_frames"]))


def test_text_under_a_static_box_is_static():
    """A word of the scene that passes below a subtitle adds nothing to the scene's share."""
    inside = (500, 440, 560, 460)
    columns = text_columns([found(SUBTITLE, inside), found(SUBTITLE)])
    assert columns["text_scene_area"] == 0


@pytest.mark.parametrize("boxes", [(SUBTITLE,), (SUBTITLE, SIGN)])
def test_a_single_sample_does_not_tell_what_stands_still(boxes):
    columns = text_columns([found(*boxes)])
    assert columns["text_area"] == columns["text_area_frames"][0] > 0
    assert columns["text_static_area"] is None
    assert columns["text_scene_area"] is None


@pytest.mark.parametrize("samples", [1, 4])
def test_no_text_is_no_text(samples):
    assert text_columns([found()] * samples) == {
        "text_area": 0,
        "text_area_frames": [0] * samples,
        "text_static_area": 0,
        "text_scene_area": 0,
    }


# --- what stands still ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "at_edge"),
    [
        (SUBTITLE, True),
        (LOGO, True),
        ((20, 200, 240, 240), True),  # the left
        ((20, 200, 260, 240), False),  # reaches out of the left quarter
        ((760, 200, 990, 240), True),  # the right
        ((300, 5, 700, 125), True),  # the top, to its very border
        ((300, 5, 700, 126), False),
        ((300, 375, 700, 500), True),
        ((300, 374, 700, 500), False),
        ((-9, -9, 1009, 509), False),  # all of the frame
        (SIGN, False),
    ],
)
def test_only_what_lies_at_an_edge_stands_still(place, at_edge):
    assert [still.tolist() for still in standing([found(place)] * 3)] == [[at_edge]] * 3


@pytest.mark.parametrize(
    ("seen", "stands"),
    [
        ("11", True),
        ("10", False),
        ("110", True),
        ("100", False),
        ("1001", True),
        ("1000", False),
        ("11000", False),
        ("10101", True),
        ("111000", True),
        ("11000000", False),
    ],
)
def test_half_of_the_samples_and_two_are_needed(seen, stands):
    frames = [found(LOGO) if there == "1" else found(SIGN) for there in seen]
    still = standing(frames)
    assert [each.tolist() for each in still] == [[stands if there == "1" else False] for there in seen]


@pytest.mark.parametrize(
    ("other", "stands"),
    [
        (moved(SUBTITLE, 0, 10), True),  # 30 of 50 rows in common
        (moved(SUBTITLE, 0, -20), False),  # 20 of 60
        (moved(SUBTITLE, 100, 0), True),  # 300 of 500 columns
        ((390, 430, 610, 470), True),  # other words, 220 of 400 columns
        ((410, 430, 590, 470), False),  # 180 of 400
        ((*SUBTITLE, 2), True),
        ((*SUBTITLE, 60), False),
    ],
)
def test_the_same_place_is_half_in_common(other, stands):
    assert [still.any() for still in standing([found(SUBTITLE), found(other)])] == [stands, stands]


def test_each_box_is_judged_alone():
    frames = [found(SIGN, LOGO, moved(SUBTITLE, 0, 20 * number - 20)) for number in range(3)]
    assert [still.tolist() for still in standing(frames)] == [[False, True, False]] * 3


def test_an_empty_frame_among_others():
    assert [still.tolist() for still in standing([found(LOGO), found(), found(LOGO)])] == [[True], [], [True]]


# --- geometry ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), 1),
        ((0, 0, 10, 10), (5, 0, 15, 10), 1 / 3),
        ((0, 0, 10, 10), (0, 0, 10, 5), 0.5),
        ((0, 0, 10, 10), (10, 0, 20, 10), 0),
        ((0, 0, 10, 10), (50, 0, 60, 10), 0),
        ((0, 0, 10, 10, 45), (0, 0, 10, 10, 45), 1),
        ((0, 0, 10, 10), (0, 0, 10, 10, 45), 2**0.5 / 2),  # an octagon: 2 (√2 − 1) of the square
        ((0, 0, 10, 0), (0, 0, 10, 0), 0),  # no area at all
    ],
)
def test_overlap(one, other, share):
    first, second = (np.array(box(*each), np.float32) for each in (one, other))
    assert overlap(first, second) == pytest.approx(share, abs=1e-4)
    assert overlap(second, first) == pytest.approx(share, abs=1e-4)


def test_overlap_of_any_boxes_is_that_of_their_pixels():
    generator = np.random.default_rng(2)
    for _ in range(100):
        middles, sizes = generator.uniform(200, 300, (2, 2)), generator.uniform(80, 200, (2, 2))
        turned = generator.uniform(0, 180, 2)
        corners = [cv2.boxPoints(each) for each in zip(middles, sizes, turned, strict=True)]
        masks = [cv2.fillPoly(np.zeros(SHAPE, np.uint8), [np.round(each).astype(int)], 1) for each in corners]
        pixels = np.logical_and(*masks).sum() / np.logical_or(*masks).sum()
        assert overlap(*corners) == pytest.approx(pixels, abs=0.02)


def test_a_turned_box_counts_as_it_stands():
    turned = found((300, 230, 700, 270, 30))
    assert polygons_area(turned.boxes, SHAPE) == pytest.approx(400 * 40 / (500 * 1000), rel=0.05)
