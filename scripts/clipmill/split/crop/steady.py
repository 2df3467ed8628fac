"""Edges that stand still in frames: by how much they do move, and to a part of a pixel where they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from clipmill.base.opencv import cv2

SURE = 3.0  # standard errors of a median that is no chance
ALIKE = 0.25  # a step of this share of the usual one, or more, is alike
RINGING, RINGS = 0.25, 4  # share of an edge's step that coding leaves within so many rows of it, at most
SMOOTH = np.array([1, 2, 1]) / 4  # along an edge
OUTERMOST = 2  # columns in which an overlay reaches as far as its edge does
AROUND = 1  # rows by which edges in colour are elsewhere, about
SEEN = 8.0  # grey levels: the least step from the picture to an overlay that says where its edge is
OF_MEDIAN = 1.25 * 1.4826  # the standard error of a median × √n / the median deviation, for normal values


def median(values: np.ndarray) -> np.ndarray:
    """The median along the first axis, as numpy's, in a third of the time."""
    ordered = np.sort(values, axis=0)
    middle = len(values) // 2
    return np.asarray(ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2)


def drift(frames: np.ndarray, edges: np.ndarray) -> float:
    """By how many pixels edges move from the first to the last of frames (frames × height × width), about.

    `edges`: which pixels to look at. They may shift, grow and turn, steadily in time: what a camera zooms at does so.
    After Lucas and Kanade ("An iterative image registration technique", 1981), with the median frame as the template.
    """
    usual = median(frames)
    across, down = (cv2.Sobel(usual, cv2.CV_32F, *way, ksize=3, scale=1 / 8)[edges] for way in ((1, 0), (0, 1)))
    y, x = (place - place.mean() for place in np.nonzero(edges))
    size = max(1.0, float(np.sqrt((x**2 + y**2).mean())))
    x, y = x / size, y / size
    # Levels by which pixels change if the edges move right, down, grow, and turn; and if it gets brighter.
    changes = np.stack([across, down, across * x + down * y, down * x - across * y, np.ones_like(across)], axis=1)
    levels = (usual[edges] - frames[:, edges]).T
    moved, *_ = np.linalg.lstsq(changes, levels, rcond=None)
    weights = 1 / (1 + ((levels - changes @ moved) ** 2).mean(0))  # less where something passes behind the edges
    times = np.arange(len(frames)) - np.average(np.arange(len(frames)), weights=weights)
    total = moved[:4] @ (weights * times) / (weights @ times**2) * (len(frames) - 1)
    return float(np.sqrt((total**2).sum()))


class Begin(NamedTuple):
    """Where edges begin from the top, in rows, in the columns in which it is known: one place per column."""

    columns: np.ndarray
    places: np.ndarray

    @property
    def place(self) -> float:
        """Where the outermost ones begin."""
        ordered = np.sort(self.places)
        return float(ordered[min(OUTERMOST, len(ordered)) - 1])


def outermost(
    frames: np.ndarray, edges: np.ndarray, least: float, faint: float, otherwise: int, blurred: int
) -> Begin | None:
    """Where edges begin from the top, in frames × rows × columns of levels. None if nobody can tell.

    `edges`: rows × columns, where they may be. `least`: levels by which rows differ at an edge. `faint`: share of the
    strongest such steps, at least: coding leaves less around an edge. `otherwise`: how many frames may differ in
    another way. `blurred`: rows over which an edge is spread, at most. A pixel of a frame that was made smaller is the
    mean of the pixels that were there. So the centre of mass of the differences between rows is where the edge was, to
    a part of a row.
    """
    steps = cv2.sepFilter2D(np.diff(frames, axis=1).transpose(1, 2, 0), -1, SMOOTH, np.ones(1)).transpose(2, 0, 1)
    usual = median(steps)
    strong = np.abs(usual)
    if not (strong >= least).any():
        return None
    error = OF_MEDIAN * median(np.abs(steps - usual)) / np.sqrt(len(steps))
    full = np.percentile(strong[strong >= least], 90)
    inside = cv2.dilate(strong, np.ones((RINGS, 2 * RINGS - 1), np.uint8), anchor=(RINGS - 1, 0))
    sure = strong >= np.maximum(np.maximum(SURE * error, RINGING * inside), max(least, faint * full))
    alike = (steps * np.sign(usual) >= ALIKE * strong).sum(0) >= len(steps) - otherwise
    sure &= alike & (edges[1:] | edges[:-1])
    columns = np.flatnonzero(sure.any(0))
    places = np.array([_centre(usual[:, at], int(np.argmax(sure[:, at])), blurred) for at in columns])
    return Begin(columns, places) if len(columns) else None


def sharpened(begin: Begin, greys: np.ndarray) -> float:
    """The place of edges that were seen in colour, as grey shows it: frames × rows × columns of levels.

    Grey may hide them, as it is darker than they are in some frames and brighter in others. But each frame shows the
    whole step from the picture to the overlay, and how much of it is between any two rows.
    """
    near = begin.places <= begin.place + AROUND
    columns, places = begin.columns[near], begin.places[near]
    rows = np.rint(places).astype(int) + np.arange(-AROUND - 1, AROUND + 1)[:, None]
    known = (rows[0] >= 0) & (rows[-1] < greys.shape[1])
    levels = greys[:, rows[:, known], columns[known]]
    whole = levels[:, -1] - levels[:, 0]
    if not known.any() or np.mean(whole**2) < SEEN**2:
        return begin.place
    off = rows[1:, known] - places[known]
    return begin.place + float((np.diff(levels, axis=1) * whole[:, None] * off).sum() / (whole**2).sum())


def _centre(steps: np.ndarray, first: int, blurred: int) -> float:
    """The centre of mass of the steps of one sign around the number `first`; step 0 is between rows 0 and 1."""
    steps = steps * np.sign(steps[first])
    begin = first - 1 if first and steps[first - 1] > 0 else first
    end = first + 1
    while end < min(len(steps), first + blurred) and steps[end] > 0:
        end += 1
    return float((steps[begin:end] * np.arange(begin + 1, end + 1)).sum() / steps[begin:end].sum())
