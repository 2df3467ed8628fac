"""Silero VAD with its published model, on the CPU by onnxruntime: how surely each window of sound holds speech.

Source: snakers4/silero-vad 6.2.3, whose model for many windows at once this is. Each window is seen with the end of the
one before, and the model remembers what it has heard.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from clipmill.models.backends import explaining_missing_packages
from clipmill.models.checkpoints import INSTALLED, Checkpoint, find_installed
from clipmill.models.published import PUBLISHED, SILERO

RATE, WINDOW, CONTEXT = 16000, 512, 64  # samples per second, of a window, and of the one before that are seen with it
MEMORY = (1, 1, 128)  # shape of each of the two arrays that the model remembers
FILE = INSTALLED / "silero_vad_16k_sequence.onnx"


class SileroVad:
    """Finds speech. `weights`: path of the model's file; None is where `make silero` puts it."""

    def __init__(self, weights: str | None = None):
        self._path = weights

    def checkpoints(self) -> list[Checkpoint]:
        """The model. Raises SetupError if it is not there, or not the published one."""
        hint = "the model of Silero VAD is not there; run `make silero`"
        return [find_installed(self._path, FILE, SILERO, PUBLISHED[SILERO].sha256, hint, "audio.weights")]

    def __call__(self, windows: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        """How surely windows hold speech, 0 to 1, and the state with which those after them are looked at.

        `windows`: float32, n × WINDOW samples of ±1, which follow each other. `state`: None for the first ones.
        """
        before, *memory = state or (np.zeros(CONTEXT, np.float32), *(np.zeros(MEMORY, np.float32) for _ in "hc"))
        ends = windows[:, -CONTEXT:]
        seen = np.concatenate([np.vstack([before, ends[:-1]]), windows], axis=1)
        sure, *memory = self._session.run(None, dict(zip(("input", "h", "c"), (seen, *memory), strict=True)))
        return sure, (ends[-1].copy(), *memory)

    @cached_property
    def _session(self) -> Any:
        path = self.checkpoints()[0].path
        with explaining_missing_packages():
            import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
