"""Videos at addresses: several transfers at a time, each of which goes on where an earlier one was cut off.

Beside a file that is coming, and beside one that is here, lies a note of what its server said of it. So a part of a
file is used only for that state of the file of which it is a part.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from email.utils import formatdate
from pathlib import Path
from typing import BinaryIO

from clipmill.base.errors import ItemError, SetupError
from clipmill.base.files import naming_full_disk
from clipmill.base.locks import try_lock
from clipmill.base.workers import map_in_threads
from clipmill.remote.addresses import HF, S3, Address, BadAddress, parse
from clipmill.remote.entries import Entry
from clipmill.remote.errors import CHANGED, RemoteError
from clipmill.remote.files import Files, patiently
from clipmill.store.tables import IndexedVideo

log = logging.getLogger("clipmill")

NO_PROGRESS = 1 << 20  # bytes below which a cut connection counts as one more failure
_MD5 = re.compile(r'"([0-9a-f]{32})"')
_other_etags: set[str] = set()  # places whose etags look like checksums and are none, as found in this process


def fetch(
    videos: Sequence[IndexedVideo],
    target: Callable[[IndexedVideo], tuple[Path, int]],
    files: Files,
    parallel: int,
    max_bytes: float,
) -> Iterator[tuple[IndexedVideo, ItemError | None]]:
    """Bring the files of `videos`, `parallel` at a time. Yields each with its error.

    `target`: gives the path to which a video's file is written, and the time in nanoseconds that the file gets.
    No more than `parallel` files are ahead of the reader, so that a small disk is enough. Errors: those of `remote`,
    bad_address, too_large, wrong_size, wrong_checksum.
    """

    def bring(video: IndexedVideo) -> None:
        _bring(video, target(video), files, max_bytes)

    yield from map_in_threads(videos, bring, parallel)


def about(path: Path) -> Entry:
    """What its server said of a fetched file, or of its part; nothing if that is not known."""
    try:
        return Entry(**json.loads(_note(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Entry("")


def state(entry: Entry) -> str | None:
    """A name for the state of a file: its etag, else the time of its last change; None if the server tells neither."""
    return entry.etag or (formatdate(entry.modified_ns / 1e9, usegmt=True) if entry.modified_ns else None)


def forget(path: Path) -> None:
    """Remove what is left of a file that is fetched no more."""
    for left in (_note(path), _part(path)):
        left.unlink(missing_ok=True)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")


def _bring(video: IndexedVideo, target: tuple[Path, int], files: Files, max_bytes: float) -> None:
    """Bring one file. Raises ItemError."""
    path, time_ns = target
    try:
        address = parse(video["path"])
    except BadAddress as error:
        raise ItemError("bad_address", f"{error}; correct it") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part(path)
    with open(part, "ab") as file, naming_full_disk(part):
        if not try_lock(file):
            raise SetupError(f"{part}: another job is writing it; wait for it or cancel it, then run again")
        try:
            _Transfer(video, address, path, file, files, max_bytes).run()
        except ItemError:
            if not file.seek(0, os.SEEK_END):  # there is nothing to go on with
                forget(path)
            raise
        os.fsync(file.fileno())
        os.utime(part, ns=(time_ns, time_ns))
        os.replace(part, path)


class _Transfer:
    """One file on its way. `file`: where it is written to, with what an earlier transfer has left."""

    def __init__(
        self,
        video: IndexedVideo,
        address: Address,
        path: Path,
        file: BinaryIO,
        files: Files,
        max_bytes: float,
    ):
        self._video, self._address, self._path = video, address, path
        self._file, self._files, self._max_bytes = file, files, max_bytes

    def run(self) -> None:
        """Bring the whole file and check it. Raises ItemError."""
        self._check_room(self._video["size_bytes"])
        entry = patiently(self._one_try, self._files.patience, self._size, NO_PROGRESS)
        self._check_sum(entry)

    def _size(self) -> int:
        return self._file.seek(0, os.SEEK_END)

    def _one_try(self) -> Entry:
        """Take what comes until the file is whole. Raises RemoteError where it does not become so."""
        known = about(self._path)
        validator = state(known)
        start = self._size() if validator and not validator.startswith("W/") else 0
        if start and start == known.size_bytes:  # only the check was left to do
            return known
        try:
            with self._files.reading(self._address, start, None, validator if start else None) as reading:
                entry = reading.entry
                self._check_state(entry)
                self._check_room(entry.size_bytes)
                self._file.truncate(reading.start)
                self._file.seek(reading.start)
                self._note(entry)
                have = reading.start
                for chunk in reading.chunks:
                    have += len(chunk)
                    self._check_room(have)
                    self._file.write(chunk)
                self._file.flush()
        except RemoteError as error:
            if error.kind == CHANGED:
                self._file.truncate(0)
            raise
        if entry.size_bytes not in (None, have):
            self._file.truncate(0)
            message = f"{self._address}: {have:,} bytes have come, and {entry.size_bytes:,} were expected"
            raise RemoteError("wrong_size", message, again=True)
        return entry

    def _note(self, entry: Entry) -> None:
        """Note of which state of the file the part is. A note that is torn by a kill is none."""
        _note(self._path).write_text(json.dumps(entry._asdict()), encoding="utf-8")

    def _check_state(self, entry: Entry) -> None:
        """Raises ItemError if the file is another one than the index knows: the next start sees that."""
        # The places to which the hub redirects have etags of their own; there the checksum shows a change.
        etag = None if self._address.scheme == HF else self._video["etag"]
        size = self._video["size_bytes"]
        if (etag and etag != state(entry)) or (size is not None and size != entry.size_bytes):
            self._file.truncate(0)
            raise ItemError(CHANGED, f"{self._address}: the file has changed; run again", lasting=False)

    def _check_room(self, size: int | None) -> None:
        if size is not None and size > self._max_bytes:
            self._file.truncate(0)
            message = f"{self._address}: more than {self._max_bytes / 1e6:,.0f} MB; raise fetch.max_mb, or leave it out"
            raise ItemError("too_large", message, lasting=False)

    def _check_sum(self, entry: Entry) -> None:
        """Raises ItemError if the checksum that is known of the file is another one than that of what has come."""
        if checksum := self._video["checksum"]:
            kind, _, wanted = checksum.partition(":")
            if self._digest(kind) != wanted.lower():
                self._file.truncate(0)
                message = f"{self._address}: the {kind} is not {wanted}; correct the sheet, or the file there"
                raise ItemError("wrong_checksum", message)
        elif self._address.scheme == S3 and self._address.place not in _other_etags and entry.etag:
            self._check_etag(entry.etag)

    def _check_etag(self, etag: str) -> None:
        """Check an etag that is a checksum. A second copy with the same bytes shows that it is none."""
        found = _MD5.fullmatch(etag)
        if not found or (first := self._digest("md5")) == found[1]:
            return
        self._file.truncate(0)
        patiently(self._one_try, self._files.patience, self._size, NO_PROGRESS)
        second = self._digest("md5")
        if second == found[1]:
            return
        if first != second:
            message = f"{self._address}: other bytes come each time; run again"
            raise ItemError("wrong_checksum", message, lasting=False)
        _other_etags.add(self._address.place)
        log.info("%s: etags are no checksums there, so they are not compared", self._address.whole_place)

    def _digest(self, kind: str) -> str:
        self._file.flush()
        with open(self._file.name, "rb") as file:
            return hashlib.file_digest(file, kind).hexdigest()
