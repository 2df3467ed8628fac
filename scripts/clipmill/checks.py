"""Tries a step's backend on a grey picture before the long run, so that errors of the set-up show at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from clipmill.base.errors import ItemError, SetupError
from clipmill.base.opencv import cv2
from clipmill.chat import Request
from clipmill.models.backends import explaining_missing_packages
from clipmill.models.batches import in_batches
from clipmill.models.clip_texts import cleaned
from clipmill.scores import Backend, EmbeddedBackend
from clipmill.scores.shard import finish
from clipmill.shots.network import HEIGHT, WIDTH, WINDOW
from clipmill.shots.transnetv2 import TransNetV2

TEXT = "A grey picture."
FEW_TOKENS = 16  # most tokens of the test answer
SHAPE = (512, 910, 3)  # of a kept frame: height, width, colours
SMALL = (64, 96, 3)  # enough for a backend that takes any size and needs no device's memory


def check_backend(step: str, name: str, backend: Any) -> dict[str, Any]:
    """Run `backend` once and return its entry for models.json. Raises SetupError.

    `backend` was created by `backends.load`. If it measures frames, its files are found, every weight is read, and one
    batch of one is computed on the device that it will run on. A language model answers once, on each of its servers.
    """
    models: list[dict[str, Any]] = []
    with explaining_missing_packages():  # some packages are imported where they are used
        if isinstance(backend, Backend):
            models = [*(checkpoint.about() for checkpoint in backend.checkpoints()), *backend.inside]
            _try(backend)
        elif isinstance(backend, TransNetV2):
            models = [checkpoint.about() for checkpoint in backend.checkpoints()]
            backend.look([np.full((WINDOW, HEIGHT, WIDTH, 3), 128, np.uint8)])
        elif hasattr(backend, "chat"):
            models = [checkpoint.about() for checkpoint in backend.chat.checkpoints()]
            models = models or [
                {**{key: backend.chat.about[key] for key in ("model", "revision")}, "licence": "unknown"}
            ]
            _ask(backend)
    return {"step": step, "backend": name, "models": models}


def _ask(backend: Any) -> None:
    task = replace(backend.task, max_tokens=min(backend.task.max_tokens, FEW_TOKENS))
    grey = cv2.imencode(".jpg", np.full(SHAPE, 128, np.uint8))[1].tobytes()
    for model in backend.chat.servers():
        for outcome in model.answers([Request("check", TEXT, (grey,) * task.images)], task):
            if outcome and isinstance(outcome[1], ItemError) and outcome[1].kind != "empty_answer":
                raise SetupError(str(outcome[1])) from outcome[1]


def _try(backend: Any) -> None:
    if hasattr(backend, "measure_texts"):
        pieces = backend.pieces(cleaned(TEXT))
        in_batches(backend.measure_texts, pieces, len(pieces))
    shape = SMALL if isinstance(backend, EmbeddedBackend) else SHAPE
    units = list(backend.prepare([np.full(shape, 128, np.uint8)]))
    found = finish(backend, in_batches(backend.measure, units[:1], 1))
    if isinstance(found, ItemError):  # the picture is good, so the set-up is at fault
        raise SetupError(str(found)) from found
