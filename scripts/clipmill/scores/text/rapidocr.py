"""Text area by RapidOCR's detector, PP-OCRv6 small, whose ONNX file comes inside its wheel (Apache-2.0)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from clipmill.base.opencv import cv2
from clipmill.base.usage import starting
from clipmill.decode.reading import FrameChoice
from clipmill.scores import EmbeddedBackend
from clipmill.scores.text import boxes, closer, ink, strokes
from clipmill.scores.text.boxes import TextBoxes, text_columns

MODEL = "PP-OCRv6_det_small"
LIMIT_SIDE = 960  # pixels of the long side that the detector sees: kept frames of 16:9 as they are
BOX_THRESHOLD = 0.5  # mean probability in a box: letters of 10 pixels mostly have 0.5 and more

# The detector's map shows the middle of each line, blurred. A box is widened by this ratio of area to circumference,
# less the blur, but no less than letters of 10 pixels need. RapidOCR's own ratio, 1.6, is for reading, with air around
# the letters. It also rounds boxes to whole pixels, twice, which can be a fifth of the height of small letters.
PROBABLE = 0.3
UNCLIP_RATIO = 1.05
BLUR = 1.25  # pixels of the map, on each side
LEAST_WIDENING = 2  # pixels of the map, on each side
LEAST_SIDE = 4  # pixels of the map: what is smaller is no line
LOOSE = 0.09  # of a box's height: what it usually has around letters on each side

# On pictures without text the detector may take an object for a line of text: a large one (a cup, a face), or a small
# round one. A box counts only if the recogniser reads letters in it, unless it scores SURE, is LONG times as long as it
# is high, and no higher than TALL, a share of the frame's short side. What was no text was read as one to three
# letters, with up to 0.66, or up to 0.81 in boxes below BOX_THRESHOLD. So in those the number of letters times the
# score must be at least MANY. That is enough in others, too.
SURE = 0.8
LONG = 1.5
TALL = 0.3
READ_SCORE = 0.75
MANY = 3
FAINT = 0.35  # a box with a lower mean probability is never read
WORD = 3  # nor one below BOX_THRESHOLD that is not so many times as long as it is high

# Small lines run together in the map, or leave only a trace in it. The frame is looked at again, enlarged, where there
# are such traces, and where low boxes of text are (see `closer`). A trace is at least TRACE_LONG times as long as it is
# high: shorter ones are frequent on pictures without text, where each costs time. Over textures small lines leave none.
# What looks like a line of letters (see `strokes`) is looked at if there is the least trace near it.
TRACE = 0.12  # probability
TRACE_LONG = 2.5
LEAST_TRACE = 0.02


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
            "probable": PROBABLE,
            "unclip_ratio": UNCLIP_RATIO,
            "blur": BLUR,
            "least_widening": LEAST_WIDENING,
            "least_side": LEAST_SIDE,
            "loose": LOOSE,
            "sure": SURE,
            "long": LONG,
            "tall": TALL,
            "read_score": READ_SCORE,
            "many": MANY,
            "faint": FAINT,
            "word": WORD,
            "trace": TRACE,
            "trace_long": TRACE_LONG,
            "least_trace": LEAST_TRACE,
            **closer.ABOUT,
            **strokes.ABOUT,
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
        return [TextBoxes(ink.tight(frame, self._boxes(frame), LOOSE), frame.shape[:2]) for frame in frames]

    def finish(self, values: list[TextBoxes]) -> dict[str, Any]:
        """See `boxes.text_columns`."""
        return text_columns(values)

    def _boxes(self, frame: np.ndarray) -> np.ndarray:
        """Text boxes of a frame, N × 4 corners × 2."""
        probable = self._map(frame)
        found, scores = lines_of_map(probable, frame.shape)
        text = found[self._is_text(frame, found, scores)]
        traces, _ = lines_of_map(probable, frame.shape, TRACE, TRACE)
        short, long = closer.sides(traces)
        traces = np.concatenate([traces[long >= TRACE_LONG * short], strokes.lines(frame, probable > LEAST_TRACE)])
        return self._closer(frame, text, traces[~closer.inside(text, traces).any(axis=0)])

    def _is_text(self, frame: np.ndarray, found: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Which boxes are text. One that could be an object must also be readable."""
        sure = (scores >= SURE) & _like_a_line(found, frame, LONG)
        doubtful = ~sure & ((scores >= BOX_THRESHOLD) | _like_a_line(found, frame, WORD))
        sure[doubtful] = self._can_be_read(frame, found[doubtful], scores[doubtful])
        return sure

    def _closer(self, frame: np.ndarray, text: np.ndarray, traces: np.ndarray) -> np.ndarray:
        """The boxes of text after a second look at those that are low, and at low traces.

        A box of text is replaced by the lines found in it, if all are small. Small lines elsewhere must be readable.
        """
        low, low_traces = (closer.sides(boxes)[0] <= closer.TOGETHER for boxes in (text, traces))
        lines, scores = self._enlarged_lines(frame, np.concatenate([text[low], traces[low_traces]]))
        small = closer.sides(lines)[0] <= closer.SMALL
        inside = closer.inside(text, lines)
        replaced = low & inside.any(axis=1) & ~inside[:, ~small].any(axis=1)
        new = small & ~inside.any(axis=0) & _like_a_line(lines, frame, WORD)
        new[new] = self._can_be_read(frame, lines[new], scores[new])
        return np.concatenate([text[~replaced], lines[inside[replaced].any(axis=0) | new]])

    def _enlarged_lines(self, frame: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The lines that are found around boxes when these are enlarged, and their scores."""
        lines, scores = [np.empty((0, 4, 2), np.float32)], [np.empty(0)]
        for place in closer.places(boxes, frame.shape):
            picture, shape = closer.enlarged(frame, place)
            found, probable = lines_of_map(self._map(picture), shape, faint=BOX_THRESHOLD)
            lines.append(found + place[:2].astype(np.float32))
            scores.append(probable)
        return np.concatenate(lines), np.concatenate(scores)

    def _can_be_read(self, frame: np.ndarray, found_boxes: np.ndarray, scores: np.ndarray) -> list[bool]:
        """Whether there are letters or digits in each of the boxes."""
        if not len(found_boxes):
            return []
        engine = self._engine()
        texts = engine.recognize_txt(engine.crop_text_regions(frame, ink.with_air(found_boxes)))
        return [
            count * read >= MANY or (count >= 2 and read >= READ_SCORE and score >= BOX_THRESHOLD)
            for count, read, score in zip(map(_letters, texts.txts), texts.scores, scores, strict=True)
        ]

    def _map(self, picture: np.ndarray) -> np.ndarray:
        """The detector's map of a BGR picture: in each pixel the probability of being the middle of a line.

        It has the picture's size, but not more than LIMIT_SIDE, and its sides are multiples of GRID.
        """
        scale = min(1.0, LIMIT_SIDE / max(picture.shape[:2]))
        height, width = (max(1, round(int(side * scale) / closer.GRID)) * closer.GRID for side in picture.shape[:2])
        detector = self._engine().text_det
        numbers = cv2.LUT(cv2.resize(picture, (width, height)), detector.numbers)
        return detector.session(np.ascontiguousarray(numbers.transpose(2, 0, 1)[None]))[0, 0]

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
        # The job's threads use the cores; and the number of threads could change a value's last bits.
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        # Else memory goes back to the system after each frame, and up to a quarter of the time into getting it again.
        "EngineConfig.onnxruntime.enable_cpu_mem_arena": True,
    }
    engine = RapidOCR(params=params)
    engine(np.full((64, 96, 3), 128, np.uint8))  # it loads its networks at the first call
    # RapidOCR computes each pixel's number in float64, which takes a twentieth of the time of all.
    levels = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, 2)
    detector: Any = engine.text_det
    detector.numbers = detector.get_preprocess().normalize(levels).astype(np.float32)
    return engine


def lines_of_map(
    probable: np.ndarray, shape: tuple[int, ...], least: float = PROBABLE, faint: float = FAINT
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of the lines in a detector's map, and the mean probability in the middle of each.

    `probable`: height × width, probabilities of being the middle of a line. `shape`: height and width of the picture.
    `least`: probability in a line. `faint`: the least mean probability of a line.
    Boxes: N × 4 corners × 2, clockwise from the top left, in the picture's pixels, where 0, 0 is its corner.
    """
    scale = np.array([shape[1], shape[0]]) / probable.shape[::-1]
    contours, _ = cv2.findContours((probable > least).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    found, scores = [], []
    for contour in contours:
        middle, size, angle = cv2.minAreaRect(contour)  # from the middle of a pixel to that of another
        width, height = size[0] + 1, size[1] + 1
        if min(width, height) < LEAST_SIDE:
            continue
        score = _mean_inside(probable, cv2.boxPoints((middle, size, angle)))
        if score < faint:
            continue
        wider = 2 * max(UNCLIP_RATIO * width * height / (2 * (width + height)) - BLUR, LEAST_WIDENING)
        middle = (middle[0] + 0.5, middle[1] + 0.5)  # from the map's corner
        corners = cv2.boxPoints((middle, (width + wider, height + wider), angle)) * scale
        found.append(_clockwise(corners))
        scores.append(score)
    return np.array(found, np.float32).reshape(-1, 4, 2), np.array(scores)


def _mean_inside(probable: np.ndarray, corners: np.ndarray) -> float:
    """The mean of a map inside a box."""
    x, y, width, height = cv2.boundingRect(np.rint(corners).astype(np.int32))
    x, y, right, bottom = max(x, 0), max(y, 0), x + width, y + height
    part = probable[y:bottom, x:right]
    mask = np.zeros(part.shape, np.uint8)
    cv2.fillPoly(mask, [np.rint(corners - (x, y)).astype(np.int32)], 1)
    return float(cv2.mean(part, mask)[0])


def _clockwise(corners: np.ndarray) -> np.ndarray:
    """Four corners in order around their box, from the top left."""
    left, right = np.split(corners[np.argsort(corners[:, 0], kind="stable")], 2)
    left, right = (pair[np.argsort(pair[:, 1], kind="stable")] for pair in (left, right))
    return np.stack([left[0], right[0], right[1], left[1]])


def flush_denormals(model: Path) -> None:
    """Let this thread, and all that it starts, take numbers too small for float32's full precision for 0.

    onnxruntime sets this for the thread that makes its first session, by an option that RapidOCR does not pass on.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _letters(text: str) -> int:
    """The number of letters and digits; 0 if all are the same, as those that are read in a row of round things."""
    letters = [letter for letter in text if letter.isalnum()]
    return len(letters) if len(set(letters)) > 1 else 0


def _like_a_line(boxes: np.ndarray, frame: np.ndarray, times: float) -> np.ndarray:
    """Which boxes are as low as a usual line of text, and so many times as long as they are high."""
    short, long = closer.sides(boxes)
    return (long >= times * short) & (short <= TALL * min(frame.shape[:2]))
