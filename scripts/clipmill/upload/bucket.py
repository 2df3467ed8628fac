"""Sending a dataset to a bucket: many files at once, each whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile

from clipmill.base.errors import ItemError
from clipmill.base.workers import map_in_threads
from clipmill.remote.addresses import Address
from clipmill.remote.entries import Entry
from clipmill.remote.files import Files
from clipmill.upload.dataset import Outcome, Sending

MOST_FAILURES = 20  # then the place is at fault, and not the files


class Bucket:
    """A dataset.Place below an address. `parallel`: files that are sent at once."""

    def __init__(self, address: Address, files: Files, parallel: int):
        self._address, self._files, self._parallel = address, files, parallel

    def entries(self) -> Iterator[Entry]:
        return self._files.below(self._address)

    def send(self, files: Sequence[Sending]) -> Iterator[Outcome]:
        failures = 0
        wanted = takewhile(lambda _: failures < MOST_FAILURES, files)
        for file, outcome in map_in_threads(wanted, self._write, self._parallel):
            failures += isinstance(outcome, ItemError)
            yield file, outcome

    def finish(self, lists: Sequence[Sending], gone: Sequence[str]) -> Iterator[Outcome]:
        failed = False
        for file, outcome in self.send(lists):
            failed |= isinstance(outcome, ItemError)
            yield file, outcome
        if failed:
            return
        for _, outcome in map_in_threads(gone, self._remove, self._parallel):
            if isinstance(outcome, ItemError):
                raise outcome

    def _write(self, file: Sending) -> str | None:
        return self._files.write(self._address.below(file.below), file.path)

    def _remove(self, below: str) -> None:
        self._files.remove(self._address.below(below))
