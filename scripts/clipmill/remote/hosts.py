"""Which addresses a run may reach: places that its config names, and no other, wherever a sheet or a server points."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from clipmill.base.errors import SetupError
from clipmill.remote.addresses import HTTPS, WEB, Address, BadAddress, is_address, parse

# Where the hub keeps the files that it redirects to.
OF_HUB = ("huggingface.co", "*.huggingface.co", "*.hf.co")


def allow_place_of_videos(config: dict[str, Any]) -> None:
    """Let a run reach the place that its `videos` names, if that is an address. Raises SetupError for a bad one."""
    if config["videos"] is None or not is_address(config["videos"]):
        return
    try:
        address = parse(config["videos"])
    except BadAddress as error:
        raise SetupError(f"videos: {error}") from None
    if address.is_signed:
        raise SetupError(
            f"videos: {address} holds a signature, which would stand in the report; make the file readable by keys "
            "from the environment, or copy the sheet to a disk"
        )
    place = address.whole_place
    if place not in config["fetch"]["hosts"]:
        config["fetch"]["hosts"] = [*config["fetch"]["hosts"], place]


class Hosts:
    """The places that may be reached.

    An entry is a bucket (`s3://bucket`), a dataset (`hf://datasets/user/name`) or a host (`media.example.org`, with its
    port if it has one; `http://10.0.0.5:8080` for one without encryption). `*` stands for any characters.
    """

    def __init__(self, entries: Iterable[str]):
        self._entries = tuple(_entry(text) for text in entries)
        self._patterns = tuple(map(_pattern, self._entries))

    def allow(self, address: Address) -> bool:
        """Whether an address may be reached."""
        return any(pattern.fullmatch(address.whole_place) for pattern in self._patterns)

    def and_hub(self, endpoint: Address) -> Hosts:
        """These places, the hub at `endpoint`, and the places where the hub keeps its files."""
        return Hosts((*self._entries, endpoint.whole_place, *(f"{HTTPS}://{host}" for host in OF_HUB)))

    def remedy(self, address: Address) -> str:
        """What to do about an address that may not be reached."""
        entry = address.place if address.scheme == HTTPS else address.whole_place
        return f"`fetch.hosts` does not name {address.whole_place}; if it is to be reached, add `{entry}` there"


def _pattern(entry: str) -> re.Pattern[str]:
    """What an entry stands for. `*` alone is special: `[` is a part of addresses like `[::1]`."""
    return re.compile(".*".join(map(re.escape, entry.split("*"))))


def _entry(text: str) -> str:
    """An entry as the address of a place. Raises SetupError for one that cannot be one, and repeats no password."""
    whole = text if is_address(text) else f"{HTTPS}://{text}"
    try:
        address = parse(whole.replace("*", "any-0-any"))
    except BadAddress as error:
        raise SetupError(f"fetch.hosts: {error}") from None
    if address.path or address.query or address.revision:
        where = "a host" if address.scheme in WEB else "a bucket or a dataset"
        raise SetupError(f"fetch.hosts: name {where} alone, without what follows it: {address.whole_place}")
    return address.whole_place.replace("any-0-any", "*")
