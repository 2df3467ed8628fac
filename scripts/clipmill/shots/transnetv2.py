"""TransNetV2 with its published weights, on the CPU by onnxruntime and on a GPU by torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from clipmill.base.usage import starting
from clipmill.models.backends import explaining_missing_packages
from clipmill.models.batches import in_batches
from clipmill.models.checkpoints import Checkpoint
from clipmill.models.leases import leased_devices
from clipmill.shots.graph import Graph
from clipmill.shots.network import EDGE, STEP, histograms, network
from clipmill.shots.weights import find_weights, read_weights

VERSION = 1  # part of the journal's keys: raise it when the same weights give other numbers
ON_A_GPU = 32  # windows in a batch there

Run = Callable[[Mapping[str, np.ndarray]], Sequence[np.ndarray]]


class TransNetV2:
    """Finds which frames belong to a transition.

    `where`: `suspicious` looks where the signals are not flat, `everywhere` at all frames; `auto` is everywhere on a
    GPU, else suspicious. `weights`: path of their file; None is where they are installed.
    `threads` look at a window each, so that their number changes no value; `batch` windows are computed together on a
    GPU, 0 means ON_A_GPU.
    """

    threads, batch = 1, 0

    def __init__(self, where: str = "auto", weights: str | None = None):
        self.where, self._path = where, weights
        self._run: Run | None = None

    def checkpoints(self) -> list[Checkpoint]:
        """The weights. Raises SetupError if they are not there, or not the published ones."""
        return [find_weights(self._path)]

    @property
    def about(self) -> dict[str, Any]:
        """What the values depend on."""
        return {"backend": "transnetv2", "version": VERSION, **self.checkpoints()[0].identity()}

    @property
    def everywhere(self) -> bool:
        """Whether it looks at all frames, and not only where the signals are not flat."""
        return self.where == "everywhere" or (self.where == "auto" and bool(leased_devices()))

    @property
    def at_once(self) -> int:
        """How many windows it is best given at once: a few seconds' work."""
        return 4 * ((self.batch or ON_A_GPU) if leased_devices() else self.threads)

    def look(self, windows: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Two rows of probabilities of each window's STEP frames in the middle: 2 × STEP, float32.

        The first: that a frame is the one in the middle of a transition. The second: that it belongs to one. A window
        is WINDOW × HEIGHT × WIDTH × 3 bytes. Raises SetupError as `checkpoints` does.
        """
        self._load()
        if leased_devices():
            return in_batches(self._values, list(windows), self.batch or ON_A_GPU)
        with ThreadPoolExecutor(self.threads) as threads:
            return [values for (values,) in threads.map(self._values, [[window] for window in windows])]

    def _values(self, windows: list[np.ndarray]) -> list[np.ndarray]:
        assert self._run is not None  # since `look` loads it
        colours = np.stack([histograms(window) for window in windows])
        logits = np.stack(self._run({"pictures": np.stack(windows), "colours": colours}), 1)
        return list(1 / (1 + np.exp(-logits[:, :, EDGE : EDGE + STEP])))

    @starting()
    def _load(self) -> None:
        if self._run is None:
            graph = network(read_weights(self.checkpoints()[0].path))
            with explaining_missing_packages():
                self._run = _on_torch(graph) if leased_devices() else on_the_cpu(graph)


def _on_torch(graph: Graph) -> Run:
    from clipmill.shots.on_torch import TorchRunner

    return TorchRunner(graph)


def on_the_cpu(graph: Graph) -> Run:
    """The graph in onnxruntime, on one core for each thread that calls it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.as_onnx(), options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(list(graph.outputs), dict(inputs))
