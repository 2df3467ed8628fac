"""Films with a text, logo or banner laid over a picture that moves, and scenes that only look as if they had one.

Each film is a scene of its own. It depends on its name alone, and its overlay is known to the pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import av
import numpy as np

from clipmill.base.opencv import cv2
from clipmill.demo import render
from clipmill.demo.render import Frame, Size

REAL = Path(__file__).resolve().parent / "data" / "videos"
PHOTOGRAPHS: tuple[str, ...] = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
PHOTOGRAPHS += ("retina.jpg",)
PHOTOGRAPHS += ("hubble_deep_field.jpg", "ihc.png", "gravel.png", "grass.png", "camera.png", "coins.png", "moon.png")
MOMENTS = tuple(f"big-buck-bunny {second}" for second in (1, 3, 5, 7, 9))
MOMENTS += ("bottle-detection 3", "car-detection 4")  # of REAL, in seconds
PICTURES = (*PHOTOGRAPHS, *MOMENTS)
LINES = (360, 480, 720, 1080, 1440, 2160)
FPS = 4
LETTERS = ("CHANNEL NEWS", "LIVE", "www.example.org", "Follow @clips", "HD", "Breaking: it rains", "Tuesday 14:30")
COLOURS = ((245, 245, 245), (245, 245, 245), (20, 20, 20), (40, 40, 220), (40, 210, 240), (210, 120, 30), (70, 190, 60))
SEEN = 30  # levels, at least, between the colour of a mark and what is behind it: else nobody sees it
EVEN = 0.4  # share of the pixels around a mark that change; with less what is behind it is even
BAND = 0.25  # share of a side in which marks lie

Scene = Iterator[Frame]


@dataclass(frozen=True)
class Mark:
    """What is laid over a film.

    `ink`: height × width, 0 to 1. `colour`: blue, green, red. `box`: left, top, right, bottom.
    """

    ink: np.ndarray
    colour: np.ndarray
    box: tuple[int, int, int, int]

    def over(self, frame: Frame) -> Frame:
        left, top, right, bottom = self.box
        shown = frame.copy()
        ink = self.ink[top:bottom, left:right, None]
        shown[top:bottom, left:right] = np.rint(
            frame[top:bottom, left:right] * (1 - ink) + self.colour[top:bottom, left:right] * ink
        )
        return shown


class OverlayFilm:
    """A film of one overlay. `even`: whether what is behind it hardly changes, so that it seems to stand still."""

    def __init__(self, name: str):
        chance = render.generator(name)
        self.size = _size(chance)
        self.seconds = float(chance.choice([3, 4, 5, 8, 20] if self.size[1] <= 720 else [3, 4, 5]))
        self.crf = int(chance.integers(18, 29))
        self.moving = str(chance.choice(["pan", "pan", "zoom", "hand"]))
        self.picture = str(chance.choice(PICTURES))
        self._chance = chance
        self._view = camera(chance, self.moving, self.size, self.seconds)
        frames = list(self._background(np.linspace(0, min(self.seconds, 6), 6)))
        self.mark = self._mark(frames)
        self.even = _changing_around(frames, self.mark.box) < EVEN

    def _background(self, times: np.ndarray) -> Scene:
        return filmed(picture(self.picture), self._view, self.size, times)

    def _mark(self, frames: list[Frame]) -> Mark:
        while True:
            mark = _any_mark(self._chance, self.size)
            left, top, right, bottom = mark.box
            inked = mark.ink[top:bottom, left:right] > 0.2
            behind = np.median([frame[top:bottom, left:right][inked] for frame in frames], axis=0)
            if np.abs(mark.colour[top:bottom, left:right][inked] - behind).mean() >= SEEN:
                return mark

    def frames(self, every: int = 1) -> Scene:
        return (self.mark.over(frame) for frame in self._background(_times(self.seconds)[::every]))

    def render(self, path: Path) -> None:
        render.encode(path, self.frames(), self.size, FPS, options={"crf": str(self.crf), "preset": "superfast"})


class PlainFilm:
    """A film without an overlay, of one of the kinds of PLAIN."""

    def __init__(self, name: str, kind: str):
        self._chance = render.generator(name)
        self.kind = kind
        self.size = _size(self._chance, LINES[:4])
        self.seconds = float(self._chance.choice([3, 4, 5, 8] if self.size[1] <= 720 else [3, 4]))
        self.crf = int(self._chance.integers(18, 29))

    def frames(self) -> Scene:
        return PLAIN[self.kind](self._chance, self.size, self.seconds)

    def render(self, path: Path) -> None:
        render.encode(path, self.frames(), self.size, FPS, options={"crf": str(self.crf), "preset": "superfast"})


def _size(chance: np.random.Generator, lines: tuple[int, ...] = LINES) -> Size:
    high = int(chance.choice(lines))
    wide = round(high * float(chance.choice([16 / 9, 16 / 9, 16 / 9, 4 / 3])) / 2) * 2
    return (wide, high)


# --- what moves -------------------------------------------------------------------------------------------------------
View = Callable[[float], tuple[float, float, float, float]]
"""Where the camera is at a time: right, down (in widths of the frame), magnified, turned (degrees)."""


def camera(chance: np.random.Generator, kind: str, size: Size, seconds: float) -> View:
    """A camera that pans, zooms at some point, rolls about some point, or is held by hand."""
    short = min(size) / size[0]
    angle, speed = chance.uniform(0, 2 * math.pi), short * chance.uniform(0.04, 0.25)
    sign = chance.choice([-1, 1])
    if kind == "pan":
        speed = min(speed, 1.2 / seconds)
        return lambda t: (speed * t * math.cos(angle), speed * t * math.sin(angle), 1.0, 0.0)
    at = chance.uniform(-0.4, 0.4, 2)
    if kind == "zoom":
        rate = chance.uniform(0.25, 0.7) / seconds
        return lambda t: _about(at, size, math.exp(rate * (t if sign > 0 else seconds - t)), 0.0)
    if kind == "roll":
        rate = sign * chance.uniform(10, 40) / seconds
        return lambda t: _about(at, size, 1.3, rate * (t - seconds / 2))
    phases, wide = chance.uniform(0, 2 * math.pi, (2, 3)), short * chance.uniform(0.04, 0.1)
    return lambda t: (*(wide * np.sin(phases + t * np.array([1.3, 3.1, 6.7])) @ [0.6, 0.3, 0.15]), 1.0, 0.0)


def _about(at: np.ndarray, size: Size, magnified: float, turned: float) -> tuple[float, float, float, float]:
    """A view that leaves the point `at` of the frame (from its middle, in shares of the sides) where it is."""
    point = np.array([at[0], at[1] * size[1] / size[0]])
    a = math.radians(turned)
    back = np.array([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]]) @ point / magnified
    right, down = point - back
    return float(right), float(down), magnified, turned


def _times(seconds: float) -> np.ndarray:
    return np.arange(round(seconds * FPS)) / FPS


def filmed(picture_: Frame, view: View, size: Size, times: np.ndarray) -> Scene:
    """What a camera sees of a picture at these times. It goes on mirrored beyond its edges."""
    width, height = size
    fits = min(picture_.shape[1] / width, picture_.shape[0] / height) / 1.3
    scale = max(fits, 0.4)  # pixels of the picture per pixel of the frame
    middle = np.array([picture_.shape[1], picture_.shape[0]]) / 2
    for time in times:
        right, down, magnified, turned = view(time)
        turn = np.array([[math.cos(a := math.radians(turned)), math.sin(a)], [-math.sin(a), math.cos(a)]])
        matrix = scale / magnified * turn
        begin = middle + scale * width * np.array([right, down]) - matrix @ [width / 2, height / 2]
        yield cv2.warpAffine(
            picture_,
            np.hstack([matrix, begin[:, None]]),
            size,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )


@lru_cache(maxsize=4)
def picture(name: str) -> Frame:
    """A photograph, or a moment of a real video."""
    if name in PHOTOGRAPHS:
        return render.photograph(name)
    return _moments()[name]


@cache
def _moments() -> dict[str, Frame]:
    found = {}
    for video in dict.fromkeys(name.split()[0] for name in MOMENTS):
        wanted = [int(name.split()[1]) for name in MOMENTS if name.startswith(video)]
        with av.open(str(REAL / f"{video}.mp4")) as container:
            for frame in container.decode(video=0):
                if wanted and frame.time >= wanted[0]:
                    found[f"{video} {wanted.pop(0)}"] = frame.to_ndarray(format="bgr24")
    return found


# --- marks ------------------------------------------------------------------------------------------------------------
def _any_mark(chance: np.random.Generator, size: Size) -> Mark:
    kind = str(chance.choice(["text", "logo", "banner"]))
    alpha = float(chance.choice([1.0, 1.0, 0.8, 0.5]))
    first = COLOURS[chance.integers(len(COLOURS))]
    ink = {"text": _text, "logo": _logo, "banner": _banner}[kind](chance, size[1])
    colour = np.full((*ink.shape, 3), first, np.float32)
    if kind == "banner":
        other = (245, 245, 245) if sum(first) < 450 else (20, 20, 20)
        colour = np.where((ink < 2)[..., None], colour, np.array(other, np.float32))
        ink = np.minimum(ink, 1)
    ink, colour = _trimmed(ink, colour)
    high, wide = ink.shape
    left, top = _place(chance, (wide, high), size)
    whole, colours = np.zeros(size[::-1], np.float32), np.zeros((*size[::-1], 3), np.float32)
    whole[top : top + high, left : left + wide] = ink * alpha
    colours[top : top + high, left : left + wide] = colour
    return Mark(whole, colours, (left, top, left + wide, top + high))


def _trimmed(ink: np.ndarray, colour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Without empty rows and columns, and what is hardly inked."""
    ink = np.where(ink >= 0.25, ink, 0)
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return ink[part], colour[part]


