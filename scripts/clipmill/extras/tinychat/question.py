"""A request of OpenAI's chat protocol, as a question for TinyChat's worker. What the worker cannot do is refused.

The prompt has the form that VILA1.5-40b was trained with: `hermes-2` in llava/conversation.py of NVlabs/VILA. The
frontends of TinyChat write another form for every VILA model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pybase64

MOST_TOKENS = 1024  # the worker cuts off every answer here, whatever it is asked for
PICTURE = "<image>"
SYSTEM = "Answer the questions."
BEGIN, END = "<|im_start|>", "<|im_end|>"
MARKS = (PICTURE, BEGIN, END)  # in a text they would be read as parts of the conversation

DATA_URL = re.compile(r"data:image/(jpeg|jpg|png);base64,", re.ASCII)
SIGNATURES = {"jpeg": b"\xff\xd8\xff", "jpg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n"}

# Fields with one value that asks for nothing, and advice for those who ask for more. Null is accepted for all fields.
ONE_VALUE: dict[str, tuple[Any, str]] = {
    "stream": (False, "answers come as a whole; leave it out"),
    "n": (1, "there is one answer per request"),
    "response_format": ({"type": "text"}, "the worker knows no schema; set structured: false"),
    "chat_template_kwargs": ({"enable_thinking": False}, "the model has one fixed template; leave it out"),
}


class Refusal(Exception):
    """A request that gets no answer: the status of HTTP, a message for a person, and the field that is to blame.

    `retry_after`: seconds after which the same request may succeed.
    """

    def __init__(
        self,
        status: int,
        message: str,
        field: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ):
        super().__init__(message)
        self.status, self.field, self.code, self.retry_after = status, field, code, retry_after


@dataclass(frozen=True)
class Question:
    """What the worker is asked. `temperature` 0 takes the most likely words.

    `pictures`: JPEG or PNG files as base64, one for each `<image>` of the prompt, in their order.
    """

    prompt: str
    pictures: tuple[str, ...]
    temperature: float
    top_p: float
    max_tokens: int

    @property
    def body(self) -> dict[str, Any]:
        """The fields of the worker's request."""
        return {
            "prompt": self.prompt,
            "images": list(self.pictures),
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_new_tokens": self.max_tokens,
        }


def read_question(body: Any, model: str) -> Question:
    """The question of a request's JSON, for a server of `model`. Raises Refusal."""
    if not isinstance(body, dict):
        raise Refusal(400, "the request is no JSON object")
    fields = {name: value for name, value in body.items() if value is not None}
    if (asked := fields.pop("model", None)) != model:
        raise Refusal(404, f"model: {asked!r} is not served here, but {model!r} is", "model", "model_not_found")
    prompt, pictures = _conversation(fields.pop("messages", None))
    temperature = _number(fields, "temperature", 1.0, 0.0, 2.0)
    top_p = _number(fields, "top_p", 1.0, 0.0, 1.0)
    max_tokens = _max_tokens(fields)
    if fields.pop("seed", None) is not None and temperature > 0:
        raise _bad(
            "seed", "the worker draws without a seed; set temperature: 0, or leave seed out (options: {seed: null})"
        )
    fields.pop("user", None)
    for name, value in fields.items():
        accepted, advice = ONE_VALUE.get(name, (None, "the worker has no such setting; leave it out"))
        if value != accepted or isinstance(value, bool) != isinstance(accepted, bool):
            raise _bad(name, advice)
    return Question(prompt, pictures, temperature, top_p, max_tokens)


def _conversation(messages: Any) -> tuple[str, tuple[str, ...]]:
    """The prompt of a list of messages, and its pictures."""
    if not isinstance(messages, list) or not messages:
        raise _bad("messages", "this is no list of messages")
    pictures: list[str] = []
    parts = [f"{BEGIN}system\n{SYSTEM}{END}"]
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        role = message.get("role") if isinstance(message, dict) else None
        if role in ("system", "developer"):
            advice = (
                "the model was trained with one system message, which is sent always; set system: null and put yours"
            )
            raise _bad(f"{where}.role", f"{advice} into the question")
        expected = "assistant" if number % 2 else "user"
        if role != expected:
            raise _bad(
                f"{where}.role", f"this is {role!r}, not {expected!r}: user and assistant take turns, user begins"
            )
        texts = []
        for text, picture in _parts(message.get("content"), where, with_pictures=role == "user"):
            texts.append(text)
            if picture:
                pictures.append(picture)
        parts.append(f"{BEGIN}{role}\n{''.join(texts)}{END}")
    if len(messages) % 2 == 0:
        raise _bad("messages", "the last message must be the user's")
    return "".join([*parts, f"{BEGIN}assistant\n"]), tuple(pictures)


def _parts(content: Any, where: str, with_pictures: bool) -> Iterator[tuple[str, str | None]]:
    """(text of the prompt, picture as base64) of each part of a message's content."""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list) or not content:
        raise _bad(f"{where}.content", "this is neither a text nor a list of parts")
    for number, part in enumerate(content):
        place = f"{where}.content[{number}]"
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            if found := next((mark for mark in MARKS if mark in part["text"]), None):
                raise _bad(
                    f"{place}.text", f"the worker would read {found} as a mark of its own; write it in another way"
                )
            yield part["text"], None
        elif kind == "image_url" and with_pictures:
            yield PICTURE, _picture(part.get("image_url"), f"{place}.image_url")
        else:
            known = "text and image_url" if with_pictures else "text"
            advice = "; set send: images" if kind == "video_url" else ""
            raise _bad(f"{place}.type", f"this is {kind!r}, and parts of {known} are taken{advice}")


def _picture(image: Any, where: str) -> str:
    """The base64 of a part's data URL. It is decoded to see that it is a picture. Nothing is fetched."""
    url = image.get("url") if isinstance(image, dict) else None
    match = DATA_URL.match(url) if isinstance(url, str) else None
    if match is None:
        raise _bad(f"{where}.url", "send data:image/jpeg;base64,… or data:image/png;base64,…: nothing else is read")
    encoded = match.string[match.end() :]
    try:
        data = pybase64.b64decode(encoded, validate=True)
    except ValueError:
        raise _bad(f"{where}.url", "this is no base64") from None
    if not data.startswith(SIGNATURES[match[1]]):
        raise _bad(f"{where}.url", f"this is no {match[1]} file")
    return encoded


def _max_tokens(fields: dict[str, Any]) -> int:
    """The longest answer in tokens, by either of its names."""
    asked = {name: fields.pop(name) for name in ("max_tokens", "max_completion_tokens") if name in fields}
    for name, value in asked.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise _bad(name, f"{value!r} is no number of tokens")
        if value > MOST_TOKENS:
            raise _bad(name, f"{value} is more than {MOST_TOKENS}, where the worker cuts off every answer; lower it")
    return min(asked.values(), default=MOST_TOKENS)


def _number(fields: dict[str, Any], name: str, default: float, least: float, most: float) -> float:
    value = fields.pop(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise _bad(name, f"{value!r} is no number from {least:g} to {most:g}")
    return float(value)


def _bad(field: str, reason: str) -> Refusal:
    return Refusal(400, f"{field}: {reason}", field)
