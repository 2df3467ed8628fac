"""Computing in batches, smaller ones where the GPU's memory is too small."""

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

Fetch = Callable[[], Sequence[Any]]  # waits for the values of a batch that was begun, one an item


_fits: dict[Callable, int] = {}  # function -> the batch size to which a full memory has brought it


class Batches:
    """Computes items in batches of at most `size`, in order. A GPU is given the next one before its values are fetched.

    `start` begins to compute a batch and gives what waits for its values. Where the GPU's memory is too small for a
    batch, it is tried again in halves, and later ones are not larger. Raises SetupError where it is too small for one
    item.
    """

    def __init__(self, start: Callable[[list[Any]], Fetch], size: int):
        self._start, self._size = start, size
        self._begun: deque[tuple[int, Fetch]] = deque()  # the size of each
        self._ahead = 1 if leased_devices() else 0

    def put(self, items: list[Any]) -> list[Any]:
        """Begin with all of the items; the values that are there by then, one an item, be it of earlier ones."""
        values: list[Any] = []
        while items:
            batch = items[: min(self._size, _fits.get(self._start, self._size))]
            fetch = _unless_full(self._start, batch)
            if fetch is not None:
                items = items[len(batch) :]
                self._begun.append((len(batch), fetch))
                values += self._fetched(self._ahead)
            elif self._begun:
                values += self.rest()  # and try again, with the whole memory
            else:
                self._halve(len(batch))
        return values

    def rest(self) -> list[Any]:
        """The values that are still to come."""
        return self._fetched(0)

    def _fetched(self, left: int) -> list[Any]:
        """Values of all batches that were begun, but for the last `left` ones."""
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
    """Values of `function`, one an item, called with at most `size` of the items at once, as `Batches` does."""
    batches = Batches(_AtOnce(function), size)
    return batches.put(items) + batches.rest()


@dataclass(frozen=True)
class _AtOnce:
    """A function whose values are there when it returns, as `Batches` wants it. Equal for the same function."""

    function: Callable[[list[Any]], Sequence[Any]]

    def __call__(self, batch: list[Any]) -> Fetch:
        values = self.function(batch)
        return lambda: values


def _unless_full(start: Callable[[list[Any]], Fetch], batch: list[Any]) -> Fetch | None:
    """What the function gives; None, with all that it took given back, where the GPU's memory ran full."""
    try:
        return start(batch)
    except Exception as error:
        if not is_full_memory(error):
            raise
    sys.modules["torch"].cuda.empty_cache()  # here, where no error holds on to what the function took
    return None