def _place(chance: np.random.Generator, mark: Size, size: Size) -> tuple[int, int]:
    """Where a mark may be so that it lies in the band at one side."""
    (wide, high), (width, height) = mark, size
    margin = round(0.02 * height)
    most = np.array([width - margin - wide, height - margin - high])
    place = [int(chance.integers(margin, max(margin + 1, side + 1))) for side in most]
    ways = [axis for axis in (0, 1) if mark[axis] + margin < BAND * size[axis]]
    axis = int(chance.choice(ways))
    depth = int(chance.integers(margin, int(BAND * size[axis]) - mark[axis] + 1))
    place[axis] = depth if chance.integers(2) else size[axis] - depth - mark[axis]
    return place[0], place[1]


def _text(chance: np.random.Generator, lines: int) -> np.ndarray:
    words, high = str(chance.choice(LETTERS)), lines * chance.uniform(0.025, 0.06)
    font = int(chance.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX]))
    thick = max(1, round(high / 9))
    scale = high / cv2.getTextSize(words, font, 1, 1)[0][1]
    (wide, tall), below = cv2.getTextSize(words, font, scale, thick)
    ink = np.zeros((tall + below + 8 * thick, wide + 8 * thick), np.uint8)
    cv2.putText(ink, words, (4 * thick, tall + 4 * thick), font, scale, 255, thick, cv2.LINE_AA)
    return ink.astype(np.float32) / 255


