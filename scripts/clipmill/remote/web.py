"""Files by HTTP. Redirects are followed only to hosts that may be reached."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from clipmill import __version__
from clipmill.base.errors import in_line
from clipmill.base.silence import silence_requests
from clipmill.remote.addresses import Address, BadAddress, parse
from clipmill.remote.entries import Entry, Reading
from clipmill.remote.errors import FAILED, NOT_ALLOWED, TIMED_OUT, UNREACHABLE, RemoteError, of_status, without_queries
from clipmill.remote.hosts import Hosts

if TYPE_CHECKING:
    import httpx2

REDIRECTS = 5
LONGEST_WAIT = 120.0  # seconds that a server may ask to wait; beyond, the next start tries again
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


def entry_of(address: Address, hosts: Hosts, timeout_seconds: float, headers: Mapping[str, str] | None = None) -> Entry:
    """What the server says of a file. Raises RemoteError."""
    with asked(address, hosts, timeout_seconds, headers, method="HEAD") as response:
        return _entry(address, response, response.headers.get("content-length"))


@contextmanager
def reading(
    address: Address,
    hosts: Hosts,
    timeout_seconds: float,
    start: int,
    end: int | None,
    etag: str | None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[Reading]:
    """The bytes of a file from `start` up to `end`. If it no longer has the `etag`, or the server knows no ranges, all.

    Raises RemoteError.
    """
    asking = dict(headers or {})
    if start or end is not None:
        asking["range"] = f"bytes={start}-{'' if end is None else end - 1}"
        if etag and not etag.startswith("W/"):
            asking["if-range"] = etag
    with asked(address, hosts, timeout_seconds, asking) as response:
        begin, size = 0, response.headers.get("content-length")
        if response.status_code == 206:
            found = _RANGE.fullmatch(response.headers.get("content-range", ""))
            if not found or int(found[1]) != start:
                raise RemoteError(FAILED, f"{address}: the server sends another range than the one asked for")
            begin, size = start, found[2]
        yield Reading(_entry(address, response, size), begin, chunks(address, response))


@contextmanager
def asked(
    address: Address,
    hosts: Hosts,
    timeout_seconds: float,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
) -> Iterator[httpx2.Response]:
    """The answer to a request, its body still to come. Raises RemoteError for any that is no success."""
    client, now, sent = _client(timeout_seconds), address, dict(headers or {})
    for _ in range(REDIRECTS + 1):
        if not hosts.allow(now):
            raise RemoteError(NOT_ALLOWED, _refusal(address, now, hosts))
        with _explained(address), client.stream(method, now.full, headers=sent) as response:
            if not response.has_redirect_location:
                if not response.is_success:
                    raise of_status(response.status_code, str(address), _seconds(response.headers.get("retry-after")))
                yield response
                return
            target = _target(address, now, response.headers["location"])
        if target.whole_place != now.whole_place:
            sent.pop("authorization", None)
        now = target
    raise RemoteError(FAILED, f"{address}: more than {REDIRECTS} redirects follow each other")


def _target(address: Address, now: Address, location: str) -> Address:
    try:
        return parse(urljoin(now.full, location).partition("#")[0])
    except (BadAddress, ValueError) as error:
        what = str(error) if isinstance(error, BadAddress) else "it cannot be read"
        raise RemoteError(NOT_ALLOWED, f"{address}: redirected to an address that is refused: {what}") from None


def _refusal(address: Address, now: Address, hosts: Hosts) -> str:
    where = str(address) if now is address else f"{address}: redirected elsewhere"
    return f"{where}: {hosts.remedy(now)}"


def chunks(address: Address, response: httpx2.Response) -> Iterator[bytes]:
    """The body of an answer, as it comes. Raises RemoteError where it ends too early."""
    with _explained(address):
        yield from response.iter_raw()


def _entry(address: Address, response: httpx2.Response, size: str | None) -> Entry:
    modified = email.utils.parsedate_tz(response.headers.get("last-modified", ""))
    return Entry(
        address.path.split("/")[-1],
        int(size) if size and size.isdigit() else None,
        response.headers.get("etag"),
        email.utils.mktime_tz(modified) * 10**9 if modified else None,
    )


def _seconds(text: str | None) -> float:
    """How long `Retry-After` asks to wait: it names seconds or a date."""
    if not text:
        return 0.0
    if text.strip().isdigit():
        return float(text)
    date = email.utils.parsedate_tz(text)
    now = email.utils.mktime_tz(email.utils.parsedate_tz(email.utils.formatdate()) or (0,) * 10)
    return max(0.0, float(email.utils.mktime_tz(date) - now)) if date else 0.0


@lru_cache(maxsize=8)
def _client(timeout_seconds: float) -> httpx2.Client:
    """A client that keeps its connections, and takes proxies from the environment; it trusts what the system does."""
    import ssl

    import certifi
    import httpx2

    silence_requests()
    trusted = ssl.create_default_context()
    trusted.load_verify_locations(certifi.where())
    return httpx2.Client(
        verify=trusted,
        timeout=timeout_seconds,
        follow_redirects=False,
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64),
        # Compressed answers would have other sizes and etags than the files.
        headers={"user-agent": f"clipmill/{__version__}", "accept-encoding": "identity"},
    )


@contextmanager
def _explained(address: Address) -> Iterator[None]:
    """Turn errors of the client into a RemoteError."""
    import httpx2

    try:
        yield
    except httpx2.TimeoutException as error:
        raise RemoteError(TIMED_OUT, f"{address}: the server does not answer in time", again=True) from error
    except (httpx2.HTTPError, httpx2.StreamError) as error:
        raise RemoteError(UNREACHABLE, f"{address}: the connection failed ({_line(error)})", again=True) from error
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise RemoteError(FAILED, f"{address}: this address cannot be used ({_line(error)}); correct it") from error


def _line(error: BaseException) -> str:
    return without_queries(in_line(error))
