"""Whether soft bars are what they look like: an enlarged and blurred copy of the picture between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clipmill.base.opencv import cv2

LONG_SIDE = 64  # pixels at which bars and picture are compared: what is finer was blurred away
ALIKE = 0.5  # correlation of the bars with an enlarged copy of the picture, at least
SPREAD = 3.0  # grey levels: the least standard deviation of soft bars; with less they are even
MOVING = 1.5  # grey levels by which a copy changes, on average, if it can be told whether the bars change as it does
CHANGES_ALIKE = 0.3  # correlation of these changes, at least


def are_blurred_copies(frames: Sequence[np.ndarray], shares: Sequence[float], must_change: bool) -> bool:
    """Whether the bars are blurred copies of the picture, in frames of a scene (BGR).

    `shares`: of the width or height that the bars take at the left, top, right and bottom. Enlarged pictures either
    cover the frame or are stretched to it; the better guess counts. Sceneries are alike from side to side, too: the sky
    is bright everywhere. So the bars must also change as the picture does, if it changes; with `must_change` it must.
    """
    greys = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames]
    found = [_small(grey) for grey in greys]
    height, width = found[0].shape
    bars = np.ones((height, width), bool)
    left, top, right, bottom = _edges(shares, width, height)
    bars[max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1] = False
    if bars.sum() < LONG_SIDE:
        return False
    real = np.array([one[bars] for one in found])
    if np.median(real.std(1)) < SPREAD:
        return False
    inner = [
        grey[top:bottom, left:right] for grey in greys for left, top, right, bottom in [_edges(shares, *_size(grey))]
    ]
    for enlarged in (_covering, _stretched):
        copies = np.array([cv2.GaussianBlur(enlarged(one, (width, height)), (0, 0), 2)[bars] for one in inner])
        if np.median([_correlation(one, copy) for one, copy in zip(real, copies, strict=True)]) < ALIKE:
            continue
        if _change_alike(real, copies, must_change):
            return True
    return False


def _change_alike(real: np.ndarray, copies: np.ndarray, must_change: bool) -> bool:
    """Whether the bars of frames change in time as copies do: frames × pixels."""
    real, copies = (one - one.mean(0) for one in (real, copies))
    real, copies = (one - one.mean(1, keepdims=True) for one in (real, copies))  # light that changes everywhere
    if copies.std() < MOVING:
        return not must_change
    return _correlation(real.reshape(-1), copies.reshape(-1)) >= CHANGES_ALIKE


def _size(grey: np.ndarray) -> tuple[int, int]:
    return grey.shape[1], grey.shape[0]


def _edges(shares: Sequence[float], width: int, height: int) -> tuple[int, int, int, int]:
    """The edges of the picture between bars, in pixels from the left and the top."""
    left, top, right, bottom = shares
    return round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height)


def _small(grey: np.ndarray) -> np.ndarray:
    scale = LONG_SIDE / max(grey.shape)
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)


def _covering(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle of a picture, evenly scaled until it covers `size`."""
    scale = max(size[0] / picture.shape[1], size[1] / picture.shape[0])
    width, height = (max(wanted, round(side * scale)) for wanted, side in zip(size, picture.shape[::-1], strict=True))
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    return _stretched(picture, (width, height))[top : top + size[1], left : left + size[0]]


def _stretched(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.float32)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    length = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / length if length else 0.0
