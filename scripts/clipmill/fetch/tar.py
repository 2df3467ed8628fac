"""Videos in tar files that are not compressed: a member is a stretch of the file, and nothing else is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clipmill.base.errors import ItemError
from clipmill.fetch.archives import check_unchanged, reading
from clipmill.fetch.files import Arriving, Outcome, one_by_one
from clipmill.store.tables import IndexedVideo

BLOCK = 1 << 20  # bytes that are read at once


def fetch(videos: Sequence[IndexedVideo], arriving: Arriving) -> Iterator[Outcome]:
    """See the package. Errors: damaged_archive, and those of `archives`."""

    def bring(video: IndexedVideo) -> None:
        check_unchanged(video)
        with arriving(video) as file, open(file, "wb") as target:
            for block in _blocks(video):
                target.write(block)

    yield from one_by_one(videos, bring)


def _blocks(video: IndexedVideo) -> Iterator[bytes]:
    """The bytes of a member."""
    assert video["offset"] is not None  # as of each video in a tar
    left = video["size_bytes"]
    with reading(video), open(video["path"], "rb") as source:
        source.seek(video["offset"])
        while left:
            block = source.read(min(BLOCK, left))
            if not block:
                raise ItemError("damaged_archive", "its archive ends before the video does; copy the archive again")
            yield block
            left -= len(block)
    check_unchanged(video)
