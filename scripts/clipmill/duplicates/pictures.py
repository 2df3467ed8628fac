"""What a clip is recognized by without a model: what its pictures show, and how their brightness moves.

What they show is one small picture, the mean over the clip without what passes by, in which only the detail counts and
not how bright or strong it is. So it stays the same after compression, scaling or a change of brightness, and becomes
another when mirrored. Its upper and lower half count apart, so that a logo or a subtitle spoils only one of them. How
they move tells shots of the same place from each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from clipmill.base.opencv import cv2
from clipmill.decode.reading import read_thumbnails
from clipmill.decode.signals import THUMBNAIL_SIDE
from clipmill.duplicates.cells import WHOLE_EDGES, Moves, between_bars
from clipmill.duplicates.search import LENGTH, UNIT
from clipmill.shapes.sizes import Crop

SIDE = 32  # pixels of the mean picture
EXTREME = 0.2  # share of the darkest and of the brightest levels of a pixel that do not count: what passes by
SOFT = 0.7  # pixels by which the mean picture is blurred, as the frames of a copy are of slightly other times
LEAST_SIDE = 128  # pixels of the short side at which kept frames are read
NEAR, AROUND = 5, 5  # pixels: the detail of a pixel is its difference to those near it, over the contrast around it
FLAT = 1.4  # grey levels of contrast: fainter detail counts less
MOST = 1.2  # contrasts: a logo is no stronger than that
STEP, DETAIL = 2, 0.1  # grey levels between neighbours that are detail; a picture with a smaller share of it is plain

RATE = 8  # moves per second
FINER = 4  # times between two moves whose mean each of them is
WHOLE = (0.0, 0.0, 1.0, 1.0)
BLACK = ("border_left", "border_top", "border_right", "border_bottom")  # of the signals: shares that are black
THIN = 0.02  # share that is black at a side and not cut away: it makes no difference
LEAST_SHOWN = 0.1  # share of the width or height that is left, at least

Box = tuple[float, float, float, float]
"""The part of a picture that is looked at: its left, top, right and bottom edge, as shares of width and height."""


def box_of(clip: Mapping[str, Any], signals: pa.Table, borders: Callable[[], Sequence[float]]) -> Box:
    """The part of the picture that a clip shows: what it is cropped to, or else what is between its bars.

    At a side without a bar what is black in all kept frames is left out: it may be a bar whose edge is not seen, since
    the picture beside it is dark. `signals`: those of the clip's frames. `borders`: finds the bars' shares of width or
    height at the left, top, right and bottom.
    """
    if crop := Crop.of(clip):
        (width, height), (across, down) = crop.whole, crop.size
        sides = np.array([crop.x / width, crop.y / height, 1 - (crop.x + across) / width, 1 - (crop.y + down) / height])
    else:
        sides = np.array(borders())
    black = np.column_stack([signals[name].to_numpy() for name in BLACK])
    black = black[~np.isnan(black).any(1)]
    if len(black):
        wider = np.where((sides == 0) & (black.min(0) > THIN), black.min(0), sides)
        for axis in (0, 1):
            if wider[axis::2].sum() <= 1 - LEAST_SHOWN:
                sides[axis::2] = wider[axis::2]
    left, top, right, bottom = sides.tolist()
    return left, top, 1 - right, 1 - bottom


def sketches(pictures: Iterable[np.ndarray], box: Box) -> np.ndarray | None:
    """What a clip shows, from grey pictures: 2 × LENGTH numbers (int16); None if there is nothing to see.

    For the upper and the lower half a vector of length UNIT: the lowest frequencies of the detail of the mean picture,
    by the discrete cosine transform. That of a half without detail is 0.
    """
    small = [cv2.resize(_within(picture, box), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for picture in pictures]
    if not any(map(_has_detail, small)):
        return None
    levels, extreme = np.sort(small, 0), int(len(small) * EXTREME)
    mean = _blurred(np.asarray(levels[extreme : len(levels) - extreme].mean(0, dtype=np.float32)), SOFT)
    difference = mean - _blurred(mean, NEAR)
    detail = np.clip(difference / (np.sqrt(_blurred(difference * difference, AROUND)) + FLAT), -MOST, MOST)
    waves = np.stack([cv2.dct(half)[_lowest()] for half in np.split(detail, 2)])
    lengths = np.linalg.norm(waves, axis=1, keepdims=True)
    return np.rint(waves * (UNIT / np.maximum(lengths, 1e-6))).astype(np.int16)


def _has_detail(picture: np.ndarray) -> bool:
    """Whether enough of a small grey picture is not plain."""
    levels = picture.astype(np.float32)
    steps = np.abs(np.diff(levels, axis=0))[:, 1:] + np.abs(np.diff(levels, axis=1))[1:]
    return bool(np.mean(steps > STEP) >= DETAIL)


def _within(picture: np.ndarray, box: Box) -> np.ndarray:
    """The part of a picture, at least one pixel of it."""
    height, width = picture.shape
    left, top = min(round(box[0] * width), width - 1), min(round(box[1] * height), height - 1)
    return picture[top : max(round(box[3] * height), top + 1), left : max(round(box[2] * width), left + 1)]


def _blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)


@cache
def _lowest() -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the LENGTH lowest frequencies of a half, without its mean."""
    rows, columns = np.divmod(np.arange(1, SIDE * SIDE // 2), SIDE)
    lowest = np.argsort((2 * rows) ** 2 + columns**2, kind="stable")[:LENGTH]
    return rows[lowest], columns[lowest]


def moves(signals: pa.Table, box: Box) -> Moves:
    """How the brightness of what is inside of the box moves, RATE times a second.

    `signals`: those of the clip's frames.
    """
    thumbnails = read_thumbnails(signals).astype(np.float32)
    down = across = WHOLE_EDGES
    if box != WHOLE:
        level = _level_of_bars(signals, box)
        (columns, across), (rows, down) = (between_bars(*box[axis::2]) for axis in (0, 1))
        cells = (thumbnails - level).reshape(-1, THUMBNAIL_SIDE, THUMBNAIL_SIDE)
        thumbnails = (rows @ cells @ columns.T).reshape(len(cells), -1) + level
    times = signals["time"].to_numpy() - signals["time"][0].as_py()
    count = max(1, int(times[-1] * RATE))
    wanted = np.minimum((np.arange(count * FINER) + 0.5) / (RATE * FINER), times[-1])
    after = np.clip(np.searchsorted(times, wanted), 1, None) if len(times) > 1 else np.zeros(len(wanted), int)
    before = np.maximum(after - 1, 0)
    share = ((wanted - times[before]) / np.maximum(times[after] - times[before], 1e-6))[:, None]
    finer = thumbnails[before] * (1 - share) + thumbnails[after] * share
    levels = np.clip(np.rint(finer.reshape(count, FINER, -1).mean(1)), 0, 255).astype(np.uint8)
    return Moves(levels.reshape(count, len(down) - 1, len(across) - 1), down, across)


def _level_of_bars(signals: pa.Table, box: Box) -> float:
    """The mean grey level of what is outside of the box."""
    levels = np.array(signals["bars_luma"].drop_null().to_pylist()).reshape(-1, 4)
    outside = levels[:, [edge != whole for edge, whole in zip(box, WHOLE, strict=True)]]
    return float(outside.mean()) if outside.size else 0.0
