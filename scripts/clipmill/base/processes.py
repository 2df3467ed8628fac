"""Child processes that die with their parent, so that a killed job leaves nothing running."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator

_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded here: a forked child should do as little as possible
_PR_SET_PDEATHSIG = 1
_PARENT = "CLIPMILL_PARENT"  # environment variable: the process whose children die with it


@contextlib.contextmanager
def children_die_with_us() -> Iterator[None]:
    """Processes that a library starts inside, from this thread, are killed as soon as this process is dead.

    Forked processes are prepared here. A spawned process imports the main module, a tool, again; importing a tool calls
    `die_with_parent`.
    """
    parent, inside = os.getpid(), True

    def in_child() -> None:
        nonlocal inside
        if inside:
            inside = False  # a grandchild is not ours
            die_with(parent)  # which may be dead by now

    os.register_at_fork(after_in_child=in_child)
    os.environ[_PARENT] = str(parent)
    try:
        yield
    finally:
        inside = False
        del os.environ[_PARENT]


def die_with_parent() -> None:
    """Let this process die with its parent, if that is inside `children_die_with_us`. Not for grandchildren."""
    parent = os.environ.get(_PARENT)
    if parent == str(os.getppid()):
        die_with(int(parent))


def die_with(parent: int) -> None:
    """Ask Linux to kill this process when the parent dies; elsewhere children end when their pipe breaks."""
    try:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (AttributeError, OSError):
        return
    if os.getppid() != parent:
        os._exit(1)
