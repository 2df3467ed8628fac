"""Progress of a long job in its log: items done, rate, time left. The terminal reads these lines again."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass

from clipmill.base.human import duration, rate
from clipmill.base.usage import took_up_earlier_work

log = logging.getLogger("clipmill")

_LINE = re.compile(
    r"^[\d:]{8} INFO (?P<text>[^\n]+: (?P<done>[\d,]+) of (?P<total>[\d,]+), [^\n]+ left)$", re.MULTILINE
)


class Progress:
    """Counts items and logs at most every `every` seconds, and once at the end."""

    def __init__(self, what: str, total: int, done: int = 0, every: float = 10.0):
        self.what, self.total, self.done, self.every = what, total, done, every
        self._first = done
        self._start = self._last = time.monotonic()
        if done:
            log.info("%s: %s of %s are in the journal already", what, f"{done:,}", f"{total:,}")
            took_up_earlier_work()

    def step(self, count: int = 1) -> None:
        """Note `count` more finished items."""
        self.done += count
        now = time.monotonic()
        if now - self._last >= self.every or self.done == self.total:
            self._last = now
            pace = (self.done - self._first) / max(now - self._start, 1e-9)
            left = duration((self.total - self.done) / max(pace, 1e-9))
            log.info("%s: %s of %s, %s, %s left", self.what, f"{self.done:,}", f"{self.total:,}", rate(pace), left)


@dataclass(frozen=True)
class Reached:
    """How far a job is, from the last progress line of its log."""

    text: str
    done: int
    total: int

    @property
    def share(self) -> float:
        return self.done / self.total if self.total else 1.0


def last_line(log_text: str) -> Reached | None:
    """The last progress line in a log, or in the end of one; None if there is none."""
    lines = [*_LINE.finditer(log_text)]
    if not lines:
        return None
    found = lines[-1]
    done, total = (int(found[name].replace(",", "")) for name in ("done", "total"))
    return Reached(found["text"], done, total)
