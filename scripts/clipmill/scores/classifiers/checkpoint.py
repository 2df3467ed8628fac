"""An image classifier in the layout of transformers: the share of one of its labels."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from clipmill.base.errors import SetupError
from clipmill.models import gpu
from clipmill.models.labels import label_problem, read_labels
from clipmill.scores.classifiers import Frames
from clipmill.scores.vision import Architecture, VisionBackend

SEVERAL = "multi_label_classification"  # what the config of a model says whose labels do not exclude each other


class CheckpointClassifier(VisionBackend):
    """The share of `label`: by softmax over the labels, or by sigmoid if several may hold at once, or there is but one.

    `model`: any `AutoModelForImageClassification` whose processor resizes, crops and normalises.
    """

    name = "transformers"
    version = 1
    architecture = Architecture(
        "AutoModelForImageClassification", lambda out: out.logits, lambda config: config.num_labels
    )

    def __init__(self, column: str, frames: int, reduce: str, model: str, revision: str | None, label: str, dtype: str):
        super().__init__(model, revision, dtype)
        self._frames = Frames(column, frames, reduce)
        self.choice, self.label = self._frames.choice, label

    @property
    def about(self) -> dict[str, Any]:
        """What the score depends on."""
        return super().about | self._frames.about | {"label": self.label}

    def start(self, units: list[np.ndarray]) -> Callable[[], list[float]]:
        """The share of each picture."""
        place = self._place
        with gpu.autocast(self.dtype):
            logits = self._forward(pixel_values=self.preprocess.normalise(units)).logits.float()
        config = self._network.config
        several = config.problem_type == SEVERAL or config.num_labels == 1
        fetch = gpu.fetching((logits.sigmoid() if several else logits.softmax(dim=-1))[:, place])
        return lambda: fetch().tolist()

    def finish(self, values: list[float]) -> dict[str, Any]:
        """See `Frames.columns`."""
        return self._frames.columns(values)

    @cached_property
    def _place(self) -> int:
        """Which output belongs to the label. Raises SetupError if there is none."""
        labels = read_labels(self.checkpoint.path)
        if problem := label_problem(self.label, labels, self.model):
            raise SetupError(f"label: {problem}")
        return labels.index(self.label)
