"""Show what a score means: clips of a finished run from its lowest value to its highest, one picture per score.

The pictures in docs/pictures/ are made in this way from the demo's videos: see docs/thresholds.md.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from clipmill.base.files import atomic
from clipmill.base.opencv import cv2
from clipmill.cli import run_step
from clipmill.decode.reading import FrameChoice, KeptFrames
from clipmill.demo.render import cover
from clipmill.store import tables
from clipmill.store.index import shard_sizes

SCORES = ("brightness", "contrast", "sharpness", "border_area", "frozen_share", "motion", "consistency", "aesthetic")
SCORES += ("text_area", "text_static_area", "text_scene_area")
# Of these scores the first, middle and last frame of a clip are shown; of motion three in a row; else the middle one.
OVER_TIME = ("frozen_share", "consistency")
COLUMNS, TILE, MARGIN, LABEL = 5, (184, 104), 4, 22  # clips; in pixels: a frame's width and height, gap, label's height
log = logging.getLogger("clipmill")

QUALITY = 60
PAPER, INK = 255, 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("outdir", type=Path, help="output folder of a run with `cascade: false`")
    parser.add_argument("folder", type=Path, help="folder for the pictures, <score>.webp")
    args = parser.parse_args()
    clips = list(scored_clips(args.outdir))
    for score in SCORES:
        chosen = spread(clips, score)
        if not chosen:
            log.warning("no clip has the score %s", score)
            continue
        picture = beside([column(args.outdir, clip, score) for clip in chosen])
        with atomic(args.folder / f"{score}.webp") as temporary:
            temporary.write_bytes(cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1])


def scored_clips(outdir: Path) -> Iterator[dict[str, Any]]:
    """All clips that are long enough, with their scores and their shard."""
    for shard in shard_sizes(outdir):
        clips = {clip["clip_id"]: clip for clip in tables.CLIPS.rows(tables.CLIPS.of(outdir, shard))}
        for row in tables.VERDICTS.rows(tables.VERDICTS.of(outdir, shard)):
            clip = clips[row["clip_id"]]
            if not clip["unfit"]:
                yield {**clip, **row, "shard": shard}


def spread(clips: list[dict[str, Any]], score: str) -> list[dict[str, Any]]:
    """The clips with the lowest and the highest score, and some in between; of equal scores the first clip."""
    known = sorted(
        (clip for clip in clips if clip[score] is not None),
        key=lambda clip: (clip[score], clip["clip_id"]),
        reverse=True,
    )
    different = list({label(clip[score]): clip for clip in known}.values())[::-1]
    places = np.linspace(0, len(different) - 1, min(COLUMNS, len(different))).round().astype(int)
    return [different[place] for place in places]


def label(value: float) -> str:
    return f"{value:.3g}"


def column(outdir: Path, clip: dict[str, Any], score: str) -> np.ndarray:
    """One clip: its frames above its score."""
    with KeptFrames(outdir, clip["shard"]) as kept_frames:
        frames = list(kept_frames.frames(clip, FrameChoice()))
    middle = len(frames) // 2
    places = {"motion": (middle - 1, middle, middle + 1), **dict.fromkeys(OVER_TIME, (0, middle, -1))}
    paper = np.full((LABEL, TILE[0], 3), PAPER, np.uint8)
    where, font = (2, LABEL - 6), cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(paper, label(clip[score]), where, font, 0.5, (INK,) * 3, 1, cv2.LINE_AA)
    return np.vstack([*(padded(cover(frames[place], TILE)) for place in places.get(score, (middle,))), paper])


def padded(tile: np.ndarray) -> np.ndarray:
    return cv2.copyMakeBorder(tile, 0, MARGIN, 0, 0, cv2.BORDER_CONSTANT, value=(PAPER,) * 3)


def beside(columns: list[np.ndarray]) -> np.ndarray:
    gap = np.full((len(columns[0]), MARGIN, 3), PAPER, np.uint8)
    return np.hstack([part for one in columns for part in (one, gap)][:-1])


if __name__ == "__main__":
    run_step(main)
