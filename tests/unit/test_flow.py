"""The flow between two pictures, against scenes whose flow is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from moving_scenes import PICTURES, Camera, Scene, Thing

from clipmill.decode.flow import flow_between
from clipmill.decode.similarity import STANDING, FlowPicture, Similarity

SECONDS = 0.5  # between two kept frames
LINES = 360


def found(scene: Scene, seconds: float = SECONDS, start: float = 0) -> tuple[float, float]:
    """What is measured of a scene, in % of the short side per second: motion, and motion without the camera's part."""
    flow = flow_between(FlowPicture(scene.grey(start)), FlowPicture(scene.grey(start + seconds)))
    return 100 * flow.length() / seconds, 100 * flow.own_length() / seconds


def panned(picture: str, pixels: float, degrees: float, size=(640, 360), **more) -> Scene:
    """A pan by so many pixels of 360 lines per half second."""
    speed = pixels / SECONDS * min(size) / LINES
    right, down = speed * math.cos(math.radians(degrees)), speed * math.sin(math.radians(degrees))
    return Scene(picture, Camera(right, down), size=size, **more)


@pytest.mark.slow
@pytest.mark.parametrize("pixels", [0.5, 2, 10, 40, 90])
@pytest.mark.parametrize("picture", PICTURES)
def test_pans(picture, pixels):
    for degrees in (0, 70, 215):
        scene = panned(picture, pixels, degrees)
        assert found(scene)[0] == pytest.approx(scene.speeds(0, SECONDS)[0], rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [0, 90, 200])
def test_the_slowest_pans(degrees):
    """A twelfth of a pixel of the small picture."""
    for picture in ("coffee.png", "chelsea.png", "shapes"):
        scene = panned(picture, 0.25, degrees)
        assert found(scene)[0] == pytest.approx(scene.speeds(0, SECONDS)[0], rel=0.08)


@pytest.mark.slow
@pytest.mark.parametrize(
    "camera", [Camera(down=90), Camera(down=-60), Camera(zoom=-0.2), Camera(zoom=0.1), Camera(25, 10)]
)
def test_pictures_of_which_most_parts_tell_no_move(camera):
    """A sky without texture, and a rocket that stands upright: tilted over, it looks as before."""
    scene = Scene("rocket.jpg", camera)
    for start in (0, 1):
        motion, _ = found(scene, start=start)
        assert motion == pytest.approx(scene.speeds(start, start + SECONDS)[0], rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "behind, before, side", [("brick.png", "coffee.png", 120), ("chelsea.png", "astronaut.png", 200)]
)
@pytest.mark.parametrize("camera", [Camera(25, 10), Camera(-60, 5, 0, 4), Camera(zoom=0.1)])
def test_a_camera_behind_a_large_thing_that_stands_out(behind, before, side, camera):
    scene = Scene(behind, camera, (Thing(before, side, (-40, 20), 60, -40),))
    motion, own = found(scene)
    true = scene.speeds(0, SECONDS)
    assert (motion, own) == (pytest.approx(true[0], rel=0.1), pytest.approx(true[1], rel=0.2))


@pytest.mark.slow
@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("camera", [Camera(zoom=0.4), Camera(zoom=-0.3), Camera(roll=30), Camera(40, -20, 0.2, -10)])
def test_zooms_and_rolls(picture, camera):
    scene = Scene(picture, camera)
    motion, own = found(scene)
    assert motion == pytest.approx(scene.speeds(0, SECONDS)[0], rel=0.1)
    assert own < 0.1 * motion


BEHIND = {"coffee.png": "gravel.png", "gravel.png": "chelsea.png", "chelsea.png": "coffee.png"}


@pytest.mark.slow
@pytest.mark.parametrize("camera", [Camera(), Camera(25, 10)], ids=["still", "moving"])
def test_things_that_move(camera):
    """Of things of 80 to 200 pixels; what is as fine and as even as what is behind it may be missed."""
    errors = []
    for side, pixels, behind in itertools.product((80, 120, 200), (20, 60), BEHIND):
        thing = Thing(BEHIND[behind], side, (-60, 20), pixels / SECONDS * 0.8, -pixels / SECONDS * 0.6)
        scene = Scene(behind, camera, (thing,))
        errors.append(np.array(found(scene)) / scene.speeds(0, SECONDS) - 1)
    within = np.mean(np.abs(errors) < [[0.3, 0.3]], axis=0)
    assert np.abs(np.median(errors, axis=0)).max() < 0.1
    assert within.min() > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("camera", [Camera(), Camera(25, 10)], ids=["still", "moving"])
