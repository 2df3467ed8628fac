"""What archives on disk have in common: whether they can be read, and are still those that the index knows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from clipmill.base.errors import ItemError
from clipmill.store.tables import IndexedVideo


def check_unchanged(video: IndexedVideo) -> None:
    """Raises ItemError (vanished, unreadable, changed) if the archive of `video` is not the one that was listed."""
    with reading(video):
        status = os.stat(video["path"])
    if status.st_mtime_ns != video["mtime_ns"]:
        raise ItemError("changed", "its archive changed while the run was on; run again", lasting=False)


@contextmanager
def reading(video: IndexedVideo) -> Iterator[None]:
    """Inside, an archive is read: errors of the operating system become those of `video`, and may pass."""
    try:
        yield
    except FileNotFoundError as error:
        message = f"its archive is gone ({video['path']}); put it back and run again"
        raise ItemError("vanished", message, lasting=False) from error
    except OSError as error:
        message = f"its archive cannot be read ({error.strerror or error}: {video['path']}); check the disk"
        raise ItemError("unreadable", message, lasting=False) from error
