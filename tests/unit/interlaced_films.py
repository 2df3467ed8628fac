"""Films of moving photographs, stripes and letters, as pictures in grey; and how two fields are woven into a frame."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np

from clipmill.demo import render

Size = tuple[int, int]  # width and height
Film = list[np.ndarray]  # pictures: height × width, uint8


def scenery(size: Size, picture: str = "coffee.png") -> np.ndarray:
    """A photograph of twice the width and height of `size`."""
    grey = cv2.cvtColor(render.photograph(picture), cv2.COLOR_RGB2GRAY)
    scale = 2 * max(size[0] / grey.shape[1], size[1] / grey.shape[0])
    large = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(large[: 2 * size[1], : 2 * size[0]])


def letters(size: Size, height: int = 11, stroke: int = 1) -> np.ndarray:
    """Lines of letters; heights and strokes in pixels."""
    page = np.full((2 * size[1], 2 * size[0]), 30, np.uint8)
    text, font = "Every morning the boats leave at 7:45 " * 12, cv2.FONT_HERSHEY_SIMPLEX
    for y in range(2 * height, len(page), 2 * height):
        cv2.putText(page, text, (4, y), font, height / 22, 225, stroke, cv2.LINE_AA)
    return page


def stripes(size: Size, period: float) -> np.ndarray:
    """Venetian blinds: horizontal stripes."""
    across, down = np.meshgrid(np.arange(2 * size[0]), np.arange(2 * size[1]))
    return np.where(down % period < period / 2, 205, 45).astype(np.uint8) + (20 * np.sin(across / 19) + 20).astype(
        np.uint8
    )


def checks(size: Size) -> np.ndarray:
    """A test chart: squares from one pixel on."""
    across, down = np.meshgrid(np.arange(2 * size[0]), np.arange(2 * size[1]))
    side = 1 + across // 32 % 6
    return np.where((across // side + down // side) % 2, 220, 30).astype(np.uint8)


def panned(picture: np.ndarray, size: Size, speed: tuple[float, float], count: int) -> Film:
    """A view of `size` that moves over a picture by `speed` pixels (right, down) per picture, there and back."""

    def place(moved: float, room: int) -> float:
        turn = moved % (2 * room)
        return min(turn, 2 * room - turn)

    film = []
    for number in range(count):
        x, y = (place(v * number, s - 2) + 1 if v else s / 2 for v, s in zip(speed, size, strict=True))
        view = np.array([[1, 0, x], [0, 1, y]], np.float32)
        film.append(cv2.warpAffine(picture, view, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP))
    return film


def passed(background: np.ndarray, size: Size, speed: float, count: int) -> Film:
    """A thing of a fifth of the width that passes before a picture that stands."""
    behind = panned(background, size, (0, 0), 1)[0]
    width, height = size[0] // 5, size[1] // 4
    thing = cv2.convertScaleAbs(behind[-height:, :width], alpha=0.7, beta=70)
    film = []
    for number in range(count):
        frame, x = behind.copy(), int(speed * number) % (size[0] - width)
        frame[height : 2 * height, x : x + width] = thing
        film.append(frame)
    return film


def woven(film: Sequence[np.ndarray], top_first: bool = True) -> Film:
    """Half as many frames, each of the fields of two pictures."""
    frames = []
    for first, second in zip(film[::2], film[1::2], strict=False):
        frame = first.copy()
        frame[top_first::2] = second[top_first::2]
        frames.append(frame)
    return frames


def pulled_down(film: Sequence[np.ndarray], fields: Sequence[int] = (2, 3)) -> Film:
    """Five frames of each four pictures, which give in turn so many `fields` each; another cadence with others."""
    numbers = [number for number in range(len(film)) for _ in range(fields[number % len(fields)])]
    frames = []
    for top, bottom in zip(numbers[::2], numbers[1::2], strict=False):
        frame = film[top].copy()
        frame[1::2] = film[bottom][1::2]
        frames.append(frame)
    return frames


def noisy(film: Sequence[np.ndarray], deviation: float) -> Film:
    chance = np.random.default_rng(5)
    return [(one + chance.normal(0, deviation, one.shape)).clip(0, 255).astype(np.uint8) for one in film]


# Ways to code frames of two fields. The last ones do not say that they are interlaced.
TOP = ("-vf", "setfield=tff,format=yuv420p", "-flags", "+ildct+ilme")
BOTTOM = ("-vf", "setfield=bff,format=yuv420p", "-flags", "+ildct+ilme")
PLAIN = ("-vf", "setfield=prog,format=yuv420p")
H264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-g", "12")
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "3", "-g", "12")


def coded(path: Path, film: Sequence[np.ndarray], *arguments: str, rate: str = "25") -> Path:
    """Encode a film with ffmpeg's `arguments`."""
    height, width = film[0].shape
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "gray"]
    command += ["-s", f"{width}x{height}", "-r", rate, "-i", "-", *arguments, str(path)]
    subprocess.run(command, input=b"".join(frame.tobytes() for frame in film), check=True)
    return path


def shares_of_combs(pictures: Iterator[np.ndarray] | Sequence[np.ndarray]) -> np.ndarray:
    """For each grey picture the share of pixels that stand out from the lines above and below to one side."""
    shares = []
    for picture in pictures:
        grey = picture.astype(np.int16)
        up, down = grey[1:-1] - grey[:-2], grey[1:-1] - grey[2:]
        shares.append(np.mean((np.minimum(up, down) > 10) | (np.maximum(up, down) < -10)))
    return np.array(shares)
