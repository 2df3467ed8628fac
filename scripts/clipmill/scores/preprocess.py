"""Turns frames into the input of a published model, as its `preprocessor_config.json` says.

torch resizes bytes, as the published processors do through torchvision, and four times faster than Pillow. Pillow's
pixels are the same to within one grey level, except those near black and white if Pillow resizes the rows first:
bicubic filters overshoot there, and the overshoot is clipped after each direction. Normalising is done in float32 on
the device, where it costs nothing; only bytes are copied there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from clipmill.base.errors import SetupError
from clipmill.base.opencv import cv2
from clipmill.models import gpu

if TYPE_CHECKING:
    from clipmill.models.checkpoints import Checkpoint

FILE = "preprocessor_config.json"
FILTERS = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers -> torch's names
BICUBIC = 3


@dataclass(frozen=True)
class Preprocess:
    """How pictures become a model's input. Sizes: (height, width) in pixels; colours: red, green, blue."""

    size: int | tuple[int, int]  # of the short side, or of both sides whatever the picture's shape
    crop: tuple[int, int] | None  # of the middle part that is kept
    resample: int  # key of FILTERS; the filter is widened if pictures are made smaller
    scale: float  # factor of a grey level
    mean: tuple[float, ...]  # of scaled levels
    std: tuple[float, ...]

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Preprocess:
        """Read the checkpoint's own file. Raises SetupError if it is missing, broken or not supported here."""
        path = checkpoint.path / FILE
        try:
            says = json.loads(path.read_text(encoding="utf-8"))
            return cls._from_dict(says)
        except OSError as error:
            raise SetupError(f"{path}: {error.strerror}; the model's folder must hold its published {FILE}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"{path}: not understood ({error!r}); put the published file of {checkpoint.model} there"
            raise SetupError(message) from error

    @classmethod
    def _from_dict(cls, says: dict[str, Any]) -> Preprocess:
        if not says.get("do_resize", True):
            raise ValueError("do_resize is false")
        crops = says.get("do_center_crop", False)
        normalises = says.get("do_normalize", True)
        made = cls(
            size=_resized(says["size"], square=not crops),
            crop=_both_sides(says["crop_size"]) if crops else None,
            resample=says.get("resample", BICUBIC),
            scale=float(says.get("rescale_factor", 1 / 255)) if says.get("do_rescale", True) else 1.0,
            mean=_three(says["image_mean"]) if normalises else (0.0, 0.0, 0.0),
            std=_three(says["image_std"]) if normalises else (1.0, 1.0, 1.0),
        )
        if made.resample not in FILTERS:
            raise ValueError(f"resample {made.resample} is none of {FILTERS}")
        if made.crop is None and isinstance(made.size, int):
            raise ValueError("no crop_size: pictures of one size are needed")
        least = made.size if isinstance(made.size, tuple) else (made.size, made.size)
        if made.crop is not None and (made.crop[0] > least[0] or made.crop[1] > least[1]):
            raise ValueError("crop_size is larger than size")
        return made

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """A BGR frame, height × width × 3, resized and cropped to the model's size, as RGB; both uint8."""
        height, width = frame.shape[:2]
        whole = self.size if isinstance(self.size, tuple) else _with_short_side(height, width, self.size)
        kept = self.crop or whole
        top, left = (whole[0] - kept[0]) // 2, (whole[1] - kept[1]) // 2
        levels = torch.from_numpy(frame).permute(2, 0, 1)[None]
        levels = torch.nn.functional.interpolate(levels, whole, mode=FILTERS[self.resample], antialias=True)
        picture = levels[0, :, top : top + kept[0], left : left + kept[1]].permute(1, 2, 0).numpy()
        return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)

    def normalise(self, pictures: Sequence[np.ndarray]) -> torch.Tensor:
        """Pictures of one size as the model's input on the device: float32, N × 3 × height × width."""
        levels = gpu.on_device(pictures).permute(0, 3, 1, 2).float()
        mean, std = gpu.on_device([np.array([self.mean, self.std], np.float32)]).view(2, 3, 1, 1)
        return (levels * self.scale - mean) / std


def _resized(size: int | dict[str, int], square: bool) -> int | tuple[int, int]:
    """`size` of a processor. A bare number, as in old files, is the short side if a crop follows."""
    if isinstance(size, dict) and "shortest_edge" in size:
        return int(size["shortest_edge"])
    return int(size) if isinstance(size, int) and not square else _both_sides(size)


def _both_sides(size: int | dict[str, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size["height"]), int(size["width"]))


def _with_short_side(height: int, width: int, side: int) -> tuple[int, int]:
    """(height, width) of a picture resized to a short side; the long one rounded down, as the processors do."""
    if height < width:
        return side, int(side * width / height)
    return int(side * height / width), side


def _three(values: Sequence[float]) -> tuple[float, ...]:
    red, green, blue = values
    return float(red), float(green), float(blue)
