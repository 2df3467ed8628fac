"""Which backends there are for each step, and what each needs. Adding one is adding a module and a line here."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from clipmill.errors import SetupError


@dataclass(frozen=True)
class Entry:
    """`target`: module:class; None is a step without work. `takes`: keys of the step's section that it is made with,
    beside those of the section of its own name. `environment`: below envs/. `gpus`: how many it runs on by default.
    """

    target: str | None
    takes: tuple[str, ...] = ()
    environment: str = "video"
    gpus: int = 0


AVAILABLE: dict[str, dict[str, Entry]] = {
    "text": {
        "rapidocr": Entry("clipmill.scores.rapidocr:RapidOcr", ("frames",)),
        "easyocr": Entry("clipmill.scores.easyocr:EasyOcr", ("frames",), "ocr", 1),
    },
    "aesthetic": {
        "classic": Entry("clipmill.scores.classic:Classic", ("frames",)),
        "siglip-v2.5": Entry("clipmill.scores.siglip:SiglipV25", ("frames",), "vision", 1),
        "laion": Entry("clipmill.scores.laion:Laion", ("frames",), "vision", 1),
    },
    "consistency": {
        "histogram": Entry("clipmill.scores.histogram:Histogram"),
        "clip": Entry("clipmill.scores.embeddings:ClipConsistency", ("keep_embeddings",), "vision", 1),
        "dinov2": Entry("clipmill.scores.embeddings:Dinov2Consistency", ("keep_embeddings",), "vision", 1),
    },
    "caption": {"describe": Entry("clipmill.captions.describe:Describe")},
    "rewrite": {"rules": Entry("clipmill.captions.rules:Rules")},
    "alignment": {
        "none": Entry(None),
        "videoclip-xl": Entry("clipmill.alignment.videoclip_xl:VideoClipXl", (), "vision", 1),
        "clip": Entry("clipmill.alignment.clip:ClipAlignment", (), "vision", 1),
    },
}

# Names that are planned: asking for one says so, instead of calling it unknown.
PLANNED: dict[str, tuple[str, ...]] = {
    "caption": ("vllm", "openai", "transformers"),
    "rewrite": ("vllm", "openai", "transformers"),
}


def problem(step: str, name: str) -> str | None:
    """What is wrong with the backend `name` for `step`, in one line; None where it can be used."""
    choices = ", ".join(AVAILABLE[step])
    if name in AVAILABLE[step]:
        return None
    if name in PLANNED.get(step, ()):
        return f"{step}.backend: `{name}` is planned and not built yet; choose from: {choices}"
    return f"{step}.backend: `{name}` is not known; choose from: {choices}"


def entry(step: str, name: str) -> Entry:
    """What there is to know of a backend. Raises SetupError where there is none of that name."""
    if message := problem(step, name):
        raise SetupError(message)
    return AVAILABLE[step][name]


def settings(step: str, section: dict[str, Any]) -> dict[str, Any]:
    """What `load` takes, of the config's section of a step: the chosen backend, and its settings alone."""
    name = section["backend"]
    return {
        "backend": name,
        **{key: section[key] for key in entry(step, name).takes},
        **section.get(name, {}),
    }


def load(step: str, settings: dict[str, Any]) -> Any:
    """The backend that `settings["backend"]` names, made with the other settings; None for a step without work."""
    settings = dict(settings)
    target = entry(step, settings.pop("backend")).target
    if target is None:
        return None
    module, _, cls = target.partition(":")
    with explaining_missing_packages():
        made = importlib.import_module(module)
    return getattr(made, cls)(**settings)


@contextmanager
def explaining_missing_packages() -> Iterator[None]:
    """Inside, a package that is not installed raises SetupError, which says how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise SetupError(
            f"the package `{error.name}` is not installed; run `make models`, or use --sdm conda"
        ) from error
