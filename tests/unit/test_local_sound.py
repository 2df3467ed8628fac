"""Sounds in transformers: small random models of the layouts of models that hear, asked on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from made_chat import captioner

from clipmill.base.errors import SetupError
from clipmill.base.opencv import cv2
from clipmill.chat import Answer, Request, Task
from clipmill.chat.local import Local, _Loaded
from clipmill.chat.sounds import RATE, as_wav, samples_of
from clipmill.checks import check_backend
from language_checkpoints import MAKERS

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

TASK = Task(8, images=1, sound=True)
OMNI = ["qwen2_5_omni", "qwen3_omni"]
THINKERS = {"qwen2_5_omni": "Qwen2_5Omni", "qwen3_omni": "Qwen3OmniMoe"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Callable[[str], Path]:
    """Where the checkpoint of a kind is, made once."""
    root = tmp_path_factory.mktemp("models")
    return cache(lambda kind: MAKERS[kind](root / kind))


@pytest.fixture(scope="module")
def model(folder) -> Callable[[str], Local]:
    """A model of a kind, loaded once."""
    return cache(lambda kind: Local(str(folder(kind)), None, "auto", False))


def noise(seed: int, seconds: float) -> bytes:
    chance = np.random.default_rng(seed)
    return as_wav(chance.uniform(-0.3, 0.3, round(seconds * RATE)))


def picture(seed: int) -> bytes:
    return cv2.imencode(".jpg", np.random.default_rng(seed).integers(0, 256, (84, 84, 3), np.uint8))[1].tobytes()


def questions() -> list[Request]:
    """Sounds of other lengths, and a clip without one."""
    sounds = [noise(1, 1.3), None, noise(2, 0.7), noise(3, 2)]
    return [Request(f"clip {n}", f"Say {n}.", (picture(n),), sound=sound) for n, sound in enumerate(sounds)]


def answers(model: Local, asked: list[Request], task: Task = TASK) -> list[str]:
    found = {outcome[0]: outcome[1] for outcome in model.answers(asked, task) if outcome}
    said = [found[request.id] for request in asked]
    assert all(isinstance(one, Answer) for one in said), said
    return [one.text for one in said]


@pytest.mark.parametrize("kind", OMNI)
def test_a_batch_with_and_without_sounds_is_answered_as_each_alone(model, kind):
    asked = questions()
    assert answers(model(kind), asked) == [answers(model(kind), [request])[0] for request in asked]


@pytest.mark.parametrize("kind", OMNI)
def test_answers_are_those_of_the_usual_way(model, folder, kind):
    import transformers

    processor = transformers.AutoProcessor.from_pretrained(folder(kind))
    thinker = getattr(transformers, f"{THINKERS[kind]}ThinkerForConditionalGeneration").from_pretrained(folder(kind))
    request = questions()[0]
    seen = cv2.cvtColor(cv2.imdecode(np.frombuffer(request.images[0], np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    parts = [{"type": "image"}, {"type": "audio"}, {"type": "text", "text": request.text}]
    prompt = processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
    inputs = processor(text=prompt, images=[seen], audio=[samples_of(request.sound)], return_tensors="pt")
    assert inputs["input_features"].shape[0] == 1
    row = thinker.generate(**inputs, max_new_tokens=8)[0, inputs["input_ids"].shape[1] :]
    assert answers(model(kind), [request]) == [processor.tokenizer.decode(row, skip_special_tokens=True).strip()]


@pytest.mark.parametrize("kind", OMNI)
def test_an_answer_depends_on_the_sound(model, kind):
    times = np.arange(RATE) / RATE
    sounds = [as_wav(0.3 * np.sin(2 * np.pi * pitch * times)) for pitch in (200, 900, 4000)]
    asked = [Request(str(n), "What?", (picture(0),), sound=sound) for n, sound in enumerate([*sounds, noise(0, 1)])]
    assert len({*answers(model(kind), asked)}) > 1


def test_a_long_sound_is_heard_to_its_end(model):
    """The feature extractor's own length is 30 seconds."""
    begin, end = noise(1, 31), noise(1, 31)[: -2 * RATE] + bytes(2 * RATE)  # the same but for the last second
    made = model("qwen2_5_omni")._loaded
    inputs = [made.inputs([Request("a", "?", (picture(0),), sound=sound)], TASK) for sound in (begin, end)]
    lengths = [int(one["feature_attention_mask"].sum()) for one in inputs]
    assert lengths == [3100, 3100]
    assert not inputs[0]["input_features"][..., 3000:3100].equal(inputs[1]["input_features"][..., 3000:3100])


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "gemma4"])
def test_a_model_without_ears_is_refused(model, kind):
    """Gemma 4's processor knows sounds, but only its small models hear."""
    with pytest.raises(SetupError, match="takes no sound; set caption.audio: false, or name a model that hears"):
        check_backend("caption", "transformers", captioner(model(kind), audio=True, prompt="{sound}", frames=1))


def test_the_check_of_a_model_that_hears_and_of_one_that_loses_the_sound(model, monkeypatch):
    hearing = captioner(model("qwen2_5_omni"), audio=True, prompt="{sound}", frames=1, max_tokens=64)
    hearing.task = replace(hearing.task, schema=None)
    check_backend("caption", "transformers", hearing)
    inputs = _Loaded.inputs

    def deaf(self, requests, task):
        return inputs(self, [replace(request, sound=None) for request in requests], task)

    monkeypatch.setattr(_Loaded, "inputs", deaf)
    with pytest.raises(SetupError, match="does not hear the sound that is sent"):
        check_backend("caption", "transformers", hearing)
