"""Tries a step's backend on few pictures before the long run, so that errors of the set-up show at once."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from clipmill.base.errors import ItemError, SetupError
from clipmill.base.human import counted
from clipmill.base.opencv import cv2
from clipmill.chat import EMPTY, ONLY_THOUGHTS, Answer, ChatModel, Request, Task, only_thoughts
from clipmill.chat.sounds import RATE, as_wav
from clipmill.models import speech
from clipmill.models.backends import explaining_missing_packages
from clipmill.models.batches import in_batches
from clipmill.models.clip_texts import cleaned
from clipmill.models.speech import SileroVad
from clipmill.scores import Backend, EmbeddedBackend
from clipmill.scores.shard import finish
from clipmill.shots.network import HEIGHT, WIDTH, WINDOW
from clipmill.shots.transnetv2 import TransNetV2
from clipmill.texts.checks import same
from clipmill.texts.thoughts import has_thoughts

TEXT = "A grey picture."
# Asked about two sets of pictures, until the answers to one question differ. A model that sees all pictures has other
# words for the other set in at least one of them, even if it always answers with one word about one picture.
QUESTIONS = (
    "Describe each of these pictures, from the first to the last: its colour and its shapes.",
    "What is the colour of the first picture?",
    "What is the colour of the last picture?",
)
# Asked about two sounds, in the same way.
QUESTIONS_OF_SOUND = (
    "Describe what you hear.",
    "What do you hear: beeps, noise, or nothing?",
    "How many beeps do you hear?",
)
FEW_TOKENS = 64  # most tokens of the test answer, where these are enough
EARS = "Name a model that hears, as Qwen3-Omni, or set caption.audio: false"
SHOWN = 80  # characters of an answer in a message
SHAPE = (512, 910, 3)  # of a kept frame: height, width, colours
SMALL = (64, 96, 3)  # enough for a backend that takes any size and needs no device's memory


def check_backend(step: str, name: str, backend: Any) -> dict[str, Any]:
    """Run `backend` once and return its entry for models.json. Raises SetupError.

    `backend` was created by `backends.load`. If it measures frames, its files are found, every weight is read, and one
    batch of one is computed on the device that it will run on. Each server of a language model must
    answer, must see all of its pictures, and must hear its sound if sounds are sent.
    """
    models: list[dict[str, Any]] = []
    with explaining_missing_packages():  # some packages are imported where they are used
        if isinstance(backend, Backend):
            models = [*(checkpoint.about() for checkpoint in backend.checkpoints()), *backend.inside]
            _try(backend)
        elif isinstance(backend, TransNetV2):
            models = [checkpoint.about() for checkpoint in backend.checkpoints()]
            backend.look([np.full((WINDOW, HEIGHT, WIDTH, 3), 128, np.uint8)])
        elif isinstance(backend, SileroVad):
            models = [checkpoint.about() for checkpoint in backend.checkpoints()]
            backend(np.zeros((1, speech.WINDOW), np.float32), None)
        elif hasattr(backend, "chat"):
            models = [checkpoint.about() for checkpoint in backend.chat.checkpoints()]
            models = models or [
                {**{key: backend.chat.about[key] for key in ("model", "revision")}, "licence": "unknown"}
            ]
            _ask(backend)
    return {"step": step, "backend": name, "models": models}


def _ask(backend: Any) -> None:
    task = backend.task
    grey = cv2.imencode(".jpg", np.full(SHAPE, 128, np.uint8))[1].tobytes()
    for model in backend.chat.servers():
        if task.schema or not task.images:
            _answer(model, task, TEXT, (grey,) * task.images)
        # Without the schema, in which the answers to a judge's questions may well be the same.
        free = replace(task, schema=None)
        if task.images:
            _compare(model, free)
        if task.sound:
            _compare_sounds(model, free)


def _compare(model: ChatModel, task: Task) -> None:
    """Raise SetupError if the answers of a model do not depend on the first pictures, or not on the last ones.

    Some servers drop all pictures but one and say nothing.
    """
    one, other, another = _pictures()
    more = task.images - 1
    shown = (one,) * more + (another,)
    changes = {"all but the last": (other,) * more + (another,), "all but the first": (one,) + (other,) * more}
    if not more:
        changes = {"colour and shape": (other,)}
    answer = cache(lambda question, images: _answer(model, task, question, images))
    for what, changed in changes.items():
        answers = ((answer(question, shown), answer(question, changed)) for question in QUESTIONS)
        if all(same(first) == same(second) for first, second in answers):
            first, second = answer(QUESTIONS[0], shown), answer(QUESTIONS[0], changed)
            raise SetupError(
                f"{model.where}: does not see all of its pictures. To two sets of {counted(task.images, 'picture')}, "
                f"which differ in {what}, it answered {_short(first)} and {_short(second)}. Name a model that takes so "
                "many pictures, or another server for it, or fewer frames"
            )


def _compare_sounds(model: ChatModel, task: Task) -> None:
    """Raise SetupError if a model refuses sounds, or if its answers do not depend on them.

    Some servers drop them and say nothing.
    """
    pictures = (_pictures()[0],) * task.images
    found = []
    for question in QUESTIONS_OF_SOUND:
        try:
            answers = [_answer(model, task, question, pictures, sound=sound) for sound in _sounds()]
        except SetupError as error:
            raise SetupError(f"{error}; it answers without sound. {EARS}") from error
        if same(answers[0]) != same(answers[1]):
            return
        found.append(answers)
    beeps, noise = found[0]
    raise SetupError(
        f"{model.where}: does not hear the sound that is sent. On three beeps it said {_short(beeps)}, and on noise "
        f"{_short(noise)}. {EARS}"
    )


def _sounds() -> tuple[bytes, bytes]:
    """Two sounds that nobody takes for one another: three beeps with pauses, and noise without one."""
    seconds = np.arange(2 * RATE) / RATE
    beeps = np.sin(2 * np.pi * 880 * seconds) * (seconds % 0.7 < 0.3)
    noise = np.random.default_rng(0).uniform(-1, 1, len(seconds))
    return as_wav(0.3 * beeps), as_wav(0.3 * noise)


def _answer(
    model: ChatModel,
    task: Task,
    text: str,
    images: tuple[bytes, ...],
    most: int = FEW_TOKENS,
    sound: bytes | None = None,
) -> str:
    """The answer of a model, "" for an empty one. Raises SetupError if there is none, or only thoughts.

    A model that comes to no answer in `most` tokens, since it thinks, gets all tokens of the task.
    """
    outcomes = model.answers(
        [Request("check", text, images, sound=sound)], replace(task, max_tokens=min(task.max_tokens, most))
    )
    (answer,) = (outcome[1] for outcome in outcomes if outcome)
    if isinstance(answer, Answer) and (answer.whole or not has_thoughts(answer.text)):
        return answer.text
    fault = answer if isinstance(answer, ItemError) else only_thoughts(model.where)
    if fault.kind in (EMPTY, ONLY_THOUGHTS) and most < task.max_tokens:
        return _answer(model, task, text, images, task.max_tokens, sound)
    if fault.kind == EMPTY:
        return ""
    raise SetupError(str(fault)) from fault


def _pictures() -> tuple[bytes, bytes, bytes]:
    """Three JPEGs that nobody takes for one another: a yellow disc on blue, white stripes on red, black on green."""
    height, width, _ = SHAPE
    disc, stripes, square = (
        np.full(SHAPE, colour, np.uint8) for colour in ((200, 40, 20), (20, 20, 210), (40, 170, 30))
    )
    cv2.circle(disc, (width // 2, height // 2), height // 3, (30, 220, 250), -1)
    for left in range(0, width, width // 4):
        stripes[:, left : left + width // 8] = 255
    square[height // 4 : -height // 4, width // 3 : -width // 3] = 0
    one, other, another = (cv2.imencode(".jpg", picture)[1].tobytes() for picture in (disc, stripes, square))
    return one, other, another


def _short(answer: str) -> str:
    """The beginning of an answer, in quotes."""
    line = " ".join(answer.split())
    return repr(line if len(line) <= SHOWN else f"{line[:SHOWN]}…")


def _try(backend: Any) -> None:
    if hasattr(backend, "measure_texts"):
        pieces = backend.pieces(cleaned(TEXT))
        in_batches(backend.measure_texts, pieces, len(pieces))
    shape = SMALL if isinstance(backend, EmbeddedBackend) else SHAPE
    units = list(backend.prepare([np.full(shape, 128, np.uint8)]))
    found = finish(backend, in_batches(backend.measure, units[:1], 1))
    if isinstance(found, ItemError):  # the picture is good, so the set-up is at fault
        raise SetupError(str(found)) from found
