"""The backends of scores that are models, made of small random checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import checkpoints
from clipmill.alignment.clip import ClipAlignment
from clipmill.alignment.videoclip_xl import VideoClipXl
from clipmill.scores import Backend
from clipmill.scores.aesthetic.laion import Laion
from clipmill.scores.aesthetic.siglip import SiglipV25
from clipmill.scores.classifiers.checkpoint import CheckpointClassifier
from clipmill.scores.classifiers.zero_shot import ZeroShot
from clipmill.scores.consistency.embeddings import ClipConsistency, Dinov2Consistency
from clipmill.scores.text.easyocr import EasyOcr

# Made of a function from a name to the path of its small checkpoint, and of a dtype.
MODELS: dict[str, Callable[[Callable[[str], str], str], Backend]] = {
    "siglip-v2.5": lambda at, dtype: SiglipV25(2, at("siglip"), None, at("siglip_head"), None, dtype),
    "laion": lambda at, dtype: Laion(2, at("clip"), None, at("laion_head"), None, dtype),
    "clip": lambda at, dtype: ClipConsistency(at("clip"), None, dtype, keep_embeddings=True),
    "dinov2": lambda at, dtype: Dinov2Consistency(at("dinov2"), None, dtype, keep_embeddings=False),
    "classifier": lambda at, dtype: CheckpointClassifier("c", 2, "max", at("vit"), None, "nsfw", dtype),
    "zero-shot": lambda at, dtype: ZeroShot("c", 2, "max", at("clip"), None, "a red car", "and the thing", dtype),
    "easyocr": lambda at, dtype: EasyOcr(2, at("craft"), None, 64, dtype),
    "videoclip-xl": lambda at, dtype: VideoClipXl(at("videoclip_xl"), None, at("tokenizer"), None, None, dtype),
    "alignment-clip": lambda at, dtype: ClipAlignment(at("clip"), None, dtype),
}


def paths(folder: Path) -> Callable[[str], str]:
    """Where the checkpoint of a name is, made once."""

    @cache
    def path(name: str) -> str:
        make = checkpoints.make_clip_tokenizer if name == "tokenizer" else checkpoints.MAKERS[name]
        return str(make(folder / name))

    return path
