"""The model-backed scores as EasyAnimate's scripts make them, for comparison.

torch's DataLoader over clip files, PyAV decoding each up to the last frame that is looked at, full-size frames as
Pillow's pictures, the published image processor on Pillow, float32, 16 frames at once. A detector of text looks at one
picture at a time, as EasyOCR's `Reader.detect` does; a video model at one clip. Written anew from what the scripts do.

Kinder than they are: frames of several clips fill a batch, and VideoCLIP-XL is the mapped one that clipmill runs.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from clipmill.alignment import towers
from clipmill.models.torchvision_ops import declare_missing_operators
from clipmill.scores.vision import CLIP, DINOV2, SIGLIP, Architecture

FRAMES_AT_ONCE = 16


@dataclass(frozen=True)
class ClipFile:
    """A clip, and which of its frames are looked at: by their times in seconds, rising."""

    path: Path
    times: list[float]


def frames_at(clip: ClipFile) -> list[Image]:
    """The frames at a clip's times, in full size; the last frame where a time is beyond."""
    found: list[Image] = []
    with av.open(str(clip.path)) as container:
        stream = container.streams.video[0]
        slack = 0.5 / float(stream.average_rate)
        for frame in container.decode(stream):
            while len(found) < len(clip.times) and frame.time > clip.times[len(found)] - slack:
                found.append(frame.to_image())
            if len(found) == len(clip.times):
                return found
        return found + [frame.to_image()] * (len(clip.times) - len(found))


class ClipFiles(Dataset):
    """What is prepared of each clip's frames. Runs in the loader's processes."""

    def __init__(self, clips: list[ClipFile], prepare: Callable[[list[Image]], list[Tensor]]):
        self._clips, self._prepare = clips, prepare

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, number: int) -> list[Tensor]:
        return self._prepare(frames_at(self._clips[number]))


def score(
    original: Any, clips: list[ClipFile], workers: int, clock: Callable[[str], AbstractContextManager]
) -> list[dict[str, Any]]:
    """The columns of each clip. `clock` takes the time of waiting for `pictures`."""
    loader = DataLoader(
        ClipFiles(clips, original.prepare), batch_size=None, num_workers=workers, multiprocessing_context="fork"
    )
    units, values, counts = deque(), deque(), deque()
    rows = []
    for prepared in _waited_for(loader, clock):
        units.extend(prepared)
        counts.append(len(prepared))
        while len(units) >= original.batch or (units and len(rows) + len(counts) == len(clips)):
            values.extend(original.measure([units.popleft() for _ in range(min(original.batch, len(units)))]))
        while counts and counts[0] <= len(values):
            rows.append(original.finish([values.popleft() for _ in range(counts.popleft())]))
    return rows


def _waited_for(loader: DataLoader, clock: Callable[[str], AbstractContextManager]) -> Iterator[list[Tensor]]:
    with clock("pictures"):
        prepared = iter(loader)
    while True:
        with clock("pictures"):
            one = next(prepared, None)
        if one is None:
            return
        yield one


# --- the scores -------------------------------------------------------------------------------------------------------


class Embeddings:
    """Consistency, by a vision model of transformers."""

    batch = FRAMES_AT_ONCE

    def __init__(self, architecture: Architecture, files: dict[str, str], device: torch.device):
        declare_missing_operators()
        import transformers

        self._architecture, self._device = architecture, device
        self._processor = transformers.AutoImageProcessor.from_pretrained(files["model"], backend="pil")
        cls = getattr(transformers, architecture.cls)
        self.network = cls.from_pretrained(files["model"], dtype=torch.float32).eval().to(device)

    def prepare(self, frames: list[Image]) -> list[Tensor]:
        return list(self._processor(images=frames, return_tensors="pt").pixel_values)

    @torch.no_grad()
    def measure(self, units: list[Tensor]) -> list[Any]:
        embeddings = self._architecture.embedding(self.network(pixel_values=torch.stack(units).to(self._device)))
        return self._values(torch.nn.functional.normalize(embeddings, dim=-1))

    def _values(self, embeddings: Tensor) -> list[Any]:
        return list(embeddings.cpu())

    def finish(self, values: list[Tensor]) -> dict[str, Any]:
        return {"consistency": min(float(a @ b) for a, b in zip(values[:-1], values[1:], strict=True))}


