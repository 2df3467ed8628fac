"""A page that compares two finished runs: clips only in one, verdicts that differ, captions chosen between blindly."""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path
from typing import Any

from clipmill.base.errors import ItemError, SetupError
from clipmill.base.files import write_text
from clipmill.base.journal import fingerprint
from clipmill.compare.runs import Comparison, FinishedRun, Pair
from clipmill.decode.reading import FrameChoice, KeptFrames
from clipmill.report import page
from clipmill.report.pictures import small
from clipmill.store.index import shards_of
from clipmill.store.layout import Paths, clip_file

HERE = Path(__file__).parent
FRAMES = FrameChoice(count=3)  # of each clip
MOST_VIDEOS = 100  # of clips that only one run has


def write_comparison(a: Path, b: Path, settings: dict[str, Any], output: Path) -> None:
    """Compare the finished runs in `a` and `b`, and write a page to `output`, one file that needs no other.

    `settings`: `clips`, the most captions to choose between, and the `seed` of their draw and of their sides. Raises
    SetupError if one of them is no finished run, or if they have no clip in common.
    """
    both = Comparison.of(FinishedRun.read("a", a), FinishedRun.read("b", b))
    differing, equal = both.with_two_texts()
    pairs = both.pairs(differing, settings["clips"], settings["seed"])
    frames = frames_of(both, pairs)
    view = {
        "runs": [both.a, both.b],
        "common": len(both.common),
        "only": {run.key: both.only_in(run) for run in (both.a, both.b)},
        "most": MOST_VIDEOS,
        "changes": both.changes(),
        "differing": len(differing),
        "equal": equal,
        "pairs": [
            {
                "pair": pair,
                "right": "b" if pair.left == "a" else "a",
                "frames": frames.get(pair.row["clip_id"], []),
                "file": _file(both, pair, output.parent),
            }
            for pair in pairs
        ],
        # Choices are kept in the browser under this name: those of other captions or sides do not count here.
        "name": fingerprint([(pair.row["clip_id"], pair.left, dict(pair.texts)) for pair in pairs]),
    }
    write_text(output, page.render(view, HERE))


def frames_of(both: Comparison, pairs: list[Pair]) -> dict[str, list[tuple[str, int, int]]]:
    """Some kept frames of each clip as small pictures, of whichever run still has them; none where neither has."""
    found: dict[str, list[tuple[str, int, int]]] = {}
    for run in (both.a, both.b):
        rows = [run.rows[clip] for pair in pairs if (clip := pair.row["clip_id"]) not in found]
        has_index = Paths(run.outdir).videos.exists()  # not if somebody has deleted work/
        shard_of = shards_of(run.outdir, {row["video_id"] for row in rows}) if has_index else {}
        rows = sorted((row for row in rows if row["video_id"] in shard_of), key=lambda row: row["video_id"])
        for video_id, of_video in groupby(rows, key=lambda row: row["video_id"]):
            with KeptFrames(run.outdir, shard_of[video_id], notes_lost=False) as kept_frames:
                for row in of_video:
                    try:
                        found[row["clip_id"]] = [small(frame) for frame in kept_frames.frames(row, FRAMES)]
                    except (ItemError, OSError, SetupError):
                        continue  # the page says that there is no picture
    return found


def _file(both: Comparison, pair: Pair, folder: Path) -> str | None:
    """The clip file of one of the runs, as the page in `folder` links it; None if neither has it."""
    row = pair.row
    for run in (both.a, both.b):
        path = Paths(run.outdir).dataset_clips / clip_file(row["video_id"], row["clip_id"])
        if path.exists():
            return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    return None
