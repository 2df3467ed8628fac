"""The files of videos that are no files of their own: which are here, how they are brought, and when they are removed.

A fetched file has the size and the time that the index has of its video; one from an address has a time that stands
for its state. So decoding sees that it is the right one, and one that an earlier job has brought is known again. These
files may vanish at any time: whoever needs one asks for it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from clipmill.base.errors import ItemError, SetupError, item_error
from clipmill.base.files import atomic, temporary
from clipmill.base.journal import fingerprint
from clipmill.store.index import has_own_job, is_remote, must_be_fetched, read_videos, shards_to_fetch, state_of
from clipmill.store.layout import Paths
from clipmill.store.tables import REMOTE, IndexedVideo

if TYPE_CHECKING:
    from clipmill.remote.files import Files

Outcome = tuple[IndexedVideo, ItemError | None]
"""A video whose file is here, or the error for which it is not."""

Arriving = Callable[[IndexedVideo], AbstractContextManager[Path]]
"""Gives the path to which the bytes of a video are written."""

_OF_A_JOB = re.compile(r"\$\{?(?:TMPDIR|SLURM_\w+)\}?")
ENDINGS = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts"}  # that a fetched file keeps, for whoever looks at it


@dataclass(frozen=True)
class FetchSettings:
    """The section `fetch` of the config. `hosts`: with the place that `videos` names."""

    directory: str | None
    keep: bool
    own_jobs: bool
    hosts: Sequence[str]
    parallel: int
    max_mb: float | None
    timeout_seconds: float
    recheck: bool

    @property
    def max_bytes(self) -> float:
        return math.inf if self.max_mb is None else self.max_mb * 1e6

    @property
    def files(self) -> Files:
        """The files at addresses that may be reached."""
        from clipmill.remote.files import Files  # here, since every job imports this module
        from clipmill.remote.hosts import Hosts

        return Files(Hosts(self.hosts), self.timeout_seconds)

    def check_for_cluster(self) -> None:
        """Raises SetupError if jobs that decode cannot find the files that jobs of their own bring on a cluster."""
        if self.own_jobs and (of_a_job := _OF_A_JOB.search(self.directory or "")):
            raise SetupError(
                f"config: fetch.directory: {of_a_job[0]} is another folder in each job of a cluster, so what the jobs "
                "of fetch.own_jobs bring would be missed; name a folder that all nodes share, or set own_jobs to false"
            )

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
        # Other runs may use the same folder. A hidden one is never searched for videos.
        return Path(folder) / f".clipmill-{fingerprint(str(outdir.resolve()))}" / shard


class LocalFiles:
    """The files of a shard's videos on this machine. A video that is a file of its own is left alone.

    `videos`: those of the index. `keep`: whether fetched files stay when they have been read. `settings`: how addresses
    are reached; None where no video lies at one. `failed`: the errors of videos that another job could not bring, by
    id; `as_they_come` does not try these again.
    """

    def __init__(
        self,
        videos: Iterable[IndexedVideo],
        folder: Path,
        keep: bool,
        settings: FetchSettings | None = None,
        failed: Mapping[str, ItemError] | None = None,
    ):
        self._videos = {video["video_id"]: video for video in videos if must_be_fetched(video)}
        self._folder, self._keep, self._settings, self._failed = folder, keep, settings, failed or {}

    @staticmethod
    def of_shard(
        outdir: Path, shard: str, settings: FetchSettings, failed: Mapping[str, ItemError] | None = None
    ) -> LocalFiles:
        to_fetch = shard in shards_to_fetch(outdir)
        videos = read_videos(Paths(outdir).shard(shard)) if to_fetch else []
        folder = settings.folder(outdir, shard) if to_fetch else Path()
        return LocalFiles(videos, folder, settings.keep, settings, failed)

    @property
    def videos(self) -> list[IndexedVideo]:
        """Those that must be fetched."""
        return list(self._videos.values())

    @property
    def videos_of_own_job(self) -> list[IndexedVideo]:
        """Those of them that a job of its own fetches, before the job that decodes them."""
        own_jobs = self._settings is not None and self._settings.own_jobs
        return [video for video in self.videos if has_own_job(video, own_jobs)]

    def path(self, video: Mapping[str, Any]) -> Path:
        """Where the file of a video is, or will be once it is brought. `video`: with `video_id` and `path`."""
        held = self._videos.get(video["video_id"])
        if held is None:
            return Path(video["path"])
        ending = os.path.splitext(held["member"] or held["path"].partition("?")[0])[1].lower()
        return self._folder / f"{held['video_id']}{ending if ending in ENDINGS else ''}"

    def local(self, video: IndexedVideo) -> IndexedVideo:
        """A video whose file is here as if it had always been: with the path, size and time of this file."""
        held = self._videos.get(video["video_id"])
        if held is None:
            return video
        path = self.path(video)
        try:
            size = path.stat().st_size
        except FileNotFoundError as error:
            raise ItemError("vanished", "its fetched file is gone; run again", lasting=False) from error
        local = {**video, "path": str(path), "size_bytes": size, "mtime_ns": _time_of(held)}
        return cast(IndexedVideo, local)

    def etag(self, video: IndexedVideo) -> str | None:
        """What its server called the state of the file that is here; None if it called it nothing."""
        if not is_remote(video):
            return None
        from clipmill.fetch.remote import about, state

        return state(about(self.path(video)))

    def as_they_come(self, video_ids: Sequence[str]) -> Iterator[tuple[str, ItemError | None]]:
        """Bring files as `bring` does, in another process and ahead of the reader. Yields each id with its error.

        Those whose files need not be brought come first, so that their reader has work meanwhile.
        """
        missing = []
        for video_id in video_ids:
            held = self._videos.get(video_id)
            if held is None or self._is_here(held):
                yield video_id, None
            elif video_id in self._failed:
                yield video_id, self._failed[video_id]
            else:
                missing.append(video_id)
        if missing:
            from clipmill.base.workers import in_another_process

            for video, error in in_another_process(lambda: self.bring(missing)):
                yield video["video_id"], error

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
            kind = import_module(f"clipmill.fetch.{origin}")
            if origin == REMOTE:
                assert self._settings is not None  # since there are addresses
                limits = self._settings.parallel, self._settings.max_bytes
                yield from kind.fetch(videos, self._target, self._settings.files, *limits)
            else:
                yield from kind.fetch(videos, self._arriving)

    def _target(self, video: IndexedVideo) -> tuple[Path, int]:
        """Where the file of a video at an address is written to, and its time."""
        return self.path(video), _time_of(video)

    def not_brought(self, video_ids: Iterable[str]) -> dict[str, ItemError]:
        """Bring files as `bring` does. Returns the errors of the videos whose files could not be brought, by id."""
        return {video["video_id"]: error for video, error in self.bring(video_ids) if error}

    def release(self, video_ids: Iterable[str]) -> None:
        """Say that the job will not read these videos again: their fetched files are removed, unless they are kept."""
        for video_id in video_ids:
            if not self._keep and (video := self._videos.get(video_id)) is not None:
                for file in (self.path(video), temporary(self.path(video))):
                    file.unlink(missing_ok=True)
                if is_remote(video):
                    from clipmill.fetch.remote import forget

                    forget(self.path(video))
        if self._videos and not self._keep:
            with suppress(OSError):  # it is not there, or other files are in it
                self._folder.rmdir()

    def _is_here(self, video: IndexedVideo) -> bool:
        try:
            status = self.path(video).stat()
        except FileNotFoundError:
            return False
        return video["size_bytes"] in (None, status.st_size) and status.st_mtime_ns == _time_of(video)

    @contextmanager
    def _arriving(self, video: IndexedVideo) -> Iterator[Path]:
        with atomic(self.path(video)) as unready:
            yield unready
            size = unready.stat().st_size
            if size != video["size_bytes"]:
                message = f"{size} bytes have come, and {video['size_bytes']} were expected; run again"
                raise ItemError("wrong_size", message, lasting=False)
            os.utime(unready, ns=(video["mtime_ns"], video["mtime_ns"]))


def _time_of(video: IndexedVideo) -> int:
    """The time of a video's fetched file, in nanoseconds: another one if it is another file."""
    if not is_remote(video):
        return video["mtime_ns"]
    return int(fingerprint(*state_of(video))[:7], 16) * 10**9


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
