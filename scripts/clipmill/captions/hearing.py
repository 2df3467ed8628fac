"""The sound of clips, as a captioner hears it: read out of the clip's video, from its first frame to its last."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipmill.chat.sounds import RATE, as_wav
from clipmill.decode.parts import as_of_part
from clipmill.decode.sound import Sound, resampled, sound_of_frames
from clipmill.store import tables
from clipmill.store.table import Row
from clipmill.store.tables import DecodedVideo, Part

VERSION = 1  # part of every key of a caption with sound: raise it when the same clip gives another sound
SOURCE = "heard_video"  # the value of a clip's row that holds what is known of its video


def with_sources(clips: Mapping[str, list[Row]], outdir: Path) -> dict[str, list[Row]]:
    """The same clips, by shard, with what is known of the part of the video that each lies in."""
    found = {}
    for shard, rows in clips.items():
        videos = {video["video_id"]: video for video in tables.VIDEOS.rows(tables.VIDEOS.of(outdir, shard))}
        parts = tables.by_video(tables.PARTS.rows(tables.PARTS.of(outdir, shard)))
        found[shard] = [{**row, SOURCE: _source(row, videos, parts)} for row in rows]
    return found


def _source(row: Row, videos: Mapping[str, Any], parts: Mapping[str, list[Part]]) -> DecodedVideo:
    video = as_of_part(videos[row["video_id"]], parts[row["video_id"]][row["part"]])
    video["fps"] = row["fps"]
    return video


def wav_of(row: Row) -> bytes | None:
    """The sound of a clip as `chat.Request` takes it; None if it has none. Raises ItemError if its video is gone.

    `row`: as `with_sources` returns it.
    """
    video: DecodedVideo = row[SOURCE]
    if not video["has_audio"]:
        return None
    sound = sound_of_frames(Path(video["path"]), video, row["start_frame"], row["start"], row["seconds"])
    if sound is None:
        return None
    mean = Sound(sound.samples.mean(axis=1, keepdims=True), sound.rate, "mono")  # it cannot be louder than its channels
    return as_wav(resampled(mean, RATE).samples[:, 0])
