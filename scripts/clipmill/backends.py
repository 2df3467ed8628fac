"""Which backends there are for each step. Adding one is adding a module and a line here."""

from __future__ import annotations

import importlib
from typing import Any

from clipmill.errors import SetupError

# step -> name -> module:class; None is a step without a model.
AVAILABLE: dict[str, dict[str, str | None]] = {
    "text": {"rapidocr": "clipmill.scores.rapidocr:RapidOcr"},
    "aesthetic": {"classic": "clipmill.scores.classic:Classic"},
    "consistency": {"histogram": "clipmill.scores.histogram:Histogram"},
    "caption": {"describe": "clipmill.captions.describe:Describe"},
    "rewrite": {"rules": "clipmill.captions.rules:Rules"},
    "alignment": {"none": None},
}

# Names that are planned: asking for one says so, instead of calling it unknown.
PLANNED: dict[str, tuple[str, ...]] = {
    "text": ("easyocr",),
    "aesthetic": ("siglip-v2.5", "laion"),
    "consistency": ("clip", "dinov2"),
    "caption": ("vllm", "openai", "transformers"),
    "rewrite": ("vllm", "openai", "transformers"),
    "alignment": ("videoclip-xl", "clip"),
}


def problem(step: str, name: str) -> str | None:
    """What is wrong with the backend `name` for `step`, in one line; None where it can be used."""
    choices = ", ".join(AVAILABLE[step])
    if name in AVAILABLE[step]:
        return None
    if name in PLANNED[step]:
        return f"{step}.backend: `{name}` is planned and not built yet; choose from: {choices}"
    return f"{step}.backend: `{name}` is not known; choose from: {choices}"


def load(step: str, settings: dict[str, Any]) -> Any:
    """The backend that `settings["backend"]` names, made with the other settings; None for `none`."""
    settings = dict(settings)
    name = settings.pop("backend")
    if message := problem(step, name):
        raise SetupError(message)
    target = AVAILABLE[step][name]
    if target is None:
        return None
    module, _, cls = target.partition(":")
    return getattr(importlib.import_module(module), cls)(**settings)
