"""Files at addresses: list, look at, read, write, remove. Only addresses that may be reached, and with retries.

Reading is one try: who reads a large file goes on where it was cut off, see `patiently`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from clipmill.remote import buckets, hub, web
from clipmill.remote.addresses import BUCKETS, HF, Address
from clipmill.remote.entries import Entry, Reading
from clipmill.remote.errors import FAILED, NOT_ALLOWED, RemoteError
from clipmill.remote.hosts import Hosts

if TYPE_CHECKING:
    import tenacity

log = logging.getLogger("clipmill")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Patience:
    """How often a request is tried, and the seconds between the first two tries; each pause is twice the one before."""

    tries: int = 5
    first_seconds: float = 1.0


PATIENCE = Patience()


def patiently(
    call: Callable[[], Result],
    patience: Patience = PATIENCE,
    progress: Callable[[], int] | None = None,
    least_progress: int = 1,
) -> Result:
    """Call until there is no error that may pass. The server says how long to wait, else the pauses grow.

    `progress`: a number that grows while the work goes on. A try in which it has grown by `least_progress` or more does
    not count, so that a large file may come in many parts. Raises the last RemoteError.
    """
    import tenacity

    failures, before = 0, progress() if progress else 0

    def gives_up(state: tenacity.RetryCallState) -> bool:
        nonlocal failures, before
        now = progress() if progress else 0
        failures = 1 if now >= before + least_progress else failures + 1
        before = max(before, now)
        return failures >= patience.tries

    growing = tenacity.wait_random_exponential(patience.first_seconds, max=30)

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait_seconds if isinstance(error, RemoteError) else 0.0
        return max(asked, growing(state))

    def tries_again(error: BaseException) -> bool:
        return isinstance(error, RemoteError) and error.again and error.wait_seconds <= web.LONGEST_WAIT

    def tell(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.info("%s; tried again in %.1f s", error, state.next_action.sleep if state.next_action else 0)

    return tenacity.Retrying(
        stop=gives_up,
        wait=wait,
        retry=tenacity.retry_if_exception(tries_again),
        before_sleep=tell,
        reraise=True,
    )(call)


class Files:
    """The files that a run may reach. `timeout_seconds`: how long a server may send nothing."""

    def __init__(self, hosts: Hosts, timeout_seconds: float, patience: Patience = PATIENCE):
        self._hosts, self._timeout, self.patience = hosts, timeout_seconds, patience

    def below(self, address: Address) -> Iterator[Entry]:
        """All files below an address, in one pass and as they come. Raises RemoteError.

        Their paths are those below the address. A host has no list: raises RemoteError.
        """
        self._check(address)
        if address.scheme in BUCKETS:
            yield from buckets.entries_below(address, self._timeout)
        elif address.scheme == HF:
            yield from self._of_dataset(address)
        else:
            raise RemoteError(FAILED, f"{address}: a web server has no list of its files; name them in a sheet")

    def _of_dataset(self, address: Address) -> Iterator[Entry]:
        page: Address | None = hub.pages_below(address)
        hosts = self._with_hub()
        while page is not None:
            entries, page = patiently(partial(hub.page, address, page, hosts, self._timeout), self.patience)
            yield from entries

    def entry(self, address: Address) -> Entry:
        """What is known of a file. Raises RemoteError."""
        self._check(address)
        if address.scheme in BUCKETS:
            return patiently(lambda: buckets.entry_of(address, self._timeout), self.patience)
        where, hosts, headers = self._by_http(address)
        return patiently(lambda: web.entry_of(where, hosts, self._timeout, headers), self.patience)

    def reading(
        self, address: Address, start: int = 0, end: int | None = None, etag: str | None = None
    ) -> AbstractContextManager[Reading]:
        """The bytes of a file from `start` up to `end`, as they come; one try. Raises RemoteError.

        `etag`: of the file whose first bytes are there already. If it is another one by now, the whole file comes, or
        RemoteError `changed`.
        """
        self._check(address)
        if address.scheme in BUCKETS:
            return buckets.reading(address, self._timeout, start, end, etag)
        where, hosts, headers = self._by_http(address)
        return web.reading(where, hosts, self._timeout, start, end, etag, headers)

    def content(self, address: Address, most_bytes: int) -> bytes:
        """A whole small file. Raises RemoteError, also for one with more than `most_bytes`."""

        def whole() -> bytes:
            found = bytearray()
            with self.reading(address) as reading:
                for chunk in reading.chunks:
                    found += chunk
                    if len(found) > most_bytes:
                        raise RemoteError(FAILED, f"{address}: has more than {most_bytes:,} bytes")
            return bytes(found)

        return patiently(whole, self.patience)

    def write(self, address: Address, file: Path | bytes) -> str | None:
        """Write an object of a bucket: whole or not at all, a large one in parts. Returns its etag.

        Raises RemoteError.
        """
        self._check_bucket(address)
        return patiently(lambda: buckets.write(address, file, self._timeout), self.patience)

    def remove(self, address: Address) -> None:
        """Remove an object of a bucket; none is fine. Raises RemoteError."""
        self._check_bucket(address)
        patiently(lambda: buckets.remove(address, self._timeout), self.patience)

    def _by_http(self, address: Address) -> tuple[Address, Hosts, dict[str, str]]:
        """Where to ask for a file, which hosts may answer, and with which headers."""
        if address.scheme == HF:
            return hub.file_of(address), self._with_hub(), hub.headers()
        return address, self._hosts, {}

    def _with_hub(self) -> Hosts:
        return self._hosts.and_hub(hub.endpoint())

    def _check(self, address: Address) -> None:
        if not self._hosts.allow(address):
            raise RemoteError(NOT_ALLOWED, f"{address}: {self._hosts.remedy(address)}")

    def _check_bucket(self, address: Address) -> None:
        self._check(address)
        if address.scheme not in BUCKETS:
            raise RemoteError(FAILED, f"{address}: nothing is written there; name a bucket (s3://, gs:// or az://)")
