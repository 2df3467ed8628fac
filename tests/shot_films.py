"""Films of many shots whose transitions are known to the frame: the truth for shot detection.

A film is a list of shots with a transition between each two. Every frame knows its shot, or that it holds two.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

from clipmill.base.opencv import cv2
from clipmill.demo import render
from clipmill.demo.render import Frame, Size

MIXED = -1  # the shot of a frame that holds two
PHOTOGRAPHS = ("coffee.png", "rocket.jpg", "chelsea.png", "astronaut.png", "gravel.png", "motorcycle_left.png")
PHOTOGRAPHS += ("brick.png", "grass.png", "retina.jpg", "hubble_deep_field.jpg", "ihc.png", "motorcycle_right.png")
REAL = Path(__file__).resolve().parent / "data" / "videos"
SINGLE_SHOTS = ("bottle-detection.mp4", "car-detection.mp4")
SLOW = 0.08  # speed of a camera, in widths per second

KINDS = ("cut", "similar cut", "dissolve", "fade black", "fade white", "wipe", "push", "jump cut")
WIPES = ("side", "soft side", "slanted", "iris")
DISTURBANCES = ("flash", "whip pan")
USUAL_RATE = 25  # frames per second at which a slow transition takes 8 to 30 frames; at lower rates it takes fewer
WHIP_SECONDS = 0.35
VISIBLE = 6.0  # grey levels by which the pictures on both sides of a jump cut differ; else nobody would see it


@dataclass(frozen=True)
class Transition:
    """Where two shots meet: frames `start` to before `end` hold both; of a hard cut there is none."""

    kind: str
    start: int
    end: int


@dataclass
class ShotFilm:
    """Frames of a film, as they are rendered, and what is known of it when all are there."""

    name: str
    size: Size
    fps: int
    pictures: tuple[str, ...] = PHOTOGRAPHS
    transitions: list[Transition] = field(default_factory=list)
    disturbances: list[Transition] = field(default_factory=list)
    ends: list[Transition] = field(default_factory=list)  # the fades at the film's own start and end
    shot: list[int] = field(default_factory=list)  # of each frame: the number of its shot, or MIXED

    @property
    def mixed(self) -> np.ndarray:
        """Whether each frame holds two shots, or is darkened or brightened by a fade."""
        return np.array(self.shot) == MIXED

    def of_one_shot(self, start: int, end: int) -> bool:
        """Whether frames `start` to before `end` all belong to one shot, and none holds two."""
        return len(set(self.shot[start:end])) == 1 and MIXED not in self.shot[start:end]


Found = tuple[int, int]  # of a transition that a detector found: its first frame, and the first frame after it


def matches(found: list[Found], film: ShotFilm, slack: int = 2) -> dict[int, int]:
    """Which of the `found` transitions is which of the film's: numbers in `film.transitions` to numbers in `found`.

    A found one matches if it overlaps the true one, up to `slack` frames beside it. Each matches once.
    """
    matched: dict[int, int] = {}
    for number, true in enumerate(film.transitions):
        for place, (start, end) in enumerate(found):
            if place not in matched.values() and start <= true.end + slack and end >= true.start - slack:
                matched[number] = place
                break
    return matched


Look = Callable[[int], Frame]  # the picture of a shot at the number of a frame


def look(rng: np.random.Generator, film: ShotFilm) -> Look:
    """A shot of any kind."""
    makers = (_camera, _camera, _object, _traffic, _traffic, _visitors, _visitors, _textures, _real)
    return makers[rng.integers(len(makers))](rng, film)


def _camera(rng: np.random.Generator, film: ShotFilm) -> Look:
    """A camera over a photograph: still, panning, zooming, or held by hand."""
    (width, height), fps = film.size, film.fps
    picture = _photograph(rng, film)
    scale = max(width / picture.shape[1], height / picture.shape[0]) * rng.uniform(1.3, 2.2)
    room = np.array([picture.shape[1] * scale - width, picture.shape[0] * scale - height])
    begin = rng.uniform(0.2, 0.8, 2) * room
    angle = rng.uniform(0, 2 * math.pi)
    speed = rng.choice([0, 0.3, 1, 2.5, 2.5, 7]) * SLOW * width / fps
    zoom = rng.choice([0, 0, 0.02, -0.02]) / fps
    shake = rng.choice([0, 0, 0.004]) * width
    phases = rng.uniform(0, 2 * math.pi, 4)

    def frame(number: int) -> Frame:
        factor = scale * (1 + zoom * number)
        wobble = shake * np.sin(phases[:2] + 2 * math.pi * number / fps * np.array([0.8, 1.1]))
        left, top = begin + speed * number * np.array([math.cos(angle), math.sin(angle)]) + wobble
        return _magnified(picture, factor, left / scale, top / scale, film.size)

    return frame


def _magnified(picture: Frame, factor: float, left: float, top: float, size: Size) -> Frame:
    """The part of `picture` that begins at `left` and `top`, `factor` times as large; mirrored beyond the edges."""
    view = np.array([[1 / factor, 0, left], [0, 1 / factor, top]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, view, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101)


def _object(rng: np.random.Generator, film: ShotFilm) -> Look:
    """A still or slow camera, before which something large moves."""
    behind = _camera(rng, film)
    width, height = film.size
    radius = rng.uniform(0.08, 0.3) * height
    colour = rng.integers(20, 235, 3).tolist()
    begin, step = rng.uniform(0, 1, 2) * film.size, rng.normal(0, 0.3, 2) * width / film.fps

    def frame(number: int) -> Frame:
        x, y = (begin + step * number) % (2 * np.array(film.size))
        x, y = min(x, 2 * width - x), min(y, 2 * height - y)  # it turns round at the edges
        picture = behind(number).copy()
        cv2.circle(picture, (round(x), round(y)), round(radius), colour, -1, cv2.LINE_AA)
        cv2.circle(picture, (round(x), round(y)), round(radius * 0.5), [255 - c for c in colour], -1, cv2.LINE_AA)
        return picture

    return frame


def _traffic(rng: np.random.Generator, film: ShotFilm) -> Look:
    """A camera before which large things pass in a second, each with a picture, like cars and people close to it."""
    (width, height), fps = film.size, film.fps
    behind = _camera(rng, film)
    speed, every = rng.uniform(0.6, 2.5) * width / fps, rng.uniform(0.5, 2.5) * fps
    sizes = rng.uniform(0.3, 1.1, (16, 2)) * film.size * [1, 0.9]
    things = [_photograph(rng, film) for _ in range(4)]
    rounded = [tuple(max(2, round(side)) for side in one) for one in sizes]
    shown = [cv2.resize(things[one % 4], rounded[one], interpolation=cv2.INTER_AREA) for one in range(16)]
    tops, sides, late = rng.uniform(-0.2, 0.7, 16) * height, rng.integers(0, 2, 16), rng.uniform(0, every, 16)

    def frame(number: int) -> Frame:
        picture = behind(number).copy()
        for back in range(1, -1, -1):
            passing = int(number // every) - back
            thing = passing % 16
            wide, high = rounded[thing]
            x = round((number - passing * every - late[thing]) * speed) - wide
            x, y = x if sides[thing] else width - wide - x, round(tops[thing])
            left, top, right, bottom = max(0, x), max(0, y), min(width, x + wide), min(height, y + high)
            if left < right and top < bottom:
                picture[top:bottom, left:right] = shown[thing][top - y : bottom - y, left - x : right - x]
        return picture

    return frame


def _visitors(rng: np.random.Generator, film: ShotFilm) -> Look:
    """A camera before which a few large things come, stay for a while and go, while the light may change a little."""
    behind = _camera(rng, film)
    width, height = film.size
    things = []
    for _ in range(int(rng.integers(1, 4))):
        wide, high = (max(4, round(side)) for side in rng.uniform(0.1, 0.6, 2) * [width, height])
        shown = cv2.resize(_photograph(rng, film), (wide, high), interpolation=cv2.INTER_AREA)
        shape = cv2.ellipse(
            np.zeros((high, wide, 1), np.uint8), (wide // 2, high // 2), (wide // 2, high // 2), 0, 0, 360, 1, -1
        )
        rests = np.cumsum(rng.uniform(0.8, 4, 20)) * film.fps  # when it begins to move
        # From one place to the next, half of which are out of the picture.
        places = rng.uniform(0, 1, (21, 2)) * [width - wide / 2, height - high / 2]
        away = rng.random(21) < 0.5
        places[away, 0] = rng.choice([-wide - 1, width + 1], 21)[away]
        things.append((shown, shape if rng.random() < 0.7 else np.ones_like(shape), rests, places))
    moving = rng.uniform(0.15, 0.9) * film.fps  # frames that a move takes
    lighter, lit_at, adapting = (
        rng.choice([0, 0, 0.2, -0.2]),
        rng.uniform(0, 5) * film.fps,
        rng.uniform(0.2, 1) * film.fps,
    )

    def frame(number: int) -> Frame:
        picture = behind(number).copy()
        for shown, shape, rests, places in things:
            move = int(np.searchsorted(rests, number, side="right"))
            way = min(1.0, (number - rests[move - 1]) / moving) if move else 1.0
            x, y = (round(side) for side in places[move - 1] + (places[move] - places[move - 1]) * way)
            high, wide = shape.shape[:2]
            left, top, right, bottom = max(0, x), max(0, y), min(width, x + wide), min(height, y + high)
            if left < right and top < bottom:
                part = np.s_[top - y : bottom - y, left - x : right - x]
                under = picture[top:bottom, left:right]
                under[:] = np.where(shape[part], shown[part], under)
        gain = 1 + lighter * (1 + math.tanh((number - lit_at) / adapting)) / 2
        return cv2.convertScaleAbs(picture, alpha=gain) if lighter else picture

    return frame


def _textures(rng: np.random.Generator, film: ShotFilm) -> Look:
    """Waves of two colours that move."""
    size, fps = film.size, film.fps
    y, x = np.mgrid[0 : size[1], 0 : size[0]] / size[0]
    waves = rng.uniform(4, 30, (3, 2)), rng.uniform(-2, 2, 3) / fps, rng.uniform(0, 6, 3)
    colours = rng.integers(0, 256, (2, 3)).astype(float)

    def frame(number: int) -> Frame:
        height = sum(np.sin(kx * x + ky * y + v * number + p) for (kx, ky), v, p in zip(*waves, strict=True))
        share = (0.5 + np.asarray(height) / 6)[..., None]
        return np.clip(colours[0] * share + colours[1] * (1 - share), 0, 255).astype(np.uint8)

    return frame


def _real(rng: np.random.Generator, film: ShotFilm) -> Look:
    """A part of a real video that is one shot."""
    frames = real_frames(SINGLE_SHOTS[rng.integers(len(SINGLE_SHOTS))], film.size)
    begin = int(rng.integers(0, max(1, len(frames) - 60)))
    order = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]  # there and back
    return lambda number: frames[order[(begin + number) % len(order)]]


@lru_cache(maxsize=2)
def real_frames(name: str, size: Size, most: int = 240) -> list[Frame]:
    """The first frames of a real video."""
    with av.open(str(REAL / name)) as video:
        frames = itertools.islice(video.decode(video=0), most)
        return [render.cover(frame.to_ndarray(format="bgr24"), size) for frame in frames]


def _photograph(rng: np.random.Generator, film: ShotFilm) -> Frame:
    """One of the film's pictures, turned, with other colours and another light."""
    picture = render.photograph(film.pictures[rng.integers(len(film.pictures))])
    picture = picture[:: rng.choice([1, -1]), :: rng.choice([1, -1]), rng.permutation(3)]
    levels = rng.uniform(0, 60) + np.linspace(0, 1, 256) ** rng.uniform(0.6, 1.7) * rng.uniform(110, 195)
    return cv2.LUT(np.ascontiguousarray(picture), levels.astype(np.uint8))


