"""The parts of a video: each is seen as a video of its own by whoever splits, cuts or judges."""

from __future__ import annotations

from typing import cast

from clipmill.store.tables import PROGRESSIVE, DecodedVideo, Footage, Look, Part

LOOK = tuple(Look.__annotations__)
SPILL = 6  # frames at each edge of a run of interlaced frames that may be progressive


def as_of_part(video: DecodedVideo, part: Part) -> DecodedVideo:
    """A video's row with the facts of one of its parts."""
    return cast(DecodedVideo, {**video, **{name: part[name] for name in LOOK}})  # type: ignore[literal-required]


def footage_of(video: DecodedVideo) -> Footage:
    """What the frames of a video, or of a part of it, are like."""
    return cast(Footage, {name: video[name] for name in Footage.__annotations__})  # type: ignore[literal-required]


def field_order_of(part: Part, start_frame: int, end_frame: int) -> str:
    """The field order of some frames of a part: PROGRESSIVE if hardly any of them is interlaced."""
    if part["interlaced_frames"] is None:
        return PROGRESSIVE
    ranges = (map(int, text.split("-")) for text in part["interlaced_frames"].split())
    count = sum(max(0, min(end, end_frame) - max(first, start_frame)) for first, end in ranges)
    return part["field_order"] if count > min(SPILL, (end_frame - start_frame) // 2) else PROGRESSIVE
