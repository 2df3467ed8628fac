"""The time line of a video: its scenes, and the transitions that each detector finds, as the parts of an SVG."""

from __future__ import annotations

from collections import Counter
from itertools import takewhile
from typing import Any

from clipmill.report.detected import Seen
from clipmill.split.transitions import Transition

WIDTH, RUN_HEIGHT, HEIGHT = 1000, 20, 10  # of the SVG, of the row of the run, and of each other detector's row
MOST_SECONDS = 300.0  # of a video that are drawn; in a longer line single transitions are not seen


def timeline(seen: Seen, order: list[str]) -> dict[str, Any]:
    """A time line for the template. `order`: the detectors, that of the run first."""
    run, *others = order
    total = seen.video["seconds"]
    shown = min(total, MOST_SECONDS)

    def x(frame: int) -> float:
        return round(WIDTH * min(1.0, float(seen.times[frame]) / shown), 1) if shown else 0.0

    def mark(one: Transition, look: str, height: int) -> dict[str, Any]:
        start, end = x(one.start), x(one.end)
        path = f"M{start} 0V{height}" if one.start == one.end else f"M{start} 0H{end}V{height}H{start}Z"
        times = {"start": float(seen.times[one.start]), "end": float(seen.times[one.end])}
        return {"path": path, "look": look, "kind": one.kind, "strength": one.strength, **times}

    def is_shown(frame: int) -> bool:
        return bool(seen.times[frame] < shown)

    places = list(takewhile(lambda place: is_shown(min(one.start for one in place.values())), seen.places))
    rows = []
    for detector in others:
        marks = []
        for place in places:
            if detector in place:
                marks.append(mark(place[detector], "same" if run in place else "extra", HEIGHT))
            elif run in place:
                marks.append(mark(place[run], "missing", HEIGHT))
        looks = Counter(one["look"] for one in marks)
        rows.append({"detector": detector, "marks": marks, "extra": looks["extra"], "missing": looks["missing"]})
    of_run = [place[run] for place in places if run in place]
    scenes = [scene for scene in seen.scenes if is_shown(scene[0])]
    return {
        "name": seen.video["name"],
        "total": total,
        "shown": shown,
        "scenes": len(scenes),
        "kinds": sorted(Counter(one.kind for one in of_run).items()),
        "bars": {
            look: "".join(f"M{x(first)} 4H{x(end)}V16H{x(first)}Z" for first, end, long in scenes if long == is_long)
            for look, is_long in (("long", True), ("short", False))
        },
        "marks": [mark(one, one.kind, RUN_HEIGHT) for one in of_run],
        "rows": rows,
        "places": [{detector: mark(one, "", 0) for detector, one in place.items()} for place in places],
    }
