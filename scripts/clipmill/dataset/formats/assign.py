"""Where a clip belongs in the dataset: its split, training or validation, and its bucket of clips of one shape."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clipmill.shapes.counts import Counts, largest, of_buckets
from clipmill.shapes.rates import exact_rate
from clipmill.shapes.sizes import apart, bucket_size

SPLITS = ("train", "validation")
ROUNDING = 1e-4  # frames: rates are rounded in the tables
USUAL_RATES = (16, 24)  # frames per second of the models that most trainers train: Wan has 16, the others 24 or 25


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
    """The config's `export.buckets`: sizes as [width, height], ratios as width over height, null for no buckets.

    `fps`: the rate at which the trainer counts frames; null for that of each file.
    """

    resolutions: Sequence[Sequence[int]] | None = None
    aspect_ratios: Sequence[float] | None = None
    frames: Counts | None = None
    fps: float | None = None

    def of(self, width: int, height: int, frames: int, fps: float) -> Bucket | None:
        """The bucket of a clip of `width` × `height` pixels and `frames` frames at `fps`; None if it fits none."""
        shape: dict[str, Any] = {}
        if self.resolutions is not None:
            size = bucket_size((width, height), self.resolutions)
            if size is None:
                return None
            shape = {
                "bucket_width": size[0],
                "bucket_height": size[1],
                "bucket_aspect_ratio": round(size[0] / size[1], 3),
            }
        elif self.aspect_ratios is not None:
            shape = {"bucket_aspect_ratio": min(self.aspect_ratios, key=lambda ratio: apart(ratio, width / height))}
        if self.frames is not None:
            count = largest(of_buckets(self.frames), self.frames_of(frames, fps))
            if count is None:
                return None
            shape["bucket_frames"] = count
        return Bucket(**shape)

    def frames_of(self, frames: int, fps: float) -> int:
        """How many frames a trainer takes of a clip of `frames` frames at `fps`."""
        return frames if self.fps is None else frames_at(self.fps, frames, fps)


def frames_at(rate: float, frames: int, fps: float) -> int:
    """How many frames of `rate` per second there are in the time of `frames` frames at `fps`."""
    return int(frames * float(exact_rate(rate)) / fps + ROUNDING)


NO_BUCKET = Bucket()
