"""The backends of each step, and what each one needs. A new backend is a new module and one new line here."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipmill.base.errors import SetupError
from clipmill.store.layout import CLASSIFIER, is_classifier
from clipmill.texts.prompts import read_prompt
from clipmill.texts.questions import Question, columns_and_texts, read_questions


@dataclass(frozen=True)
class Entry:
    """One backend of a step.

    `target`: module:class; None for a step without work. `takes`: keys of the step's config section that are passed to
    the class, besides the section that has the backend's own name. `environment`: its conda environment, below envs/.
    `gpus`: how many it runs on by default. `memory`: MB that a job takes at most. `gpu_environment`: the conda
    environment on a GPU, if that is another one. `weights`: whether it needs a file that does not come with clipmill.

    `chat`: module:class of a language model, which is passed to the target; the language model gets the section that
    has the backend's own name. `runtime`: keys of that section that change no result. `package`: a further package that
    it needs; if it is missing, that is reported before a GPU or a model is looked for.
    """

    target: str | None
    takes: tuple[str, ...] = ()
    environment: str = "video"
    gpus: int = 0
    memory: int = 1500
    chat: str | None = None
    runtime: tuple[str, ...] = ()
    package: str | None = None
    gpu_environment: str | None = None
    weights: bool = False

    @property
    def embedded(self) -> bool:
        """Whether it needs nothing but what clipmill itself needs: no package, no model, no server."""
        return self.environment == "video" and self.chat is None and not self.weights


VISION, LANGUAGE = 12000, 48000  # MB


def _vision(target: str, takes: tuple[str, ...] = (), environment: str = "vision") -> Entry:
    return Entry(f"clipmill.{target}", takes, environment, 1, VISION)


def _chats(target: str, takes: tuple[str, ...]) -> dict[str, Entry]:
    """The language models that a step may use."""
    servers = ("base_urls", "api_key_env", "headers", "tries", "backoff_seconds", "timeout_seconds")
    engine = ("gpu_memory_utilization",)
    return {
        "vllm": Entry(target, takes, "vllm", 1, LANGUAGE, "clipmill.chat.engine:Engine", engine, "vllm"),
        "openai": Entry(target, takes, "video", 0, 2000, "clipmill.chat.endpoint:Endpoint", servers),
        "transformers": Entry(target, takes, "vision", 1, LANGUAGE, "clipmill.chat.local:Local"),
    }


AVAILABLE: dict[str, dict[str, Entry]] = {
    "text": {
        "rapidocr": Entry("clipmill.scores.text.rapidocr:RapidOcr", ("frames",)),
        "easyocr": _vision("scores.text.easyocr:EasyOcr", ("frames",), "ocr"),
    },
    "aesthetic": {
        "classic": Entry("clipmill.scores.aesthetic.classic:Classic", ("frames",)),
        "siglip-v2.5": _vision("scores.aesthetic.siglip:SiglipV25", ("frames",)),
        "laion": _vision("scores.aesthetic.laion:Laion", ("frames",)),
    },
    "consistency": {
        "histogram": Entry("clipmill.scores.consistency.histogram:Histogram"),
        "clip": _vision("scores.consistency.embeddings:ClipConsistency", ("keep_embeddings",)),
        "dinov2": _vision("scores.consistency.embeddings:Dinov2Consistency", ("keep_embeddings",)),
    },
    "judge": {
        "none": Entry(None),
        **_chats(
            "clipmill.captions.judge:Judge",
            (
                *("prompt", "system", "template", "questions", "frames", "frames_per_second", "max_side", "send"),
                "max_tokens",
            ),
        ),
    },
    "caption": {
        "describe": Entry("clipmill.captions.describe:Describe"),
        "given": Entry("clipmill.captions.given:Given"),
        **_chats(
            "clipmill.captions.captioner:Captioner",
            (
                *("prompt", "system", "template", "frames", "frames_per_second", "max_side", "send", "structured"),
                *("max_tokens", "temperature", "seed", "audio"),
            ),
        ),
    },
    "rewrite": {
        "rules": Entry("clipmill.captions.rules:Rules"),
        **_chats(
            "clipmill.captions.rewriter:Rewriter",
            (
                *("prompt", "system", "template", "max_tokens", "temperature", "seed"),
                *("max_tries", "max_growth", "on_failure"),
            ),
        ),
    },
    "alignment": {
        "none": Entry(None),
        "videoclip-xl": _vision("alignment.videoclip_xl:VideoClipXl"),
        "clip": _vision("alignment.clip:ClipAlignment"),
    },
}


# The step that has no section of its own in the config: `split.detector` chooses it together with its backend.
BY_DETECTOR: dict[str, dict[str, Entry]] = {
    "shots": {
        "transnetv2": Entry(
            "clipmill.shots.transnetv2:TransNetV2",
            memory=2000,
            runtime=("weights",),
            gpu_environment="vision",
            weights=True,
        ),
    },
}
# The one that decoding uses where the config asks for speech: `audio` has its settings.
BY_AUDIO: dict[str, dict[str, Entry]] = {
    "speech": {"silero": Entry("clipmill.models.speech:SileroVad", runtime=("weights",), weights=True)},
}
_ALL = {**AVAILABLE, **BY_DETECTOR, **BY_AUDIO}

# Those of each classifier: the config gives it a name, and its step is CLASSIFIER and that name.
_CLASSIFY = ("column", "frames", "reduce")
CLASSIFIERS: dict[str, Entry] = {
    "opennsfw": Entry("clipmill.scores.classifiers.opennsfw:OpenNsfw", _CLASSIFY),
    "onnx": Entry("clipmill.scores.classifiers.onnx:OnnxClassifier", _CLASSIFY, weights=True),
    "transformers": _vision("scores.classifiers.checkpoint:CheckpointClassifier", _CLASSIFY),
    "zero-shot": _vision("scores.classifiers.zero_shot:ZeroShot", _CLASSIFY),
}


def of_step(step: str) -> dict[str, Entry]:
    """The backends of a step, by their names."""
    return CLASSIFIERS if is_classifier(step) else _ALL[step]


def key_of(step: str) -> str:
    """The key of the config whose section chooses a step's backend."""
    return f"classifiers.{step.removeprefix(CLASSIFIER)}" if is_classifier(step) else step


