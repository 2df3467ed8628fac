"""Datasets on the Hugging Face hub: what files they have, and where the hub keeps them.

HF_ENDPOINT names another hub. The token comes from HF_TOKEN, or from the file that `hf auth login` writes.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from clipmill.base.errors import SetupError
from clipmill.remote import web
from clipmill.remote.addresses import WEB, Address, BadAddress, parse
from clipmill.remote.entries import Entry
from clipmill.remote.errors import FAILED, RemoteError
from clipmill.remote.hosts import Hosts

HUB = "https://huggingface.co"
MAIN = "main"
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')


def endpoint() -> Address:
    """The address of the hub. Raises SetupError if HF_ENDPOINT is none."""
    try:
        address = parse(os.getenv("HF_ENDPOINT") or HUB)
    except BadAddress as error:
        raise SetupError(f"HF_ENDPOINT: {error}") from None
    if address.scheme not in WEB or address.query:
        raise SetupError(f"HF_ENDPOINT: {address} is no address of a hub, which begins with https://")
    return address


def file_of(address: Address) -> Address:
    """Where the hub gives a file of a dataset by HTTP."""
    revision = quote(address.revision or MAIN, safe="")
    return endpoint().below(f"datasets/{address.place}/resolve/{revision}/{quote(address.path)}")


def headers() -> dict[str, str]:
    """The token, if there is one. `web` sends it to the hub alone, and not to where the hub redirects."""
    token = os.getenv("HF_TOKEN") or _stored_token()
    return {"authorization": f"Bearer {token}"} if token else {}


def _stored_token() -> str:
    home = Path(os.getenv("HF_HOME") or Path(os.getenv("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface")
    file = Path(os.getenv("HF_TOKEN_PATH") or home / "token").expanduser()
    return file.read_text(encoding="utf-8").strip() if file.is_file() else ""


def pages_below(address: Address) -> Address:
    """The first page of the list of a dataset's files below an address."""
    revision, folder = quote(address.revision or MAIN, safe=""), quote(address.path.strip("/"))
    page = endpoint().below(f"api/datasets/{address.place}/tree/{revision}" + (f"/{folder}" if folder else ""))
    return Address(page.scheme, page.place, page.path, query="recursive=true")


def page(address: Address, at: Address, hosts: Hosts, timeout_seconds: float) -> tuple[list[Entry], Address | None]:
    """The files on a page of the list of `address`, and the next page. Raises RemoteError."""
    is_hub = at.whole_place == endpoint().whole_place  # the page before names the address of this one
    with web.asked(at, hosts, timeout_seconds, headers() if is_hub else {}) as response:
        text = b"".join(web.chunks(at, response))
        following = _NEXT.search(response.headers.get("link", ""))
    start = address.path.strip("/")
    try:
        found = [
            _entry(one, one["path"][len(start) :].lstrip("/")) for one in json.loads(text) if one["type"] == "file"
        ]
        return found, parse(following[1]) if following else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # BadAddress is a ValueError
        raise RemoteError(
            FAILED, f"{address}: the hub's list of files cannot be read ({type(error).__name__})"
        ) from error


def _entry(record: dict[str, Any], path: str) -> Entry:
    """A file of the hub's list: its etag is the hash of what it holds, by which the hub itself names it."""
    large = record.get("lfs") or {}
    sha256 = large.get("oid")
    return Entry(path, record.get("size"), f'"{sha256 or record["oid"]}"', None, sha256)
