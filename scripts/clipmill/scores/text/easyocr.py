"""Text area by EasyOCR's detector, CRAFT (Baek et al., "Character Region Awareness for Text Detection", 2019).

The network, the boxes from its maps and the joining of words into lines are EasyOCR's own (Apache-2.0), with the
settings of its `Reader.detect` but for the margin; frames of many clips go through the network together. EasyOCR's
recogniser and its downloads are not used: `clipmill.models.checkpoints` finds the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from clipmill.base.errors import ItemError
from clipmill.base.opencv import cv2
from clipmill.base.usage import starting
from clipmill.decode.reading import FrameChoice
from clipmill.models import gpu
from clipmill.models.checkpoints import Checkpoint, check_tensors, find_file, load_tensors
from clipmill.models.published import CRAFT as CRAFT_WEIGHTS
from clipmill.models.torchvision_ops import declare_missing_operators
from clipmill.scores import ModelBackend
from clipmill.scores.text import boxes, ink
from clipmill.scores.text.boxes import TextBoxes

declare_missing_operators()  # before EasyOCR is imported, in the functions: fetching the weights works without it

# Of red, green, blue, in levels of 0 to 255: those of the backbone's training (easyocr.imgproc.normalizeMeanVariance).
MEAN = tuple(255 * value for value in (0.485, 0.456, 0.406))
SPREAD = tuple(255 * value for value in (0.229, 0.224, 0.225))

# The settings of EasyOCR's `Reader.detect`. It adds a margin of a tenth of its height around a line, which is for
# reading: the area would be a fifth to a half larger.
MAPS = {"text_threshold": 0.7, "link_threshold": 0.4, "low_text": 0.4}
LINES = {"slope_ths": 0.1, "ycenter_ths": 0.5, "height_ths": 0.5, "width_ths": 0.5, "add_margin": 0.0}
MIN_SIZE = 20  # pixels of the frame: a box is dropped unless its longer side is longer than this


@dataclass(frozen=True)
class Canvas:
    """A frame as the network sees it."""

    pixels: np.ndarray  # RGB bytes, height × width × 3, both multiples of 32; black right of the frame and below
    ratio: float  # a length on the canvas / the same length in the frame
    shape: tuple[int, int]  # height and width of the frame in pixels

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return self.pixels.nbytes


class EasyOcr(ModelBackend):
    """Share of the frame under text, and under text that stands still at the edges: see `clipmill.scores.text.boxes`.

    `model`: path or address of the weights, None for the published ones; `sha256`: their checksum, both as
    `checkpoints.find_file` takes them. `canvas_size`: pixels; a frame with a longer side is made smaller to this.
    With 1280 kept frames of a short side of 512 are not made smaller up to a shape of 5:2; with EasyOCR's own limit,
    2560, a panorama takes four times the time and memory. `dtype`: see `gpu.autocast`.
    """

    batch = 16  # also on a GPU, for which it is 12 ms of work: see `scores.vision`; a frame takes up to 250 MB

    def __init__(
        self,
        frames: int | None,
        model: str | None,
        sha256: str | None,
        canvas_size: int,
        dtype: str,
    ):
        self.choice = FrameChoice(count=frames)
        self.frames, self.model, self.sha256 = frames, model, sha256
        self.canvas_size, self.dtype = canvas_size, dtype

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The weights' file, fetched if it is missing. Raises SetupError."""
        return find_file(self.model or CRAFT_WEIGHTS, self.sha256)

    def checkpoints(self) -> list[Checkpoint]:
        """The weights' file alone."""
        return [self.checkpoint]

    @property
    def about(self) -> dict[str, Any]:
        """What the score depends on."""
        return {
            "backend": "easyocr",
            "version": version("easyocr"),
            "models": [self.checkpoint.identity()],
            "frames": self.frames,
            "canvas_size": self.canvas_size,
            "dtype": gpu.resolved(self.dtype),
            **MAPS,
            **LINES,
            "min_size": MIN_SIZE,
            **ink.ABOUT,
            **boxes.ABOUT,
        }

    def prepare(self, frames: Sequence[np.ndarray]) -> list[Canvas]:
        """A canvas for each BGR frame."""
        return [self._canvas(frame) for frame in frames]

    def start(self, units: list[Canvas]) -> Callable[[], list[TextBoxes | None]]:
        """The boxes of each canvas; None if the network's maps are not finite. Canvases of one size share a batch."""
        sizes: dict[tuple[int, ...], list[int]] = {}
        for number, unit in enumerate(units):
            sizes.setdefault(unit.pixels.shape, []).append(number)
        started = [(numbers, self._maps([units[number].pixels for number in numbers])) for numbers in sizes.values()]

        def fetch() -> list[TextBoxes | None]:
            found: dict[int, TextBoxes | None] = {}
            # Finding the boxes of a frame with text takes ten times as long as computing its maps on a GPU.
            with ThreadPoolExecutor(torch.get_num_threads()) as cores:
                for numbers, maps in started:
                    canvases = [units[number] for number in numbers]
                    found |= zip(numbers, cores.map(tight_text_boxes, maps(), canvases), strict=True)
            return [found[number] for number in range(len(units))]

        return fetch

    def finish(self, values: list[TextBoxes | None]) -> dict[str, Any]:
        """The columns for the frames of one clip, in order of time. Raises ItemError (not_finite)."""
        found = [value for value in values if value is not None]
        if len(found) < len(values):
            message = f"the detector's maps are not finite with dtype {self.dtype}; set it to fp32 and run again"
            raise ItemError("not_finite", message, lasting=False)
        return boxes.text_columns(found)

    def _canvas(self, frame: np.ndarray) -> Canvas:
        from easyocr.imgproc import resize_aspect_ratio

        rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        pixels, ratio, _ = resize_aspect_ratio(rgb, self.canvas_size, cv2.INTER_LINEAR)
        return Canvas(pixels.astype(np.uint8), ratio, frame.shape[:2])

    def _maps(self, canvases: list[np.ndarray]) -> Callable[[], np.ndarray]:
        """CRAFT's maps for canvases of one size: N × half its height × half its width × (text, link), about 0 to 1."""
        network, pixels = self._network, gpu.on_device(canvases)
        mean, spread = gpu.on_device([np.array([MEAN, SPREAD], np.float32)])[0]
        with gpu.autocast(self.dtype):
            maps, _ = network(((pixels - mean) / spread).permute(0, 3, 1, 2))
        return gpu.fetching(maps.float())

    @cached_property
    @starting()
    def _network(self) -> torch.nn.Module:
        """CRAFT with its weights. They were saved from `DataParallel`, which put `module.` before each name."""
        from easyocr.craft import CRAFT

        path = self.checkpoint.path
        tensors = {name.removeprefix("module."): tensor for name, tensor in load_tensors(path).items()}
        with torch.device("meta"):  # random initial weights would cost a second and 600 MB
            network = CRAFT()
        shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        check_tensors(tensors, shapes, path)
        network.to_empty(device="cpu").load_state_dict({name: tensors[name] for name in shapes})
        network = network.eval().requires_grad_(False)
        return gpu.placed(network, self.checkpoint.model, memory_format=torch.channels_last)


