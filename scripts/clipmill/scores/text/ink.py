"""Boxes of text made tight around the letters, where the letters stand out from a plain surround."""

from __future__ import annotations

import numpy as np

from clipmill.base.opencv import cv2

AIR = 0.25  # of the height of a box: how far around it letters are looked for
PLAIN = 0.1  # the surround is plain if no more than this share of its pixels differs from its colour as letters do
INK = 0.4  # of the difference of letters from the surround: what differs more is ink
LEAST_CONTRAST = 12  # grey levels: the least such difference

# What the boxes depend on besides those of the detector.
ABOUT = {"air": AIR, "plain": PLAIN, "ink": INK, "least_contrast": LEAST_CONTRAST}


def tight(picture: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Boxes (N × 4 corners × 2, clockwise from the top left) whose sides touch ink, on a picture with three colours.

    Each side moves outwards as long as there is ink on it, or else inwards to the first ink. A box whose surround is
    not plain, as over most photographs, stays as it is.
    """
    return np.array([_tight(picture, box) for box in boxes], np.float32).reshape(-1, 4, 2)


def with_air(boxes: np.ndarray) -> np.ndarray:
    """Boxes made larger on each side, by a share of their height (AIR): N × 4 corners × 2, clockwise from top left."""
    right, down, _, height = _axes(boxes)
    corners = [right * x + down * y for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    return (boxes + AIR * height[:, None, None] * np.stack(corners, axis=1)).astype(np.float32)


def _axes(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of each box the directions of its lines and across them (N × 2, of length 1), its width and its height."""
    right = (boxes[:, 1] + boxes[:, 2] - boxes[:, 0] - boxes[:, 3]) / 2
    down = (boxes[:, 2] + boxes[:, 3] - boxes[:, 0] - boxes[:, 1]) / 2
    width, height = (np.maximum(np.linalg.norm(side, axis=1), 1e-6) for side in (right, down))
    return right / width[:, None], down / height[:, None], width, height


def _tight(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    (right,), (down,), (width,), (height,) = _axes(box[None])
    air = round(AIR * height)
    across, high = round(width), round(height)
    start = box[0] - air * (right + down)
    patch = cv2.warpAffine(
        picture,
        np.column_stack([right, down, start]),
        (across + 2 * air + 1, high + 2 * air + 1),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    ink = _ink(patch, air)
    if ink is None:
        return box
    top, bottom = _sides(np.asarray(ink.any(axis=1)), air, air + high)
    left, end = _sides(np.asarray(ink.any(axis=0)), air, air + across)
    return np.array([start + x * right + y * down for x, y in ((left, top), (end, top), (end, bottom), (left, bottom))])


def _ink(patch: np.ndarray, air: int) -> np.ndarray | None:
    """Which pixels are of letters; None if the surround, the patch's outermost pixels, is not plain."""
    surround = np.concatenate([patch[0], patch[-1], patch[:, 0], patch[:, -1]])
    colour = np.median(surround, axis=0)
    off = np.abs(patch - colour).max(axis=-1)
    inner = off[air : len(off) - air, air : off.shape[1] - air]
    level = INK * np.quantile(inner, 0.95)
    if level < LEAST_CONTRAST or (np.abs(surround - colour).max(axis=-1) > level).mean() > PLAIN:
        return None
    return np.asarray(off > level)


def _sides(inked: np.ndarray, first: int, last: int) -> tuple[int, int]:
    """The first and the last line of ink: from `first` and `last` on, outwards through ink, or inwards to it."""
    inside = np.flatnonzero(inked[first : last + 1]) + first
    if not inside.size:
        return first, last
    before, after = np.flatnonzero(~inked[:first]), np.flatnonzero(~inked[last + 1 :])
    if inside[0] == first and before.size:
        first = before[-1] + 1
    elif inside[0] > first:
        first = inside[0]
    if inside[-1] == last and after.size:
        last += after[0]
    elif inside[-1] < last:
        last = inside[-1]
    return int(first), int(last)
