"""Where the index of videos lies, and reading it. Light: every job imports this; only the main process discovers.

The index says which videos there are and which shard each belongs to. It is kept in the output folder, only ever
appended to, and written by `clipmill.discovery`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from clipmill.errors import SetupError
from clipmill.files import write_text

OF_SINGLE_ITEMS = ("signals", "frames", "embeddings", "clip_files", "journals")
CLIPS_PER_VIDEO = 10  # kept ones, for want of knowing
SHARDS_PER_GROUP = 500  # each has a journal that is open while the job runs


@dataclass(frozen=True)
class IndexPaths:
    """Where the index lies below an output folder."""

    outdir: Path

    def compared(self) -> Iterator[Path]:
        """The files whose times say what is to be done: all but those that a job keeps of single videos and clips."""
        for folder in (self.outdir, self.outdir / "dataset"):
            yield from (path for path in folder.glob("*.*") if path.is_file())
        for directory, folders, names in os.walk(self.outdir / "work"):
            folders[:] = [name for name in folders if name not in OF_SINGLE_ITEMS]
            yield from (Path(directory, name) for name in names)

    @property
    def folder(self) -> Path:
        return self.outdir / "work" / "index"

    @property
    def videos(self) -> Path:
        """The whole index, one row a video."""
        return self.folder / "videos.parquet"

    @property
    def shards(self) -> Path:
        """The shards, one a line: name and number of videos."""
        return self.folder / "shards.txt"

    @property
    def problems(self) -> Path:
        """Entries of the input that cannot be used."""
        return self.folder / "problems.jsonl"

    @property
    def removed(self) -> Path:
        """Videos that have gone since they were first seen."""
        return self.folder / "removed.jsonl"

    @property
    def lock(self) -> Path:
        """Held while the index is brought up to date."""
        return self.folder / "lock"

    @property
    def again(self) -> Path:
        """A file a job that met videos which could not be read, for reasons that may pass: their ids, one a line."""
        return self.folder / "again"

    @property
    def started(self) -> bool:
        """Whether a decode job has ever begun; until then the index may be laid anew."""
        work = self.outdir / "work"
        return any((work / folder).exists() for folder in ("journals/decode", "frames", "signals", "videos"))

    def shard(self, name: str) -> Path:
        """The videos of one shard, as its jobs read them."""
        return self.folder / "shards" / f"{name}.jsonl"


def shard_sizes(outdir: Path) -> dict[str, int]:
    """All shards, as the main process wrote them: name -> number of videos. Neither ever changes."""
    path = IndexPaths(outdir).shards
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        raise SetupError(f"{path}: missing; start the run again from the main process, which writes it") from None
    return {name: int(videos) for name, videos in map(str.split, lines)}


def shard_groups(sizes: dict[str, int], clips: int | None) -> dict[str, list[str]]:
    """Shards whose captions are made in one job: name of the first -> names of all, for about `clips` kept clips a job.

    A plan cannot wait for how many there are, so CLIPS_PER_VIDEO are reckoned with. A group is closed when it is full,
    and never changes then: only the last one grows. None gives each shard a group of its own.
    """
    groups: dict[str, list[str]] = {}
    group: list[str] = []
    room = 0.0
    for name, videos in sizes.items():
        if clips is None or room <= 0 or len(group) >= SHARDS_PER_GROUP:
            group, room = groups.setdefault(name, []), (clips or 0) / CLIPS_PER_VIDEO
        group.append(name)
        room -= videos
    return groups


def note_again(outdir: Path, step: str, shard: str, video_ids: Iterable[str]) -> None:
    """Let the next start try those videos again that a job could not read for reasons that may pass."""
    path = IndexPaths(outdir).again / f"{step}-{shard}.txt"
    if ids := sorted(set(video_ids)):
        write_text(path, "".join(f"{video_id}\n" for video_id in ids))
    else:
        path.unlink(missing_ok=True)


def noted_again(outdir: Path) -> set[str]:
    """The videos of all such notes."""
    notes = IndexPaths(outdir).again.glob("*-*.txt")
    return {video_id for path in notes for video_id in path.read_text(encoding="utf-8").splitlines()}


def read_json_lines(path: Path) -> list[dict]:
    """The records of a shard's list (video_id, name, path, size_bytes, mtime_ns, returns) or of another list."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
