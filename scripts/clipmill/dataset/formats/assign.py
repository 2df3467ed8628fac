"""Where a clip belongs in the dataset: its split, training or validation, and its bucket of clips of one shape."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SPLITS = ("train", "validation")
FRAME_RULES = {"4n+1": 4, "8n+1": 8}


def split_of(video_id: str, validation_share: float, seed: int) -> str:
    """`train` or `validation`, by a hash of the source video, so that clips of one video stay together.

    It depends on nothing else: other videos change nothing, and a larger share only moves videos to `validation`.
    """
    digest = hashlib.sha256(f"{seed}:{video_id}".encode()).digest()
    return SPLITS[int.from_bytes(digest[:8], "big") < validation_share * 2**64]


@dataclass(frozen=True)
class Bucket:
    """A shape that clips are trained in. A property is None if the config's buckets do not set it."""

    bucket_width: int | None = None
    bucket_height: int | None = None
    bucket_aspect_ratio: float | None = None
    bucket_frames: int | None = None

    @property
    def name(self) -> str:
        """As a name of a folder: `832x480x81`, `1.778x81`, `81`, or `all`."""
        size = [self.bucket_width, self.bucket_height] if self.bucket_width else [self.bucket_aspect_ratio]
        return "x".join(str(part) for part in (*size, self.bucket_frames) if part is not None) or "all"


@dataclass(frozen=True)
class Buckets:
    """The config's `export.buckets`: sizes as [width, height], ratios as width over height, null for no buckets."""

    resolutions: Sequence[Sequence[int]] | None = None
    aspect_ratios: Sequence[float] | None = None
    frames: Sequence[int] | str | None = None

    def of(self, width: int, height: int, frames: int) -> Bucket | None:
        """The bucket of a clip of `width` × `height` pixels and `frames` frames; None if it fits none."""
        shape: dict[str, Any] = {}
        if self.resolutions is not None:
            fitting = [size for size in self.resolutions if size[0] <= width and size[1] <= height]
            if not fitting:
                return None
            size = min(fitting, key=lambda size: (_apart(size[0] / size[1], width / height), -size[0] * size[1]))
            shape = {
                "bucket_width": size[0],
                "bucket_height": size[1],
                "bucket_aspect_ratio": round(size[0] / size[1], 3),
            }
        elif self.aspect_ratios is not None:
            shape = {"bucket_aspect_ratio": min(self.aspect_ratios, key=lambda ratio: _apart(ratio, width / height))}
        if self.frames is not None:
            count = self._frames(frames)
            if count is None:
                return None
            shape["bucket_frames"] = count
        return Bucket(**shape)

    def _frames(self, frames: int) -> int | None:
        """The frames of the longest bucket that a clip of `frames` fills. Never 1: trainers take that for a picture."""
        if isinstance(self.frames, str):
            step = FRAME_RULES[self.frames]
            return (frames - 1) // step * step + 1 if frames > step else None
        return max((count for count in self.frames or () if count <= frames), default=None)


NO_BUCKET = Bucket()


def _apart(ratio: float, other: float) -> float:
    """How far two aspect ratios are from each other: 0 for the same; wide and upright ones count alike."""
    return round(abs(math.log(ratio / other)), 6)
