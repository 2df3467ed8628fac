"""What can be true on a GPU alone: values are those of the CPU, a device has one job, a full memory is got over.

    make test-gpu

Small random checkpoints; without a GPU all of it is skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clipmill.base.errors import SetupError
from clipmill.models import batches, leases
from clipmill.shots.transnetv2 import TransNetV2
from clipmill.shots.weights import INSTALLED
from model_backends import MODELS, paths

REPOSITORY = Path(__file__).resolve().parents[2]
# Largest difference from fp32 on the CPU, as a share of the largest value where that is above 1. cuDNN computes fp32 in
# TF32 where it may.
TOLERANCES = {"fp32": 5e-3, "fp16": 2e-2, "bf16": 5e-2}
TEXT = "a red car under a wide sky"
WAITING = Path(__file__).with_name("waiting.py")


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    return paths(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def leased() -> Iterator[str]:
    try:
        leases.visible_devices()
    except SetupError as error:
        pytest.skip(str(error))
    with leases.lease(1) as (device,):
        yield device
        torch.cuda.empty_cache()


def frames(count: int = 8) -> list[np.ndarray]:
    return [np.random.default_rng(number).integers(0, 255, (128, 224, 3), np.uint8) for number in range(count)]


def values(backend: Any) -> np.ndarray:
    """All that a backend measures of some frames and a text; of boxes, the maps that they are found in."""
    units = list(backend.prepare(frames()))
    if hasattr(backend, "canvas_size"):
        return backend._maps([unit.pixels for unit in units])()
    found = batches.in_batches(backend.measure, units, len(units))
    if hasattr(backend, "measure_texts"):
        found = [*found, *backend.measure_texts(backend.pieces(TEXT))]
    return np.concatenate([np.ravel(np.asarray(value, np.float64)) for value in found])


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", MODELS)
def test_values_are_those_of_the_cpu(at, request, name, dtype):
    on_the_cpu = values(MODELS[name](at, "fp32"))
    request.getfixturevalue("leased")
    on_the_gpu = values(MODELS[name](at, dtype))
    assert np.isfinite(on_the_gpu).all()
    assert np.abs(on_the_gpu - on_the_cpu).max() <= TOLERANCES[dtype] * max(1.0, np.abs(on_the_cpu).max())


@pytest.mark.skipif(not INSTALLED.is_file(), reason="needs the weights (make transnetv2)")
def test_transitions_are_those_of_the_cpu(request):
    """Without TF32, and in batches of any size."""
    windows = [np.random.default_rng(number).integers(0, 255, (100, 27, 48, 3), np.uint8) for number in range(5)]
    on_the_cpu = TransNetV2().look(windows)
    request.getfixturevalue("leased")
    for batch in (2, 32):
        detector = TransNetV2()
        detector.batch = batch
        assert np.abs(np.array(detector.look(windows)) - on_the_cpu).max() < 1e-3


def test_a_second_job_waits_for_the_device(leased, monkeypatch):
    monkeypatch.setenv(leases.VISIBLE, leased)
    waiting = subprocess.Popen(
        [sys.executable, str(WAITING)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "scripts")},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert waiting.stdout.readline().startswith("waits for 1 of 1 GPUs")
        assert waiting.poll() is None
    finally:
        waiting.kill()
        waiting.communicate()


def test_a_batch_that_is_too_large_is_halved_and_its_values_are_the_same(leased, at, caplog):
    backend = MODELS["dinov2"](at, "fp32")
    units = list(backend.prepare(frames()))
    expected = np.array(backend.measure(units))  # and the model has its place
    left, (_, whole) = 2**29, torch.cuda.mem_get_info()
    many = units * (2**30 // sum(unit.nbytes for unit in units))  # as bytes twice what is left, as numbers eight times
    torch.cuda.set_per_process_memory_fraction(min(1.0, (torch.cuda.memory_reserved() + left) / whole))
    try:
        found = np.array(batches.in_batches(backend.measure, many, len(many)))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "the GPU's memory is too small for a batch of" in caplog.text
    np.testing.assert_allclose(
        found.reshape(-1, *expected.shape), expected[None].repeat(len(many) // len(units), 0), atol=1e-3
    )
