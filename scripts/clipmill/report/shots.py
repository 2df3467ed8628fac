"""The sections on shots and on footage: time lines of some videos, the frames beside some transitions, and what if."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipmill.decode.reading import FrameChoice, KeptFrames
from clipmill.report.detected import MOST_FRAMES, Detected, Seen, look, lot
from clipmill.report.pictures import Picture
from clipmill.report.timelines import timeline
from clipmill.split.settings import SplitSettings
from clipmill.split.transitions import Transition

TIMELINES = 12  # videos that are drawn: half of them those with most transitions
SIDES = 24  # transitions whose frames on both sides are shown: half of them those where detectors disagree
ALL = FrameChoice()


def section(outdir: Path, settings: SplitSettings, most_frames: int = MOST_FRAMES) -> dict[str, Any]:
    """Both sections for the template. `settings`: the section `split` of the run's config, and the frames of clips."""
    found = look(outdir, settings, most_frames)
    drawn = to_draw(found.seen)
    looked_seconds = sum(one.video["seconds"] for one in found.seen)
    return {
        "detector": found.detector,
        "others": found.order[1:],
        "videos": found.videos,
        "looked": len(found.seen),
        "lost": found.lost,
        "scale": found.seconds / looked_seconds if looked_seconds else 1.0,
        "least": settings.min_seconds,
        "frames": settings.frames,
        "fps": settings.fps,
        "footage": found.footage,
        "timelines": [timeline(one, found.order) for one in drawn],
        "sides": [_shown(outdir, side, found.order) for side in to_show(found)],
        "what_ifs": found.what_ifs,
        "most": max((amount.clips for one in found.what_ifs for amount in one.amounts.values()), default=0),
    }


def to_draw(seen: Sequence[Seen]) -> list[Seen]:
    """The videos whose time lines are drawn: all, or those with most transitions, then others by lot."""
    rest = sorted(seen, key=lambda one: (-len(one.places), one.video["video_id"]))
    if len(rest) <= TIMELINES:
        return rest
    most = rest[: TIMELINES // 2]
    others = sorted(rest[len(most) :], key=lambda one: lot(one.video["video_id"]))
    return most + others[: TIMELINES - len(most)]


@dataclass(frozen=True, eq=False)
class Side:
    """A transition whose frames on both sides are shown, as the first of the detectors that found it sees it.

    `before`: first frame of the shot before it; `after`: first frame after the shot that follows.
    """

    seen: Seen
    place: Mapping[str, Transition]
    one: Transition
    before: int
    after: int

    @property
    def video_id(self) -> str:
        return self.seen.video["video_id"]


def to_show(detected: Detected) -> list[Side]:
    """The transitions whose frames are shown: the least sure ones of the run, then some where detectors disagree.

    They are of different videos and kinds if there are enough.
    """
    sides = [side for seen in detected.seen for side in _all_sides(seen, detected.order)]
    unsure = [side for side in sides if detected.detector in side.place]
    chosen = _varied(unsure, SIDES // 2, lambda side: side.one.kind, 1)
    shown = {id(side) for side in chosen}
    odd = [side for side in sides if len(side.place) < len(detected.order) and id(side) not in shown]
    return chosen + _varied(odd, SIDES - len(chosen), lambda side: (side.one.kind, *sorted(side.place)), -1)


def _all_sides(seen: Seen, order: list[str]) -> Iterator[Side]:
    around: dict[tuple[str, Transition], tuple[int, int]] = {}
    for detector, found in seen.found.items():
        ends = [0, *(one.end for one in found)]
        starts = [*(one.start for one in found), len(seen.times) - 1]
        for number, one in enumerate(found):
            around[detector, one] = ends[number], starts[number + 1]
    for place in seen.places:
        detector = next(name for name in order if name in place)
        yield Side(seen, place, place[detector], *around[detector, place[detector]])


def _varied(sides: Iterable[Side], count: int, kind: Callable[[Side], Any], sign: int) -> list[Side]:
    """At most `count` of `sides`, of different videos and then of different kinds while there are such.

    Of equal ones the least sure one; with `sign` -1 the surest one.
    """
    rest = list(sides)
    chosen: list[Side] = []
    videos, kinds = Counter[str](), Counter[Any]()
    while rest and len(chosen) < count:
        best = min(
            rest,
            key=lambda side: (
                videos[side.video_id], kinds[kind(side)], sign * side.one.strength, side.video_id, side.one.start
            ),
        )  # fmt: skip
        rest.remove(best)
        chosen.append(best)
        videos[best.video_id] += 1
        kinds[kind(best)] += 1
    return chosen


def _shown(outdir: Path, side: Side, order: list[str]) -> dict[str, Any]:
    """The frames on both sides of a transition, for the template."""
    seen, one = side.seen, side.one
    pictures = []
    with KeptFrames(outdir, seen.shard, notes_lost=False) as kept_frames:
        for first, end, place in ((side.before, one.start, -1), (one.end, side.after, 0)):
            seconds = float(seen.times[end] - seen.times[first])
            span = {"video_id": side.video_id, "start_frame": first, "end_frame": end, "seconds": seconds}
            pictures.append(Picture(span))
            pictures[-1].take(kept_frames, ALL, place)
    return {
        "name": seen.video["name"],
        "pictures": pictures,
        "start": float(seen.times[one.start]),
        "end": float(seen.times[one.end]),
        "kind": one.kind,
        "strength": one.strength,
        "found": [name for name in order if name in side.place],
        "missed": [name for name in order if name not in side.place],
    }
