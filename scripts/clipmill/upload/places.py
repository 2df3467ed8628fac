"""`export.upload` as a place."""

from __future__ import annotations

from clipmill.remote.addresses import HF, Address, parse
from clipmill.remote.files import Files
from clipmill.remote.hosts import Hosts
from clipmill.upload.bucket import Bucket
from clipmill.upload.dataset import Place
from clipmill.upload.hub import Hub


def place_at(text: str, timeout_seconds: float, parallel: int) -> tuple[Address, Place]:
    """The place at an address without a fault, see `address`. The user has named it, so it may be reached.

    `timeout_seconds`: how long a server may send nothing. `parallel`: files that are sent at once.
    """
    address = parse(text)
    files = Files(Hosts([address.whole_place]), timeout_seconds)
    return address, (Hub if address.scheme == HF else Bucket)(address, files, parallel)
