"""Text area by RapidOCR's detector, PP-OCRv6 small, whose ONNX file comes inside its wheel (Apache-2.0)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from rapidocr import RapidOCR

from clipmill.decode.reading import FrameChoice
from clipmill.scores import Backend
from clipmill.scores.text import boxes
from clipmill.scores.text.boxes import TextBoxes, text_columns

MODEL = "PP-OCRv6_det_small"
LIMIT_SIDE = 640  # pixels of the long side that the detector sees
BOX_THRESHOLD = 0.65  # round shapes in pictures score 0.52 to 0.61

# On pictures without text the detector may take a single large object (a cup, a face) for a line of text. A box whose
# height is more than this share of the frame's short side counts only if the recogniser reads letters in it.
TALL = 0.3
READ_SCORE = 0.8


class RapidOcr(Backend):
    """Share of the frame under text: area of the union of the detected boxes, which may be turned."""

    inside = ({"model": MODEL, "revision": f"rapidocr {version('rapidocr')}", "licence": "Apache-2.0"},)

    def __init__(self, frames: int):
        self.frames = frames
        self.choice = FrameChoice(frames)
        self._engine: RapidOCR | None = None

    @property
    def about(self) -> dict[str, Any]:
        """What the score depends on."""
        return {
            "backend": "rapidocr",
            "model": MODEL,
            "version": version("rapidocr"),
            "frames": self.frames,
            "limit_side": LIMIT_SIDE,
            "box_threshold": BOX_THRESHOLD,
            "tall": TALL,
            "read_score": READ_SCORE,
            **boxes.ABOUT,
        }

    def prepare(self, frames: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The BGR frames as they are."""
        return list(frames)

    def measure(self, units: list[np.ndarray]) -> list[TextBoxes]:
        """The text boxes of each frame."""
        return [TextBoxes(self._boxes(frame).astype(np.float32), frame.shape[:2]) for frame in units]

    def finish(self, values: list[TextBoxes]) -> dict[str, Any]:
        """See `boxes.text_columns`."""
        return text_columns(values)

    def _boxes(self, frame: np.ndarray) -> np.ndarray:
        """Text boxes of a frame, N × 4 corners × 2. A box that could be an object must also be readable."""
        found = self._run(frame, use_rec=False)
        if found.boxes is None:
            return np.empty((0, 4, 2))
        found_boxes = np.asarray(found.boxes)
        if not _tall(found_boxes, frame).any():
            return found_boxes
        found = self._run(frame, use_rec=True, text_score=0.0)
        if found.boxes is None:
            return np.empty((0, 4, 2))
        found_boxes = np.asarray(found.boxes)
        read = [
            len(text.strip()) >= 2 and score >= READ_SCORE for text, score in zip(found.txts, found.scores, strict=True)
        ]
        return found_boxes[~_tall(found_boxes, frame) | np.array(read)]

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
