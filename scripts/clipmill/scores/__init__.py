"""Scores of clips. Those from signals cost nothing; those from frames each have backends, one module each.

A backend is asked in four steps, so that pictures are read while others are measured, and measured in batches:
sampled frames of a clip → `prepare` → units → `start`, a batch of any clips' units → values → `finish` → columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from clipmill.decode.reading import FrameChoice

if TYPE_CHECKING:
    from clipmill.models.checkpoints import Checkpoint


class FrameScore(Protocol):
    """What `score_shard` asks of a backend."""

    choice: FrameChoice
    """Which samples of a clip it looks at."""
    about: dict[str, Any]
    """All that its values depend on: name, version, checkpoints, parameters. Part of the journal's key."""
    batch: int
    """Most units to `measure` at once. Never changes a value."""

    def checkpoints(self) -> list[Checkpoint]:
        """Find the model files, and fetch those that are not there. Raises SetupError."""

    def prepare(self, frames: Sequence[np.ndarray]) -> Sequence[Any]:
        """Units of a clip's frames, in order: one a frame, or one for the clip.

        `frames`, BGR, height × width × 3 bytes each, are read as they are asked for. Called in several threads at once.
        Keep units small: arrays of what the model takes, not the frames; see `readers.size_of`. May raise ItemError.
        """

    def start(self, units: list[Any]) -> Callable[[], Sequence[Any]]:
        """Begin to measure at most `batch` units of any clips, on the device, in the main thread.

        What it gives waits for a value of each, in order. A GPU then has the next batch at hand when it is done.
        """

    def finish(self, values: list[Any]) -> dict[str, Any]:
        """The columns of a clip from the values of its units, in order: numbers, texts, arrays, and lists of them."""


class Backend:
    """What backends have in common. `inside`: models that come with a package, as models.json lists them."""

    batch = 1
    inside: Sequence[dict[str, str]] = ()

    def checkpoints(self) -> list[Checkpoint]:
        """None are needed."""
        return []

    def start(self, units: list[Any]) -> Callable[[], Sequence[Any]]:
        """All of the work at once, as `measure(units)` does it."""
        values = self.measure(units)
        return lambda: values


class ModelBackend(Backend):
    """One that a device computes, while `start` is back already."""

    def measure(self, units: list[Any]) -> Sequence[Any]:
        """A value of each unit, waited for."""
        return self.start(units)()
