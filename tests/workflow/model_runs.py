"""Small checkpoints for real runs, faulty ones beside them, and settings of the workflow that name either."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from runs import Run

import checkpoints

MODEL_STEPS = ("text", "aesthetic", "consistency", "alignment")
CLIP_WIDTH, DINOV2_WIDTH = 32, 64  # numbers in an embedding of the small checkpoints
ON_THE_CPU = {step: {"gpu": 0} for step in MODEL_STEPS}
# Bounds that any finite score lies within, and that no clip passes without one.
ANY = {"consistency": {"min": -1.01}, "aesthetic": {"min": -1e6}, "text_area": {"max": 1}, "alignment": {"min": -1.01}}


class Code:
    """Unpickling it makes a folder."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@dataclass(frozen=True)
class Models:
    """Small checkpoints below `folder`, and faulty ones beside them."""

    folder: Path

    @staticmethod
    def make(folder: Path) -> Models:
        models = Models(folder)
        for name, make in checkpoints.MAKERS.items():
            make(folder / name)
        models._make_code()
        models._make_half()
        models._make_incomplete()
        return models

    # Right ones.

    @property
    def craft(self) -> Path:
        return self.folder / "craft" / "craft_mlt_25k.pth"

    @property
    def videoclip_xl(self) -> Path:
        return self.folder / "videoclip_xl" / "VideoCLIP-XL-v2.bin"

    @property
    def siglip_head(self) -> Path:
        return self.folder / "siglip_head" / "aesthetic_predictor_v2_5.pth"

    @property
    def laion_head(self) -> Path:
        return self.folder / "laion_head" / "sac+logos+ava1-l14-linearMSE.pth"

    def sections(self) -> dict[str, Any]:
        """The config's sections of all steps that have models, with every backend's files."""
        siglip, clip, dinov2 = (str(self.folder / name) for name in ("siglip", "clip", "dinov2"))
        return {
            "text": {"backend": "easyocr", "frames": 2, "easyocr": {"model": str(self.craft), "canvas_size": 160}},
            "aesthetic": {
                "backend": "siglip-v2.5",
                "siglip-v2.5": {"model": siglip, "head": str(self.siglip_head)},
                "laion": {"model": clip, "head": str(self.laion_head)},
            },
            "consistency": {
                "backend": "dinov2",
                "keep_embeddings": True,
                "dinov2": {"model": dinov2},
                "clip": {"model": clip},
            },
            "alignment": {
                "backend": "videoclip-xl",
                "videoclip-xl": {"model": str(self.videoclip_xl), "tokenizer": clip},
                "clip": {"model": clip},
            },
            "resources": ON_THE_CPU,
        }

    # Wrong ones.

    @property
    def code(self) -> Path:
        """A pickle that makes the folder `mark` when it is read as Python would."""
        return self.folder / "code.pth"

    @property
    def mark(self) -> Path:
        return self.folder / "code was run"

    @property
    def half(self) -> Path:
        """A folder with half of SigLIP's weights."""
        return self.folder / "half"

    @property
    def nowhere(self) -> Path:
        return self.folder / "dinov3"

    @property
    def incomplete(self) -> Path:
        """VideoCLIP-XL without the weights called `lacks`."""
        return self.folder / "incomplete.bin"

    lacks = "viclip_model.vision_encoder.ln_post.weight"

    def faults(self) -> dict[str, Any]:
        """For each step with a model a fault of another kind, to be laid over `sections`."""
        return {
            "text": {"easyocr": {"model": str(self.code)}},
            "aesthetic": {"siglip-v2.5": {"model": str(self.half)}},
            "consistency": {"dinov2": {"model": str(self.nowhere)}},
            "alignment": {"videoclip-xl": {"model": str(self.incomplete)}},
        }

    def _make_code(self) -> None:
        torch.save({"module.conv.weight": torch.zeros(2), "code": Code(self.mark)}, self.code)

    def _make_half(self) -> None:
        shutil.copytree(self.folder / "siglip", self.half)
        weights = self.half / "model.safetensors"
        os.truncate(weights, weights.stat().st_size // 2)

    def _make_incomplete(self) -> None:
        tensors = torch.load(self.videoclip_xl, weights_only=True)
        del tensors[self.lacks]
        torch.save(tensors, self.incomplete)


def archive(run: Run, name: str) -> Path:
    """The archive of frames of the video `name`.mp4."""
    (path,) = (run.outdir / "work" / "frames").glob(f"*/{name}-*.zip")
    return path


def running(main: subprocess.Popen, tool: str) -> psutil.Process:
    """The process of the job that runs a command line tool."""
    for process in psutil.Process(main.pid).children(recursive=True):
        words = process.cmdline()
        if len(words) > 1 and words[1].endswith(f"/{tool}"):
            return process
    raise LookupError(tool)
