"""Made scenes whose flow is known: a camera over a picture, and things that move before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

import numpy as np

from clipmill.base.opencv import cv2
from clipmill.demo import render
from clipmill.demo.render import Frame, Size

PICTURES = ("coffee.png", "chelsea.png", "gravel.png", "motorcycle_left.png", "shapes", "texture")
FINER = 2  # frames are rendered larger, so that they move by parts of a pixel


@dataclass(frozen=True)
class Camera:
    """In pixels, shares and degrees per second. The picture moves by `right` and `down`, grows and turns clockwise."""

    right: float = 0
    down: float = 0
    zoom: float = 0
    roll: float = 0

    def matrix(self, time: float) -> np.ndarray:
        """2 × 2 and shift, about the middle of the frame."""
        angle = np.radians(self.roll * time)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return np.column_stack([(1 + self.zoom * time) * turn, [self.right * time, self.down * time]])


# What the column `camera` says of each.
LABELS = {
    "static": Camera(),
    "pan_left": Camera(right=30),
    "pan_right": Camera(right=-6),
    "tilt_up": Camera(down=20),
    "tilt_down": Camera(down=-60),
    "zoom_in": Camera(zoom=0.15),
    "zoom_out": Camera(zoom=-0.1),
    "roll_cw": Camera(roll=-8),
    "roll_ccw": Camera(roll=15),
    "mixed": Camera(right=30, zoom=0.25),
}


@dataclass(frozen=True)
class Thing:
    """A square piece of a picture of `side` pixels, whose middle moves from `place` by pixels per second."""

    picture: str
    side: int
    place: tuple[float, float]
    right: float
    down: float


@dataclass(frozen=True)
class Scene:
    """What is seen. `noise`: of a sensor, its spread in grey levels. `flicker`: by which share the light changes."""

    picture: str
    camera: Camera = Camera()
    things: tuple[Thing, ...] = ()
    size: Size = (640, 360)
    noise: float = 0
    flicker: float = 0

    def frame(self, time: float) -> Frame:
        width, height = (side * FINER for side in self.size)
        behind = _picture(self.picture, round(1.3 * width), round(1.3 * height))
        view = _about_middles(FINER * self.camera.matrix(time), behind.shape[1::-1], (width, height))
        flags, mirror = cv2.INTER_LINEAR, cv2.BORDER_REFLECT_101
        shown = cv2.warpAffine(behind, view, (width, height), flags=flags, borderMode=mirror)
        for thing in self.things:
            side = thing.side * FINER
            piece = _picture(thing.picture, side, side)
            shift = [thing.place[0] + thing.right * time, thing.place[1] + thing.down * time]
            place = _about_middles(FINER * np.column_stack([np.eye(2), shift]), (side, side), (width, height))
            mask = cv2.warpAffine(np.ones((side, side), np.float32), place, (width, height), flags=flags)[..., None]
            moved = cv2.warpAffine(piece, place, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
            shown = shown * (1 - mask) + moved * mask
        frame = cv2.resize(shown.astype(np.float32), self.size, interpolation=cv2.INTER_AREA)
        frame *= 1 + self.flicker * np.sin(40 * time + 1)
        chance = render.generator(f"{time}")
        frame += chance.normal(0, self.noise, frame.shape) if self.noise else 0
        return np.clip(np.rint(frame), 0, 255).astype(np.uint8)

    def grey(self, time: float) -> np.ndarray:
        return cv2.cvtColor(self.frame(time), cv2.COLOR_BGR2GRAY)

    def film(self, seconds: float, fps: float | Fraction) -> Iterator[Frame]:
        return (self.frame(number / float(fps)) for number in range(round(seconds * fps)))

    def scaled(self, size: Size) -> Scene:
        """The same at another size."""
        times = min(size) / min(self.size)
        camera = replace(self.camera, right=times * self.camera.right, down=times * self.camera.down)
        things = tuple(
            Thing(
                one.picture,
                round(times * one.side),
                (times * one.place[0], times * one.place[1]),
                times * one.right,
                times * one.down,
            )
            for one in self.things
        )
        return replace(self, camera=camera, things=things, size=size)

    def speeds(self, start: float, end: float) -> tuple[float, float]:
        """Mean length over the pixels of the frame at `start`, in % of the short side per second: of the flow to the
        frame at `end`, and of the same without the camera's part."""
        width, height = self.size
        places = np.stack(np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2), -1)
        before, after = self.camera.matrix(start), self.camera.matrix(end)
        turn = after[:, :2] @ np.linalg.inv(before[:, :2])
        of_camera = places @ turn.T + after[:, 2] - turn @ before[:, 2] - places
        flow = of_camera.copy()
        for thing in self.things:
            speed = np.array([thing.right, thing.down])
            inside = (np.abs(places - thing.place - speed * start) <= thing.side / 2).all(-1)
            flow[inside] = speed * (end - start)
        scale = 100 / min(self.size) / (end - start)
        return tuple(float(np.hypot(*np.moveaxis(field, -1, 0)).mean() * scale) for field in (flow, flow - of_camera))


def _about_middles(matrix: np.ndarray, source: Size, target: Size) -> np.ndarray:
    """A matrix about the middles of two pictures as one of their pixels; a source is as fine as the target."""
    matrix = matrix * [1 / FINER, 1 / FINER, 1]
    middles = [(np.array(size) - 1) / 2 for size in (source, target)]
    return np.column_stack([matrix[:, :2], middles[1] + matrix[:, 2] - matrix[:, :2] @ middles[0]])


@lru_cache(maxsize=32)
def _picture(name: str, width: int, height: int) -> Frame:
    if name == "shapes":
        return render.cover(_shapes(), (width, height))
    if name == "texture":
        return render.cover(_texture(), (width, height))
    return render.cover(render.photograph(name), (width, height))


def _shapes() -> Frame:
    chance, picture = render.generator("shapes"), render.flat((1280, 720), (150, 140, 120))
    for _ in range(60):
        x, y, side = (int(value) for value in chance.integers((0, 0, 20), (1280, 720, 120)))
        colour = tuple(int(value) for value in chance.integers(0, 255, 3))
        cv2.rectangle(picture, (x, y), (x + side, y + side // 2), colour, -1)
    return picture


def _texture() -> Frame:
    chance = render.generator("texture")
    levels = np.zeros((720, 1280))
    for coarse in (1, 2, 4, 8):
        layer = chance.normal(0, coarse**0.7, (720 // coarse, 1280 // coarse))
        levels += cv2.resize(layer, (1280, 720), interpolation=cv2.INTER_CUBIC)
    return cv2.merge([np.clip(128 + 30 * levels / levels.std(), 0, 255).astype(np.uint8)] * 3)
