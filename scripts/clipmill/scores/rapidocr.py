"""Text area by RapidOCR's detector, PP-OCRv6 small, whose ONNX file comes inside its wheel (Apache-2.0)."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import cv2
import numpy as np
from rapidocr import RapidOCR

LIMIT_SIDE = 640  # pixels of the long side that the detector sees
BOX_THRESHOLD = 0.65  # round blobs of pictures score .52 to .61

# On pictures without text the detector may take a single large object (a cup, a face) for a line of text. A box whose
# height is more than this share of the frame's short side counts only if the recogniser reads letters in it.
TALL = 0.3
READ_SCORE = 0.8


class RapidOcr:
    """Share of the frame under text: area of the union of the detected boxes, turned ones as they stand."""

    def __init__(self, frames: int):
        self.frames = frames
        self._engine: RapidOCR | None = None

    @property
    def about(self) -> dict[str, Any]:
        """What the score depends on."""
        return {
            "backend": "rapidocr",
            "model": "PP-OCRv6_det_small",
            "version": version("rapidocr"),
            "frames": self.frames,
            "limit_side": LIMIT_SIDE,
            "box_threshold": BOX_THRESHOLD,
            "tall": TALL,
            "read_score": READ_SCORE,
        }

    def score(self, frames: list[np.ndarray]) -> dict[str, Any]:
        """`text_area` (mean) and `text_area_frames` of BGR frames, shares from 0 to 1."""
        areas = [polygons_area(self._boxes(frame), frame.shape[:2]) for frame in frames]
        return {"text_area": sum(areas) / len(areas), "text_area_frames": areas}

    def _boxes(self, frame: np.ndarray) -> np.ndarray:
        """Text boxes of a frame, N × 4 corners × 2. One that could be a whole object must also be readable."""
        found = self._run(frame, use_rec=False)
        if found.boxes is None:
            return np.empty((0, 4, 2))
        boxes = np.asarray(found.boxes)
        if not _tall(boxes, frame).any():
            return boxes
        found = self._run(frame, use_rec=True, text_score=0.0)
        if found.boxes is None:
            return np.empty((0, 4, 2))
        boxes = np.asarray(found.boxes)
        read = [
            len(text.strip()) >= 2 and score >= READ_SCORE for text, score in zip(found.txts, found.scores, strict=True)
        ]
        return boxes[~_tall(boxes, frame) | np.array(read)]

    def _run(self, frame: np.ndarray, **options: Any) -> Any:
        if self._engine is None:
            self._engine = RapidOCR(
                params={
                    "Global.log_level": "error",
                    "Det.limit_type": "max",
                    "Det.limit_side_len": LIMIT_SIDE,
                    "Det.box_thresh": BOX_THRESHOLD,
                    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                }
            )
        return self._engine(frame, use_det=True, use_cls=False, **options)


def _tall(boxes: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Which boxes are taller than a usual line of text, by the shorter of their sides."""
    sides = np.linalg.norm(boxes - np.roll(boxes, 1, axis=1), axis=2)
    return sides.min(axis=1) > TALL * min(frame.shape[:2])


def polygons_area(polygons: np.ndarray, shape: tuple[int, int]) -> float:
    """Share of a frame of `shape` (height, width) that lies under at least one of `polygons` (N × corners × 2)."""
    mask = np.zeros(shape, np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [np.round(polygon).astype(np.int32)], 1)
    return float(mask.mean())
