"""Scores of clips from their frames. Each score has several backends, one module per backend.

A backend works in these steps, so that some clips are read while others are measured, and measured in batches:
kept frames of a clip → `prepare` → units → `start`, a batch of units of any clips → values → `finish` → columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from clipmill.decode.reading import FrameChoice

if TYPE_CHECKING:
    from clipmill.models.checkpoints import Checkpoint


class FrameScore(Protocol):
    """The interface of a backend that `score_shard` uses."""

    choice: FrameChoice
    """Which kept frames of a clip it looks at."""
    about: dict[str, Any]
    """Everything that its values depend on: name, version, checkpoints, parameters. Part of the journal's key."""
    batch: int
    """Most units that are measured at once. Never changes a value."""

    def checkpoints(self) -> list[Checkpoint]:
        """Find the model files, and fetch those that are not there. Raises SetupError."""

    def load(self) -> None:
        """Load what `prepare` needs. Called in the main thread, before the threads that read are started."""

    def prepare(self, frames: Sequence[np.ndarray]) -> Sequence[Any]:
        """Units of a clip's frames, in order: one per frame, or one for the clip.

        `frames`, BGR, height × width × 3 bytes each, are read when they are indexed. Called in several threads at once.
        Keep units small: arrays of the model's input, not the frames; see `base.readers.size_of`. May raise ItemError.
        """

    def start(self, units: list[Any]) -> Callable[[], Sequence[Any]]:
        """Start to measure at most `batch` units of any clips, on the device, in the main thread.

        Returns a function that waits for one value per unit, in order. So a GPU has the next batch when it ends one.
        """

    def finish(self, values: list[Any]) -> dict[str, Any]:
        """The columns of a clip from the values of its units, in order: numbers, texts, arrays, and lists of them."""


class Backend:
    """Base class of the backends. `inside`: models that come with a package, as models.json lists them."""

    batch = 1
    inside: Sequence[dict[str, str]] = ()

    def checkpoints(self) -> list[Checkpoint]:
        """None are needed."""
        return []

    def load(self) -> None:
        """`prepare` needs nothing."""

    def measure(self, units: list[Any]) -> Sequence[Any]:
        """One value per unit, in order."""
        raise NotImplementedError

    def start(self, units: list[Any]) -> Callable[[], Sequence[Any]]:
        """Measures at once, by `measure(units)`; the returned function does not wait."""
        values = self.measure(units)
        return lambda: values


class EmbeddedBackend(Backend):
    """A backend whose `prepare` measures: the values are the units.

    So the threads that read the clips do all the work, and a job uses all of its cores. A model must let several
    threads use it at once, each on one core.
    """

    def measure(self, units: list[Any]) -> Sequence[Any]:
        """The units themselves."""
        return units


class ModelBackend(Backend):
    """A backend whose `start` returns while the device is still computing."""

    def measure(self, units: list[Any]) -> Sequence[Any]:
        """One value per unit; waits for them."""
        return self.start(units)()