def render_film(
    film: ShotFilm, shots: int, kinds: tuple[str, ...], disturbed: float = 0.0, seconds: tuple[float, float] = (3, 6)
) -> Iterator[Frame]:
    """The frames of a film of so many shots, seeded by its name, with transitions of `kinds` in turn.

    `seconds`: the least and the greatest length of a shot. `disturbed`: the share of shots with a flash or a whip pan
    inside. A quarter of the films has black bars, a quarter has a title that stays, and a quarter begins and ends with
    a fade.
    """
    rng = render.generator(film.name)
    bars, titled, fading = (rng.random(3) < 0.25).tolist()
    frames = _joined_shots(film, shots, kinds, disturbed, seconds, rng)
    if fading:
        frames = _faded(frames, film, round(rng.uniform(0.3, 1) * film.fps))
    height = round(film.size[1] * rng.uniform(0.08, 0.14))
    place = rng.uniform(0.05, 0.6), rng.uniform(0.75, 0.95)
    for picture in frames:
        shown = picture.copy() if bars or titled else picture
        if bars:
            shown[:height] = shown[-height:] = 0
        if titled:
            corner = round(place[0] * film.size[0]), round(place[1] * film.size[1])
            size = film.size[1] / 250
            cv2.putText(shown, f"shot films {film.name}", corner, cv2.FONT_HERSHEY_SIMPLEX, size, (250,) * 3, 2)
        yield shown


