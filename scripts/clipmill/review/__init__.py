"""The review: a page on which a person looks at clips, decides about them and corrects captions, and its server."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from clipmill.base.files import write_text
from clipmill.report import page as report_page
from clipmill.report.judge import Judge
from clipmill.review import page, pictures
from clipmill.review.choose import REVIEW, Near, choose
from clipmill.store import tables
from clipmill.store.index import shards_of
from clipmill.store.layout import Paths
from clipmill.store.review import clip_key

HERE = Path(__file__).parent
# Kept clips of which the page has a picture; of more it has none, and shows their files alone. Of the clips that a
# person's decisions dropped so many have one.
MOST_PICTURES = 2000


def write_review(outdir: Path, settings: Mapping[str, Any], output: Path) -> None:
    """Write the page of the finished run in `outdir` to `output`: a file that plays the clips in `dataset/` beside it.

    `settings`: the `filters` of the run, with numbers for quantiles, their `order`, and whether there was a `cascade`.
    The same run gives the same page. Raises SetupError if a table is unreadable.
    """
    paths = Paths(outdir)
    summary = json.loads(paths.summary.read_text(encoding="utf-8"))
    judge = Judge(settings["filters"], settings["order"], settings["cascade"])
    chosen = choose(paths.final_verdicts, judge)
    answers = list(summary.get("answers", {}))
    table = tables.with_answers(judge.table, answers)
    rows = table.take(paths.final_verdicts, chosen.rows, page.columns(judge, answers)).to_pylist()
    shards = shards_of(outdir, {row["video_id"] for row in rows})
    shown = {row["clip_id"] for row in rows}
    of_dataset = _of_dataset(paths.metadata, shown)
    for row in rows:
        row |= of_dataset.get(row["clip_id"], page.NOT_IN_DATASET)
    keys = _keys(outdir, set(shards.values()), shown)
    few = len(chosen.kept) <= MOST_PICTURES
    near = [chosen.near.get(number) for number in chosen.rows]
    counts = [int(few) if one is None else _frames(one) for one in near]
    view = {
        "total": chosen.total,
        "kept": len(chosen.kept),
        "near": len(near) - near.count(None),
        "videos": len({row["video_id"] for row in rows}),
        "data": page.data(rows, near, [keys[row["clip_id"]] for row in rows], judge, answers)
        | {"strips": pictures.strips(outdir, rows, counts, shards)},
    }
    write_text(output, report_page.render(view, HERE))


def _frames(near: Near) -> int:
    """How many frames of a clip that is not kept the page has."""
    return int(near.rank < MOST_PICTURES) if near.end == REVIEW else pictures.FRAMES


def _of_dataset(metadata: Path, clips: set[str]) -> dict[str, dict[str, Any]]:
    """By clip, what the dataset knows of these clips beyond the verdicts: the file and the split."""
    names = ["clip_id", *page.NOT_IN_DATASET]
    return {
        row.pop("clip_id"): row
        for batch in tables.METADATA.batches(metadata, names, 65_536)
        for row in batch.to_pylist()
        if row["clip_id"] in clips
    }


def _keys(outdir: Path, shards: Iterable[str], clips: set[str]) -> dict[str, str]:
    """The key of each of these clips, which lie in `shards`: by it a decision knows the pictures that it was about."""
    names = ["clip_id", "source_key", "start_frame", "end_frame"]
    return {
        row["clip_id"]: clip_key(row)
        for shard in shards
        for row in tables.CLIPS.read(tables.CLIPS.of(outdir, shard), names).to_pylist()
        if row["clip_id"] in clips
    }
