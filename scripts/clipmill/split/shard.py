"""Splitting the videos of a shard into clips, with the scores that follow from their signals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from clipmill.decode.reading import read_signals
from clipmill.split.measured import motion_score, technical_score
from clipmill.split.scenes import SplitSettings, video_clips
from clipmill.store.table import Row
from clipmill.store.tables import Clip, Video, without_error


@dataclass
class Split:
    """Rows of the tables CLIPS, MOTION and TECHNICAL."""

    clips: list[Clip] = field(default_factory=list)
    motion: list[Row] = field(default_factory=list)
    technical: list[Row] = field(default_factory=list)


def split_shard(videos: Iterable[Video], outdir: Path, shard: str, settings: SplitSettings) -> Split:
    """The clips of all videos that were decoded, and their scores."""
    split = Split()
    for video in videos:
        if video["error_kind"]:
            continue
        signals = read_signals(outdir, shard, video["video_id"])
        for clip in video_clips(video, signals, settings):
            split.clips.append(clip)
            split.motion.append(_without_needless_error(clip, motion_score(clip, video, signals)))
            split.technical.append(_without_needless_error(clip, technical_score(clip, signals)))
    return split


def _without_needless_error(clip: Clip, row: Row) -> Row:
    """A row of scores. A clip that is too short is dropped anyway, so a missing score of it is no error."""
    if not clip["too_short"]:
        return row
    return without_error(row)