def _faded(frames: Iterator[Frame], film: ShotFilm, count: int) -> Iterator[Frame]:
    """A film that begins and ends with a fade of `count` frames."""
    last: deque[Frame] = deque()
    for number, picture in enumerate(frames):
        last.append(cv2.convertScaleAbs(picture, alpha=number / count) if number < count else picture)
        if len(last) > count:
            yield last.popleft()
    for number, picture in enumerate(last):
        yield cv2.convertScaleAbs(picture, alpha=1 - (number + 1) / count)
    frame_count = len(film.shot)
    film.shot[:count] = film.shot[-count:] = [MIXED] * count
    film.ends += [Transition("fade", 0, count), Transition("fade", frame_count - count, frame_count)]


def _joined_shots(
    film: ShotFilm,
    shots: int,
    kinds: tuple[str, ...],
    disturbed: float,
    seconds: tuple[float, float],
    rng: np.random.Generator,
) -> Iterator[Frame]:
    order = itertools.cycle(rng.permutation(kinds).tolist())
    current, at = look(rng, film), 0  # `at`: the number of the shot's next frame
    for shot in range(shots):
        length = round(rng.uniform(*seconds) * film.fps)
        disturbance = rng.choice(DISTURBANCES) if rng.random() < disturbed else None
        yield from _shot(film, current, at, length, shot, disturbance, rng)
        at += length
        if shot == shots - 1:
            return
        kind = next(order)
        coming, begin = _next_look(kind, current, at, rng, film)
        if kind == "jump cut" and cv2.absdiff(current(at), coming(begin)).mean() < VISIBLE:
            kind, (coming, begin) = "cut", _next_look("cut", current, at, rng, film)
        start = len(film.shot)
        for picture in _transition(kind, current, at, coming, begin, film.fps, rng):
            film.shot.append(MIXED)
            yield picture
        end = len(film.shot)
        film.transitions.append(Transition(kind, start, end))
        current, at = coming, begin + end - start


