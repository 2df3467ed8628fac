"""What a clip is recognized by without a model: what its pictures show, and how their brightness moves.

What they show is one small picture, the mean over the clip, in which only the detail counts and not how bright or strong
it is. So it is the same after compression, scaling, a change of brightness or a logo, and other when mirrored. How they
move tells shots of the same place from each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from clipmill.base.opencv import cv2
from clipmill.decode.reading import read_thumbnails
from clipmill.decode.signals import THUMBNAIL_SIDE
from clipmill.duplicates.search import LENGTH, UNIT
from clipmill.shapes.sizes import Crop

VERSION = 1  # of the values
SIDE = 32  # pixels of the mean picture
LEAST_SIDE = 128  # pixels of the short side at which kept frames are read
NEAR, AROUND = 6, 9  # pixels: the detail of a pixel is its difference to those near it, over the contrast around it
FLAT = 4  # grey levels of contrast: much fainter detail counts less
MOST = 2.5  # contrasts: a logo is no stronger than that
STEP, DETAIL = 2, 0.05  # grey levels between neighbours that are detail; a picture with a smaller share of it is plain

RATE = 8  # moves per second
CELLS = 4  # of a move, on a side
LEVEL = 8  # a grey level, in steps of a move
FINE = 64  # pixels on a side to which a thumbnail is enlarged to cut its bars away

Box = tuple[float, float, float, float]
"""The part of a picture that is looked at: its left, top, right and bottom edge, as shares of width and height."""

BORDERS = ("border_left", "border_top", "border_right", "border_bottom")


def box_of(clip: Mapping[str, Any], signals: pa.Table) -> Box:
    """The part of the picture that a clip shows: without what it is cropped by, or else without its black bars."""
    if crop := Crop.of(clip):
        (width, height), (across, down) = crop.whole, crop.size
        return crop.x / width, crop.y / height, (crop.x + across) / width, (crop.y + down) / height
    bars = np.column_stack([signals[name].to_numpy() for name in BORDERS])
    bars = bars[~np.isnan(bars).any(1)]
    left, top, right, bottom = bars.min(0) if len(bars) else np.zeros(4)
    return float(left), float(top), float(1 - right), float(1 - bottom)


def sketch(pictures: Iterable[np.ndarray], box: Box) -> np.ndarray | None:
    """What a clip shows, from grey pictures: LENGTH numbers (int16); None if all of them are plain.

    A vector of length UNIT: the lowest frequencies of the mean detail, as the discrete cosine transform has them.
    """
    details = [detail for picture in pictures if (detail := _detail(_within(picture, box))) is not None]
    if not details:
        return None
    waves = cv2.dct(np.mean(details, 0, dtype=np.float32))[_lowest()]
    length = float(np.linalg.norm(waves))
    return np.rint(waves * (UNIT / length)).astype(np.int16) if length > 0 else None


def _within(picture: np.ndarray, box: Box) -> np.ndarray:
    """The part of a picture, at least one pixel of it."""
    height, width = picture.shape
    left, top = min(round(box[0] * width), width - 1), min(round(box[1] * height), height - 1)
    return picture[top : max(round(box[3] * height), top + 1), left : max(round(box[2] * width), left + 1)]


def _detail(picture: np.ndarray) -> np.ndarray | None:
    """The detail of a grey picture: SIDE × SIDE, without size; None if it is plain."""
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    steps = np.abs(np.diff(small, axis=0))[:, 1:] + np.abs(np.diff(small, axis=1))[1:]
    if np.mean(steps > STEP) < DETAIL:
        return None
    difference = small - _blurred(small, NEAR)
    contrast = np.sqrt(_blurred(difference * difference, AROUND))
    return np.clip(difference / (contrast + FLAT), -MOST, MOST)


def _blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)


@cache
def _lowest() -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the LENGTH lowest frequencies, without the mean."""
    rows, columns = np.divmod(np.arange(1, SIDE * SIDE), SIDE)
    lowest = np.argsort(rows**2 + columns**2, kind="stable")[:LENGTH]
    return rows[lowest], columns[lowest]


def moves(signals: pa.Table, box: Box) -> np.ndarray:
    """How the brightness of a clip moves: RATE times a second CELLS × CELLS grey levels, in steps of 1 / LEVEL (int16).

    `signals`: those of the clip's frames.
    """
    cells = np.stack([_cells(thumbnail, box) for thumbnail in read_thumbnails(signals)])
    times = signals["time"].to_numpy() - signals["time"][0].as_py()
    wanted = np.arange(0, times[-1] + 1e-6, 1 / RATE)
    after = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1))
    if len(times) == 1:
        return np.rint(cells * LEVEL).astype(np.int16)
    share = ((wanted - times[after - 1]) / (times[after] - times[after - 1]))[:, None]
    return np.rint((cells[after - 1] * (1 - share) + cells[after] * share) * LEVEL).astype(np.int16)


def _cells(thumbnail: np.ndarray, box: Box) -> np.ndarray:
    """The mean grey levels of CELLS × CELLS parts of a thumbnail, within the box."""
    picture = thumbnail.reshape(THUMBNAIL_SIDE, THUMBNAIL_SIDE).astype(np.float32)
    if box != (0, 0, 1, 1):
        picture = _within(cv2.resize(picture, (FINE, FINE), interpolation=cv2.INTER_CUBIC), box)
    return cv2.resize(picture, (CELLS, CELLS), interpolation=cv2.INTER_AREA).reshape(-1)
