"""Thresholds that are quantiles: `min: q0.3` is the value that three in ten of all clips lie below.

Which value that is, is found over all shards, and held in memory a score at a time: 8 bytes a clip.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clipmill.filters import verdict
from clipmill.filters.columns import SOURCES, VIDEOS
from clipmill.filters.verdict import Bounds
from clipmill.steps import SCORE_TABLES
from clipmill.store import tables

# Of the two scores that a quantile lies between, the one within: of ten clips `min: q0.3` and `max: q0.7` keep seven.
WITHIN = {"min": math.ceil, "max": math.floor}

# filter -> min or max -> `quantile` (0–1), `clips` that have the score, `value`: the threshold, None without such clips
Resolved = dict[str, dict[str, dict[str, Any]]]


def as_quantile(bound: float | str | None) -> Fraction | None:
    """3/10 of `q0.3`; None of a number and of no bound."""
    return Fraction(bound.removeprefix("q")) if isinstance(bound, str) else None


def quantiles(filters: Bounds) -> dict[str, dict[str, str]]:
    """Those bounds that are quantiles, by filter."""
    found = {
        name: {side: bound for side, bound in bounds.items() if isinstance(bound, str)}
        for name, bounds in filters.items()
    }
    return {name: bounds for name, bounds in found.items() if bounds}


def resolve(outdir: Path, shards: Iterable[str], wanted: dict[str, dict[str, str]], gone: set[str]) -> Resolved:
    """The values of the quantiles `wanted`, over the clips of all shards that are not too short and have the score.

    `gone`: videos whose clips do not count. Where a cascade spares clips a score, they do not have it.
    """
    parts: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for shard in shards:
        clips = counted_clips(outdir, shard, gone)
        for name, scores in parts.items():
            values = read_scores(outdir, shard, name, clips)
            scores.append(values[np.isfinite(values)])
    resolved: Resolved = {}
    for name, bounds in wanted.items():
        values = np.concatenate([*parts.pop(name), np.empty(0)])
        resolved[name] = {side: at_quantile(values, as_quantile(bound), side) for side, bound in bounds.items()}
    return resolved


def at_quantile(values: np.ndarray, quantile: Fraction | float, side: str) -> dict[str, Any]:
    """The threshold at a quantile, as in `Resolved`: one of the scores `values`, all of which are finite."""
    found = {"quantile": float(quantile), "clips": len(values)}
    if not len(values):
        return {**found, "value": None}
    # By the digits of a float: as a binary number 0.7 of 90 is a little less than 63, and the clip before would be it.
    place = WITHIN[side](Fraction(str(quantile)) * (len(values) - 1))
    return {**found, "value": float(np.partition(values, place)[place])}


def counted_clips(outdir: Path, shard: str, gone: set[str]) -> pa.Table:
    """`clip_id` and `video_id` of the clips of a shard that are not too short, and whose video has not gone."""
    clips = tables.CLIPS.read(tables.CLIPS.of(outdir, shard), ["clip_id", "video_id", "too_short"])
    out = pc.or_(clips["too_short"], pc.is_in(clips["video_id"], pa.array(sorted(gone), pa.string())))
    return clips.filter(pc.invert(out)).select(["clip_id", "video_id"])


def read_scores(outdir: Path, shard: str, name: str, clips: pa.Table) -> np.ndarray:
    """The score `name` of each of `clips`, which `counted_clips` gave; NaN where a clip has none."""
    if SOURCES[name] == VIDEOS:
        facts = verdict.video_facts(tables.VIDEOS.rows(tables.VIDEOS.of(outdir, shard)))
        return np.array([facts[video][name] for video in clips["video_id"].to_pylist()], float)
    table = SCORE_TABLES[SOURCES[name]]
    scores = table.read(table.of(outdir, shard), ["clip_id", name])
    places = pc.index_in(clips["clip_id"], scores["clip_id"].combine_chunks())
    return scores[name].take(places).to_numpy().astype(float)


def read(paths: Iterable[Path]) -> Resolved:
    """What the files of `resolve_thresholds` found, all together."""
    resolved: Resolved = {}
    for path in paths:
        resolved |= json.loads(path.read_text(encoding="utf-8"))
    return resolved


def with_resolved_quantiles(filters: Bounds, resolved: Resolved) -> Bounds:
    """`filters` with the values that were found in place of quantiles.

    A quantile of nothing lets every score pass, and no clip without one.
    """
    nothing = {"min": -math.inf, "max": math.inf}
    found = {
        name: {side: nothing[side] if at["value"] is None else at["value"] for side, at in bounds.items()}
        for name, bounds in resolved.items()
    }
    return {name: {**bounds, **found.get(name, {})} for name, bounds in filters.items()}
