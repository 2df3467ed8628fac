"""What the camera does in a clip, against films whose camera is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from films import decoded
from moving_scenes import LABELS, PICTURES, Camera, Scene, Thing

from clipmill.base.opencv import cv2
from clipmill.demo import render
from clipmill.split.camera import camera_score
from clipmill.store import tables

SECONDS, FPS = 1.6, 10
SIZE = (480, 270)


def scored(path, scene: Scene) -> dict:
    render.encode(path, scene.film(SECONDS, FPS), SIZE, FPS, options={"crf": "23"})
    result = decoded(path)
    return camera_score(result.clip(), result.signals)


@pytest.mark.slow
@pytest.mark.parametrize("name", LABELS)
def test_cameras(tmp_path, name):
    """With and without something that moves before them, and with noise."""
    pictures = {"coffee.png": "chelsea.png", "chelsea.png": "motorcycle_left.png"}
    for number, (picture, has_thing) in enumerate(itertools.product(pictures, (False, True))):
        things = (Thing(pictures[picture], 100, (-40, 10), 40, -20),) if has_thing else ()
        scene = Scene(picture, LABELS[name], things, SIZE, noise=2 * number)
        row = scored(tmp_path / f"{number}.mp4", scene)
        pairs = [scene.speeds(start, start + 0.5) for start in (0, 0.5, 1)]
        whole, own = np.mean(pairs, axis=0)
        assert row["camera"] == name
        if not things:
            assert row["camera_speed"] == pytest.approx(whole, rel=0.12, abs=0.05)
            assert row["subject_motion"] < 0.1
        else:
            assert row["subject_motion"] == pytest.approx(own, rel=0.4)
        assert row["camera_roll"] == pytest.approx(-LABELS[name].roll, rel=0.1, abs=0.3)
        assert row["camera_shake"] < 3


@pytest.mark.slow
def test_flicker_moves_nothing(tmp_path):
    row = scored(tmp_path / "v.mp4", Scene("coffee.png", size=SIZE, flicker=0.15))
    assert (row["camera"], row["subject_motion"]) == ("static", pytest.approx(0, abs=0.1))


@pytest.mark.slow
def test_text_that_stands_is_not_the_camera(tmp_path):
    frames = []
    for frame in Scene("coffee.png", Camera(right=-40), size=SIZE).film(SECONDS, FPS):
        frames.append(cv2.putText(frame, "BREAKING NEWS", (10, 250), cv2.FONT_HERSHEY_SIMPLEX, 1.1, (255,) * 3, 3))
    render.encode(tmp_path / "v.mp4", frames, SIZE, FPS)
    result = decoded(tmp_path / "v.mp4")
    assert camera_score(result.clip(), result.signals)["camera"] == "pan_right"


@pytest.mark.slow
def test_pictures_that_have_nothing_in_common(tmp_path):
    frames = [Scene(PICTURES[number], size=SIZE).frame(0) for number in range(4)]
    render.encode(tmp_path / "v.mp4", frames, SIZE, 2)
    result = decoded(tmp_path / "v.mp4")
    assert camera_score(result.clip(), result.signals)["camera"] == "unknown"


@pytest.mark.slow
@pytest.mark.parametrize("size", [(270, 270), (360, 270), (640, 270), (270, 480)])
@pytest.mark.parametrize("camera", [Camera(zoom=0.35), Camera(zoom=-0.2), Camera(roll=20), Camera(0, 60)])
def test_speed_at_any_shape(tmp_path, size, camera):
    """Points that are far from the middle move faster when the camera zooms or rolls, so the shape tells."""
    scene = Scene("coffee.png", camera, size=size)
    render.encode(tmp_path / "v.mp4", scene.film(1.1, FPS), size, FPS, options={"crf": "23"})
    result = decoded(tmp_path / "v.mp4")
    speed = camera_score(result.clip(), result.signals)["camera_speed"]
    assert speed == pytest.approx(np.mean([scene.speeds(start, start + 0.5)[0] for start in (0, 0.5)]), rel=0.05)


def row_of(moves, certainty=0.9):
    """The CAMERA row of a clip of made signals: moves right and down of each pair of kept frames."""
    names = ("camera_right", "camera_down")
    rows = [{"sample": 0}]
    for number, move in enumerate(moves, 1):
        still = {"motion": 1, "subject_motion": 0, "camera_zoom": 0, "camera_roll": 0, "camera_certainty": certainty}
        rows.append({"sample": number, **still, **dict(zip(names, move, strict=True))})
    signals = tables.SIGNALS.from_rows([{**row, "frame": n, "time": n / 2} for n, row in enumerate(rows)])
    return camera_score(
        {"clip_id": "c", "start_frame": 0, "end_frame": len(rows), "seconds": 4, "width": 640, "height": 360}, signals
    )


def test_labels():
    assert row_of([(3, 1)] * 5)["camera"] == "pan_right"
    assert row_of([(3, 2)] * 5)["camera"] == "mixed"
    assert row_of([(3, 0), (-3, 0)] * 3)["camera"] == "static"  # held by hand
    assert row_of([(30, 0), (-30, 0)] * 3)["camera"] == "mixed"
    assert row_of([(3, 1)] * 5, certainty=0.1)["camera"] == "unknown"
    assert row_of([(3, 0), (-3, 0)] * 3)["camera_shake"] == pytest.approx(3)
    assert row_of([])["error_kind"] == "too_few_samples"
    assert {"static", "mixed", "unknown", *LABELS} == set(tables.CAMERAS)