class Aesthetic(Embeddings):
    """A head of linear layers on the embeddings."""

    def __init__(self, architecture: Architecture, files: dict[str, str], device: torch.device):
        super().__init__(architecture, files, device)
        tensors = torch.load(files["head"], weights_only=True, map_location=device)
        names = [name.removesuffix(".weight") for name in tensors if name.endswith(".weight")]
        self._layers = [(tensors[f"{name}.weight"], tensors[f"{name}.bias"]) for name in names]

    def _values(self, embeddings: Tensor) -> list[float]:
        for weight, bias in self._layers:
            embeddings = torch.nn.functional.linear(embeddings, weight, bias)
        return embeddings[:, 0].tolist()

    def finish(self, values: list[float]) -> dict[str, Any]:
        return {"aesthetic": sum(values) / len(values)}


class Text:
    """EasyOCR's own reader, without its recogniser."""

    batch = 1

    def __init__(self, files: dict[str, str], device: torch.device):
        declare_missing_operators()
        import easyocr
        from easyocr.config import detection_models

        path = Path(files["model"])
        detection_models["craft"]["md5sum"] = hashlib.md5(path.read_bytes()).hexdigest()  # it takes no other weights
        folder = str(path.parent)
        self._reader = easyocr.Reader(
            ["en"], device.type == "cuda", folder, recognizer=False, download_enabled=False, verbose=False
        )
        self.network = self._reader.detector

    def prepare(self, frames: list[Image]) -> list[Tensor]:
        return [torch.from_numpy(np.array(frame)) for frame in frames]

    def measure(self, units: list[Tensor]) -> list[float]:
        frame = units[0].numpy()
        (level,), (turned,) = self._reader.detect(frame)
        covered = np.zeros(frame.shape[:2], np.uint8)
        corners = [[(left, top), (right, top), (right, bottom), (left, bottom)] for left, right, top, bottom in level]
        for box in [*corners, *turned]:
            cv2.fillPoly(covered, [np.array(box, np.int32)], 1)
        return [float(covered.mean())]

    def finish(self, values: list[float]) -> dict[str, Any]:
        return {"text_area": max(values)}


class Alignment:
    """VideoCLIP-XL's feature of one clip."""

    batch = 1
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])

    def __init__(self, files: dict[str, str], device: torch.device):
        sizes, tensors = towers.load(Path(files["model"]))
        self._side, self._frames, self._device = sizes.side, sizes.frames, device
        self.network = towers.video_tower(sizes, tensors).to(device)

    def prepare(self, frames: list[Image]) -> list[Tensor]:
        shown = [frames[int((k + 0.5) * len(frames) / self._frames)] for k in range(self._frames)]
        small = [cv2.resize(np.array(frame)[:, :, ::-1], (self._side, self._side)) for frame in shown]
        normal = (np.stack(small).astype(np.float32) / 255 - self.mean) / self.std
        return [torch.from_numpy(normal.transpose(0, 3, 1, 2)).contiguous()]

    @torch.no_grad()
    def measure(self, units: list[Tensor]) -> list[Tensor]:
        features = self.network(pixel_values=torch.stack(units).to(self._device)).image_embeds
        return list(torch.nn.functional.normalize(features, dim=-1).cpu())

    def finish(self, values: list[Tensor]) -> dict[str, Any]:
        return {"feature": values[0].numpy()}


SCORES: dict[str, Callable[[dict[str, str], torch.device], Any]] = {
    "siglip-v2.5": lambda files, device: Aesthetic(SIGLIP, files, device),
    "laion": lambda files, device: Aesthetic(CLIP, files, device),
    "clip": lambda files, device: Embeddings(CLIP, files, device),
    "dinov2": lambda files, device: Embeddings(DINOV2, files, device),
    "easyocr": Text,
    "videoclip-xl": Alignment,
}