def _logo(chance: np.random.Generator, lines: int) -> np.ndarray:
    radius = round(lines * chance.uniform(0.025, 0.05))
    side = 2 * radius + 8
    ink, middle = np.zeros((side, side), np.uint8), (side // 2, side // 2)
    thick = max(2, radius // 5)
    shape = int(chance.integers(4))
    around = [
        (middle[0] + radius * far * math.sin(n * math.pi / 5), middle[1] - radius * far * math.cos(n * math.pi / 5))
        for n, far in zip(range(10), [1, 0.45] * 5, strict=True)
    ]
    if shape == 0:
        cv2.circle(ink, middle, radius - thick, 255, thick, cv2.LINE_AA)
        cv2.line(ink, (middle[0] - radius // 2, middle[1]), (middle[0] + radius // 2, middle[1]), 255, thick)
    elif shape == 1:
        cv2.fillPoly(ink, [np.rint(around).astype(np.int32)], 255, cv2.LINE_AA)
    elif shape == 2:
        cv2.circle(ink, middle, radius, 255, -1, cv2.LINE_AA)
        third, half = radius // 3, radius // 2
        arrow = np.array([[-third, -half], [-third, half], [half, 0]], np.int32) + middle
        cv2.fillPoly(ink, [arrow.astype(np.int32)], 0, cv2.LINE_AA)
    else:
        cv2.rectangle(ink, (4, 4 + radius // 3), (side - 5, side - 5 - radius // 3), 255, thick)
        cv2.circle(ink, middle, radius // 3, 255, -1, cv2.LINE_AA)
    return ink.astype(np.float32) / 255


def _banner(chance: np.random.Generator, lines: int) -> np.ndarray:
    """A board with text: 1 where the board is, 2 where the text is."""
    text = _text(chance, lines)
    return 1 + np.round(text)


def _changing_around(frames: list[Frame], box: tuple[int, int, int, int]) -> float:
    """The share of the pixels around a box that change."""
    reach = round(0.03 * frames[0].shape[0])
    left, top, right, bottom = box
    begin, up = max(0, left - reach), max(0, top - reach)
    greys = np.array(
        [cv2.cvtColor(f[up : bottom + reach, begin : right + reach], cv2.COLOR_BGR2GRAY) for f in frames], float
    )
    ring = np.ones(greys.shape[1:], bool)
    ring[top - up : bottom - up, left - begin : right - begin] = False
    return float((np.median(np.abs(greys - np.median(greys, 0)), 0) >= 3)[ring].mean())


# --- without overlays -------------------------------------------------------------------------------------------------
def _by_camera(kind: str) -> Callable[[np.random.Generator, Size, float], Scene]:
    def scene(chance: np.random.Generator, size: Size, seconds: float) -> Scene:
        return filmed(picture(str(chance.choice(PICTURES))), camera(chance, kind, size, seconds), size, _times(seconds))

    return scene


def _slow(chance: np.random.Generator, size: Size, seconds: float) -> Scene:
    """A camera so slow that a picture hardly moves."""
    view = camera(chance, str(chance.choice(["pan", "zoom", "roll"])), size, seconds)
    slow = chance.uniform(0.01, 0.1)
    return filmed(picture(str(chance.choice(PICTURES))), lambda t: view(slow * t), size, _times(seconds))


def _barred(chance: np.random.Generator, size: Size, seconds: float) -> Scene:
    bar = round(size[1] * chance.uniform(0.05, 0.12))
    for frame in _by_camera("pan")(chance, (size[0], size[1] - 2 * bar), seconds):
        yield cv2.copyMakeBorder(frame, bar, bar, 0, 0, cv2.BORDER_CONSTANT)


def _still(chance: np.random.Generator, size: Size, seconds: float) -> Frame:
    return next(filmed(picture(str(chance.choice(PICTURES))), lambda _: (0.0, 0.0, 1.0, 0.0), size, np.zeros(1)))


def _cut_out(chance: np.random.Generator, size: Size) -> tuple[Frame, np.ndarray]:
    """A thing of some picture, and where it is."""
    side = round(size[1] * chance.uniform(0.08, 0.3))
    thing = render.cover(picture(str(chance.choice(PICTURES))), (side, side))
    mask = np.zeros((side, side), np.float32)
    cv2.ellipse(
        mask, (side // 2, side // 2), (side // 2 - 2, side // 3), chance.uniform(0, 180), 0, 360, 1, -1, cv2.LINE_AA
    )
    return thing, mask


def _pasted(frame: Frame, thing: Frame, mask: np.ndarray, left: float, top: float) -> Frame:
    move = np.array([[1, 0, left], [0, 1, top]], float)
    size = frame.shape[1::-1]
    there = cv2.warpAffine(mask, move, size)[..., None]
    return np.rint(frame * (1 - there) + cv2.warpAffine(thing, move, size) * there).astype(np.uint8)


def _walkers(chance: np.random.Generator, size: Size, seconds: float) -> Scene:
    """A still camera before which things pass, one of them large."""
    still = _still(chance, size, seconds)
    things = [_cut_out(chance, (size[0], round(size[1] * large))) for large in (1, 1, 3)]
    lanes, speeds = chance.uniform(-0.1, 0.8, 3) * size[1], chance.uniform(0.1, 0.5, 3) * size[0]
    for number in range(round(seconds * FPS)):
        frame = still
        for (thing, mask), lane, speed in zip(things, lanes, speeds, strict=True):
            left = (speed * number / FPS) % (size[0] + thing.shape[1]) - thing.shape[1]
            frame = _pasted(frame, thing, mask, left, lane)
        yield frame


def _waves(chance: np.random.Generator, size: Size, seconds: float) -> Scene:
    """Water that fills the picture, each part of it on its own way, and a sign or a post before it."""
    water = _still(chance, size, seconds)
    sign, mask = _cut_out(chance, (size[0], size[1] // 2))
    place = _place(chance, sign.shape[1::-1], size)
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
    waves = [
        (*chance.uniform(0.5, 3, 2) * 2 * np.pi / size[1], chance.uniform(2, 6), chance.uniform(0, 6)) for _ in range(6)
    ]
    for number in range(round(seconds * FPS)):
        right, down = (
            sum(np.sin(a * x + b * y + speed * number / FPS + phase) for a, b, speed, phase in three) * size[1] * 0.02
            for three in (waves[:3], waves[3:])
        )
        yield _pasted(
            cv2.remap(
                water,
                (x + right).astype(np.float32),
                (y + down).astype(np.float32),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REFLECT_101,
            ),
            sign,
            mask,
            *place,
        )


def _stream(chance: np.random.Generator, size: Size, seconds: float) -> Scene:
    """A still camera above a stream or a belt that moves as a whole, with banks that take a third of the picture."""
    bank = _still(chance, size, seconds)
    edge = round(size[1] * chance.uniform(0.25, 0.35))
    for frame in _by_camera("pan")(chance, size, seconds):
        shown = frame.copy()
        shown[:edge] = bank[:edge]
        yield shown


def _followed(chance: np.random.Generator, size: Size, seconds: float) -> Scene:
    """A camera that follows a thing before a background, as well as a camera does: to one percent of the picture."""
    thing, mask = _cut_out(chance, size)
    place = np.array(_place(chance, thing.shape[1::-1], size), float)
    phases, off = chance.uniform(0, 6, (2, 3)), chance.uniform(0.005, 0.015) * size[1]
    for number, frame in enumerate(_by_camera("pan")(chance, size, seconds)):
        sway = off * np.sin(phases + number / FPS * np.array([0.8, 1.9, 4.2])) @ [0.6, 0.4, 0.2]
        yield _pasted(frame, thing, mask, *(place + sway))


def _far_away(chance: np.random.Generator, size: Size, seconds: float) -> Scene:
    """A near ground that moves fast, and far hills under an even sky that move slowly, with a moon that hardly does."""
    near, far = (picture(str(chance.choice(PICTURES))) for _ in range(2))
    view = camera(chance, "pan", size, seconds)
    slow = chance.uniform(0.05, 0.2)
    shake = camera(chance, "hand", size, seconds)
    grounds = filmed(near, view, size, _times(seconds))
    hills = filmed(far, lambda t: (view(t)[0] * slow, view(t)[1] * slow, 1.0, 0.0), size, _times(seconds))
    sky = np.array(chance.uniform(60, 240, 3))
    x = np.arange(size[0]) / size[0]
    moon = chance.uniform(0.05, 0.95) * size[0], chance.uniform(0.05, 0.15) * size[1]
    for number, (ground, hill) in enumerate(zip(grounds, hills, strict=True)):
        off = view(number / FPS)[0] * slow
        ridge = (0.22 + 0.05 * np.sin(9 * (x + off)) + 0.03 * np.sin(31 * (x + off))) * size[1]
        frame = hill.copy()
        y = np.arange(size[1])[:, None] + 0 * ridge
        frame[y < ridge] = sky
        trembling = 0.1 * size[0] * np.array(shake(number / FPS)[:2])
        cv2.circle(
            frame,
            tuple(int(16 * one) for one in moon + trembling),
            int(size[1] * 0.4),
            (230, 240, 245),
            -1,
            cv2.LINE_AA,
            4,
        )
        frame[y > 0.5 * size[1]] = ground[y > 0.5 * size[1]]
        yield frame


def _bricks(chance: np.random.Generator, size: Size, seconds: float) -> Scene:
    """Lines along which the camera pans, below or above an even part."""
    lines = render.pan(
        render.photograph("brick.png"),
        size,
        seconds,
        FPS,
        size[1] * chance.uniform(0.02, 0.2),
        90 * float(chance.integers(4)),
    )
    edge = round(size[1] * chance.uniform(0, 0.4))
    for frame in lines:
        shown = frame.copy()
        shown[:edge] = 200
        yield shown


def _window(chance: np.random.Generator, size: Size, seconds: float) -> Scene:
    """A landscape that passes outside of a window, whose frame is in the picture."""
    inside = _still(chance, size, seconds) // 3
    left, top = round(size[0] * chance.uniform(0.05, 0.2)), round(size[1] * chance.uniform(0.05, 0.2))
    for frame in _by_camera("pan")(chance, size, seconds):
        shown = inside.copy()
        shown[top:-top, left:-left] = frame[top:-top, left:-left]
        shown[top:-top, size[0] // 2 : size[0] // 2 + left // 2] = inside[
            top:-top, size[0] // 2 : size[0] // 2 + left // 2
        ]
        yield shown


PLAIN = {kind: _by_camera(kind) for kind in ("pan", "zoom", "roll", "hand")}
PLAIN |= {
    "slow": _slow,
    "bars": _barred,
    "walkers": _walkers,
    "waves": _waves,
    "stream": _stream,
    "followed": _followed,
    "far away": _far_away,
    "bricks": _bricks,
    "window": _window,
}
