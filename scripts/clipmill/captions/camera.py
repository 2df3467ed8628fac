"""How the camera moves through a clip, from a few of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from clipmill.base.opencv import cv2

CELLS = 8  # the frame is judged in CELLS × CELLS parts
LEAST_TEXTURE, LEAST_EXPLAINED = 0.6, 0.3  # grey levels; share of the texture that a reported camera move explains


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


def camera_path(greys: Sequence[np.ndarray]) -> Camera | None:
    """The camera's path, from similarity transforms of neighbouring frames; None if too few are clear.

    ORB features (Rublee and others, 2011), RANSAC (Fischler and Bolles, 1981). The camera moves against the picture.
    """
    if len(greys) < 3 or min(greys[0].shape) < 4 * CELLS:
        return None
    pairs = [pair_step(before, after) for before, after in zip(greys, greys[1:], strict=False)]
    steps = np.array([step for step in pairs if step is not None])
    if len(steps) < 0.6 * len(pairs):
        return None
    zooms = steps[:, 2]
    total = np.append(-steps[:, :2].mean(axis=0), zooms.mean()) * len(pairs)
    path = float(np.hypot(steps[:, 0], steps[:, 1]).mean() * len(pairs))
    steady = abs(zooms.sum()) >= 0.7 * np.abs(zooms).sum()
    return Camera(float(total[0]), float(total[1]), path, float(total[2]), bool(steady))


def pair_step(before: np.ndarray, after: np.ndarray) -> tuple[float, float, float] | None:
    """How the picture's centre moves (right, down: percent of the short side), and log of the scale; None if unclear.

    The transform must move most textured parts of the frame to their places in the next one: a transform that only
    fits a moving object or a caption is not the camera's.
    """
    height, width = before.shape
    identity = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    candidates = [identity]
    if (matched := _match(before, after)) is not None:
        candidates.append(matched)
    transform = max(candidates, key=lambda candidate: explained(before, after, candidate))
    if explained(before, after, transform) < LEAST_EXPLAINED:
        return None
    centre = np.array([width / 2, height / 2])
    move = (transform[:, :2] @ centre + transform[:, 2] - centre) / min(height, width) * 100
    return float(move[0]), float(move[1]), log(np.hypot(transform[0, 0], transform[1, 0]))


def _match(before: np.ndarray, after: np.ndarray) -> np.ndarray | None:
    """The 2×3 similarity that most feature pairs agree on, or None."""
    (points, descriptors), (next_points, next_descriptors) = (_features(image) for image in (before, after))
    if descriptors is None or next_descriptors is None or min(len(descriptors), len(next_descriptors)) < 12:
        return None
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(descriptors, next_descriptors, k=2)
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < 0.8 * pair[1].distance]
    if len(good) < 8:
        return None
    old = np.array([points[match.queryIdx].pt for match in good], np.float32)
    new = np.array([next_points[match.trainIdx].pt for match in good], np.float32)
    transform, inside = cv2.estimateAffinePartial2D(old, new, method=cv2.RANSAC, ransacReprojThreshold=2.5)
    if transform is None or inside.sum() < 8 or not 0.5 < np.hypot(transform[0, 0], transform[1, 0]) < 2:
        return None
    return transform


def _features(grey: np.ndarray) -> tuple[Sequence[cv2.KeyPoint], np.ndarray | None]:
    """ORB points and their descriptors, the strongest of each part of the frame, so that no object dominates."""
    orb = cv2.ORB.create(3000, fastThreshold=7)
    height, width = grey.shape
    parts: dict[tuple[int, int], list[cv2.KeyPoint]] = {}
    for point in sorted(orb.detect(grey, None), key=lambda point: -point.response):
        part = parts.setdefault((int(point.pt[0] * CELLS / width), int(point.pt[1] * CELLS / height)), [])
        if len(part) < 16:
            part.append(point)
    return orb.compute(grey, [point for part in parts.values() for point in part])


def explained(before: np.ndarray, after: np.ndarray, transform: np.ndarray) -> float:
    """Share of the texture that `transform` moves to its place, 0 to 1: mean of textured parts; 0 if these are few."""
    height, width = before.shape
    moved = cv2.warpAffine(_texture(before), transform, (width, height))
    seen = cv2.warpAffine(np.ones_like(before, np.float32), transform, (width, height))
    here = _texture(after)
    energy, error = (_cell_means(np.abs(image) * (seen > 0.99)) for image in (here, here - moved))
    textured = (energy > LEAST_TEXTURE) & (_cell_means((seen > 0.99).astype(np.float32)) > 0.5)
    if textured.sum() < 12:
        return 0.0
    return float(1 - np.minimum(error[textured] / energy[textured], 1).mean())


def _texture(grey: np.ndarray) -> np.ndarray:
    """A picture without its slow changes of light."""
    fine = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.5)
    return fine - cv2.GaussianBlur(fine, (0, 0), 6)


def _cell_means(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image.astype(np.float32), (CELLS, CELLS), interpolation=cv2.INTER_AREA)
