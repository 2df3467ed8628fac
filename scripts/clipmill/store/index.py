"""Reading the index of videos. Light to import, since every job does; only the main process looks for videos.

The index says which videos there are and which shard each belongs to. It is kept in the output folder, only ever
appended to, and written by `inputs.discovery`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from clipmill.base.errors import SetupError
from clipmill.base.files import write_text
from clipmill.store.layout import Paths
from clipmill.store.tables import INDEX, REMOTE, IndexedVideo

CLIPS_PER_VIDEO = 10  # kept clips, assumed before they can be counted
ROWS_AT_ONCE = 65_536
SHARDS_PER_GROUP = 500  # at most: the job holds one open journal per shard


def shard_sizes(outdir: Path) -> dict[str, int]:
    """All shards, as the main process wrote them: name -> number of videos. Neither ever changes.

    Raises SetupError if the main process has written none.
    """
    path = Paths(outdir).shards
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        raise SetupError(f"{path}: missing; start the run again from the main process, which writes it") from None
    return {name: int(videos) for name, videos in map(str.split, lines)}


def shard_groups(sizes: dict[str, int], clips: int | None) -> dict[str, list[str]]:
    """Groups of shards that share a caption job with about `clips` kept clips: name of the first shard -> all names.

    Jobs are planned before the clips are counted, so CLIPS_PER_VIDEO kept clips per video are assumed. A full group
    never changes again: only the last one grows. `clips` None gives each shard a group of its own.
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


def shards_of(outdir: Path, videos: Collection[str]) -> dict[str, str]:
    """The shard of each of these videos. Those that the index does not know are left out.

    Raises SetupError if there is no index.
    """
    found: dict[str, str] = {}
    for batch in INDEX.batches(Paths(outdir).videos, ["video_id", "shard"], ROWS_AT_ONCE):
        names, shards = (batch.column(name).to_pylist() for name in ("video_id", "shard"))
        found |= {name: f"{shard:06d}" for name, shard in zip(names, shards, strict=True) if name in videos}
    return found


def note_again(outdir: Path, step: str, shard: str, video_ids: Iterable[str]) -> None:
    """Note the videos that a job could not read but that may be readable later: the next start tries them again."""
    path = Paths(outdir).again / f"{step}-{shard}.txt"
    if ids := sorted(set(video_ids)):
        write_text(path, "".join(f"{video_id}\n" for video_id in ids))
    else:
        path.unlink(missing_ok=True)


def note_lost(outdir: Path, shard: str, video_id: str) -> None:
    """Note a video that the next start has decoded again: its signals or kept frames are missing or damaged, or it
    had an error, and its file can be read by now."""
    path = _lost(outdir, shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as notes:  # several threads and jobs may append
        notes.write(f"{video_id}\n")


def lost_videos(outdir: Path, shard: str) -> set[str]:
    """The ids of a shard's videos that `note_lost` has noted."""
    path = _lost(outdir, shard)
    return set(path.read_text(encoding="utf-8").splitlines()) if path.exists() else set()


def forget_lost(outdir: Path, shard: str) -> None:
    """Remove the notes on a shard's videos, which have been decoded again."""
    _lost(outdir, shard).unlink(missing_ok=True)


def _lost(outdir: Path, shard: str) -> Path:
    return Paths(outdir).again / f"lost-{shard}.txt"


def noted_again(outdir: Path) -> set[str]:
    """The ids of all videos that `note_again` and `note_lost` have noted."""
    notes = Paths(outdir).again.glob("*-*.txt")
    return {video_id for path in notes for video_id in path.read_text(encoding="utf-8").splitlines()}


def read_json_lines(path: Path) -> list[Any]:
    """The records of a list, dicts of the columns that the list has."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def removed_videos(outdir: Path) -> set[str]:
    """Ids of the videos that have gone since they were first seen."""
    return {video["video_id"] for video in read_json_lines(Paths(outdir).removed)}


OF_ARCHIVES = ("origin", "member", "offset")  # columns that the list of a shard has only for videos in archives
OF_ADDRESSES = ("etag", "checksum")  # and those only for videos at addresses
NOT_OF_FILES = (*OF_ARCHIVES, *OF_ADDRESSES)


def read_videos(path: Path) -> list[IndexedVideo]:
    """The videos of a shard's list. They lack `shard` and `present`."""
    empty: dict[str, Any] = dict.fromkeys(NOT_OF_FILES)
    return [cast(IndexedVideo, empty | video) for video in read_json_lines(path)]


def must_be_fetched(video: Mapping[str, Any]) -> bool:
    """Whether a video of the index is no file of its own."""
    return video.get("origin") is not None


def is_remote(video: Mapping[str, Any]) -> bool:
    """Whether a video of the index lies at an address."""
    return video.get("origin") == REMOTE


def has_own_job(video: Mapping[str, Any], own_jobs: bool) -> bool:
    """Whether a job of its own fetches a video of the index. `own_jobs`: also those at addresses."""
    return must_be_fetched(video) and (own_jobs or not is_remote(video))


def shown_path(video: Mapping[str, Any]) -> str:
    """The path of a video for tables and messages: the signature of an address is not for them."""
    return video["name"] if is_remote(video) and "?" in video["path"] else video["path"]


def state_of(video: Mapping[str, Any]) -> list[Any]:
    """What is another one when the file of a video of the index has changed: a part of the keys of its results."""
    if not is_remote(video):
        return [video["size_bytes"], video["mtime_ns"]]
    return [video["etag"] or video["mtime_ns"], video["checksum"]]


def shards_to_fetch(outdir: Path) -> dict[str, set[str]]:
    """The shards with videos that must be fetched, and the origins of these videos."""
    path = Paths(outdir).shards_to_fetch
    lines = path.read_text().splitlines() if path.exists() else []
    return {name: set(origins) for name, *origins in map(str.split, lines)}


def shards_to_fetch_first(outdir: Path) -> frozenset[str]:
    """The names of the shards with videos that a job of its own fetches, before the job that decodes them."""
    path = Paths(outdir).shards_to_fetch_first
    return frozenset(path.read_text().split()) if path.exists() else frozenset()
