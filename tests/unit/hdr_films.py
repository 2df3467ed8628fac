"""HDR films made of SDR pictures, as a broadcaster would grade them: the white of SDR at 203 cd/m²."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from cut_sources import run
from films import REAL
from skimage.color import deltaE_ciede2000, rgb2lab

from clipmill.base.opencv import cv2
from clipmill.demo import render

CURVES = {"hlg": "arib-std-b67", "pq": "smpte2084"}
PRIMARIES = {"bt709": "709", "bt2020": "2020", "smpte432": "smpte432"}  # x265's names, and zscale's
SIZE = (320, 180)
FRAMES = 12  # of each picture in a film
FPS = 24
PIXELS = f"rawvideo -pix_fmt bgr24 -s {SIZE[0]}x{SIZE[1]} -r {FPS} -i -".split()


@cache
def pictures() -> tuple[np.ndarray, ...]:
    """A chart, two photographs and frames of real videos, in blue, green and red."""
    found = [chart()] + [_sized(render.photograph(name)) for name in ("astronaut.png", "coffee.png")]
    for name in ("big-buck-bunny", "car-detection"):
        with av.open(str(REAL / f"{name}.mp4")) as container:
            found.append(_sized(next(container.decode(video=0)).to_ndarray(format="bgr24")))
    return tuple(found)


def chart() -> np.ndarray:
    """Bars of all corners of RGB in full and in 75 % of the signal, a ramp of grey, and a grey of 235 in white."""
    width, height = SIZE
    picture = np.zeros((height, width, 3), np.uint8)
    corners = np.array([[(corner >> bit) & 1 for bit in range(3)] for corner in range(7, -1, -1)])
    bars = np.arange(width) * 8 // width
    picture[: height // 3] = 255 * corners[bars]
    picture[height // 3 : height // 2] = 191 * corners[bars]
    picture[height // 2 : height * 2 // 3] = np.linspace(0, 255, width)[:, None]
    picture[height * 2 // 3 :] = 255
    picture[-height // 4 :, : width // 2] = 235
    return picture


def graded(
    transfer: str,
    primaries: str = "bt2020",
    limits: str = "tv",
    pixels: str = "yuv420p10le",
    white: float = 203,
    shown_by: str = "709",
) -> str:
    """ffmpeg's filters from SDR pictures of full range to HDR with the transfer `hlg` or `pq`.

    `shown_by`: zscale's name of the curve of SDR. `709` is a gamma of 2.4 there.
    """
    light = f"format=gbrp,zscale=tin={shown_by}:min=gbr:pin=709:rin=full:t=linear:m=gbr:p=709,format=gbrpf32le"
    matrix = "gbr" if pixels.startswith("gbr") else "2020_ncl"
    grade = f"zscale=p={PRIMARIES[primaries]},zscale=t={CURVES[transfer]}:m={matrix}:r={limits}:npl={white}"
    return f"{light},{grade},format={pixels}"


def hdr_film(
    path: Path,
    transfer: str,
    shown: Sequence[np.ndarray] | None = None,
    primaries: str = "bt2020",
    matrix: str = "bt2020nc",
    **grade: Any,
) -> Path:
    """A film of pictures, FRAMES frames of each. `primaries`, `matrix`: its tags. `grade`: see `graded`."""
    limits = "full" if grade.get("limits") == "full" else "limited"
    tags = f"colorprim={primaries}:transfer={CURVES[transfer]}:colormatrix={matrix}:range={limits}"
    data = b"".join(picture.tobytes() * FRAMES for picture in shown or pictures())
    encoder = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", f"log-level=none:crf=8:{tags}")
    run("-y", "-f", *PIXELS, "-vf", graded(transfer, primaries, **grade), *encoder, str(path), input=data)
    return path


def colour_error(one: np.ndarray, other: np.ndarray) -> float:
    """The mean difference of two BGR pictures: CIEDE2000."""
    return float(deltaE_ciede2000(*(rgb2lab(picture[..., ::-1]) for picture in (one, other))).mean())


def _sized(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, SIZE, interpolation=cv2.INTER_AREA)
