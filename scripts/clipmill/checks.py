"""Trying a step's backend on a grey picture before the night's work: what is wrong with the set-up shows at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from clipmill.backends import explaining_missing_packages
from clipmill.errors import ItemError, SetupError
from clipmill.scores import Backend

TEXT = "A grey picture."
SHAPE = (512, 910, 3)  # of a sample: height, width, colours


def check_backend(step: str, name: str, backend: Any) -> dict[str, Any]:
    """Run `backend` once and return what models.json says of it. Raises SetupError.

    `backend` is what `backends.load` gave. For one that measures frames this finds its files, reads every weight and
    computes one batch of one, on the device that it will run on.
    """
    models: list[dict[str, Any]] = []
    if isinstance(backend, Backend):
        with explaining_missing_packages():  # some are imported where they are used
            models = [*(checkpoint.about() for checkpoint in backend.checkpoints()), *backend.inside]
            _try(backend)
    return {"step": step, "backend": name, "models": models}


def _try(backend: Any) -> None:
    units = list(backend.prepare([np.full(SHAPE, 128, np.uint8)]))
    try:
        backend.finish(list(backend.measure(units[:1])))
    except ItemError as error:  # nothing is wrong with the picture
        raise SetupError(str(error)) from error
    if hasattr(backend, "measure_texts"):
        backend.measure_texts(backend.pieces(TEXT))
