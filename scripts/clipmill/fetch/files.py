"""The files of videos that are no files of their own: which are here, how they are brought, and when they are removed.

A fetched file has the size and the time that the index has of its video. So decoding sees that it is the right one, and
one that an earlier job has brought is known again. These files may vanish at any time: whoever needs one asks for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from clipmill.base.errors import ItemError, SetupError, item_error
from clipmill.base.files import atomic
from clipmill.base.journal import fingerprint
from clipmill.store.index import must_be_fetched, read_videos, shards_to_fetch
from clipmill.store.layout import Paths
from clipmill.store.tables import IndexedVideo

Outcome = tuple[IndexedVideo, ItemError | None]
"""A video whose file is here, or the error for which it is not."""

Arriving = Callable[[IndexedVideo], AbstractContextManager[Path]]
"""Gives the path to which the bytes of a video are written."""

ENDINGS = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts"}  # that a fetched file keeps, for whoever looks at it


@dataclass(frozen=True)
class FetchSettings:
    """The section `fetch` of the config."""

    directory: str | None
    keep: bool
    parallel: int
    timeout_seconds: float

    def folder(self, outdir: Path, shard: str) -> Path:
        """The folder for the files of a shard. Variables of the environment may be those of a node.

        Raises SetupError if one of them is not set.
        """
        if self.directory is None:
            return Paths(outdir).fetched / shard
        folder = os.path.expanduser(os.path.expandvars(self.directory))
        if "$" in folder:
            raise SetupError(
                f"config: fetch.directory: {folder} has a variable that is not set here; set it in the job"
            )
        # Other runs may use the same folder.
        return Path(folder) / f"clipmill-{fingerprint(str(outdir.resolve()))}" / shard


class LocalFiles:
    """The files of a shard's videos on this machine. A video that is a file of its own is left alone.

    `videos`: those of the index. `keep`: whether fetched files stay when they have been read.
    """

    def __init__(self, videos: Iterable[IndexedVideo], folder: Path, keep: bool):
        self._videos = {video["video_id"]: video for video in videos if must_be_fetched(video)}
        self._folder, self._keep = folder, keep

    @staticmethod
    def of_shard(outdir: Path, shard: str, settings: FetchSettings) -> LocalFiles:
        to_fetch = shard in shards_to_fetch(outdir)
        videos = read_videos(Paths(outdir).shard(shard)) if to_fetch else []
        return LocalFiles(videos, settings.folder(outdir, shard) if to_fetch else Path(), settings.keep)

    @property
    def videos(self) -> list[IndexedVideo]:
        """Those that must be fetched."""
        return list(self._videos.values())

    def path(self, video: Mapping[str, Any]) -> Path:
        """Where the file of a video is, or will be once it is brought. `video`: with `video_id` and `path`."""
        held = self._videos.get(video["video_id"])
        if held is None:
            return Path(video["path"])
        ending = os.path.splitext(held["member"] or held["path"])[1].lower()
        return self._folder / f"{held['video_id']}{ending if ending in ENDINGS else ''}"

    def bring(self, video_ids: Iterable[str]) -> Iterator[Outcome]:
        """Bring the files of those videos that must be fetched and are not here. Yields each that must be fetched."""
        missing: dict[str, list[IndexedVideo]] = {}
        for video_id in dict.fromkeys(video_ids):
            if (video := self._videos.get(video_id)) is None:
                continue
            if self._is_here(video):
                yield video, None
            else:
                missing.setdefault(str(video["origin"]), []).append(video)
        for origin, videos in missing.items():
            yield from import_module(f"clipmill.fetch.{origin}").fetch(videos, self._arriving)

    def not_brought(self, video_ids: Iterable[str]) -> dict[str, ItemError]:
        """Bring files as `bring` does. Returns the errors of the videos whose files could not be brought, by id."""
        return {video["video_id"]: error for video, error in self.bring(video_ids) if error}

    def release(self, video_ids: Iterable[str]) -> None:
        """Say that the job will not read these videos again: their fetched files are removed, unless they are kept."""
        for video_id in video_ids:
            if not self._keep and (video := self._videos.get(video_id)) is not None:
                self.path(video).unlink(missing_ok=True)
        if self._videos and not self._keep:
            with suppress(OSError):  # it is not there, or other files are in it
                self._folder.rmdir()

    def _is_here(self, video: IndexedVideo) -> bool:
        try:
            status = self.path(video).stat()
        except FileNotFoundError:
            return False
        return (status.st_size, status.st_mtime_ns) == (video["size_bytes"], video["mtime_ns"])

    @contextmanager
    def _arriving(self, video: IndexedVideo) -> Iterator[Path]:
        with atomic(self.path(video)) as unready:
            yield unready
            size = unready.stat().st_size
            if size != video["size_bytes"]:
                message = f"{size} bytes have come, and {video['size_bytes']} were expected; run again"
                raise ItemError("wrong_size", message, lasting=False)
            os.utime(unready, ns=(video["mtime_ns"], video["mtime_ns"]))


ALL_HERE = LocalFiles([], Path(), keep=True)  # of a shard whose videos are all files of their own


def one_by_one(videos: Sequence[IndexedVideo], bring: Callable[[IndexedVideo], None]) -> Iterator[Outcome]:
    """Call `bring` for each video. Yields each with its error; errors that all would meet are raised."""
    for video in videos:
        try:
            bring(video)
        except Exception as error:
            if (found := item_error(error)) is None:
                raise
            yield video, found
        else:
            yield video, None