def test_small_and_slow_things(camera):
    """Of 40 and 60 pixels (13 and 20 of the small picture), and things that move by 5 pixels (2 of it)."""
    errors = []
    for side, pixels, behind in itertools.product((40, 60), (5, 20, 40), BEHIND):
        thing = Thing(BEHIND[behind], side, (90, -40), -pixels / SECONDS, 0.1 * pixels / SECONDS)
        scene = Scene(behind, camera, (thing,))
        errors.append(found(scene)[1] / scene.speeds(0, SECONDS)[1] - 1)
    assert np.median(np.abs(errors)) < 0.15
    assert np.mean(np.abs(errors) < 0.3) > 0.9


@pytest.mark.slow
def test_a_small_slow_thing_does_not_move_the_camera():
    for behind, side in itertools.product(BEHIND, (40, 200)):
        scene = Scene(behind, things=(Thing(BEHIND[behind], side, (-60, 20), 8, -6),))
        flow = flow_between(FlowPicture(scene.grey(0)), FlowPicture(scene.grey(SECONDS)))
        assert flow.camera == STANDING


def test_the_ground_that_a_thing_covers_does_not_move():
    """Even ground before the thing is found again where the thing was; only the thing moves."""
    scene = Scene("shapes", things=(Thing("chelsea.png", 60, (90, -40), -120, 12),))
    assert found(scene)[1] == pytest.approx(scene.speeds(0, SECONDS)[1], rel=0.35)


@pytest.mark.slow
def test_a_large_thing_does_not_move_the_camera():
    thing = Thing("coffee.png", 300, (-20, 10), 60, -30)
    scene = Scene("chelsea.png", things=(thing,))
    flow = flow_between(FlowPicture(scene.grey(0)), FlowPicture(scene.grey(SECONDS)))
    assert abs(flow.camera.shift) < 0.001
    assert found(scene) == pytest.approx(scene.speeds(0, SECONDS), rel=0.3)


@pytest.mark.parametrize("picture", ["coffee.png", "shapes"])
def test_noise_and_flicker_do_not_move(picture):
    assert found(Scene(picture, noise=8))[0] < 0.1
    assert found(Scene(picture, flicker=0.2))[0] < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("size", [(426, 240), (854, 480), (1920, 1080), (360, 640)])
def test_motion_is_the_same_at_any_size(size):
    for picture in ("chelsea.png", "motorcycle_left.png"):
        scenes = [panned(picture, 30, 30, any_size) for any_size in ((640, 360), size)]
        usual, other = (found(scene)[0] for scene in scenes)
        assert other == pytest.approx(usual, rel=0.05)


def test_pictures_without_texture_stand():
    empty, grey = FlowPicture(np.zeros((90, 160), np.uint8)), FlowPicture(np.full((90, 160), 80, np.uint8))
    assert flow_between(empty, grey).camera == STANDING
    assert flow_between(empty, grey).length() == 0
    assert flow_between(empty, grey).certainty == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (9, 9), (30, 200), (700, 13)])
def test_any_size_is_measured(shape):
    chance = np.random.default_rng(1)
    pictures = [FlowPicture(chance.integers(0, 255, shape, np.uint8)) for _ in range(2)]
    assert flow_between(*pictures).length() >= 0


def test_similarities():
    move = Similarity(1.1 + 0.2j, 0.3 - 0.1j)
    there_and_back = move.inverse().after(move)
    assert there_and_back.factor == pytest.approx(1) and there_and_back.shift == pytest.approx(0)
    flow = move.flow((5, 7))
    assert flow[2, 3] == pytest.approx([0.3 * 5, -0.1 * 5])  # the middle moves by the shift, in short sides
    places = move.matrix((5, 7)) @ [6, 0, 1]
    assert flow[0, 6] == pytest.approx(places - [6, 0], abs=1e-5)
