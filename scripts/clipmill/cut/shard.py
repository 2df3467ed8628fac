"""Cutting the clips of a shard in parallel, each clip only once. Files of clips that are no longer kept are removed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from clipmill.base.errors import ItemError, check_error_rate
from clipmill.base.journal import Journal, fingerprint
from clipmill.base.progress import Progress
from clipmill.base.workers import map_in_processes
from clipmill.cut.clip import REQUIRED, CutSettings, SourceFrames, cut_clip
from clipmill.decode.parts import as_of_part
from clipmill.decode.reading import frame_times, read_signals
from clipmill.fetch.files import ALL_HERE, LocalFiles
from clipmill.store.clip_files import is_intact, state_of
from clipmill.store.index import note_again
from clipmill.store.layout import Paths
from clipmill.store.table import Row
from clipmill.store.tables import Clip, DecodedVideo, Part

log = logging.getLogger("clipmill")

VERSION = 1  # part of every key: raise it when the same clip and settings give another file
SOUND_VERSION = 3  # the same for clips with sound
SILENT_VERSION = 2  # the same for clips of videos without sound, where sound is kept
# Settings that came later, with values that give the same files as before: what was cut then stays valid.
BEFORE = {"fps": None, "size": None, "codec": "copy", "resolutions": None, "tone_map": True, "deinterlace": "auto"}
COLUMNS = ["time", "is_key", "is_clean", "thumbnail"]  # of the signals, that cutting reads


def cut_shard(
    clips: list[Clip],
    videos: Mapping[str, DecodedVideo],
    parts: Mapping[str, Sequence[Part]],
    outdir: Path,
    shard: str,
    settings: Mapping[str, Any],
    threads: int,
    max_error_rate: float,
    files: LocalFiles = ALL_HERE,
) -> list[Row]:
    """Cut `clips` of `videos`, whose PARTS rows are `parts`, and return their CUTS rows.

    `files`: where the videos are that must be fetched. Only those with clips to cut are, each once.
    The shard's folder of clip files then holds no other files. Raises SetupError if more than the share
    `max_error_rate` of the clips failed.
    """
    cut_settings = CutSettings(**settings)
    folder = Paths(outdir).clip_files / shard
    rows: dict[str, Row] = {}
    passing: list[str] = []
    with Journal(Paths(outdir).journal("cut", shard)) as journal:
        keys = {clip["clip_id"]: _key(clip, videos[clip["video_id"]], cut_settings) for clip in clips}
        for clip_id, key in keys.items():
            row = journal.get(clip_id, key)
            if row and (row.get("error_kind") or is_intact(folder.parent / row["file"], row)):
                rows[clip_id] = row
        todo = [clip for clip in clips if clip["clip_id"] not in rows]
        progress = Progress("clips", len(clips), len(rows))
        clips_of: dict[str, list[Clip]] = {}
        for clip in todo:
            clips_of.setdefault(clip["video_id"], []).append(clip)

        # The signals of a long video take longer to read than many a clip to copy.
        signals_of = lru_cache(maxsize=1)(partial(read_signals, outdir, shard, columns=COLUMNS))

        def clips_as_videos_come() -> Iterator[tuple[Clip, ItemError | None]]:
            for video_id, error in files.as_they_come(list(clips_of)):
                yield from ((clip, error) for clip in clips_of[video_id])

        def cut(arrived: tuple[Clip, ItemError | None]) -> Row:
            clip, error = arrived
            if error:
                raise error
            video = as_of_part(videos[clip["video_id"]], parts[clip["video_id"]][clip["part"]])
            video["fps"], video["field_order"] = clip["fps"], clip["field_order"]
            file = folder / clip["video_id"] / f"{clip['clip_id']}.mp4"
            signals = signals_of(clip["video_id"], key=video["decode_key"])
            source = SourceFrames.of(signals, frame_times(video, signals), clip["start_frame"], clip["end_frame"])
            row = cut_clip(files.path(video), file, video, clip, source, cut_settings)
            return {**row, **state_of(file), "file": str(file.relative_to(folder.parent))}

        waiting = {video_id: len(clips) for video_id, clips in clips_of.items()}
        for (clip, _), result in map_in_processes(clips_as_videos_come(), cut, threads):
            clip_id = clip["clip_id"]
            if isinstance(result, ItemError):
                log.warning("%s: %s", clip_id, result)
                row = {"error_kind": result.kind, "error": str(result)}
            else:
                row = result
            if not isinstance(result, ItemError) or result.lasting:
                journal.add([(clip_id, keys[clip_id], row)])
            else:
                passing.append(clip["video_id"])  # what has come of its file stays for the next try
            waiting[clip["video_id"]] -= 1
            if not waiting[clip["video_id"]]:
                files.release({clip["video_id"]}.difference(passing))
            rows[clip_id] = row
            progress.step()
            check_error_rate(sum("error" in row for row in rows.values()), len(rows), max_error_rate, "clips")
        note_again(outdir, "cut", shard, passing)
        _remove_others(folder, {row["file"] for row in rows.values() if "file" in row})
    return [{"clip_id": clip["clip_id"], **rows[clip["clip_id"]]} for clip in clips]


def _key(clip: Clip, video: DecodedVideo, settings: CutSettings) -> str:
    given = {name: value for name, value in asdict(settings).items() if name not in BEFORE or value != BEFORE[name]}
    del given["frames"]  # the number of the clip itself counts
    if given["audio"] in REQUIRED:
        given["audio"] = "required"
    sound = []
    if settings.audio:
        sound = [SOUND_VERSION if video["has_audio"] or settings.audio_silence else SILENT_VERSION]
    if sound != [SOUND_VERSION]:
        given = {name: value for name, value in given.items() if not name.startswith("audio_")}
    number = clip["target_frames"]
    place = (clip["source_key"], clip["start_frame"], clip["end_frame"], *([] if number is None else [number]))
    return fingerprint("cut", VERSION, *place, *sound, given)


def _remove_others(folder: Path, files: set[str]) -> None:
    """Remove files of clips that are no longer kept, and files that killed jobs left behind."""
    for directory, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(directory, name)
            if str(path.relative_to(folder.parent)) not in files:
                path.unlink()
        if not os.listdir(directory):
            os.rmdir(directory)
