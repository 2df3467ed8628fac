"""Small pictures of clips from the kept frames: some frames of a clip side by side, which the page shows in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from clipmill.base.errors import ItemError, SetupError
from clipmill.decode.reading import FrameChoice, KeptFrames
from clipmill.report.pictures import as_webp, resized
from clipmill.store.table import Row

LONG_SIDE = 208  # pixels of one frame
QUALITY = 45
FRAMES = 5  # of a clip that is dropped: its strip stands for the clip

Strip = dict[str, Any]
"""`webp`: the `data:` address of frames side by side; `frames`: how many; `width`, `height`: of one, in pixels."""


def strips(outdir: Path, clips: Sequence[Row], counts: Sequence[int], shards: Mapping[str, str]) -> list[Strip | None]:
    """A strip of each clip, of as many frames as `counts` says; None for none, and where its frames are lost.

    `clips`: rows of the verdicts. `shards`: the shard of each video.
    """
    found: list[Strip | None] = [None] * len(clips)
    wanted = sorted((place for place, count in enumerate(counts) if count), key=lambda at: clips[at]["video_id"])
    for video_id, places in groupby(wanted, key=lambda at: clips[at]["video_id"]):
        with KeptFrames(outdir, shards[video_id], notes_lost=False) as kept_frames:
            for place in places:
                found[place] = _strip(kept_frames, clips[place], counts[place])
    return found


def _strip(kept_frames: KeptFrames, clip: Row, count: int) -> Strip | None:
    try:
        frames = list(kept_frames.frames(clip, FrameChoice(count=count)))
    except (ItemError, SetupError, OSError):  # the page says that there is no picture
        return None
    small = [resized(frame, LONG_SIDE) for frame in frames]
    height, width = small[0].shape[:2]
    return {"webp": as_webp(np.hstack(small), QUALITY), "frames": len(frames), "width": width, "height": height}