def tight_text_boxes(maps: np.ndarray, canvas: Canvas) -> TextBoxes | None:
    """The same as `text_boxes`, tight around the letters."""
    found = text_boxes(maps, canvas)
    if found is None:
        return None
    bgr = cv2.cvtColor(canvas.pixels, cv2.COLOR_RGB2BGR)
    return TextBoxes(ink.tight(bgr, found.boxes * canvas.ratio) / np.float32(canvas.ratio), canvas.shape)


def text_boxes(maps: np.ndarray, canvas: Canvas) -> TextBoxes | None:
    """Lines of text from CRAFT's maps (height × width × 2), in the frame's own pixels, as EasyOCR finds and joins them.

    Words on one level line are one box, upright; turned words stand alone. Corners may lie a little outside the frame.
    None if the maps are not finite.
    """
    from easyocr.craft_utils import adjustResultCoordinates, getDetBoxes
    from easyocr.utils import group_text_box

    if not np.isfinite(maps).all():
        return None
    words: Sequence[np.ndarray] = []
    if maps[..., 0].max() >= MAPS["text_threshold"]:  # most frames have no text, and need no search for it
        words, _, _ = getDetBoxes(maps[..., 0], maps[..., 1], **MAPS)
    words = adjustResultCoordinates(words, 1 / canvas.ratio, 1 / canvas.ratio)
    level, turned = group_text_box([np.array(word).astype(np.int32).ravel() for word in words], **LINES)
    upright = [[(left, top), (right, top), (right, bottom), (left, bottom)] for left, right, top, bottom in level]
    corners = np.array([*upright, *turned], np.float32).reshape(-1, 4, 2)
    return TextBoxes(corners[np.ptp(corners, axis=1).max(axis=1) > MIN_SIZE], canvas.shape)
