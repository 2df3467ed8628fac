"""Computes in batches, and in smaller ones if the GPU's memory is too small."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from clipmill.base.errors import SetupError
from clipmill.models.gpu import is_full_memory
from clipmill.models.leases import ON_THE_CPU, leased_devices

log = logging.getLogger("clipmill")

Fetch = Callable[[], Sequence[Any]]  # waits for the values of a started batch, one per item


_fits: dict[Callable, int] = {}  # function -> the batch size that it was reduced to when the memory was full


class Batches:
    """Computes items in order, in batches of at most `size`. A GPU gets a batch before the values of the last
    one are fetched.

    `start` starts to compute a batch and returns a function that waits for its values. If the GPU's memory is too small
    for a batch, the batch is tried again in halves, and later batches are not larger. Raises SetupError if the memory
    is too small for one item.
    """

    def __init__(self, start: Callable[[list[Any]], Fetch], size: int):
        self._start, self._size = start, size
        self._begun: deque[tuple[int, Fetch]] = deque()  # batches in progress: size, fetch function
        self._ahead = 1 if leased_devices() else 0

    def put(self, items: list[Any]) -> list[Any]:
        """Start computing these items. Returns the values finished so far, possibly those of earlier items."""
        values: list[Any] = []
        while items:
            batch = items[: min(self._size, _fits.get(self._start, self._size))]
            fetch = _unless_full(self._start, batch)
            if fetch is not None:
                items = items[len(batch) :]
                self._begun.append((len(batch), fetch))
                values += self._fetched(self._ahead)
            elif self._begun:
                values += self.rest()  # then try again, with all of the memory free
            else:
                self._halve(len(batch))
        return values

    def rest(self) -> list[Any]:
        """Wait for all values that were not returned yet."""
        return self._fetched(0)

    def _fetched(self, left: int) -> list[Any]:
        """Values of all started batches except the last `left` ones."""
        values: list[Any] = []
        while len(self._begun) > left:
            size, fetch = self._begun.popleft()
            found = fetch()
            if len(found) != size:
                raise ValueError(f"{len(found)} values for {size} items")
            values += found
        return values

    def _halve(self, size: int) -> None:
        if size == 1:
            raise SetupError(f"the GPU's memory is too small for a batch of one; take a larger GPU, or {ON_THE_CPU}")
        _fits[self._start] = size // 2
        log.warning("the GPU's memory is too small for a batch of %d; tried again by %d", size, size // 2)


def in_batches(function: Callable[[list[Any]], Sequence[Any]], items: list[Any], size: int) -> list[Any]:
    """Values of `function`, one per item. It is called with at most `size` items at once, as in `Batches`."""
    batches = Batches(_AtOnce(function), size)
    return batches.put(items) + batches.rest()


@dataclass(frozen=True)
class _AtOnce:
    """Lets `Batches` call a function that returns its values directly. Equal for the same function."""

    function: Callable[[list[Any]], Sequence[Any]]

    def __call__(self, batch: list[Any]) -> Fetch:
        values = self.function(batch)
        return lambda: values


def _unless_full(start: Callable[[list[Any]], Fetch], batch: list[Any]) -> Fetch | None:
    """The result of `start`; None if the GPU's memory was full. Then all memory that `start` took is free again."""
    try:
        return start(batch)
    except Exception as error:
        if not is_full_memory(error):
            raise
    sys.modules["torch"].cuda.empty_cache()  # not in the handler, where the error would keep that memory in use
    return None
