"""Sending the dataset to where trainers read it: only what is new or has changed, lists last.

A reader elsewhere never finds a list that names a file which is not there: clips and their like come first, then the
lists, and only then files are removed that no list names any more. A journal has what was sent, so an upload that ended
early goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from clipmill.base.errors import ItemError, SetupError
from clipmill.base.human import counted
from clipmill.base.journal import Journal, fingerprint
from clipmill.base.progress import Progress
from clipmill.dataset import formats
from clipmill.remote.addresses import Address
from clipmill.remote.entries import Entry
from clipmill.store.layout import Paths
from clipmill.store.table import Row

log = logging.getLogger("clipmill")


class Sending(NamedTuple):
    """A file that is sent. `below`: its path in the dataset."""

    below: str
    path: Path


Outcome = tuple[Sending, str | ItemError | None]
"""A file with the etag that it has there, None if that is not known, or with the error for which it was not sent."""


class Place(Protocol):
    """Where a dataset is sent."""

    def entries(self) -> Iterator[Entry]:
        """All files that are there, whoever sent them. Raises ItemError."""

    def send(self, files: Sequence[Sending]) -> Iterator[Outcome]:
        """Send files, in any order. Each is there, whole, when it is yielded without an error."""

    def finish(self, lists: Sequence[Sending], gone: Sequence[str]) -> Iterator[Outcome]:
        """Send lists, then remove the files `gone`. Raises ItemError if one cannot be removed."""


@dataclass(frozen=True)
class Dataset:
    """The files of a dataset: `formats` and `splits` are those that it was exported with."""

    folder: Path
    formats: Sequence[str]
    splits: Sequence[str]

    def files(self) -> Iterator[Sending]:
        """The files that the lists name."""
        return map(self._sending, formats.files(self.folder, self.formats, self.splits))

    def lists(self) -> list[Sending]:
        """The files with which a reader begins."""
        return list(map(self._sending, formats.lists(self.folder, self.formats, self.splits)))

    def _sending(self, path: Path) -> Sending:
        return Sending(path.relative_to(self.folder).as_posix(), path)


def upload_dataset(outdir: Path, address: Address, dataset: Dataset, place: Place) -> Row:
    """Send the dataset of `outdir` to `place`, which is at `address`. Returns the counts of files.

    Files there that no upload of this run has sent, or that others have replaced, are left alone. Raises SetupError if
    the place cannot be listed, and if a file could not be sent: then no list is sent, and the next upload goes on.
    """
    with Journal(Paths(outdir).journal("upload", fingerprint(address.name))) as journal:
        files, lists = list(dataset.files()), dataset.lists()
        names = {file.below for file in (*files, *lists)}
        sent: dict[str, set[str | None]] = {}  # the etags that a file has had there by us
        for name, value in journal.values():
            sent.setdefault(name, set()).add(value["etag"])
        there = _listed(place, address, names | sent.keys())
        gone = sorted(name for name in there.keys() - names if sent[name] & {there[name].etag, None})
        new_files, new_lists = (
            [file for file in some if not _is_there(file, journal, there)] for some in (files, lists)
        )
        log.info(
            "%s: %s to send, %s there already, %d to remove",
            *(address, counted(len(new_files) + len(new_lists), "file"), len(names) - len(new_files) - len(new_lists)),
            len(gone),
        )
        progress = Progress("files", len(names), len(names) - len(new_files) - len(new_lists))
        try:
            size = _sent(place.send(new_files), journal, progress, address)
            size += _sent(place.finish(new_lists, gone), journal, progress, address)
        except ItemError as error:
            raise SetupError(f"{error}; run again: what was sent stays") from error
    return {
        "address": str(address),
        "files": len(names),
        "sent": len(new_files) + len(new_lists),
        "sent_bytes": size,
        "removed": len(gone),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _listed(place: Place, address: Address, names: Collection[str]) -> dict[str, Entry]:
    """Those of the files `names` that are there. Others, of which there may be millions, are not kept in memory."""
    try:
        return {entry.path: entry for entry in place.entries() if entry.path in names}
    except ItemError as error:
        raise SetupError(f"export.upload: {error}") from error


def _is_there(file: Sending, journal: Journal, there: Mapping[str, Entry]) -> bool:
    """Whether the file was sent as it is now, and is still there as it was sent."""
    sent, found = journal.get(file.below, _key(file)), there.get(file.below)
    if sent is None or found is None or found.size_bytes != file.path.stat().st_size:
        return False
    return sent["etag"] is None or sent["etag"] == found.etag


def _key(file: Sending) -> str:
    status = file.path.stat()
    return fingerprint("upload", status.st_size, status.st_mtime_ns)


def _sent(outcomes: Iterable[Outcome], journal: Journal, progress: Progress, address: Address) -> int:
    """Take down what was sent, and return its bytes. Raises SetupError if something was not sent."""
    failed: list[ItemError] = []
    size = count = 0
    for file, outcome in outcomes:
        count += 1
        if isinstance(outcome, ItemError):
            log.warning("%s: %s", file.below, outcome)
            failed.append(outcome)
            continue
        journal.add([(file.below, _key(file), {"etag": outcome})])
        size += file.path.stat().st_size
        progress.step()
    if failed:
        raise SetupError(
            f"{len(failed)} of {counted(count, 'file')} could not be sent to {address}, the first since {failed[0]}; "
            "run again: what was sent stays, and no list names what is missing"
        )
    return size
