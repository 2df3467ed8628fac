"""Finding the values of thresholds that are quantiles, over the clips of all shards.

The scores in question are held in memory: 8 bytes per clip and score.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clipmill.filters import verdict
from clipmill.filters.columns import FACTS, WORDS, source
from clipmill.filters.quantiles import Resolved, as_quantile
from clipmill.steps import score_table
from clipmill.store import tables

# If a quantile lies between two scores, the stricter one counts: of ten clips `min: q0.3` and `max: q0.7` keep seven.
WITHIN = {"min": math.ceil, "max": math.floor}


def resolve(outdir: Path, shards: Iterable[str], wanted: dict[str, dict[str, str]], gone: set[str]) -> Resolved:
    """The values of the quantiles `wanted`, over the clips of all shards that are not too short and have the score.

    `gone`: videos whose clips do not count. A clip for which a cascade skipped a score does not have it.
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
    # Computed with the float's decimal digits: in binary 0.7 × 90 is a little less than 63, which is the clip before.
    place = WITHIN[side](Fraction(str(quantile)) * (len(values) - 1))
    return {**found, "value": float(np.partition(values, place)[place])}


def counted_clips(outdir: Path, shard: str, gone: set[str]) -> pa.Table:
    """`clip_id` and `video_id` of the clips of a shard that are not unfit, and whose video has not gone."""
    clips = tables.CLIPS.read(tables.CLIPS.of(outdir, shard), ["clip_id", "video_id", "unfit"])
    out = pc.or_(pc.is_valid(clips["unfit"]), pc.is_in(clips["video_id"], pa.array(sorted(gone), pa.string())))
    return clips.filter(pc.invert(out)).select(["clip_id", "video_id"])


def read_scores(outdir: Path, shard: str, name: str, clips: pa.Table) -> np.ndarray:
    """The score `name` of each of `clips`, which `counted_clips` gave; NaN, or None for a word, where it has none."""
    kind = object if name in WORDS else float
    if source(name) == FACTS:
        videos = {row["video_id"]: row for row in tables.VIDEOS.rows(tables.VIDEOS.of(outdir, shard))}
        rows = {row["clip_id"]: row for row in tables.CLIPS.rows(tables.CLIPS.of(outdir, shard))}
        wanted = [rows[clip_id] for clip_id in clips["clip_id"].to_pylist()]
        return np.array([{**row, **verdict.facts(videos[row["video_id"]], row)}[name] for row in wanted], kind)
    table = score_table(source(name))
    scores = table.read(table.of(outdir, shard), ["clip_id", name])
    places = pc.index_in(clips["clip_id"], scores["clip_id"].combine_chunks())
    return scores[name].take(places).to_numpy().astype(kind)
