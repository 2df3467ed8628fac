"""What this process and its children have used so far, as the operating system counts it: exact for short jobs too."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass

_IMPORTED = time.monotonic()
_starting = 0.0
_continued = 0
_inside = False  # `starting`


@dataclass(frozen=True)
class Usage:
    """Seconds of wall time and of all cores together, since the process was started; MiB of its largest process.

    `start`: seconds in which models were loaded. `continued`: how often work of an earlier job was taken up.
    """

    wall: float
    processor: float
    memory: float
    start: float
    continued: int

    @staticmethod
    def now() -> Usage:
        """What has been used up to now. Children count when they have ended."""
        own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        processor = sum(usage.ru_utime + usage.ru_stime for usage in (own, children))
        return Usage(_age(), processor, max(own.ru_maxrss, children.ru_maxrss) / 1024, _starting, _continued)


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """The time inside counts as start: it would be the same for one item as for a million. Also a decorator."""
    global _starting, _inside
    if _inside:  # the outer one counts it
        yield
        return
    _inside = True
    begin = time.monotonic()
    try:
        yield
    finally:
        _starting += time.monotonic() - begin
        _inside = False


def took_up_earlier_work() -> None:
    """Note that this process found finished items of an earlier job: its time says little about its work."""
    global _continued
    _continued += 1


def _age() -> float:
    """Seconds since this process was started; where the system does not say, since this module was imported."""
    try:
        with open("/proc/self/stat", "rb") as handle:
            after_name = handle.read().rpartition(b")")[2].split()
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(after_name[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        return time.monotonic() - _IMPORTED
