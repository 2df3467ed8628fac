"""Threads that work ahead: items go in, their results come out in the same order, and few results wait in between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from clipmill.base.workers import tune_for_pictures

# Most results that wait to be taken: the threads stop at the limit that is reached first. A larger result waits alone.
MOST_UNITS, MOST_BYTES = 4096, 256 << 20
RUN = 8  # most items that a thread takes at a time: neighbours, which often share a file

# The work of a thread: a context manager that yields a function from an item to its units, or to an exception.
Work = Callable[[], AbstractContextManager[Callable[[Any], Sequence[Any] | Exception]]]


class Readers:
    """Works on `items` in `threads` threads. Use as a context manager; `take` gives the results, in the items' order.

    Each thread enters a context of its own by `work()`, so it can hold open files. The threads pause while MOST_UNITS
    or MOST_BYTES wait for `take`. An exception that a thread raises, and does not return, is raised by `take`.
    """

    def __init__(self, items: Sequence[Any], work: Work, threads: int):
        self._items, self._work = items, work
        self._ready: dict[int, tuple[Sequence[Any] | Exception, int, int]] = {}
        self._begun = self._taken = self._units = self._bytes = 0
        self._stopped = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        threads = max(1, threads)
        self._run = max(1, min(RUN, len(items) // (4 * threads)))  # with few items, short runs keep all threads busy
        self._threads = [threading.Thread(target=self._read, name=f"reader-{n}") for n in range(threads)]

    def __enter__(self) -> Readers:
        tune_for_pictures()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def take(self, timeout: float) -> Sequence[Any] | Exception | None:
        """The result of the next item; None if it is not there after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken in self._ready or self._error, timeout)
            if self._taken in self._ready:
                result, units, size = self._ready.pop(self._taken)
                self._taken += 1
                self._units -= units
                self._bytes -= size
                self._changed.notify_all()
                return result
            if self._error:
                raise self._error
            return None

    def _read(self) -> None:
        try:
            with self._work() as work:
                while run := self._next():
                    for number in run:
                        result = work(self._items[number])
                        if not self._hand_over(number, result):
                            return
        except BaseException as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _next(self) -> range:
        with self._changed:
            first = self._begun
            self._begun = min(first + self._run, len(self._items))
            return range(first, self._begun)

    def _hand_over(self, number: int, result: Sequence[Any] | Exception) -> bool:
        """Store a result for `take` when there is room; False if no more results are wanted."""
        units, size = (0, 0) if isinstance(result, Exception) else (len(result), size_of(result))

        def room() -> bool:
            # The result that is taken next always has room: all others may be waiting for it.
            fits = self._units + units <= MOST_UNITS and self._bytes + size <= MOST_BYTES
            return fits or number == self._taken or self._stopped

        with self._changed:
            self._changed.wait_for(room)
            self._ready[number] = result, units, size
            self._units += units
            self._bytes += size
            self._changed.notify_all()
            return not self._stopped


def size_of(value: Any) -> int:
    """Bytes of the arrays and tensors in a value, and of all else that has `nbytes`. Numbers and texts count as 0.

    Raises TypeError for any other type, since it may hold arrays.
    """
    if isinstance(value, dict):
        return size_of(list(value.values()))
    if isinstance(value, list | tuple):
        return sum(map(size_of, value))
    if value is None or isinstance(value, int | float | str):
        return 0
    if not hasattr(value, "nbytes"):
        raise TypeError(f"how large is a {type(value).__name__}? Give it `nbytes`")
    return value.nbytes
