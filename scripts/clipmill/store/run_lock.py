"""The lock that lets one run at a time work on an output folder."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from clipmill.base.errors import SetupError
from clipmill.base.locks import try_lock
from clipmill.store.layout import Paths

TRIES, TRY_SECONDS = 10, 0.2  # `holder` takes the lock for an instant, so one failed try proves nothing


class RunLock:
    """Lets one run at a time work on an output folder. The lock is held until the process ends.

    Jobs on other machines may outlive their run. The name in the lock file tells them whether the folder still belongs
    to that run.
    """

    def __init__(self, outdir: Path):
        self.outdir, self.path = outdir, Paths(outdir).run_lock

    def holder(self) -> str | None:
        """The name of the run that works on the folder now; None if there is none. The lock file is never removed."""
        if not self.path.exists():
            return None
        with open(self.path, "r+", encoding="utf-8") as handle:
            return None if try_lock(handle) else handle.read().strip()

    def take(self) -> str:
        """Take the lock, write the run's name into it, return the name. Raises SetupError if another run holds it."""
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
        os.fsync(self._handle.fileno())  # for jobs on other machines
        return name

    def check(self, run: str) -> None:
        """Raise SetupError if the last run on the folder was not `run`, a name that `take` returned."""
        last = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        if last != run:
            raise SetupError(
                f"outdir: {self.outdir}: this job is of an earlier run ({run}), and another has followed ({last})"
            )
