"""Videos at addresses, as a start sees them: what a bucket or a dataset lists, and sheets that name addresses.

A start reads lists, which are cheap, and asks for no file by itself: an address of a sheet may be one of a million.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clipmill.base.errors import ItemError, SetupError
from clipmill.fetch.files import FetchSettings
from clipmill.inputs.endings import SUFFIXES, ending
from clipmill.remote.addresses import WEB, Address, BadAddress, is_address, parse
from clipmill.remote.entries import Entry
from clipmill.remote.errors import RemoteError
from clipmill.remote.files import Files
from clipmill.remote.hosts import Hosts

NOT_ASKED = Entry("")  # what is known of an address of a sheet
LARGEST_SHEET = 4_000_000_000  # bytes
_LENGTHS = {"sha256": 64, "md5": 32}  # hex digits


class Places:
    """The places that a start may reach. `settings` None: none."""

    def __init__(self, settings: FetchSettings | None):
        self._settings = settings
        self._hosts = Hosts(settings.hosts if settings else ())

    @property
    def _files(self) -> Files:
        return self._settings.files if self._settings else Files(self._hosts, 1.0)

    @staticmethod
    def address(text: str) -> Address:
        """The address that `videos` names. Raises SetupError if it is none."""
        try:
            return parse(text)
        except BadAddress as error:
            raise SetupError(f"videos: {error}") from None

    def entries(self, address: Address) -> Iterator[tuple[str, Entry]]:
        """The files below an address, with their paths below it; of the address of a video this file, with no path.

        Names that begin with a dot are left out, as in a folder. Raises SetupError.
        """
        try:
            if ending(address.path) in SUFFIXES:
                yield "", self._files.entry(address)
                return
            if address.scheme in WEB:
                raise SetupError(f"videos: {address}: a web server has no list of its files; name them in a sheet")
            for entry in self._files.below(address):
                if entry.path and not entry.path.endswith("/") and not _is_hidden(entry.path):
                    yield entry.path, entry
        except RemoteError as error:
            raise SetupError(f"videos: {error}") from error

    @contextmanager
    def sheet(self, address: Address) -> Iterator[Path]:
        """A copy of the sheet at an address, as long as it is read. Raises SetupError."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / address.path.split("/")[-1]
            try:
                copy.write_bytes(self._files.content(address, LARGEST_SHEET))
            except RemoteError as error:
                raise SetupError(f"videos: {error}") from error
            try:
                yield copy
            except SetupError as error:  # the user knows the address, and not the copy
                raise SetupError(str(error).replace(str(copy), str(address))) from error

    def problem(self, address: Address, checksum: str | None) -> ItemError | None:
        """Why an address of a sheet cannot be used; None if it can be."""
        if not self._hosts.allow(address):
            return ItemError("not_allowed", self._hosts.remedy(address))
        kind, _, digest = (checksum or "").partition(":")
        if checksum and not re.fullmatch(f"[0-9a-f]{{{_LENGTHS[kind]}}}", digest):
            return ItemError(
                "bad_row", f"the column `{kind}` holds no {kind}, of {_LENGTHS[kind]} hex digits; correct it"
            )
        return None

    def too_large(self, entry: Entry) -> str | None:
        """What to say of a file that is larger than wanted; None if it is not."""
        most = self._settings.max_bytes if self._settings else 0.0
        if (entry.size_bytes or 0) <= most:
            return None
        size = f"{(entry.size_bytes or 0) / 1e6:,.0f} MB"
        return f"{size} are more than fetch.max_mb allows; raise it, or leave the file out"


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def parent_of(address: Address) -> str:
    """The address of the folder that a file lies in."""
    return str(address).rpartition("/")[0]


def joined(base: str, path: str) -> str:
    """Where a path of a sheet leads. `base`: the folder or the address below which paths are."""
    if is_address(path):
        return path
    if is_address(base):
        return f"{base}/{path.removeprefix('./')}"
    return os.path.join(base, path)


def shown(path: str | None, row: int) -> str:
    """What a problem of a row names: its path, unless this is an address that may hold a secret."""
    if path is None:
        return f"row {row}"
    if not is_address(path):
        return path
    try:
        return parse(path).name
    except BadAddress:
        return f"row {row}"


def found_at(videos: str | Path) -> str:
    """`videos` for a message."""
    return str(Places.address(str(videos))) if is_address(str(videos)) else str(videos)
