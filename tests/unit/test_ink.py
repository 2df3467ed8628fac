"""Boxes made tight around letters: drawn lines whose rectangle is known."""

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
    corners = np.array([(x, y), (x + across - 1, y), (x + across - 1, y + down - 1), (x, y + down - 1)], np.float32)
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


def test_over_a_busy_picture_a_box_stays():
    picture = render.cover(render.photograph("gravel.png"), SIZE)
    shown, _ = lettered(picture, ["Ten seconds to go"], 40, PLACE)
    box = with_air(ink_box("Ten seconds to go", 40, 0)[None])
    np.testing.assert_array_equal(tight(shown, box), box)


@pytest.mark.parametrize(
    "corners", [[(0, 0), (9, 0), (9, 0), (0, 0)], [(630, 350), (700, 350), (700, 400), (630, 400)]]
)
def test_boxes_without_letters_stay(corners):
    """Without height, and beyond the picture."""
    box = np.array([corners], np.float32)
    np.testing.assert_array_equal(tight(render.flat(SIZE, (90, 90, 90)), box), box)
    assert tight(render.flat(SIZE), np.empty((0, 4, 2))).shape == (0, 4, 2)
