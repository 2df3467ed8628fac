"""Text area by RapidOCR's detector, PP-OCRv6 small, whose ONNX file comes inside its wheel (Apache-2.0)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from clipmill.base.usage import starting
from clipmill.decode.reading import FrameChoice
from clipmill.scores import EmbeddedBackend
from clipmill.scores.text import boxes, ink
from clipmill.scores.text.boxes import TextBoxes, text_columns

MODEL = "PP-OCRv6_det_small"
LIMIT_SIDE = 960  # pixels of the long side that the detector sees: kept frames of 16:9 as they are
BOX_THRESHOLD = 0.5  # letters of 10 pixels score 0.5 and more

# The detector finds the middle of each line, and widens it by this ratio of area to circumference. Its own ratio, 1.6,
# is for reading, with air around the letters: the area is then 1.4 times that of the letters' rectangle.
UNCLIP_RATIO = 0.9

# On pictures without text the detector may take an object for a line of text: a large one (a cup, a face), or a small
# round one. A box counts only if the recogniser reads letters in it, unless it scores SURE, is LONG times as long as it
# is high, and no higher than TALL, a share of the frame's short side. What was no text was read with up to 0.66.
SURE = 0.8
LONG = 1.5
TALL = 0.3
READ_SCORE = 0.75


class RapidOcr(EmbeddedBackend):
    """Share of the frame under text: area of the union of the detected boxes, which may be turned."""

    inside = ({"model": MODEL, "revision": f"rapidocr {version('rapidocr')}", "licence": "Apache-2.0"},)

    def __init__(self, frames: int):
        self.frames = frames
        self.choice = FrameChoice(frames)
        self._loaded: Any = None
        self._loading = threading.Lock()

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
            "unclip_ratio": UNCLIP_RATIO,
            "sure": SURE,
            "long": LONG,
            "tall": TALL,
            "read_score": READ_SCORE,
            **ink.ABOUT,
            **boxes.ABOUT,
        }

    def load(self) -> None:
        """Load the detector. Threads that are started after this take numbers below 1e-38 for 0, as this one does.

        Processors compute with such numbers a hundred times slower, and two of the detector's layers are full of them.
        """
        self._engine()

    def prepare(self, frames: Sequence[np.ndarray]) -> list[TextBoxes]:
        """The text boxes of each BGR frame."""
        return [TextBoxes(ink.tight(frame, self._boxes(frame)), frame.shape[:2]) for frame in frames]

    def finish(self, values: list[TextBoxes]) -> dict[str, Any]:
        """See `boxes.text_columns`."""
        return text_columns(values)

    def _boxes(self, frame: np.ndarray) -> np.ndarray:
        """Text boxes of a frame, N × 4 corners × 2. A box that could be an object must also be readable."""
        found = self._engine()(frame)
        if found.boxes is None:
            return np.empty((0, 4, 2))
        found_boxes = np.asarray(found.boxes)
        counts = _like_a_line(found_boxes, frame) & (np.array(found.scores) >= SURE)
        doubtful = np.flatnonzero(~counts)
        if doubtful.size:
            counts[doubtful] = self._can_be_read(frame, found_boxes[doubtful])
        return found_boxes[counts]

    def _can_be_read(self, frame: np.ndarray, found_boxes: np.ndarray) -> list[bool]:
        """Whether there are letters in each of the boxes."""
        engine = self._engine()
        texts = engine.recognize_txt(engine.crop_text_regions(frame, ink.with_air(found_boxes)))
        return [
            len(text.strip()) >= 2 and score >= READ_SCORE for text, score in zip(texts.txts, texts.scores, strict=True)
        ]

    def _engine(self) -> Any:
        """RapidOCR. It is loaded once, and all threads call it at once.

        Options of a call would stay in the engine, where other threads' calls meet them. So calls have no options.
        """
        with self._loading:
            if self._loaded is None:
                with starting():
                    self._loaded = _load_engine()
            return self._loaded


def _load_engine() -> Any:
    # The imports take a second, and a finished shard needs no engine. RapidOCR's would read a long list twice.
    from omegaconf import OmegaConf

    load = OmegaConf.load
    OmegaConf.load = cache(load)  # type: ignore[method-assign]
    try:
        import rapidocr
        from rapidocr import RapidOCR  # only now the package is loaded
    finally:
        OmegaConf.load = staticmethod(load)  # type: ignore[method-assign]

    flush_denormals(Path(rapidocr.__file__).parent / "models" / f"{MODEL}.onnx")
    params = {
        "Global.log_level": "error",
        "Global.use_cls": False,
        "Global.use_rec": False,  # tall boxes are read, and by another call
        "Global.text_score": 0.0,
        "Det.limit_type": "max",
        "Det.limit_side_len": LIMIT_SIDE,
        "Det.box_thresh": BOX_THRESHOLD,
        "Det.unclip_ratio": UNCLIP_RATIO,
        "Det.use_dilation": False,
        # The job's threads use the cores; and the number of threads could change a value's last bits.
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        # Else memory goes back to the system after each frame, and up to a quarter of the time into getting it again.
        "EngineConfig.onnxruntime.enable_cpu_mem_arena": True,
    }
    engine = RapidOCR(params=params)
    engine(np.full((64, 96, 3), 128, np.uint8))  # it loads its networks at the first call
    return engine


def flush_denormals(model: Path) -> None:
    """Let this thread, and all that it starts, take numbers too small for float32's full precision for 0.

    onnxruntime sets this for the thread that makes its first session, by an option that RapidOCR does not pass on.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _like_a_line(boxes: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Which boxes are as long and as low as a usual line of text."""
    sides = np.linalg.norm(boxes - np.roll(boxes, 1, axis=1), axis=2)
    short, long = sides.min(axis=1), sides.max(axis=1)
    return (long >= LONG * short) & (short <= TALL * min(frame.shape[:2]))
