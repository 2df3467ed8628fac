"""The clips that the page shows: the facts of each, a small picture of its middle, and of a dropped one a moving one.

Both are made of the kept frames.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from clipmill.base.errors import ItemError, SetupError
from clipmill.base.opencv import cv2
from clipmill.decode.reading import FrameChoice, KeptFrames
from clipmill.store.index import shards_of

LONG_SIDE = 208  # pixels
QUALITY = 55
MOVING_SIDE, MOVING_QUALITY = 160, 25  # of moving pictures, whose clips have no file: about 5 kB each
MOVING_MILLISECONDS = 125  # per frame
MIDDLE, MOVING = FrameChoice(count=1), FrameChoice(count=10)
NO_FRAME = "no frame of it was kept"
ABOUT = ["clip_id", "video_id", "name", "start", "end", "seconds", "start_frame", "end_frame", "reason"]
ABOUT += ["duplicate_of", "crop_x", "crop_y", "crop_width", "crop_height", "whole_width", "whole_height"]
TEXTS = ["text", "caption"]


@dataclass
class Picture:
    """A kept frame of a clip, or of another span of a video, as a `data:` address, or why there is none.

    `about`: the clip's row of the verdicts; of other spans video_id, start_frame, end_frame and seconds. `moving`: all
    through a dropped clip, as another such address.
    """

    about: dict[str, Any]
    width: int = 16
    height: int = 9
    webp: str | None = None
    lost: str | None = None
    moving: str | None = None

    @property
    def text(self) -> str | None:
        return self.about["text"] or self.about["caption"]

    def take(self, kept_frames: KeptFrames, choice: FrameChoice, place: int = 0) -> None:
        """Show one of the frames that `choice` chooses, by its `place` among them."""
        try:
            frame = kept_frames.frames(self.about, choice)[place]
        except ItemError as error:
            self.lost = NO_FRAME if error.kind == "too_few_samples" else f"its frames cannot be read ({error.kind})"
        except (OSError, SetupError):
            self.lost = "its frames or signals are not there any more"
        else:
            self.webp, self.width, self.height = small(frame)

    def move(self, kept_frames: KeptFrames) -> None:
        """Show the clip moving, if it has several frames. It stands still if one of them cannot be read."""
        with suppress(ItemError):
            frames = kept_frames.frames(self.about, MOVING)
            if len(frames) > 1:
                self.moving = moving(frames)


def look_at(outdir: Path, clips: list[dict[str, Any]]) -> list[Picture]:
    """A picture of each clip, in their order; one whose frames are missing says so."""
    pictures = [Picture(clip) for clip in clips]
    by_video = sorted(pictures, key=lambda picture: picture.about["video_id"])
    shards = shards_of(outdir, {picture.about["video_id"] for picture in by_video})
    for video_id, group in groupby(by_video, key=lambda picture: picture.about["video_id"]):
        _fill(outdir, shards.get(video_id), list(group))
    return pictures


def _fill(outdir: Path, shard: str | None, pictures: list[Picture]) -> None:
    """Fill in the pictures of one video; where its frames cannot be read they say why."""
    if shard is None:
        for picture in pictures:
            picture.lost = "the index does not know this video"
        return
    with KeptFrames(outdir, shard, notes_lost=False) as kept_frames:
        for picture in pictures:
            picture.take(kept_frames, MIDDLE)
            if picture.webp and picture.about["reason"]:
                picture.move(kept_frames)


def small(frame: np.ndarray) -> tuple[str, int, int]:
    """A BGR frame as a small WebP in a `data:` address, its width and height."""
    picture = resized(frame, LONG_SIDE)
    return as_webp(picture, QUALITY), picture.shape[1], picture.shape[0]


def moving(frames: Iterable[np.ndarray]) -> str:
    """BGR frames of one size as a small animated WebP in a `data:` address."""
    animation = cv2.Animation()
    animation.frames = [resized(frame, MOVING_SIDE) for frame in frames]
    animation.durations = [MOVING_MILLISECONDS] * len(animation.frames)
    _, data = cv2.imencodeanimation(".webp", animation, [cv2.IMWRITE_WEBP_QUALITY, MOVING_QUALITY])
    return _address(data)


def resized(frame: np.ndarray, long_side: int) -> np.ndarray:
    """A picture whose long side has at most `long_side` pixels."""
    height, width = frame.shape[:2]
    scale = min(1.0, long_side / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def as_webp(picture: np.ndarray, quality: int) -> str:
    """A BGR picture as a WebP in a `data:` address."""
    _, data = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, quality])
    return _address(data)


def _address(webp: np.ndarray) -> str:
    return "data:image/webp;base64," + base64.b64encode(webp.tobytes()).decode("ascii")
