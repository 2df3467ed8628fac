"""Scores of clips. Those from signals cost nothing; those from frames each have backends, one module each.

A backend is asked in four steps, so that pictures are read while others are measured, and measured in batches:
sampled frames of a clip → `prepare` → units → `start`, a batch of any clips' units → values → `finish` → columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from clipmill.checkpoints import Checkpoint

SLACK = 1e-3  # seconds by which times of samples may be off a whole second


@dataclass(frozen=True)
class Sampling:
    """Which samples of a clip a backend looks at.

    `count`: so many, each from the middle of an equal part; all of them where there are fewer. `per_second`: those
    nearest to the clip's first sample and each 1 / per_second seconds after it; with `ends` also the last one. Both:
    those of `per_second`, or `count` uniform ones where these would be more. Neither: all.
    """

    count: int | None = None
    per_second: float | None = None
    ends: bool = False

    def choose(self, samples: Sequence[int], times: Sequence[float]) -> list[int]:
        """Those of a clip's `samples` (numbers, at `times` in seconds, both rising) to look at; each once, in order."""
        if self.per_second is not None:
            steady = self._steady(samples, np.asarray(times))
            if self.count is None or len(steady) <= self.count:
                return steady
        if self.count is None or self.count >= len(samples):
            return list(samples)
        return [samples[int((k + 0.5) * len(samples) / self.count)] for k in range(self.count)]

    def _steady(self, samples: Sequence[int], times: np.ndarray) -> list[int]:
        if len(samples) == 0:
            return []
        steps = int((times[-1] - times[0] + SLACK) * self.per_second)
        chosen = {nearest(times, times[0] + k / self.per_second) for k in range(steps + 1)}
        if self.ends:
            chosen |= {0, len(samples) - 1}
        return [samples[place] for place in sorted(chosen)]


def nearest(times: np.ndarray, wanted: float) -> int:
    """Place of the one of `times` (rising) that is nearest to `wanted`; the earlier of two as near."""
    after = min(int(np.searchsorted(times, wanted)), len(times) - 1)
    return after - 1 if after > 0 and wanted - times[after - 1] <= times[after] - wanted else after


class FrameScore(Protocol):
    """What `score_shard` asks of a backend."""

    sampling: Sampling
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
