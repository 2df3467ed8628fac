"""Journals keep what a run has finished under keys. A key that changes without need makes an upgrade do work again.

These are the keys of 0.1 without prompts, which may be improved. The run of 0.1 in `tests/data` holds those of decoding
and cutting.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from clipmill.models import backends
from default_config import CONFIG

PROMPTS = Path(__file__).resolve().parents[2] / "config" / "prompts"

# What the values of a backend depend on, with the default settings: step, backend, and whether words are drawn.
OF_0_1: dict[str, dict[str, Any]] = {
    "aesthetic classic": {"backend": "classic", "frames": 4, "version": 2},  # its sharpness: of 0.1 it was 1
    # Its words on pauses and slow cameras: of 0.1 it was 1.
    "caption describe": {"backend": "describe", "model": "clipmill describe 2 (measured, no model)"},
    "caption openai": {
        "backend": "openai",
        "frames": [8, None],
        "max_side": 1024,
        "max_tokens": 512,
        "model": "m",
        "options": {},
        "revision": None,
        "sampling": [0],
        "send": "images",
        "structured": False,
        "system": None,
    },
    "consistency histogram": {"backend": "histogram", "version": 1},
    "rewrite openai": {
        "backend": "openai",
        "max_growth": 1.2,
        "max_tokens": 512,
        "max_tries": 10,
        "model": "m",
        "on_failure": "keep",
        "options": {},
        "revision": None,
        "sampling": [0, 0],
        "system": None,
    },
    "rewrite rules": {"backend": "rules", "model": "clipmill rules 1"},
}
for _step in ("caption", "rewrite"):
    OF_0_1[f"{_step} openai drawn"] = {**OF_0_1[f"{_step} openai"], "sampling": [0.7, 0]}


@pytest.mark.parametrize("case", OF_0_1)
def test_values_depend_on_what_they_depended_on_in_0_1(case):
    step, name, *drawn = case.split()
    section = copy.deepcopy(CONFIG[step])
    section["backend"] = name
    if name == "openai":
        section["openai"]["model"] = "m"
    if drawn:
        section["temperature"] = 0.7
    settings = backends.settings(step, section, PROMPTS)
    backend = backends.load(step, settings, backends.runtime_settings(step, section))
    assert {key: value for key, value in backend.about.items() if key != "prompt"} == OF_0_1[case]
