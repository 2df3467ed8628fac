"""The parts of a video: each is seen as a video of its own by whoever splits, cuts or judges."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import cast

from clipmill.store.tables import DecodedVideo, Look, Part

LOOK = tuple(Look.__annotations__)


def by_video(parts: Iterable[Part]) -> dict[str, list[Part]]:
    """PARTS rows by the id of their video, in order."""
    found = defaultdict(list)
    for part in parts:
        found[part["video_id"]].append(part)
    return found


def as_of_part(video: DecodedVideo, part: Part) -> DecodedVideo:
    """A video's row with the facts of one of its parts."""
    return cast(DecodedVideo, {**video, **{name: part[name] for name in LOOK}})  # type: ignore[literal-required]


def single_part(video: DecodedVideo) -> Part:
    """The only part of a video in which nothing changes."""
    look = cast(Look, {name: video[name] for name in LOOK})  # type: ignore[literal-required]
    return {
        **look,
        "video_id": video["video_id"],
        "part": 0,
        "start": 0.0,
        "end": video["seconds"],
        "start_frame": 0,
        "end_frame": video["frames"],
    }
