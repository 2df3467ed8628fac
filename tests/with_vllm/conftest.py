"""vLLM on the CPU, with small random models: what it is told by the environment, and the models."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "workflow")]

# Without these vLLM would take nearly all memory, bind threads to cores that others use, and ask the network.
SETTINGS = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
}


@pytest.fixture(autouse=True, scope="session")
def on_the_cpu():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Callable[[str], Path]:
    """Makes a small model of a kind, once."""
    from language_checkpoints import MAKERS

    folder = tmp_path_factory.mktemp("models")

    @cache
    def make(kind: str) -> Path:
        return MAKERS[kind](folder / kind)

    return make
