"""The duplicates of a run, and the clips beyond its limits: from the tables of all shards to one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clipmill.duplicates.groups import Candidates, Likeness, Limits, decide
from clipmill.duplicates.pairs import NO_PAIRS, Fingerprints, Pairs, find_pairs
from clipmill.store import tables
from clipmill.store.index import removed_videos
from clipmill.store.table import Row


def find_duplicates(outdir: Path, shards: Iterable[str], settings: Mapping[str, Any], threads: int = 1) -> list[Row]:
    """DUPLICATES rows. `settings`: the config's sections `duplicates` and `limits`."""
    shards = list(shards)
    wanted = settings["duplicates"]
    candidates = read_candidates(outdir, shards, wanted["keep"])
    pairs = NO_PAIRS
    if wanted["backend"] != "none":
        fingerprints = Fingerprints.read(outdir, shards, wanted["backend"])
        pairs = _among(candidates, fingerprints, find_pairs(outdir, fingerprints, wanted, threads))
    likeness = Likeness(len(candidates.ids), pairs.rows, pairs.similarity)
    return decide(candidates, likeness, Limits(**settings["limits"]))


def read_candidates(outdir: Path, shards: Iterable[str], score: str) -> Candidates:
    """The clips that the filters keep, without those of removed videos. `score`: the column that ranks them."""
    gone = removed_videos(outdir)
    rows = []
    for shard in shards:
        table = tables.VERDICTS.read(tables.VERDICTS.of(outdir, shard), ["clip_id", "video_id", "kept", score])
        found = zip(*(table[name].to_pylist() for name in table.column_names), strict=True)
        rows += [
            (clip_id, video_id, value) for clip_id, video_id, kept, value in found if kept and video_id not in gone
        ]
    rows.sort(key=lambda row: row[0])
    scores = np.array([np.nan if score is None else score for *_, score in rows], float)
    return Candidates([row[0] for row in rows], [row[1] for row in rows], scores)


def _among(candidates: Candidates, fingerprints: Fingerprints, pairs: Pairs) -> Pairs:
    """The pairs of candidates, by their numbers."""
    number = {clip_id: place for place, clip_id in enumerate(candidates.ids)}
    of_row = np.array([number.get(clip_id, -1) for clip_id in fingerprints.ids], np.int64)
    both = pairs.within(of_row >= 0, 0.0)
    return Pairs(of_row[both.rows], both.similarity)
