"""What stands still while the camera moves: in the next frame it is at the same place, not where the camera puts it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from clipmill.base.opencv import cv2
from clipmill.decode.similarity import FAR, SEEN, STANDING, FlowPicture, Similarity, find_camera

CERTAIN = 0.3  # share of the picture's texture that a camera's move explains, at least
TIMES, LEVELS = 2.5, 2.0  # a place is wrong if the levels there differ by so many times more, and by so many more
PAIRS, LEAST_PAIRS = 0.6, 3  # the share, and the number, of pairs of frames in which it is, at least
VISIBLE = 0.3  # share of the edges whose other place is in the picture, at least


class Cameras:
    """How the camera moves from each frame of a scene to the next: None where it is not certain.

    `greys`: frames, height × width bytes.
    """

    def __init__(self, greys: Sequence[np.ndarray]):
        self.moves = _moves(greys)

    def look_again(self, greys: Sequence[np.ndarray]) -> None:
        """Where the move was not certain, see what the frames say without some of their parts."""
        self.moves = [move or other for move, other in zip(self.moves, _moves(greys), strict=True)]

    @property
    def may_move(self) -> bool:
        """Whether the camera does not stand for certain."""
        return self._enough(sum(move != STANDING for move in self.moves))

    @property
    def move(self) -> bool:
        """Whether the camera moves for certain."""
        return self._enough(sum(move not in (None, STANDING) for move in self.moves))

    def _enough(self, pairs: int) -> bool:
        return pairs >= max(LEAST_PAIRS, PAIRS * len(self.moves))

    def way(self, top: float, left: float, shape: tuple[int, ...]) -> float:
        """How many pixels the camera moves a place of the first frame, at most, as far as it is certain.

        `shape`: of the frames.
        """
        here = [np.array([left, top, 1.0])]
        for move in self.moves:
            if move is not None:
                here.append(np.append(move.matrix(shape) @ here[-1], 1.0))
        return float(max(np.hypot(*(place - here[0])[:2]) for place in here))

    def leave_behind(self, levels: np.ndarray, edges: np.ndarray, top: int, left: int) -> bool:
        """Whether edges are seen to stand still against the camera: in a box of frames that begins at `top`, `left`.

        `levels`: frames × height × width. `edges`: of the box, which pixels to look at. Where the camera stands, zooms
        at, or pans along lines, both places look alike, and nothing can be said.
        """
        seen = [
            _is_elsewhere(before, after, move, edges, top, left)
            for before, after, move in zip(levels, levels[1:], self.moves, strict=False)
            if move is not None
        ]
        return self._enough(sum(seen))


def _moves(greys: Sequence[np.ndarray]) -> list[Similarity | None]:
    pictures = [FlowPicture(grey) for grey in greys]
    found = [find_camera(before, after) for before, after in itertools.pairwise(pictures)]
    return [move if certainty >= CERTAIN else None for move, certainty in found]


def _is_elsewhere(
    before: np.ndarray, after: np.ndarray, move: Similarity, edges: np.ndarray, top: int, left: int
) -> bool:
    """Whether edges of one frame are at the same place in the next one, and not where `move` leads them."""
    rows, columns = slice(top, top + edges.shape[0]), slice(left, left + edges.shape[1])
    still = float(np.abs(after[rows, columns] - before[rows, columns])[edges].mean())
    wrong = []
    for here, there, way in ((before, after, move), (after, before, move.inverse())):
        moved = cv2.warpAffine(
            there,
            way.matrix(before.shape, (left, top)),
            edges.shape[::-1],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=FAR,
        )[edges]
        visible = np.abs(moved) < SEEN
        if visible.mean() >= VISIBLE:
            wrong.append(float(np.abs(moved - here[rows, columns][edges])[visible].mean()))
    return bool(wrong) and min(wrong) >= TIMES * still + LEVELS
