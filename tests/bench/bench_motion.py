"""How far motion and cameras are from the truth, on made scenes.

    python tests/bench/bench_motion.py             all rows
    python tests/bench/bench_motion.py objects     rows of one kind: pans, moves, objects, drawn, behind,
                                                   still, cameras, same

Errors are shares of the true value; of what does not move they are in % of the short side per second. `same`: how far
the values of one film lie apart at other frame rates and sizes. `drawn`: objects of pictures, places and directions
drawn by chance. `behind`: how far the camera's flow is from the truth, as a share of its length, with and without a
thing before it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import product
from math import cos, radians, sin
from pathlib import Path
from typing import NamedTuple

import numpy as np

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "unit"), str(TESTS.parent / "scripts")]

from films import decoded
from moving_scenes import LABELS, PICTURES, Camera, Scene, Thing

from bench import table
from clipmill.decode.flow import flow_between
from clipmill.decode.similarity import FlowPicture, Similarity
from clipmill.demo import render
from clipmill.split.camera import camera_score
from clipmill.split.measured import motion_score
from clipmill.store.tables import STATIC

SECONDS = 0.5  # between two kept frames
BEHIND = {"coffee.png": "gravel.png", "gravel.png": "chelsea.png", "chelsea.png": "coffee.png", "shapes": "chelsea.png"}
SIDES = {"40 pixels": (40,), "60 pixels": (60,), "80 to 200 pixels": (80, 120, 200)}  # of 360 lines
STEPS = {"5": (5,), "20 to 60": (20, 40, 60)}  # pixels per half second
CAMERAS = {"still": (Camera(),), "moving": (Camera(25, 10), Camera(zoom=0.1), Camera(-60, 5, 0, 4))}
DRAWN = (
    *("astronaut.png", "camera.png", "rocket.jpg", "brick.png", "grass.png", "motorcycle_left.png", "coffee.png"),
    *("chelsea.png", "ihc.png", "hubble_deep_field.jpg", "shapes"),
)
SCENES, SEED = 40, 2  # of each row of drawn scenes
RATES = (12, 24, 25, Fraction(30000, 1001), 50, 60)
SIZES = ((426, 240), (854, 480), (1920, 1080))


class Error(NamedTuple):
    """Of one scene: its name, what was found, and the truth."""

    scene: str
    found: float
    true: float

    @property
    def share(self) -> float:
        """Off by so much; absolute where the truth is 0."""
        return abs(self.found - self.true) / (self.true or 1)


Rows = Iterator[tuple[str, list[Error]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[[], *MEASUREMENTS], help="all of it if left out")
    parser.add_argument("--scenes", action="store_true", help="also print each scene with its error, the worst last")
    args = parser.parse_args()
    lines = []
    for name in args.what or MEASUREMENTS:
        for row, errors in MEASUREMENTS[name]():
            shares = [error.share for error in errors]
            lines.append((row, len(errors), *(f"{np.quantile(shares, part):.3f}" for part in (0.5, 0.9, 1))))
            for error in sorted(errors, key=lambda one: one.share) if args.scenes else []:
                print(f"{error.share:7.3f} {error.found:8.3f} {error.true:8.3f}  {row}: {error.scene}")
    table(["what", "scenes", "median", "90 %", "worst"], lines)


def measured(scene: Scene) -> np.ndarray:
    """Motion, and motion without the camera's part, in % of the short side per second."""
    flow = flow_between(FlowPicture(scene.grey(0)), FlowPicture(scene.grey(SECONDS)))
    return 100 / SECONDS * np.array([flow.length(), flow.own_length()])


def pans() -> Rows:
    for row, speeds in {"0.25": (0.25,), "0.5 to 1": (0.5, 1), "2 to 90": (2, 5, 10, 20, 40, 60, 90)}.items():
        errors = []
        for picture, pixels, degrees in product(PICTURES, speeds, range(10, 360, 60)):
            turn = radians(degrees)
            scene = Scene(picture, Camera(pixels / SECONDS * cos(turn), pixels / SECONDS * sin(turn)))
            name = f"{picture} {pixels} pixels, {degrees} degrees"
            errors.append(Error(name, measured(scene)[0], scene.speeds(0, SECONDS)[0]))
        yield f"`motion` of pans, {row} pixels of 360 lines per half second", errors


