"""Films of several shots at all usual frame rates, with even and uneven times, whose frames carry their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from clipmill.demo import render
from clipmill.demo.render import Frame, Size

SIZE = (320, 240)
BITS = 16
BAR = 0.1  # of the height, at the bottom
ROUNDED = 2e-3  # seconds by which a container may round a time
RATES = [
    Fraction(25, 2),
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(50),
    Fraction(60000, 1001),
]
ENDINGS = ("mp4", "mkv")
PHOTOGRAPHS = ("coffee.png", "chelsea.png", "astronaut.png", "rocket.jpg")
SHOT_SECONDS = (4.3, 11.2, 6.7, 7.9)


def film(
    folder: Path, number: int, seconds: Sequence[float] = SHOT_SECONDS, size: Size = SIZE
) -> tuple[str, np.ndarray]:
    """Write film `number`; return its name, and the times of its frames and of its end. Each fifth has uneven times."""
    rate, ending = RATES[number % len(RATES)], ENDINGS[number // len(RATES) % len(ENDINGS)]
    path = folder / f"{number}.{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = list(numbered(_shots(number, rate, seconds, size)))
    steps = np.full(len(frames), float(1 / rate))
    if uneven := number % 5 == 4:
        steps *= render.generator(path.name).uniform(0.6, 1.4, len(steps))
        steps[-1] = steps[-2]
    times = np.cumsum([0, *steps])
    options = {"preset": "ultrafast" if number % 3 else "veryfast"}
    render.encode(path, frames, size, rate, options=options, times=times[:-1].tolist() if uneven else None)
    return path.name, times


def _shots(number: int, rate: Fraction, seconds: Sequence[float], size: Size) -> Iterator[Frame]:
    for place, length in enumerate(seconds):
        picture = render.photograph(PHOTOGRAPHS[(number + place) % len(PHOTOGRAPHS)])
        yield from render.pan(picture, size, length, rate, 10 + 5 * place, 40 * number)


def numbered(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames, each with its number as a bar of black and white bits."""
    for number, frame in enumerate(frames):
        frame = frame.copy()
        height, width = frame.shape[:2]
        bits = (number >> (np.arange(width) * BITS // width)) & 1
        frame[-round(height * BAR) :] = (16 + 223 * bits)[None, :, None]
        yield frame


def number_of(frame: av.VideoFrame) -> int:
    """The number of a frame."""
    row = frame.to_ndarray(format="gray")[-round(frame.height * BAR / 2)].astype(int)
    places = ((np.arange(BITS) + 0.5) * frame.width / BITS).astype(int)
    return int(sum(int(row[place] > 128) << bit for bit, place in enumerate(places)))


def read(path: Path) -> tuple[list[tuple[Fraction, int]], Fraction]:
    """The exact time and the number of each frame of a file, and its average rate."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        shown = [(frame.pts * stream.time_base, number_of(frame)) for frame in container.decode(stream)]
        return shown, stream.average_rate


def not_nearest(shown: Sequence[tuple[Fraction, int]], times: np.ndarray, first: int, after: int, start: float) -> int:
    """How many of the `shown` frames are not those of frames `first` to before `after` that are nearest in time.

    `start`: when the file begins, in the time of the film.
    """
    inside = times[first:after] - start
    wrong = 0
    for time, number in shown:
        away = np.abs(inside - float(time))
        wrong += not first <= number < after or bool(away[number - first] > away.min() + ROUNDED)
    return wrong