def problem(step: str, name: str) -> str | None:
    """An error message in one line if `step` has no backend `name`; None if it has."""
    choices = ", ".join(of_step(step))
    if name in of_step(step):
        return None
    return f"{key_of(step)}.backend: `{name}` is not known; choose from: {choices}"


def entry(step: str, name: str) -> Entry:
    """The entry of a backend. Raises SetupError if there is none of that name."""
    if message := problem(step, name):
        raise SetupError(message)
    return of_step(step)[name]


def settings(step: str, section: dict[str, Any], prompts: Path) -> dict[str, Any]:
    """The settings that a result depends on, from the config's section of a step: the backend and its own settings.

    A prompt is given as its text. `prompts` is the folder of the prompts that come with clipmill.
    """
    name = section["backend"]
    backend_entry = entry(step, name)
    taken = {key: section[key] for key in backend_entry.takes}
    if not taken.get("audio", True):
        del taken["audio"]  # it came later: the settings of runs without sound stay the same
    if "questions" in taken:
        taken["questions"] = columns_and_texts(questions_of(section, prompts))
    if "judge" in section:  # of captions whose request asks the questions too
        judge = section["judge"]
        asked = columns_and_texts(questions_of(judge, prompts))
        taken["judge"] = {"prompt": read_prompt(judge["prompt"] or "judge", prompts), "questions": asked}
    if "prompt" in taken:
        parts = [step, *(["sound"] if section.get("audio") else []), *(["fields"] if section.get("structured") else [])]
        taken["prompt"] = read_prompt(section["prompt"] or "_".join(parts), prompts)
    own = {key: value for key, value in section.get(name, {}).items() if key not in backend_entry.runtime}
    return {"backend": name, **taken, **own}


def questions_of(section: dict[str, Any], prompts: Path) -> dict[str, Question]:
    """The questions that the config's section `judge` asks. Raises SetupError."""
    try:
        return read_questions(section["questions"] or "judge", prompts, section["subject"])
    except SetupError as error:
        raise SetupError(f"judge.questions: {error}") from error


def runtime_settings(step: str, section: dict[str, Any]) -> dict[str, Any]:
    """The other settings of the backend, which change no result: the addresses of its servers, for example."""
    name = section["backend"]
    return {key: section[name][key] for key in entry(step, name).runtime}


def load(step: str, settings: dict[str, Any], runtime: dict[str, Any] | None = None) -> Any:
    """Create the backend `settings["backend"]` from all other settings; None for a step without work."""
    settings = {**settings, **(runtime or {})}
    backend_entry = entry(step, settings.pop("backend"))
    if backend_entry.target is None:
        return None
    if backend_entry.chat is None:
        return _find(backend_entry.target)(**settings)
    own = {key: settings.pop(key) for key in (*backend_entry.takes, "judge") if key in settings}
    return _find(backend_entry.target)(_find(backend_entry.chat)(**settings), **own)


def check_package(step: str, name: str) -> None:
    """Raise SetupError if the package that a backend needs is not installed."""
    package = entry(step, name).package
    with explaining_missing_packages("make vllm`, then `source .venv-vllm/bin/activate"):
        if package and importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(name=package)


def _find(target: str) -> Any:
    module, _, cls = target.partition(":")
    with explaining_missing_packages():
        return getattr(importlib.import_module(module), cls)


@contextmanager
def explaining_missing_packages(install: str = "make models") -> Iterator[None]:
    """Inside this context, an import of a missing package raises SetupError, which says how to install the package."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise SetupError(f"the package `{error.name}` is not installed; run `{install}`, or use --sdm conda") from error