def moves() -> Rows:
    for row, cameras in {
        "zooms of 0.05 to 0.4 per second": [Camera(zoom=zoom) for zoom in (0.05, 0.2, 0.4, -0.05, -0.2, -0.4)],
        "rolls of 2 to 30 degrees per second": [Camera(roll=roll) for roll in (2, 10, 30, -2, -10, -30)],
        "all together": [Camera(40, -20, 0.2, -10), Camera(-20, 30, -0.2, 15), Camera(90, 10, 0.1, 5)],
    }.items():
        scenes = [Scene(picture, camera) for picture, camera in product(PICTURES, cameras)]
        found = [(str(scene), measured(scene), scene.speeds(0, SECONDS)) for scene in scenes]
        yield f"`motion` of {row}", [Error(name, one[0], true[0]) for name, one, true in found]


def objects() -> Rows:
    for (size, sides), (speed, steps), (kind, cameras) in product(SIDES.items(), STEPS.items(), CAMERAS.items()):
        whole, own = [], []
        for side, pixels, behind, camera in product(sides, steps, BEHIND, cameras):
            for place, way in (((-60, 20), (0.8, -0.6)), ((90, -40), (-1, 0.1))):
                thing = Thing(BEHIND[behind], side, place, way[0] * pixels / SECONDS, way[1] * pixels / SECONDS)
                scene = Scene(behind, camera, (thing,))
                name, true = f"{side} by {pixels} before {behind} {camera} {place}", scene.speeds(0, SECONDS)
                found = measured(scene)
                whole.append(Error(name, found[0], true[0]))
                own.append(Error(name, found[1], true[1]))
        row = f"of objects of {size} that move by {speed}, {kind} camera"
        yield f"`motion` {row}", whole
        yield f"`subject_motion` {row}", own


def drawn() -> Rows:
    chance = np.random.default_rng(SEED)
    for (size, sides), (speed, steps), (kind, cameras) in product(SIDES.items(), STEPS.items(), CAMERAS.items()):
        errors = []
        for _ in range(SCENES):
            behind, before = (DRAWN[number] for number in chance.choice(len(DRAWN), 2, replace=False))
            side, pixels = int(chance.choice(sides)), float(chance.choice(steps))
            camera, turn = cameras[chance.integers(len(cameras))], chance.uniform(0, 2 * np.pi)
            place = chance.uniform(-200, 200), chance.uniform(-100, 100)
            thing = Thing(before, side, place, pixels / SECONDS * cos(turn), pixels / SECONDS * sin(turn))
            scene = Scene(behind, camera, (thing,))
            errors.append(Error(str(scene), measured(scene)[1], scene.speeds(0, SECONDS)[1]))
        yield f"`subject_motion` of drawn objects of {size} that move by {speed}, {kind} camera", errors


def behind() -> Rows:
    chance, found = np.random.default_rng(5), defaultdict(list)
    for _ in range(400):
        picture, before = (DRAWN[number] for number in chance.choice(len(DRAWN), 2, replace=False))
        side, pixels = int(chance.choice((40, 60, 80, 120, 200))), float(chance.choice((5, 20, 40, 60)))
        kind = str(chance.choice(list(CAMERAS)))
        camera, turn = CAMERAS[kind][chance.integers(len(CAMERAS[kind]))], chance.uniform(0, 6.28)
        place = chance.uniform(-200, 200), chance.uniform(-100, 100)
        thing = Thing(before, side, place, pixels / SECONDS * cos(turn), pixels / SECONDS * sin(turn))
        scene = Scene(picture, camera, (thing,) if chance.random() < 0.8 else ())
        pictures = FlowPicture(scene.grey(0)), FlowPicture(scene.grey(SECONDS))
        shape, (width, height) = pictures[0].plain.shape, scene.size
        matrix = camera.matrix(SECONDS)
        matrix[:, 2] += np.array([width - 1, height - 1]) / 2 @ (np.eye(2) - matrix[:, :2]).T
        apart = flow_between(*pictures).camera.flow(shape) - Similarity.of(matrix, (height, width)).flow(shape)
        wrong = 100 / SECONDS / min(shape) * float(np.hypot(*np.moveaxis(apart, -1, 0)).mean())
        true = max(5, Scene(picture, camera).speeds(0, SECONDS)[0])  # a standing camera may be off by 0.5
        found[kind, len(scene.things)].append(Error(str(scene), wrong / true, 0))
    for (kind, things), errors in sorted(found.items()):
        yield f"the camera's flow, {kind} camera, {'a thing' if things else 'nothing'} before it", errors


def still() -> Rows:
    scenes = [Scene(name, noise=noise) for name, noise in product(PICTURES, (2, 4, 8))]
    scenes += [Scene(name, flicker=flicker) for name, flicker in product(PICTURES, (0.05, 0.1, 0.2))]
    yield "`motion` of noise and flicker", [Error(str(scene), measured(scene)[0], 0) for scene in scenes]


