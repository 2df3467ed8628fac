"""Progress of a long job in its log: items done, rate, time left."""

from __future__ import annotations

import logging
import time

log = logging.getLogger("clipmill")

TAKEN_UP = "are in the journal already"  # only in the log of a job that did not compute its whole table itself


class Progress:
    """Counts items and logs at most every `every` seconds, and once at the end."""

    def __init__(self, what: str, total: int, done: int = 0, every: float = 10.0):
        self.what, self.total, self.done, self.every = what, total, done, every
        self._first = done
        self._start = self._last = time.monotonic()
        if done:
            log.info("%s: %d of %d %s", what, done, total, TAKEN_UP)

    def step(self, count: int = 1) -> None:
        """Note `count` more finished items."""
        self.done += count
        now = time.monotonic()
        if now - self._last >= self.every or self.done == self.total:
            self._last = now
            rate = (self.done - self._first) / max(now - self._start, 1e-9)
            left = (self.total - self.done) / max(rate, 1e-9)
            log.info("%s: %d of %d, %.2f a second, %.0f s left", self.what, self.done, self.total, rate, left)
