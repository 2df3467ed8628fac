"""Which clips are kept, and the first reason why not. Fail closed: a missing score keeps no clip."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from clipmill import text_checks

# Each filter and the table that its value comes from. Those from frames are costly; a cascade may spare them.
FILTERS = {
    "area": "videos",
    "aspect_ratio": "videos",
    "fps": "videos",
    "video_seconds": "videos",
    "bits_per_pixel": "videos",
    "brightness": "technical",
    "contrast": "technical",
    "sharpness": "technical",
    "border_area": "technical",
    "frozen_share": "technical",
    "motion": "motion",
    "motion_pixels": "motion",
    "consistency": "consistency",
    "aesthetic": "aesthetic",
    "text_area": "text",
    "text_static_area": "text",
    "text_scene_area": "text",
}
COSTLY = ("consistency", "aesthetic", "text")
LATE_FILTERS = ("alignment", "alignment_margin")  # of clips that have a text; looked at after all others
# Of one frame these say nothing, though they are known where there is no text at all.
OF_SEVERAL_FRAMES = ("text_static_area", "text_scene_area")

Bounds = dict[str, dict[str, float | None]]


def active(filters: Bounds, order: list[str]) -> Bounds:
    """The filters that have a bound, in the given order."""
    return {name: filters[name] for name in order if any(value is not None for value in filters[name].values())}


def before(metric: str, order: list[str]) -> list[str]:
    """The filters that stand before the first one of a costly metric."""
    own = [place for place, name in enumerate(order) if FILTERS[name] == metric]
    return order[: min(own)] if own else []


def costly_before(metric: str, order: list[str]) -> list[str]:
    """The costly metrics whose filters stand before those of `metric`."""
    sources = {FILTERS[name] for name in before(metric, order)}
    return [name for name in COSTLY if name in sources and name != metric]


def reason(values: dict[str, Any], filters: Bounds) -> str | None:
    """The first reason against a clip, in the order of `filters`; None keeps it.

    `too_short`, then `<filter> missing`, `<filter> low` or `<filter> high`.
    """
    return "too_short" if values["too_short"] else out_of(filters, values)


def out_of(filters: Bounds, values: dict[str, Any]) -> str | None:
    """The first of `filters` that `values` do not pass, and how; None where there is none."""
    for name, bound in filters.items():
        value = values.get(name)
        if value is None or not math.isfinite(value):
            return f"{name} missing"
        if bound.get("min") is not None and value < bound["min"]:
            return f"{name} low"
        if bound.get("max") is not None and value > bound["max"]:
            return f"{name} high"
    return None


@dataclass(frozen=True)
class Late:
    """What may speak against a clip that has a text: `checks` of it, as the config has them, then the late filters."""

    checks: text_checks.Checks
    filters: Bounds
    order: list[str]

    def reason(self, values: dict[str, Any]) -> str | None:
        """The first reason against a clip with a text, of its `text` and its alignment scores; None keeps it."""
        return text_checks.of_text(values["text"], self.checks) or out_of(active(self.filters, self.order), values)


def gather(
    videos: Iterable[dict[str, Any]], clips: Iterable[dict[str, Any]], scores: dict[str, Iterable[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """One dict a clip of all that is known of it: its row, its video's facts, its scores from the given tables."""
    facts = video_facts(videos)
    by_clip = [{row["clip_id"]: _without_error(row) for row in table} for table in scores.values()]
    rows = []
    for clip in clips:
        row = {**facts[clip["video_id"]], **clip}
        for table in by_clip:
            row.update(table[clip["clip_id"]])
        rows.append(row)
    return rows


def video_facts(videos: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the clips of a video have from it, by its id; a broken one has no clips."""
    return {
        video["video_id"]: {
            "name": video["name"],
            "width": video["width"],
            "height": video["height"],
            "fps": video["fps"],
            "area": video["width"] * video["height"],
            "aspect_ratio": video["width"] / video["height"],
            "bits_per_pixel": video["bits_per_pixel"],
            "video_seconds": video["seconds"],
        }
        for video in videos
        if not video["error_kind"]
    }


def _without_error(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("error_kind", "error")}
