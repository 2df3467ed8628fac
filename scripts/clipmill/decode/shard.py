"""Decoding the videos of a shard; a journal keeps finished videos from being decoded again."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

from clipmill.base.errors import ItemError, check_error_rate
from clipmill.base.human import counted
from clipmill.base.journal import Journal
from clipmill.base.progress import Progress
from clipmill.base.workers import map_in_processes
from clipmill.decode.part_pictures import has_large
from clipmill.decode.sound_signals import Speech
from clipmill.decode.upgrade import holds_still
from clipmill.decode.video import (
    EXTRAS,
    DecodePaths,
    DecodeSettings,
    decode_key,
    decode_video,
    pictures_key,
    video_file,
)
from clipmill.fetch.files import ALL_HERE, LocalFiles
from clipmill.store.index import forget_lost, lost_videos, note_again, shown_path
from clipmill.store.layout import Paths
from clipmill.store.tables import DecodedVideo, FailedVideo, IndexedVideo, Part

log = logging.getLogger("clipmill")


def decode_settings(settings: Mapping[str, Any]) -> tuple[DecodeSettings, frozenset[str]]:
    """The settings of the rule taken apart: the section of the config, and which EXTRAS are wanted."""
    own = {name: value for name, value in settings.items() if name not in EXTRAS}
    return DecodeSettings(**own), EXTRAS & settings.keys()


def extras_of(about: Mapping[str, Any]) -> frozenset[str]:
    """Which EXTRAS the job that wrote a table of videos was asked for. `about`: how the table was made."""
    return EXTRAS & about.get("settings", {}).keys()


def remove_decoded(paths: DecodePaths) -> None:
    """Remove the files of an earlier decoding of a video that can no longer be used."""
    for path in (paths.frames, *paths.tables):
        if path.is_dir():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()


def is_current(row: Mapping[str, Any], video: IndexedVideo, settings: DecodeSettings) -> bool:
    """Whether a VIDEOS row was made from the present file with the present settings, and holds in this version."""
    if row["decode_key"]:
        return bool(row["decode_key"] == decode_key(video, settings))
    return bool(row["source_key"] == pictures_key(video, settings)) and holds_still(row)  # older versions had one key


def decode_shard(
    videos: list[IndexedVideo],
    outdir: Path,
    shard: str,
    settings: DecodeSettings,
    threads: int,
    max_error_rate: float,
    extras: Collection[str] = (),
    speech: Speech | None = None,
    files: LocalFiles = ALL_HERE,
) -> tuple[list[DecodedVideo | FailedVideo], list[Part]]:
    """VIDEOS and PARTS rows of a shard's videos, in their order; finished ones come from the journal.

    `extras`: those of EXTRAS that are wanted too. No other result depends on them, so no key does: a video without them
    is decoded once more, and its scores stay as they are. `speech` finds speech, if that is among them. `files`: where
    the videos are that must be fetched.

    Raises SetupError if more than the share `max_error_rate` of the videos failed.
    """
    rows: dict[str, DecodedVideo | FailedVideo] = {}
    parts: dict[str, list[Part]] = {}
    paths = {video["video_id"]: DecodePaths.of(outdir, shard, video["video_id"], extras) for video in videos}
    passing: list[str] = []
    lost = lost_videos(outdir, shard)
    with Journal(Paths(outdir).journal("decode", shard)) as journal:
        for video in videos:
            video_id = video["video_id"]
            row = journal.get(video_id, decode_key(video, settings))
            older = journal.get(video_id, pictures_key(video, settings))
            if row is None and older and holds_still(older):
                row = {**older, "decode_key": older["source_key"]}
            if row and video_id not in lost and (row.get("error_kind") or _holds(paths[video_id], row, settings)):
                row = {**row, "name": video["name"], "path": shown_path(video)}
                parts[video_id] = row.pop("parts", [])
                rows[video_id] = cast(DecodedVideo | FailedVideo, row)
        todo = [video for video in videos if video["video_id"] not in rows]
        progress = Progress("videos", len(videos), len(rows))
        workers = max(1, min(threads, len(todo)))
        share = max(1, threads // workers)
        by_id = {video["video_id"]: video for video in todo}

        def decode(arrived: tuple[str, ItemError | None]) -> tuple[DecodedVideo, list[Part]]:
            video_id, error = arrived
            if error:
                raise error
            file = files.local(by_id[video_id])
            row, of_parts = decode_video(file, paths[video_id], settings, share, speech)
            etag = files.etag(by_id[video_id])
            return {**row, "path": shown_path(by_id[video_id]), "etag": etag}, of_parts

        for (video_id, not_fetched), result in map_in_processes(files.as_they_come(list(by_id)), decode, workers):
            video = by_id[video_id]
            if isinstance(result, ItemError):
                log.warning("%s: %s", video["name"], result)
                remove_decoded(paths[video_id])
                rows[video_id], parts[video_id] = _error_row(video, settings, result, not_fetched is not None), []
            else:
                rows[video_id], parts[video_id] = result
            if not isinstance(result, ItemError) or result.lasting:
                value = {**rows[video_id], "parts": parts[video_id]}
                journal.add([(video_id, decode_key(video, settings), value)])
            else:
                passing.append(video_id)  # what has come of its file stays for the next try
            files.release({video_id}.difference(passing))
            progress.step()
            bad = sum(1 for row in rows.values() if row.get("error_kind"))
            check_error_rate(bad, len(rows), max_error_rate, "videos")
        files.release(paths.keys() - set(passing))  # also those that an earlier job had decoded before it was killed
        note_again(outdir, "decode", shard, passing)
        forget_lost(outdir, shard)
    hdr = sum(any(part["transfer"] != "sdr" for part in of_video) for of_video in parts.values())
    if hdr and not settings.tone_map:
        message = "decode.tone_map is false: the colours of %s stay HDR, and are pale to scores, captions and trainers"
        log.warning(message, counted(hdr, "video"))
    wanted = [video["video_id"] for video in videos]
    return [rows[video_id] for video_id in wanted], [part for video_id in wanted for part in parts[video_id]]


def _holds(paths: DecodePaths, row: Mapping[str, Any], settings: DecodeSettings) -> bool:
    """Whether the files of a finished row of the journal are there, with all that is wanted."""
    sizes = [(part["width"], part["height"]) for part in row.get("parts", [])]
    return paths.hold(row["decode_key"], any(has_large(size, settings.sample_short_side) for size in sizes))


def _error_row(video: IndexedVideo, settings: DecodeSettings, error: ItemError, not_fetched: bool) -> FailedVideo:
    return {
        **video_file(video, settings),
        "not_fetched": not_fetched,
        "error_kind": error.kind,
        "error": str(error),
    }
