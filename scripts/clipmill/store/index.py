"""Reading the index of videos. Light: every job imports this; only the main process looks for videos.

The index says which videos there are and which shard each belongs to. It is kept in the output folder, only ever
appended to, and written by `inputs.discovery`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from clipmill.base.errors import SetupError
from clipmill.base.files import write_text
from clipmill.store.layout import Paths
from clipmill.store.table import Row
from clipmill.store.tables import IndexedVideo

CLIPS_PER_VIDEO = 10  # kept ones, for want of knowing
SHARDS_PER_GROUP = 500  # each has a journal that is open while the job runs


def shard_sizes(outdir: Path) -> dict[str, int]:
    """All shards, as the main process wrote them: name -> number of videos. Neither ever changes."""
    path = Paths(outdir).shards
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
    path = Paths(outdir).again / f"{step}-{shard}.txt"
    if ids := sorted(set(video_ids)):
        write_text(path, "".join(f"{video_id}\n" for video_id in ids))
    else:
        path.unlink(missing_ok=True)


def noted_again(outdir: Path) -> set[str]:
    """The videos of all such notes."""
    notes = Paths(outdir).again.glob("*-*.txt")
    return {video_id for path in notes for video_id in path.read_text(encoding="utf-8").splitlines()}


def read_json_lines(path: Path) -> list[Row]:
    """The records of a shard's list (video_id, name, path, size_bytes, mtime_ns, returns) or of another list."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
