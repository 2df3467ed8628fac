"""Decoding the videos of a shard; a journal keeps finished videos from being decoded again."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipmill.base.errors import ItemError, check_error_rate
from clipmill.base.journal import Journal
from clipmill.base.progress import Progress
from clipmill.base.workers import map_in_processes
from clipmill.decode.video import DecodePaths, DecodeSettings, decode_video, source_key, video_file
from clipmill.store.index import note_again
from clipmill.store.layout import Paths
from clipmill.store.tables import DecodedVideo, FailedVideo, IndexedVideo

log = logging.getLogger("clipmill")

# The key that the rule adds to its settings if miniatures are wanted. In other runs the settings stay what they were,
# so that Snakemake decodes nothing again.
MINIATURES = "miniatures"


def decode_settings(settings: Mapping[str, Any]) -> tuple[DecodeSettings, bool]:
    """The settings of the rule taken apart: the section of the config, and whether miniatures are wanted."""
    return DecodeSettings(
        **{name: value for name, value in settings.items() if name != MINIATURES}
    ), MINIATURES in settings


def with_miniatures(about: Mapping[str, Any]) -> bool:
    """Whether the job that wrote a table of videos was asked for miniatures. `about`: how the table was made."""
    return MINIATURES in about.get("settings", {})


def remove_decoded(paths: DecodePaths) -> None:
    """Remove the files of an earlier decoding of a video that can no longer be used."""
    for path in (paths.frames, *paths.tables):
        if path.is_dir():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()


def decode_shard(
    videos: list[IndexedVideo],
    outdir: Path,
    shard: str,
    settings: DecodeSettings,
    threads: int,
    max_error_rate: float,
    miniatures: bool = False,
) -> list[DecodedVideo | FailedVideo]:
    """VIDEOS rows of a shard's videos, in their order; finished ones come from the journal.

    `miniatures`: whether they are wanted too. No other result depends on it, so no key does: a video without them is
    decoded once more, and its scores stay as they are.

    Raises SetupError if more than the share `max_error_rate` of the videos failed.
    """
    rows: dict[str, DecodedVideo | FailedVideo] = {}
    paths = {video["video_id"]: DecodePaths.of(outdir, shard, video["video_id"], miniatures) for video in videos}
    passing: list[str] = []
    with Journal(Paths(outdir).journal("decode", shard)) as journal:
        for video in videos:
            row = journal.get(video["video_id"], source_key(video, settings))
            if row and (row.get("error_kind") or paths[video["video_id"]].hold(row["source_key"])):
                rows[video["video_id"]] = row | {"name": video["name"], "path": video["path"]}
        todo = [video for video in videos if video["video_id"] not in rows]
        progress = Progress("videos", len(videos), len(rows))
        workers = max(1, min(threads, len(todo)))
        share = max(1, threads // workers)

        def decode(video: IndexedVideo) -> DecodedVideo:
            return decode_video(video, paths[video["video_id"]], settings, share)

        for video, result in map_in_processes(todo, decode, workers):
            if isinstance(result, ItemError):
                log.warning("%s: %s", video["name"], result)
                remove_decoded(paths[video["video_id"]])
                row = _error_row(video, settings, result)
            else:
                row = result
            if not isinstance(result, ItemError) or result.lasting:
                journal.add([(video["video_id"], source_key(video, settings), row)])
            else:
                passing.append(video["video_id"])
            rows[video["video_id"]] = row
            progress.step()
            bad = sum(1 for row in rows.values() if row.get("error_kind"))
            check_error_rate(bad, len(rows), max_error_rate, "videos")
        note_again(outdir, "decode", shard, passing)
    return [rows[video["video_id"]] for video in videos]


def _error_row(video: IndexedVideo, settings: DecodeSettings, error: ItemError) -> FailedVideo:
    return {**video_file(video, settings), "error_kind": error.kind, "error": str(error)}
