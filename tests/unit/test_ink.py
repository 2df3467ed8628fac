"""Boxes made tight around letters: lines whose rectangle is known."""

from __future__ import annotations

import numpy as np
import pytest
from lettering import lettered

from clipmill.base.opencv import cv2
from clipmill.demo import render
from clipmill.scores.text.boxes import polygons_area
from clipmill.scores.text.ink import tight, with_air

SIZE = (640, 360)
PLACE = (100, 150)


def share(boxes: np.ndarray) -> float:
    return polygons_area(boxes, SIZE[::-1])


def ink_box(text: str, size: int, angle: float) -> np.ndarray:
    """The rectangle of a line of letters at PLACE, four corners × 2."""
    shown, _ = lettered(render.flat(SIZE), [text], size, PLACE)
    x, y, across, down = cv2.boundingRect(shown[..., 0])
    corners = np.array([(x, y), (x + across, y), (x + across, y + down), (x, y + down)], np.float32)
    turn = cv2.getRotationMatrix2D((SIZE[0] / 2, SIZE[1] / 2), angle, 1)
    return (corners @ turn[:, :2].T + turn[:, 2]).astype(np.float32)


@pytest.mark.parametrize("text", ["Ten seconds to go", "mm nice waves", "STOP", "why?"])
@pytest.mark.parametrize("angle", [0, 7])
@pytest.mark.parametrize(("ink", "paper"), [(255, (90, 60, 30)), (10, (200, 220, 240))])
@pytest.mark.parametrize("off", [-0.08, 0, 0.08, 0.2])
def test_sides_move_to_the_ink(text, angle, ink, paper, off):
    """From a box that is too small or too large on all sides, by a share of its height."""
    shown, wanted = lettered(render.flat(SIZE, paper), [text], 40, PLACE, angle=angle, ink=ink)
    box = ink_box(text, 40, angle)
    loose = box + off / 0.25 * (with_air(box[None])[0] - box)
    assert share(tight(shown, loose[None])) == pytest.approx(wanted, rel=0.05 if angle == 0 else 0.1)


@pytest.mark.parametrize("size", [8, 10, 14])
@pytest.mark.parametrize("off", [-0.06, 0.08])
def test_sides_stand_between_pixels(size, off):
    """Letters that were made smaller: whole pixels would be up to a tenth of their height away."""
    ratios = []
    for shift in range(4):
        page, _ = lettered(render.flat((4 * 640, 4 * 360)), ["Ten quick jumps"], 4 * size, (400 + shift, 600 + shift))
        x, y, across, down = cv2.boundingRect((page[..., 0] >= 64).astype(np.uint8))
        box = np.array([(x, y), (x + across, y), (x + across, y + down), (x, y + down)], np.float32) / 4
        loose = box + off / 0.25 * (with_air(box[None])[0] - box)
        ratios.append(
            share(tight(cv2.resize(page, SIZE, interpolation=cv2.INTER_AREA), loose[None])) / share(box[None])
        )
    assert ratios == pytest.approx([1] * 4, abs=0.08)


@pytest.mark.parametrize("angle", [0, 7])
@pytest.mark.parametrize("loose", [True, False])
def test_on_a_plate_the_letters_count(angle, loose):
    """From a box at the sides of the plate, and beyond them."""
    shown, wanted = lettered(
        render.flat(SIZE, (180, 90, 30)), ["Ten seconds to go"], 40, PLACE, angle=angle, plate=True
    )
    letters = ink_box("Ten seconds to go", 40, angle)
    right, down = ((side / np.linalg.norm(side)) for side in (letters[1] - letters[0], letters[3] - letters[0]))
    margin = 0.3 * 40 + (3 if loose else 0)
    steps = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    plate = letters + margin * np.array([x * right + y * down for x, y in steps], np.float32)
    assert share(plate[None]) > 1.6 * wanted
    assert share(tight(shown, plate[None])) == pytest.approx(wanted, rel=0.08)


@pytest.mark.parametrize("ink", [255, (0, 255, 255), 0])
def test_over_a_picture_without_fine_lines_thin_lines_are_letters(ink):
    """Two colours are behind them, so the surround is not plain."""
    picture = render.flat(SIZE, (255, 255, 105) if ink == 0 else (0, 0, 150))
    picture[:, 250:] = (105, 255, 255) if ink == 0 else (150, 0, 0)
    shown, wanted = lettered(picture, ["Ten seconds to go"], 40, PLACE, ink=ink)
    loose = ink_box("Ten seconds to go", 40, 0)
    loose += 0.6 * (with_air(loose[None])[0] - loose)
    assert share(loose[None]) > 1.25 * wanted
    assert share(tight(shown, loose[None])) == pytest.approx(wanted, rel=0.05)


