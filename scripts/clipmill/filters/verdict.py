"""Which clips are kept, and the first reason why not. A clip whose score is missing is not kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clipmill.filters import reasons
from clipmill.filters.columns import WORDS, source
from clipmill.filters.reasons import Reason
from clipmill.shapes.sizes import fit
from clipmill.steps import metrics_of
from clipmill.store.table import Row
from clipmill.store.tables import Clip, Video, without_error
from clipmill.texts.checks import Checks, fault_of_caption, fault_of_text
from clipmill.texts.questions import DROP, UNSURE

Bounds = dict[str, dict[str, Any]]
"""Filter -> `min` and `max`, numbers; of a filter on words `allow` and `deny`, lists of words. None is no bound."""


@dataclass(frozen=True)
class WantedSize:
    """The size of clip files: the config's `cut.size`, and the sizes of `export.buckets` if it is `bucket`."""

    size: Mapping[str, Any] | str
    resolutions: Sequence[Sequence[int]] | None

    def has_room(self, clip: Mapping[str, Any]) -> bool:
        """Whether the pictures of a clip are large enough."""
        return fit((clip["width"], clip["height"]), self.size, self.resolutions) is not None


def active(filters: Bounds, order: list[str]) -> Bounds:
    """The filters that have a bound, in the given order."""
    return {name: filters[name] for name in order if any(value is not None for value in filters[name].values())}


def before(metric: str, order: list[str]) -> list[str]:
    """The filters that stand before the first one of a costly metric."""
    own = [place for place, name in enumerate(order) if source(name) == metric]
    return order[: min(own)] if own else []


def costly_before(metric: str, order: list[str]) -> list[str]:
    """The costly metrics whose filters stand before those of `metric`."""
    sources = {source(name) for name in before(metric, order)}
    return [name for name in metrics_of(order) if name in sources and name != metric]


def first_failure(values: Mapping[str, Any], filters: Bounds) -> Reason | None:
    """The first reason against a clip, in the order of `filters`; None keeps it."""
    if values["unfit"]:
        return reasons.UNFIT[values["unfit"]]
    if values.get("too_small"):
        return reasons.TOO_SMALL
    if values.get("no_sound"):
        return reasons.NO_SOUND
    return out_of(filters, values)


def out_of(filters: Bounds, values: Mapping[str, Any]) -> Reason | None:
    """The first of `filters` that `values` do not pass, and how; None where there is none."""
    for name, bound in filters.items():
        value = values.get(name)
        if value is None or (name not in WORDS and not math.isfinite(value)):
            return Reason(name, reasons.MISSING)
        if name in WORDS and not lets_in(value, bound):
            return Reason(name, reasons.DENIED)
        if (low := bound.get("min")) is not None and value < low:
            return Reason(name, reasons.LOW)
        if (high := bound.get("max")) is not None and value > high:
            return Reason(name, reasons.HIGH)
    return None


def lets_in(value: str | bool, bound: Mapping[str, Sequence[str | bool] | None]) -> bool:
    """Whether a filter on words lets a value in: a word that it allows, if it names any, and does not deny."""
    allowed, denied = bound.get("allow"), bound.get("deny")
    return (allowed is None or value in allowed) and (denied is None or value not in denied)


def word(value: str | bool) -> str:
    """A value of a filter on words as text; truth values are written as in YAML."""
    return str(value).lower() if isinstance(value, bool) else value


@dataclass(frozen=True)
class Late:
    """The last judgement of a clip that has a text: the config's `checks` of the text, then the late filters."""

    checks: Checks
    filters: Bounds
    order: list[str]

    def first_failure(self, values: Mapping[str, Any]) -> Reason | None:
        """The first reason against a clip with a text, from its `text` and its alignment scores; None keeps it."""
        if fault := fault_of_text(values["text"], self.checks):
            return Reason("text", fault)
        return out_of(active(self.filters, self.order), values)


@dataclass(frozen=True)
class Judgement:
    """What the answers to the config's questions do. `policy`: see `texts.questions.policy_of`.

    `with_caption`: whether the request for the caption asked the questions, and not one before it.
    """

    policy: Sequence[Mapping[str, str | None]]
    with_caption: bool

    @property
    def columns(self) -> list[str]:
        """The columns of the answers."""
        return [str(one["column"]) for one in self.policy]

    def failure(self, answers: Mapping[str, Any]) -> Reason | None:
        """The first reason against a clip among its answers; None keeps it.

        A clip whose caption failed has no answers that should have come with it: the caption is the reason then.
        """
        if self.with_caption and answers.get("caption") is None:
            return None
        for column, one in zip(self.columns, self.policy, strict=True):
            given = answers.get(column)
            if given is None:
                return reasons.JUDGE_FAILED
            if given == one["drop"] or (given == UNSURE and one["unsure"] == DROP):
                return Reason(column, given)
        return None


def caption_failure(caption: str | None, whole: bool | None, checks: Checks) -> Reason | None:
    """The reason against a clip that its caption gives; None if the caption is good."""
    if caption is None:
        return reasons.CAPTION_FAILED
    fault = fault_of_caption(caption, whole, checks)
    return Reason("caption", fault) if fault else None


def gather(
    videos: Iterable[Video],
    clips: Iterable[Clip],
    scores: Mapping[str, Iterable[Mapping[str, Any]]],
    wanted: WantedSize | None = None,
    needs_sound: bool = False,
) -> list[Row]:
    """One dict per clip with all that is known about it: its row, its video's facts, its scores from given tables.

    `wanted`: the size of clip files, if the config has one. `needs_sound`: whether each clip must have sound.
    """
    by_id = {video["video_id"]: video for video in videos}
    by_clip = [{row["clip_id"]: without_error(row) for row in table} for table in scores.values()]
    rows = []
    for clip in clips:
        row = {**facts(by_id[clip["video_id"]], clip, wanted), **clip}
        for table in by_clip:
            row.update(table[clip["clip_id"]])
        row["no_sound"] = needs_sound and row.get("has_sound") is False
        rows.append(row)
    return rows


def facts(video: Video, clip: Clip, wanted: WantedSize | None = None) -> Row:
    """What is known about a clip from its video and its size, beyond its own row."""
    return {
        "name": video["name"],
        "area": clip["width"] * clip["height"],
        "aspect_ratio": clip["width"] / clip["height"],
        "bits_per_pixel": video["bits_per_pixel"],
        "video_seconds": video["seconds"],
        "video_changes": video["changes"] is not None,
        "too_small": wanted is not None and not wanted.has_room(clip),
    }
