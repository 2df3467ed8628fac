"""How the camera moves through a clip, from a few of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log

import numpy as np

from clipmill.base.opencv import cv2

CELLS = 8  # the frame is judged in CELLS × CELLS parts
LEAST_TEXTURE, LEAST_EXPLAINED = 0.6, 0.3  # grey levels; share of the texture that a reported camera move explains
UNMOVED = np.array([[1.0, 0, 0], [0, 1.0, 0]])  # the transform of a picture that stands still


@dataclass(frozen=True)
class Camera:
    """The camera's path through a clip, in percent of the frame's short side: `right` and `down` are positive.

    `path` is the length of the path with all its turns; `zoom` the logarithm of the change of scale, positive inwards;
    `steady_zoom`: whether the scale changes mostly in one direction.
    """

    right: float
    down: float
    path: float
    zoom: float
    steady_zoom: bool


class Picture:
    """A grey frame, and what pairs of frames need of it. Each frame is in two pairs, so this is computed once."""

    def __init__(self, grey: np.ndarray):
        self.grey = grey

    @cached_property
    def features(self) -> tuple[np.ndarray, np.ndarray | None]:
        """ORB points (N × 2) and their descriptors, the strongest of each part, so that no object dominates."""
        orb = cv2.ORB.create(3000, fastThreshold=7)
        height, width = self.grey.shape
        found = orb.detect(self.grey, None)
        x, y = _places(found).astype(float).T
        columns, rows = ((place * CELLS / side).astype(int) for place, side in ((x, width), (y, height)))
        strongest = np.argsort([-point.response for point in found], kind="stable")
        _, first, number = np.unique((rows * CELLS + columns)[strongest], return_index=True, return_inverse=True)
        part = first[number]  # of each point: the place of the strongest point in its part
        by_part = np.argsort(part, kind="stable")
        rank = np.arange(len(part)) - np.searchsorted(part[by_part], part[by_part])
        chosen = strongest[by_part[rank < 16]].tolist()
        points, descriptors = orb.compute(self.grey, [found[number] for number in chosen])
        return _places(points), descriptors

    @cached_property
    def texture(self) -> np.ndarray:
        """The picture without its slow changes of light."""
        fine = cv2.GaussianBlur(self.grey.astype(np.float32), (0, 0), 1.5)
        return fine - cv2.GaussianBlur(fine, (0, 0), 6)


def _places(points: Sequence[cv2.KeyPoint]) -> np.ndarray:
    """Where points are: N × (x, y), float32."""
    return np.array(cv2.KeyPoint.convert(points), np.float32).reshape(-1, 2)


def camera_path(greys: Sequence[np.ndarray]) -> Camera | None:
    """The camera's path, from similarity transforms of neighbouring frames; None if too few are clear.

    ORB features (Rublee and others, 2011), RANSAC (Fischler and Bolles, 1981). The camera moves against the picture.
    """
    if len(greys) < 3 or min(greys[0].shape) < 4 * CELLS:
        return None
    pictures = [Picture(grey) for grey in greys]
    pairs = [pair_step(before, after) for before, after in zip(pictures, pictures[1:], strict=False)]
    steps = np.array([step for step in pairs if step is not None])
    if len(steps) < 0.6 * len(pairs):
        return None
    zooms = steps[:, 2]
    total = np.append(-steps[:, :2].mean(axis=0), zooms.mean()) * len(pairs)
    path = float(np.hypot(steps[:, 0], steps[:, 1]).mean() * len(pairs))
    steady = abs(zooms.sum()) >= 0.7 * np.abs(zooms).sum()
    return Camera(float(total[0]), float(total[1]), path, float(total[2]), bool(steady))


def pair_step(before: Picture, after: Picture) -> tuple[float, float, float] | None:
    """How the picture's centre moves (right, down: percent of the short side), and log of the scale; None if unclear.

    The transform must move most textured parts of the frame to their places in the next one: a transform that only
    fits a moving object or a caption is not the camera's.
    """
    height, width = before.grey.shape
    transform, share = UNMOVED, explained(before, after)
    if (matched := _match(before, after)) is not None and (moved := explained(before, after, matched)) > share:
        transform, share = matched, moved
    if share < LEAST_EXPLAINED:
        return None
    centre = np.array([width / 2, height / 2])
    move = (transform[:, :2] @ centre + transform[:, 2] - centre) / min(height, width) * 100
    return float(move[0]), float(move[1]), log(np.hypot(transform[0, 0], transform[1, 0]))


def _match(before: Picture, after: Picture) -> np.ndarray | None:
    """The 2×3 similarity that most feature pairs agree on, or None."""
    (points, descriptors), (next_points, next_descriptors) = before.features, after.features
    if descriptors is None or next_descriptors is None or min(len(descriptors), len(next_descriptors)) < 12:
        return None
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(descriptors, next_descriptors, k=2)
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < 0.8 * pair[1].distance]
    if len(good) < 8:
        return None
    old = points[[match.queryIdx for match in good]]
    new = next_points[[match.trainIdx for match in good]]
    transform, inside = cv2.estimateAffinePartial2D(old, new, method=cv2.RANSAC, ransacReprojThreshold=2.5)
    if transform is None or inside.sum() < 8 or not 0.5 < np.hypot(transform[0, 0], transform[1, 0]) < 2:
        return None
    return transform


def explained(before: Picture, after: Picture, transform: np.ndarray | None = None) -> float:
    """Share of the texture that `transform` moves to its place, 0 to 1: mean of textured parts; 0 if these are few.

    Without a `transform` the picture stands still.
    """
    here, moved = after.texture, before.texture
    seen = np.ones_like(here)
    if transform is not None:
        size = here.shape[::-1]
        moved = cv2.warpAffine(moved, transform, size)
        seen = (cv2.warpAffine(seen, transform, size) > 0.99).astype(np.float32)
    # One call for all three: it takes as long as for one of them.
    maps = cv2.merge([np.abs(here) * seen, np.abs(here - moved) * seen, seen])
    energy, error, visible = cv2.split(cv2.resize(maps, (CELLS, CELLS), interpolation=cv2.INTER_AREA))
    textured = (energy > LEAST_TEXTURE) & (visible > 0.5)
    if textured.sum() < 12:
        return 0.0
    return float(1 - np.minimum(error[textured] / energy[textured], 1).mean())