def specked(picture: np.ndarray, colour, among: int) -> np.ndarray:
    """A picture with specks of 2 × 2 pixels in one of so many places, everywhere but in the letters' middle."""
    places = np.random.default_rng(1).random((SIZE[1] // 2, SIZE[0] // 2)) < 1 / among
    places[(PLACE[1] + 8) // 2 : (PLACE[1] + 32) // 2] = False
    shown = picture.copy()
    shown[places.repeat(2, 0).repeat(2, 1)] = colour
    return shown


@pytest.mark.parametrize("angle", [0, 7])
@pytest.mark.parametrize(
    ("paper", "ink", "speck"),
    [
        ((90, 90, 90), 255, (0, 0, 0)),  # as unlike the paper as the letters, but on the other side
        ((40, 40, 40), (0, 255, 255), (255, 60, 40)),
        ((200, 200, 200), (20, 20, 200), (30, 180, 30)),
    ],
)
def test_what_has_another_colour_than_the_letters_is_no_ink(paper, ink, speck, angle):
    ground = specked(render.flat(SIZE, paper), speck, 12)
    shown, wanted = lettered(ground, ["Ten seconds to go"], 40, PLACE, angle=angle, ink=ink)
    box = ink_box("Ten seconds to go", 40, angle)
    loose = box + 0.3 * (with_air(box[None])[0] - box)
    assert share(tight(shown, loose[None])) == pytest.approx(wanted, rel=0.05 if angle == 0 else 0.1)


def test_a_few_specks_of_the_letters_colour_are_no_ink():
    """One in a hundred places: lines of pixels with a few of them are no lines of letters."""
    ground = specked(render.flat(SIZE, (60, 60, 60)), (255, 255, 255), 100)
    shown, wanted = lettered(ground, ["STOP THE PRESS"], 40, PLACE)
    box = ink_box("STOP THE PRESS", 40, 0)
    loose = box + 0.3 * (with_air(box[None])[0] - box)
    assert share(tight(shown, loose[None])) == pytest.approx(wanted, rel=0.1)


def test_letters_of_a_second_colour_are_not_cut_off():
    """A line whose end is yellow instead of white. The first word alone would be a quarter of it."""
    shown, wanted = lettered(render.flat(SIZE, (90, 60, 30)), ["Ten seconds to go"], 40, PLACE)
    yellow, _ = lettered(render.flat(SIZE, (90, 60, 30)), ["Ten seconds to go"], 40, PLACE, ink=(0, 220, 220))
    shown[:, 200:] = yellow[:, 200:]
    box = ink_box("Ten seconds to go", 40, 0)
    loose = box + 0.2 * (with_air(box[None])[0] - box)
    assert share(tight(shown, loose[None])) == pytest.approx(wanted, rel=0.1)


def test_a_thing_of_the_letters_colour_beside_them_is_no_ink():
    """A white bar a quarter of a line above the letters."""
    ground = render.flat(SIZE, (90, 60, 30))
    ground[PLACE[1] - 14 : PLACE[1] - 9, 50:600] = 255
    shown, wanted = lettered(ground, ["Ten seconds to go"], 40, PLACE)
    box = ink_box("Ten seconds to go", 40, 0)
    assert share(tight(shown, box[None])) == pytest.approx(wanted, rel=0.05)


def test_over_a_picture_that_looks_like_letters_a_box_has_its_usual_margin_less():
    ground = specked(render.flat(SIZE, (60, 60, 60)), (255, 255, 255), 3)
    shown, _ = lettered(ground, ["Ten seconds to go"], 40, PLACE)
    box = with_air(ink_box("Ten seconds to go", 40, 0)[None])
    np.testing.assert_array_equal(tight(shown, box), box)
    height = box[0, 3, 1] - box[0, 0, 1]
    less = box + 0.1 * height * np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)])
    np.testing.assert_allclose(tight(shown, box, 0.1), less, atol=0.01)


@pytest.mark.parametrize(
    "corners", [[(0, 0), (9, 0), (9, 0), (0, 0)], [(630, 350), (700, 350), (700, 400), (630, 400)]]
)
def test_boxes_without_letters_stay(corners):
    """Without height, and beyond the picture."""
    box = np.array([corners], np.float32)
    np.testing.assert_array_equal(tight(render.flat(SIZE, (90, 90, 90)), box), box)
    assert tight(render.flat(SIZE), np.empty((0, 4, 2))).shape == (0, 4, 2)
