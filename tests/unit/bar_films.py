"""Films of known borders: moving pictures with bars around them, and pictures that only look as if they had bars."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from clipmill.base.opencv import cv2
from clipmill.decode.bars import COLUMNS, bar_signals
from clipmill.decode.pictures import Grey, analysis_size
from clipmill.demo import render
from clipmill.demo.render import Frame, Size

Colour = tuple[int, int, int]  # blue, green, red
Widths = tuple[int, int, int, int]  # left, top, right, bottom
SIZE = (640, 360)
FPS, SECONDS = 12, 3.0
KEPT = 6  # every so many frames is a kept frame


def grey(level: int) -> Colour:
    return level, level, level


@dataclass(frozen=True)
class BarFilm:
    """A film, and the widths of its bars. `sigma`: noise over all of it, in grey levels."""

    frames: Callable[[], Iterable[Frame]]
    bars: Widths = (0, 0, 0, 0)
    size: Size = SIZE
    sigma: float = 0.0
    crf: int = 23

    def pictures(self) -> list[Frame]:
        """The frames without any codec."""
        return list(_noisy(self.frames(), self.sigma, render.generator("noise")))

    def render(self, path: Path, **options: Any) -> Path:
        chance = render.generator(path.name)
        settings = {"options": {"crf": str(self.crf)}, **options}
        render.encode(path, _noisy(self.frames(), self.sigma, chance), self.size, FPS, **settings)
        return path


def signals_of(frames: Iterable[Frame]) -> pa.Table:
    """What decode would measure of frames, as far as bars are concerned."""
    rows: list[dict[str, Any]] = []
    before = None
    for number, frame in enumerate(frames):
        small = cv2.resize(frame, analysis_size(*frame.shape[1::-1]), interpolation=cv2.INTER_NEAREST)
        grey_ = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        row: dict[str, Any] = dict.fromkeys(COLUMNS)
        if number % KEPT == 0:
            row |= bar_signals(Grey(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), None), small)
        rows.append({**row, "difference": 0.0 if before is None else float(cv2.absdiff(grey_, before).mean())})
        before = grey_
    return pa.table({name: pa.array([row[name] for row in rows]) for name in (*COLUMNS, "difference")})


def _noisy(frames: Iterable[Frame], sigma: float, chance: np.random.Generator) -> Iterator[Frame]:
    for frame in frames:
        if sigma:
            frame = np.clip(frame + chance.normal(0, sigma, frame.shape).round(), 0, 255).astype(np.uint8)
        yield frame


def moving(size: Size, picture: str = "coffee.png", speed: float = 0.25, direction: float = 20) -> Iterator[Frame]:
    return render.pan(render.photograph(picture), size, SECONDS, FPS, speed * min(size), direction)


def barred(bars: Widths, colour: Colour, size: Size = SIZE, picture: str = "coffee.png") -> Iterator[Frame]:
    """A moving picture inside bars of one colour."""
    left, top, right, bottom = bars
    for inner in moving((size[0] - left - right, size[1] - top - bottom), picture):
        frame = render.flat(size, colour)
        frame[top : size[1] - bottom, left : size[0] - right] = inner
        yield frame


def blurred(bars: Widths, size: Size = SIZE, sigma: float = 12, dim: float = 1.0, picture: str = "coffee.png"):
    """A moving picture on a blurred copy of itself that covers the frame."""
    left, top, right, bottom = bars
    for inner in moving((size[0] - left - right, size[1] - top - bottom), picture):
        frame = cv2.GaussianBlur(render.cover(inner, size), (0, 0), sigma)
        frame = (frame * dim).astype(np.uint8)
        frame[top : size[1] - bottom, left : size[0] - right] = inner
        yield frame


def fading_in(bars: Widths) -> Iterator[Frame]:
    """A picture in black bars that comes out of black within two thirds of the film."""
    for number, frame in enumerate(barred(bars, grey(0))):
        yield (frame * min(1.0, number / (SECONDS * FPS * 2 / 3))).astype(np.uint8)


def dark_then_light(bars: Widths, size: Size = SIZE) -> Iterator[Frame]:
    """A picture in black bars of which for two thirds of the film only a spot in the middle is lit."""
    y, x = np.mgrid[: size[1], : size[0]]
    spot = np.exp(-(((x - size[0] / 2) / 60) ** 2) - ((y - size[1] / 2) / 40) ** 2)[..., None]
    for number, frame in enumerate(barred(bars, grey(0), size)):
        lit = 1.0 if number > SECONDS * FPS * 2 / 3 else spot
        yield (frame * lit).astype(np.uint8)


def night_sky(size: Size = SIZE) -> Iterator[Frame]:
    """Stars that wander over a dark sky, above a lit street."""
    chance = render.generator("stars")
    stars = chance.uniform(0, 1, (40, 2)) * (size[0], size[1] * 0.6)
    street = list(moving((size[0], size[1] // 4), "motorcycle_left.png"))
    for number, lights in enumerate(street):
        frame = render.flat(size, grey(8))
        for x, y in stars + number * 0.4:
            cv2.circle(frame, (int(x), int(y)), 1, grey(200), -1)
        frame[-lights.shape[0] :] = (lights * 0.5).astype(np.uint8)
        ridge = 6 * np.sin(np.arange(size[0]) / 30)  # roofs
        for column, high in enumerate(ridge.astype(int)):
            frame[size[1] - lights.shape[0] - 8 - high : size[1] - lights.shape[0], column] = 35
        yield frame


def lamp(size: Size = SIZE) -> Iterator[Frame]:
    """A dark room with one lamp that swings."""
    y, x = np.mgrid[: size[1], : size[0]]
    for number in range(int(SECONDS * FPS)):
        centre = size[0] / 2 + 60 * np.sin(number / 5)
        light = 180 * np.exp(-(((x - centre) / 70) ** 2) - ((y - size[1] / 2) / 50) ** 2)
        yield np.repeat((10 + light)[..., None], 3, axis=2).astype(np.uint8)


def framed_slide(size: Size = SIZE) -> Iterator[Frame]:
    """A slide with a photograph as high as the slide, on white: nothing moves."""
    page = render.flat(size, grey(255))
    page[:, size[0] // 4 : size[0] * 3 // 4] = render.cover(render.photograph("chelsea.png"), (size[0] // 2, size[1]))
    return iter([page] * int(SECONDS * FPS))


def under_a_sky(colour: Colour, share: float, edge: str, size: Size = SIZE) -> Iterator[Frame]:
    """Ground that moves below an even sky (or above even snow, if `share` is negative). `edge`: straight or wavy."""
    border = int(abs(share) * size[1])
    hills = np.zeros(size[0], int) if edge == "straight" else (9 * np.sin(np.arange(size[0]) / 40)).astype(int)
    for frame in moving(size, "gravel.png"):
        for column, high in enumerate(hills):
            if share > 0:
                frame[: border + high, column] = colour
            else:
                frame[size[1] - border - high :, column] = colour
        yield frame


def before_a_wall(colour: Colour, share: float, size: Size = SIZE) -> Iterator[Frame]:
    """Somebody walks in front of an even wall; beside it a shelf stands upright, nothing of which moves."""
    shelf = render.cover(render.photograph("brick.png"), size)
    person = render.cover(render.photograph("astronaut.png"), (size[0] // 6, size[1] // 2))
    wall = int(share * size[0])
    for number in range(int(SECONDS * FPS)):
        frame = shelf.copy()
        frame[:, :wall] = colour
        left = int(size[0] * 0.5 + number * 4)
        part = person[:, : max(0, size[0] - left)]
        frame[-person.shape[0] :, left : left + part.shape[1]] = part
        yield frame


def slides(background: Colour, ink: int, size: Size = SIZE) -> Iterator[Frame]:
    """Slides of lines of text, one after the other."""
    pages = [["The first slide", "says little,", "and this is it"], ["A second slide", "says even less"], ["Thanks"]]
    for lines in pages:
        page = render.flat(size, background)
        for number, line in enumerate(lines):
            cv2.putText(page, line, (size[0] // 4, 90 + 80 * number), cv2.FONT_HERSHEY_SIMPLEX, 1.4, grey(ink), 2)
        yield from [page] * int(SECONDS * FPS / len(pages))


def cartoon(size: Size = SIZE) -> Iterator[Frame]:
    """Flat colours: a sky, a meadow with a straight horizon, two straight towers, and a ball that jumps."""
    for number in range(int(SECONDS * FPS)):
        frame = render.flat(size, (230, 190, 140))
        frame[size[1] * 2 // 3 :] = (70, 170, 90)
        frame[:, size[0] // 5 : size[0] // 5 + 40] = (120, 120, 160)
        frame[:, size[0] * 4 // 5 - 40 : size[0] * 4 // 5] = (120, 120, 160)
        centre = (size[0] // 2 + number * 3, int(size[1] / 2 - 80 * abs(np.sin(number / 4))))
        cv2.circle(frame, centre, 30, (40, 60, 220), -1, cv2.LINE_AA)
        yield frame


def subtitled(bars: Widths, size: Size = SIZE) -> Iterator[Frame]:
    """A picture in black bars, the lower of which always has a line of text."""
    text = render.flat(size)
    cv2.putText(text, "Where is the coffee?", (size[0] // 4, size[1] - 16), cv2.FONT_HERSHEY_SIMPLEX, 0.8, grey(230), 2)
    for frame in barred(bars, grey(0), size):
        yield np.maximum(frame, text)


def overlaid(mark: Frame, alpha: float = 1.0, size: Size = SIZE, picture: str = "coffee.png") -> Iterator[Frame]:
    """A moving picture with a mark laid over it: black is where it is not."""
    ink = (mark.max(axis=2, keepdims=True) > 0) * np.float32(alpha)
    for frame in moving(size, picture):
        yield (frame * (1 - ink) + mark * ink).astype(np.uint8)


def logo(centre: tuple[int, int], size: Size = SIZE) -> Frame:
    """A ring with a bar: no letter."""
    mark = render.flat(size)
    cv2.circle(mark, centre, 18, grey(240), 4)
    cv2.line(mark, (centre[0] - 18, centre[1]), (centre[0] + 18, centre[1]), grey(240), 3)
    return mark


def words(text: str, start: tuple[int, int], size: Size = SIZE) -> Frame:
    """A line of text."""
    mark = render.flat(size)
    cv2.putText(mark, text, start, cv2.FONT_HERSHEY_SIMPLEX, 0.7, grey(240), 2)
    return mark
