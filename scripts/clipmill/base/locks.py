"""Locks on files: held by one process at a time, on any machine that sees the file, and by none once it is dead."""

from __future__ import annotations

import errno
import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from clipmill.base.errors import SetupError

log = logging.getLogger("clipmill")


def try_lock(handle: IO) -> bool:
    """Lock an open file until it is closed; False where another process has. Raises SetupError where there are none."""
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
    """Let other processes that come here with the same path wait; `what` says for whom."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as handle:
        if not try_lock(handle):
            log.info("waiting for %s (it holds %s)", what, path)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
