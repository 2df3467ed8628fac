"""Locks on files: one process at a time holds a lock, on any machine that sees the file; a dead process holds none."""

from __future__ import annotations

import errno
import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from clipmill.base.errors import SetupError

log = logging.getLogger("clipmill")


def try_lock(handle: IO[Any]) -> bool:
    """Lock an open file until it is closed; False if another process has locked it.

    Raises SetupError if the file system has no locks.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK):
            raise SetupError(
                f"{handle.name}: cannot be locked ({error.strerror}); mount its file system with locks (for Lustre, "
                "`-o flock`), or put it on another"
            ) from error
        raise
    return True


@contextmanager
def one_at_a_time(path: Path, what: str) -> Iterator[None]:
    """Let one process at a time inside for `path`. Others wait; their log line names the holder as `what`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as handle:
        if not try_lock(handle):
            log.info("waiting for %s (it holds %s)", what, path)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
