"""Locks on files: held by one process at a time, on any machine that sees the file, and by none once it is dead."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from clipmill.errors import SetupError

log = logging.getLogger("clipmill")

TRIES, TRY_SECONDS = 10, 0.2  # whoever looks for a run holds its lock for an instant


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


class RunLock:
    """Lets one run at a time work on an output folder. It is held until the process ends.

    Jobs on other machines may outlive their run. What it has written there tells them whether the folder is still its.
    """

    def __init__(self, outdir: Path):
        self.outdir, self.path = outdir, outdir / "work" / "run.lock"

    def holder(self) -> str | None:
        """Who works on the folder now; None where nobody does. The file is never removed."""
        if not self.path.exists():
            return None
        with open(self.path, "r+", encoding="utf-8") as handle:
            return None if try_lock(handle) else handle.read().strip()

    def take(self) -> str:
        """Hold the lock, and return the name that the run has there. Raises SetupError where another run holds it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = open(self.path, "a+", encoding="utf-8")  # noqa: SIM115 - until the process ends
        for _ in range(TRIES):
            if try_lock(self._handle):
                break
            time.sleep(TRY_SECONDS)
        else:
            self._handle.close()
            raise SetupError(
                f"outdir: {self.outdir}: another run is at work on it ({self.holder()}); wait for it or stop it, "
                "or name another outdir"
            )
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        name = f"process {os.getpid()} on {socket.gethostname()}, started {now} in {os.getcwd()}"
        self._handle.truncate(0)
        self._handle.write(name)
        self._handle.flush()
        os.fsync(self._handle.fileno())  # for those on other machines
        return name

    def check(self, run: str) -> None:
        """Raises SetupError where the last run on the folder was another one than `run`, a name that `take` gave."""
        last = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        if last != run:
            raise SetupError(
                f"outdir: {self.outdir}: this job is of an earlier run ({run}), and another has followed ({last})"
            )
