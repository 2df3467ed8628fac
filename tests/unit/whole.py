"""Splitting videos in which nothing changes midway, as most tests make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from clipmill.decode.parts import LOOK
from clipmill.split import scenes
from clipmill.split.detectors import PartFinder
from clipmill.split.settings import SplitSettings
from clipmill.split.sound import HeardVideo
from clipmill.split.transitions import Transition
from clipmill.split.transnetv2 import Shots
from clipmill.store.tables import PROGRESSIVE, Clip, Part

# What decoding finds of an ordinary video.
ORDINARY = {
    "pixel_format": "yuv420p",
    "bit_depth": 8,
    "transfer": "sdr",
    "primaries": "unknown",
    "color_range": "unknown",
    "field_order": "progressive",
    "coded_width": 192,
    "coded_height": 108,
    "rotation": 0,
    "mirrored": False,
    "cropped": False,
    "pixel_aspect": 1.0,
    "width": 192,
    "height": 108,
    "fps": 24.0,
    "variable_rate": False,
    "offset": 0.0,
}
assert set(ORDINARY) == set(LOOK)


def find_transitions(
    signals: pa.Table, fps: float, settings: SplitSettings, shots: Shots | None = None
) -> list[Transition]:
    return PartFinder(signals, fps, shots).find(settings)


def video_clips(
    video: Mapping[str, Any],
    signals: pa.Table,
    transitions: Sequence[Transition],
    settings: SplitSettings,
    heard: HeardVideo | None = None,
) -> list[Clip]:
    whole: Any = {**ORDINARY, "frames": len(signals), "source_key": "k", **video}
    return scenes.video_clips(whole, [single_part(whole)], signals, transitions, settings, heard)


def single_part(video: Mapping[str, Any]) -> Part:
    """The only part of a video in which nothing changes."""
    return {
        **{name: video[name] for name in LOOK},
        "video_id": video["video_id"],
        "part": 0,
        "start": 0.0,
        "end": video["seconds"],
        "start_frame": 0,
        "end_frame": video["frames"],
        "interlaced_frames": None if video["field_order"] == PROGRESSIVE else f"0-{video['frames']}",
    }
