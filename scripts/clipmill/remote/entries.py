"""What is known of a file elsewhere, and its bytes while they come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Entry(NamedTuple):
    """A file elsewhere. `path`: below the address that was listed, or the last part of its own.

    `size_bytes`, `etag` (with its quotes) and `modified_ns` (nanoseconds since 1970) are None if the server does not
    tell them; so is `sha256`, in hex, which the hub alone tells.
    """

    path: str
    size_bytes: int | None = None
    etag: str | None = None
    modified_ns: int | None = None
    sha256: str | None = None


@dataclass
class Reading:
    """The bytes of a file from `start` on: 0 if the server sends the whole file though a part was asked for.

    `entry`: what the server says of the whole file. `chunks` raises RemoteError where the connection ends too early.
    """

    entry: Entry
    start: int
    chunks: Iterator[bytes]
