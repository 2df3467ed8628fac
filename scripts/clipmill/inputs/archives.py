"""Archives of the input: which videos they hold. An archive is listed once for each of its states.

A listing has one row per video, and one per entry that cannot be used. It is kept in the output folder, with the size
and the time of its archive: so a start reads only the archives that are new or have changed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from clipmill.base.errors import SetupError
from clipmill.inputs import parquets, tars
from clipmill.inputs.endings import ending
from clipmill.inputs.entries import ENTRIES, Entry
from clipmill.store import table
from clipmill.store.layout import Paths
from clipmill.store.tables import PARQUET, TAR

log = logging.getLogger("clipmill")

TELL_SECONDS = 10.0
VERSION = 1  # of all listings: raise it when an archive is listed in another way


@dataclass(frozen=True)
class Kind:
    """A kind of archive: its `origin` in the index, and how it is listed.

    `entries` takes the path, and whether captions are wanted; `always_captions`: it gives them in any case.
    """

    origin: str
    entries: Callable[[Path, bool], Iterator[Entry]]
    always_captions: bool = False


KINDS = {".tar": Kind(TAR, tars.entries), ".parquet": Kind(PARQUET, parquets.entries, always_captions=True)}
COMPRESSED = re.compile(r"\.(tgz|tbz2?|txz|tar\.(gz|bz2|xz|zst|lz4))$", re.IGNORECASE)


def kind_of(path: str | Path) -> Kind | None:
    """The kind of an archive, by its ending; None if it is none. A Parquet file may hold something else."""
    name = os.path.basename(path)
    return Kind(TAR, tars.refused) if COMPRESSED.search(name) else KINDS.get(ending(name))


class Held(NamedTuple):
    """A video in an archive: `origin`, `member` and `offset` as in the index, and its size in bytes."""

    origin: str
    member: str
    offset: int
    size: int

    @staticmethod
    def of(kind: Kind, entry: Entry) -> Held:
        """`entry`: one without an error."""
        assert entry["offset"] is not None and entry["size_bytes"] is not None
        return Held(kind.origin, entry["name"], entry["offset"], entry["size_bytes"])


def path_of(video: Mapping[str, Any]) -> str:
    """The path by which a sheet names a video of the index: of the file, or of the archive and its name there.

    That of a video at an address is the address.
    """
    return video["path"] if video["member"] is None else f"{video['path']}/{video['member']}"


class Archives:
    """The archives of a start. `captions`: whether what they say of their videos is wanted too."""

    def __init__(self, outdir: Path, captions: bool):
        self._outdir, self._folder = outdir, Paths(outdir).archives
        self._captions = captions
        self._files: set[Path] = set()  # of the listings of this start
        self._told: float | None = None  # when the last archive was named in the log
        self._members: dict[str, tuple[os.stat_result, dict[str, Held]]] = {}  # of archives that sheets name, by path

    def listing(self, path: str, kind: Kind, status: os.stat_result) -> list[Entry]:
        """What an archive holds, from its stored listing if that is of the same state."""
        file = self._folder / f"{hashlib.sha256(path.encode(errors='surrogateescape')).hexdigest()[:32]}.parquet"
        self._files.add(file)
        captions = self._captions or kind.always_captions
        state = {"version": VERSION, "size": status.st_size, "mtime_ns": status.st_mtime_ns}
        known = _about(file)
        if known.items() >= state.items() and known.get("captions", False) >= captions:
            return ENTRIES.rows(file)
        self._tell(path)
        entries = list(kind.entries(Path(path), captions))
        make_folder(self._folder, self._outdir)
        ENTRIES.write(file, entries, {**state, "captions": captions, "path": path})
        return entries

    def _tell(self, path: str) -> None:
        """Log what is listed, now and then: there may be thousands of archives, and a large one takes minutes."""
        now = time.monotonic()
        if self._told is None or now - self._told >= TELL_SECONDS:
            log.info("archives that are new or have changed are listed: %s", path)
            self._told = now

    def member(self, path: str) -> tuple[str, os.stat_result, Held] | None:
        """The archive, its status and the video that a path beyond a file names; None if there is no such video."""
        archive = path
        while not os.path.isfile(archive):
            archive, below = os.path.dirname(archive), archive
            if archive == below:
                return None
        if archive not in self._members:
            self._members[archive] = self._by_name(archive)
        status, held = self._members[archive]
        found = held.get(path[len(archive) + 1 :])
        return (archive, status, found) if found else None

    def _by_name(self, archive: str) -> tuple[os.stat_result, dict[str, Held]]:
        kind, status = kind_of(archive), os.stat(archive)
        entries = self.listing(archive, kind, status) if kind else []
        return status, {entry["name"]: Held.of(kind, entry) for entry in entries if kind and not entry["error_kind"]}

    def remove_others(self) -> None:
        """Remove the listings of archives that this start has not seen."""
        for file in self._folder.glob("*.parquet"):
            if file not in self._files:
                file.unlink(missing_ok=True)


def make_folder(folder: Path, outdir: Path) -> None:
    """Make a folder below `outdir`. Raises SetupError where `outdir` cannot be a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileNotFoundError, FileExistsError, NotADirectoryError) as error:
        raise SetupError(
            f"outdir: {outdir} cannot be a folder ({error.strerror}: {error.filename}); name another"
        ) from error


def _about(file: Path) -> dict[str, Any]:
    """How a listing was made; nothing if there is none that can be read."""
    try:
        return table.about(file)
    except (OSError, ValueError):
        return {}
