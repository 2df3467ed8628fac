"""A classifier in an ONNX file of your own: the config says how frames become its input. Runs on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from clipmill.base.errors import SetupError
from clipmill.base.opencv import cv2
from clipmill.base.usage import starting
from clipmill.models.checkpoints import Checkpoint, find_file
from clipmill.scores import EmbeddedBackend
from clipmill.scores.classifiers import Frames

VERSION = 1


class OnnxClassifier(EmbeddedBackend):
    """The share of one label in the network's output.

    A frame is resized to `size` (width, height): as a whole, or with `fit` `crop` its middle. Its colours in the order
    `channels` become (colour · `scale` − `mean`) / `std`, as Pillow's bilinear filter resized them. `layout`: the order
    of the input's sides, `nchw` or `nhwc`. `output` makes shares of the network's numbers, of which `label` is the one.
    `file`, `sha256`: see `checkpoints.find_file`.
    """

    def __init__(
        self,
        column: str,
        frames: int,
        reduce: str,
        file: str,
        sha256: str | None,
        size: Sequence[int],
        fit: str,
        scale: float,
        mean: Sequence[float],
        std: Sequence[float],
        layout: str,
        channels: str,
        output: str,
        label: int,
    ):
        self._frames = Frames(column, frames, reduce)
        self.choice = self._frames.choice
        self.file, self.sha256 = file, sha256
        self.size, self.fit, self.layout, self.channels = (size[0], size[1]), fit, layout, channels
        self.scale, self.mean, self.std = scale, np.array(mean, np.float32), np.array(std, np.float32)
        self.output, self.label = output, label

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The network's file, fetched if it is missing. Raises SetupError."""
        return find_file(self.file, self.sha256)

    def checkpoints(self) -> list[Checkpoint]:
        """The network alone."""
        return [self.checkpoint]

    @property
    def about(self) -> dict[str, Any]:
        """What the score depends on."""
        return {
            "backend": "onnx",
            "version": VERSION,
            **self.checkpoint.identity(),
            **self._frames.about,
            "size": list(self.size),
            "fit": self.fit,
            "scale": self.scale,
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "layout": self.layout,
            "channels": self.channels,
            "output": self.output,
            "label": self.label,
        }

    def load(self) -> None:
        """Load the network, before threads use it."""
        self._session  # noqa: B018

    def prepare(self, frames: Sequence[np.ndarray]) -> list[float]:
        """The share of each BGR frame."""
        return [self._share(self._input(frame)) for frame in frames]

    def finish(self, values: list[float]) -> dict[str, Any]:
        """See `Frames.columns`."""
        return self._frames.columns(values)

    def _input(self, frame: np.ndarray) -> np.ndarray:
        """A BGR frame as the network's input, a batch of one."""
        picture = Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if self.channels == "rgb" else frame)
        if self.fit == "crop":
            picture = ImageOps.fit(picture, self.size, Image.Resampling.BILINEAR)
        else:
            picture = picture.resize(self.size, Image.Resampling.BILINEAR)
        colours = (np.asarray(picture, np.float32) * np.float32(self.scale) - self.mean) / self.std
        return np.ascontiguousarray(colours if self.layout == "nhwc" else colours.transpose(2, 0, 1))[None]

    def _share(self, picture: np.ndarray) -> float:
        (name,) = [put.name for put in self._session.get_inputs()]
        numbers = np.asarray(self._session.run(None, {name: picture})[0], np.float64).ravel()
        if self.label >= len(numbers):
            raise SetupError(
                f"{self.file}: gives {len(numbers)} numbers, so none is number {self.label}; correct `label`"
            )
        return float(shares(numbers, self.output)[self.label])

    @cached_property
    @starting()
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(self.checkpoint.path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # a damaged file can raise any error in the reader
            raise SetupError(f"{self.file}: onnxruntime cannot read it ({_line(error)}); take another file") from error
        self._check(session)
        return session

    def _check(self, session: Any) -> None:
        """Raise SetupError unless the network takes one picture as the config describes it."""
        width, height = self.size
        own = [1, 3, height, width] if self.layout == "nchw" else [1, height, width, 3]
        puts = [(put.type, put.shape) for put in session.get_inputs()]
        fixed = [(side, mine) for _, shape in puts for side, mine in zip(shape, own, strict=False)]
        fits = all(side == mine for side, mine in fixed if isinstance(side, int))
        if len(puts) != 1 or puts[0][0] != "tensor(float)" or len(puts[0][1]) != len(own) or not fits:
            takes = "; ".join(f"{kind} {shape}" for kind, shape in puts)
            raise SetupError(
                f"{self.file}: takes {takes}, and the config says tensor(float) {own}; correct `size` and `layout`"
            )


def shares(numbers: np.ndarray, output: str) -> np.ndarray:
    """The shares that a network's `numbers` mean: by `softmax` or `sigmoid`; `none`: the numbers themselves."""
    if output == "softmax":
        powers = np.exp(numbers - numbers.max())
        return powers / powers.sum()
    return 1 / (1 + np.exp(-numbers)) if output == "sigmoid" else numbers


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:200]