def cameras() -> Rows:
    """Of encoded films at 270 lines."""
    labels, speeds, nothing, own = [], [], [], []
    with tempfile.TemporaryDirectory(prefix="clipmill-bench-") as folder:
        for number, (label, behind, side) in enumerate(product(LABELS, BEHIND, (0, 50, 80, 110))):
            things = (Thing(BEHIND[behind], side, (-40, 10), 40, -20),) if side else ()
            scene = Scene(behind, LABELS[label], things, (480, 270), noise=number % 3)
            _, camera, (motion, subject) = filmed(Path(folder) / f"{number}.mp4", scene, 10)
            name = f"{label} {behind} {side}"
            labels.append(Error(f"{name}: {camera['camera']}", camera["camera"] != label, 0))
            if label != STATIC:
                speeds.append(Error(name, camera["camera_speed"] or 0, camera_speed(scene)))
            (own if side else nothing).append(Error(name, camera["subject_motion"], subject))
    yield "`camera` is wrong", labels
    yield "`camera_speed`", speeds
    yield "`subject_motion` where nothing moves by itself", nothing
    yield "`subject_motion` of objects of 50 to 110 pixels", own


def camera_speed(scene: Scene) -> float:
    alone = Scene(scene.picture, scene.camera, size=scene.size)
    return float(np.mean([alone.speeds(start, start + SECONDS)[0] for start in (0, 0.5, 1)]))


def filmed(path: Path, scene: Scene, fps: render.Rate, seconds: float = 1.6) -> tuple[dict, dict, np.ndarray]:
    """The rows MOTION and CAMERA of a film of a scene, and the true motions between its kept frames."""
    render.encode(path, scene.film(seconds, fps), scene.size, fps, options={"crf": "23"})
    film = decoded(path)
    times = [time for _, time in film.sampled]
    true = np.mean([scene.speeds(*pair) for pair in zip(times, times[1:], strict=False)], axis=0)
    path.unlink()
    clip = film.clip()
    return motion_score(clip, film.row, film.signals), camera_score(clip, film.signals), true


def same() -> Rows:
    """The same scenes at other rates, as encoded films, and at other sizes: how far from 24 frames, and 360 lines."""
    found: dict[str, list[Error]] = {"motion": [], "camera_speed": [], "subject_motion": []}
    with tempfile.TemporaryDirectory(prefix="clipmill-bench-") as folder:
        for name, scene in same_scenes().items():
            by_rate = {rate: values(Path(folder) / "film.mp4", scene, rate) for rate in RATES}
            for rate, (column, usual) in product(RATES, by_rate[24].items()):
                value = by_rate[rate][column]
                if rate != 24 and value is not None and usual:
                    found[column].append(Error(f"{name} {float(rate):.2f}", value, usual))
    for column, errors in found.items():
        yield f"`{column}` at 12 to 60 frames per second, against 24", errors
    whole, own = [], []
    for name, scene in same_scenes().items():
        usual = measured(scene)
        for size in SIZES:
            other = measured(scene.scaled(size))
            whole.append(Error(f"{name} {size}", other[0], usual[0]))
            if scene.things:
                own.append(Error(f"{name} {size}", other[1], usual[1]))
    yield "`motion` at 240, 480 and 1080 lines, against 360", whole
    yield "`subject_motion` of the same", own


def values(path: Path, scene: Scene, rate: render.Rate) -> dict[str, float | None]:
    """Of a film of a scene; None for what does not move in it."""
    motion, camera, _ = filmed(path, scene, rate, 2.1)
    own = camera["subject_motion"] if scene.things else None
    moves = camera["camera_speed"] if scene.camera != Camera() else None
    return {"motion": motion["motion"], "camera_speed": moves, "subject_motion": own}


def same_scenes() -> dict[str, Scene]:
    thing = Thing("gravel.png", 120, (-60, 20), 50, -30)
    return {
        "pan": Scene("chelsea.png", Camera(40, 15)),
        "slow pan": Scene("motorcycle_left.png", Camera(-3, 1)),
        "zoom": Scene("coffee.png", Camera(zoom=0.15)),
        "roll": Scene("shapes", Camera(roll=-10)),
        "object": Scene("coffee.png", things=(thing,)),
        "object and pan": Scene("chelsea.png", Camera(-30, 5), (thing,)),
        "small object": Scene("chelsea.png", things=(Thing("coffee.png", 60, (40, -20), -40, 10),)),
    }


MEASUREMENTS: dict[str, Callable[[], Rows]] = {
    "pans": pans,
    "moves": moves,
    "objects": objects,
    "drawn": drawn,
    "behind": behind,
    "still": still,
    "cameras": cameras,
    "same": same,
}

if __name__ == "__main__":
    main()
