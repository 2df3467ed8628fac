"""Sending a dataset to a bucket: many files at once, each whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice

from clipmill.base.errors import ItemError, item_error
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
        waiting, failures = iter(files), 0
        with ThreadPoolExecutor(self._parallel) as threads:
            running: dict[Future[str | ItemError | None], Sending] = {}
            while True:
                few = islice(waiting, self._parallel - len(running)) if failures < MOST_FAILURES else ()
                running |= {threads.submit(self._write, file): file for file in few}
                if not running:
                    return
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    outcome = done.result()
                    failures += isinstance(outcome, ItemError)
                    yield running.pop(done), outcome

    def finish(self, lists: Sequence[Sending], gone: Sequence[str]) -> Iterator[Outcome]:
        failed = False
        for file, outcome in self.send(lists):
            failed |= isinstance(outcome, ItemError)
            yield file, outcome
        if failed:
            return
        with ThreadPoolExecutor(self._parallel) as threads:
            for _ in threads.map(lambda below: self._files.remove(self._address.below(below)), gone):
                pass

    def _write(self, file: Sending) -> str | ItemError | None:
        try:
            return self._files.write(self._address.below(file.below), file.path)
        except Exception as error:
            if (found := item_error(error)) is None:
                raise
            return found
