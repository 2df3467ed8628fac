"""Boxes of text in the frames of a clip: how much of a frame they cover, and which of them stand still at its edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from clipmill.base.opencv import cv2

EDGE = 0.25  # share of the frame's width or height: a box at the edge lies wholly within such a band along one side
SAME_PLACE = 0.5  # two boxes whose intersection over union is at least this stand in the same place

# What the columns depend on besides the boxes.
ABOUT = {"edge": EDGE, "same_place": SAME_PLACE}


@dataclass(frozen=True)
class TextBoxes:
    """The text found in one frame.

    A box is four corners (x, y) in pixels, in order around it, and may be turned. 0, 0 is the frame's corner.
    """

    boxes: np.ndarray  # N × 4 × 2, float32
    shape: tuple[int, int]  # height and width of the frame in pixels

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return self.boxes.nbytes


def text_columns(frames: list[TextBoxes]) -> dict[str, Any]:
    """The columns of the text score for the frames of a clip: shares of the frame, from 0 to 1.

    - `text_area_frames`: of each frame, the area under at least one box
    - `text_area`: its mean over the frames
    - `text_static_area`: the area under the boxes that stand still (see `standing`), mean over the frames: subtitles,
      logos, station names. Text in the scene counts too if it is at the edge and the camera stands still.
    - `text_scene_area`: the rest, the area under other boxes only. The two add up to `text_area`.

    A single frame does not show whether text stands still: the last two are then None, unless there is no text.
    """
    areas, static = [], []
    for frame, still in zip(frames, standing(frames), strict=True):
        areas.append(polygons_area(frame.boxes, frame.shape))
        static.append(polygons_area(frame.boxes[still], frame.shape))
    columns = {
        "text_area": _mean(areas),
        "text_area_frames": areas,
        "text_static_area": _mean(static),
        "text_scene_area": _mean(areas) - _mean(static),
    }
    if len(frames) == 1 and areas[0] > 0:
        columns |= {"text_static_area": None, "text_scene_area": None}
    return columns


def standing(frames: list[TextBoxes]) -> list[np.ndarray]:
    """Which boxes of each frame stand still at its edges: for each frame N booleans, one per box.

    A box stands still if it lies at an edge (EDGE), and if at least half of the frames, and at least two, have a box in
    its place (SAME_PLACE); its own frame counts. So a subtitle that changes its words, or is there half of the time,
    stands still; text that passes by does not.
    """
    needed = max(2, len(frames) / 2)
    found = []
    for frame in frames:
        still = (_at_edge(box, frame.shape) and _frames_with_box_in(box, frames) >= needed for box in frame.boxes)
        found.append(np.fromiter(still, bool, len(frame.boxes)))
    return found


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two convex polygons, corners × 2, float32."""
    common, _ = cv2.intersectConvexConvex(one, other)
    union = cv2.contourArea(one) + cv2.contourArea(other) - common
    return common / union if union > 0 else 0.0


def polygons_area(polygons: np.ndarray, shape: tuple[int, int]) -> float:
    """Share of a frame of `shape` (height, width) that lies under at least one of `polygons` (N × corners × 2)."""
    if len(polygons) == 0:
        return 0.0
    import shapely  # takes 0.3 s; RapidOCR and EasyOCR bring it

    height, width = shape
    covered = shapely.union_all(shapely.make_valid(shapely.polygons(polygons.astype(np.float64))))
    return float(shapely.clip_by_rect(covered, 0, 0, width, height).area) / (height * width)


def _frames_with_box_in(place: np.ndarray, frames: list[TextBoxes]) -> int:
    """The number of frames that have a box in this place."""
    return sum(any(overlap(box, place) >= SAME_PLACE for box in _near(place, frame.boxes)) for frame in frames)


def _near(place: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The boxes whose upright bounds touch the bounds of `place`: a quick first test, which few boxes pass."""
    meet = (boxes.min(axis=1) <= place.max(axis=0)) & (boxes.max(axis=1) >= place.min(axis=0))
    return boxes[meet.all(axis=1)]


def _at_edge(box: np.ndarray, shape: tuple[int, int]) -> bool:
    """Whether the whole box lies in the outer band along one of the four sides."""
    size = np.array([shape[1], shape[0]])
    return bool((box.max(axis=0) <= EDGE * size).any() or (box.min(axis=0) >= (1 - EDGE) * size).any())


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