def _shot(
    film: ShotFilm, current: Look, at: int, length: int, shot: int, disturbance: str | None, rng: np.random.Generator
) -> Iterator[Frame]:
    middle = int(rng.integers(length // 3, 2 * length // 3))
    count = int(rng.integers(1, 4)) if disturbance == "flash" else round(WHIP_SECONDS * film.fps)
    strength, distance = rng.uniform(0.6, 1), rng.uniform(0.8, 3)  # of a flash; of a whip pan, in widths
    begin = len(film.shot)
    for number in range(length):
        picture = current(at + number)
        if disturbance == "whip pan" and number >= middle:  # the camera turns over a panorama of the picture
            turned = min(number - middle + 1, count) / count * distance
            panorama = np.concatenate([picture, picture[:, ::-1]], axis=1)
            picture = np.roll(panorama, round(-turned * film.size[0]), axis=1)[:, : film.size[0]]
            if number < middle + count:
                picture = cv2.blur(np.ascontiguousarray(picture), (round(distance / count * film.size[0] / 2) | 1, 1))
        if disturbance == "flash" and middle <= number < middle + count:
            picture = cv2.addWeighted(picture, 1 - strength, np.full_like(picture, 255), strength, 0)
        film.shot.append(shot)
        yield picture
    if disturbance:
        film.disturbances.append(Transition(disturbance, begin + middle, begin + middle + count))


def _next_look(kind: str, current: Look, at: int, rng: np.random.Generator, film: ShotFilm) -> tuple[Look, int]:
    """The shot after a transition, and the number of its first frame."""
    if kind == "jump cut":
        return current, at + round(rng.uniform(1.5, 4) * film.fps)
    if kind == "similar cut":
        factor, shift = rng.uniform(1.2, 1.6), rng.uniform(-0.15, 0.15, 2) * film.size

        def reframed(number: int) -> Frame:
            centre = np.array(film.size) / 2
            left, top = centre - centre / factor + shift / factor
            return _magnified(current(number), factor, left, top, film.size)

        return reframed, at
    return look(rng, film), 0


def _transition(
    kind: str, old: Look, at: int, new: Look, begin: int, fps: int, rng: np.random.Generator
) -> Iterator[Frame]:
    """The frames that hold both shots; none at a cut."""
    if kind.endswith("cut"):
        return
    count = round(rng.integers(8, 31) * min(1, fps / USUAL_RATE))
    side, way = int(rng.integers(4)), WIPES[rng.integers(len(WIPES))]
    held = int(rng.integers(16)) if kind.startswith("fade") and rng.random() < 0.5 else 0  # frames of one level alone
    middle = rng.uniform(0.3, 0.7)  # the share of a fade's time in which the old shot goes
    for number in range(count + held):
        share = (min(number, max(number - held, middle * count)) + 1) / (count + 1)
        before, after = old(at + number), new(begin + number)
        if kind == "dissolve":
            yield cv2.addWeighted(before, 1 - share, after, share, 0)
        elif kind.startswith("fade"):
            level = 255 if kind.endswith("white") else 0
            shown = before if share < middle else after
            strength = 1 - share / middle if share < middle else (share - middle) / (1 - middle)
            yield cv2.addWeighted(shown, strength, np.full_like(shown, level), 1 - strength, 0)
        elif kind == "wipe":
            yield _wiped(before, after, share, side, way)
        else:
            yield _pushed(before, after, share, side)


def _wiped(before: Frame, after: Frame, share: float, side: int, way: str) -> Frame:
    """`after` covers `before`: from one of the four sides, from a corner, or from the middle."""
    height, width = before.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) + 0.5
    x, y = x / width, y / height
    if way == "iris":
        covered_at = np.hypot(x - 0.5, y - 0.5) / math.hypot(0.5, 0.5)
        covered_at = 1 - covered_at if side < 2 else covered_at
    elif way == "slanted":
        covered_at = ((x, 1 - x)[side % 2] + (y, 1 - y)[side // 2]) / 2
    else:
        covered_at = (x, 1 - x, y, 1 - y)[side]
    edge = 0.25 if way == "soft side" else 1 / width
    new = np.clip((share * (1 + edge) - covered_at) / edge, 0, 1)[..., None]
    return (before * (1 - new) + after * new).astype(np.uint8)


def _pushed(before: Frame, after: Frame, share: float, side: int) -> Frame:
    """`after` pushes `before` out of the picture, from one of the four sides."""
    axis = 1 if side < 2 else 0
    pair = (after, before) if side % 2 == 0 else (before, after)
    both = np.concatenate(pair, axis=axis)
    length = before.shape[axis]
    offset = round((1 - share) * length) if side % 2 == 0 else round(share * length)
    return np.ascontiguousarray(both[:, offset : offset + length] if axis == 1 else both[offset : offset + length])
