"""The sound of clips, as a captioner hears it: read out of the clip's video, from its first frame to its last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from clipmill.chat.sounds import RATE, as_wav
from clipmill.decode.parts import as_of_part
from clipmill.decode.sound import Sound, resampled, sound_of_frames
from clipmill.fetch.files import LocalFiles
from clipmill.store import tables
from clipmill.store.table import Row
from clipmill.store.tables import DecodedVideo, Part

VERSION = 1  # part of every key of a caption with sound: raise it when the same clip gives another sound
SOURCE = "heard_video"  # the value of a clip's row that holds its Source


class Source:
    """The part of a video in which a clip lies, and the video's file, which may have to be fetched.

    `uses`: how many clips of the video will be read; a fetched file is removed after the last of them.
    """

    def __init__(self, video: DecodedVideo, files: LocalFiles, uses: _Uses):
        self.video, self._files, self._uses = video, files, uses

    @contextmanager
    def file(self) -> Iterator[Path]:
        """The video's file. Several threads may read it. Raises ItemError if it cannot be fetched."""
        video_id = self.video["video_id"]
        with self._uses.lock:
            if errors := self._files.not_brought([video_id]):
                raise errors[video_id]
        try:
            yield self._files.path(self.video)
        finally:
            with self._uses.lock:
                self._uses.left -= 1
                if not self._uses.left:
                    self._files.release([video_id])


class _Uses:
    def __init__(self, left: int):
        self.left, self.lock = left, Lock()


@contextmanager
def with_sources(
    clips: Mapping[str, list[Row]], outdir: Path, files_of: Callable[[str], LocalFiles]
) -> Iterator[dict[str, list[Row]]]:
    """The same clips, by shard, each with the Source of its sound.

    `files_of`: the files of a shard's videos. At the end those are removed that were fetched for this.
    """
    found, files = {}, {shard: files_of(shard) for shard in clips}
    for shard, rows in clips.items():
        videos = {video["video_id"]: video for video in tables.VIDEOS.rows(tables.VIDEOS.of(outdir, shard))}
        parts = tables.by_video(tables.PARTS.rows(tables.PARTS.of(outdir, shard)))
        uses = {video_id: _Uses(count) for video_id, count in Counter(row["video_id"] for row in rows).items()}
        found[shard] = [
            {**row, SOURCE: Source(_part(row, videos, parts), files[shard], uses[row["video_id"]])} for row in rows
        ]
    try:
        yield found
    finally:
        for shard, rows in clips.items():
            files[shard].release({row["video_id"] for row in rows})


def _part(row: Row, videos: Mapping[str, Any], parts: Mapping[str, list[Part]]) -> DecodedVideo:
    video = as_of_part(videos[row["video_id"]], parts[row["video_id"]][row["part"]])
    video["fps"] = row["fps"]
    return video


def wav_of(row: Row) -> bytes | None:
    """The sound of a clip as `chat.Request` takes it; None if it has none. Raises ItemError if its video is gone.

    `row`: as `with_sources` returns it.
    """
    source: Source = row[SOURCE]
    if not source.video["has_audio"]:
        return None
    with source.file() as path:
        sound = sound_of_frames(path, source.video, row["start_frame"], row["start"], row["seconds"])
    if sound is None:
        return None
    mean = Sound(sound.samples.mean(axis=1, keepdims=True), sound.rate, "mono")  # it cannot be louder than its channels
    return as_wav(resampled(mean, RATE).samples[:, 0])
