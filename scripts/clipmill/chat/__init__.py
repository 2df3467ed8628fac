"""Chatting with language models: requests that carry an identity, and answers that are matched by it, never by order.

A backend is a `ChatModel`: vLLM in this process (`engine`), any endpoint that speaks OpenAI's protocol (`endpoint`), or
transformers (`local`). It knows nothing of clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from clipmill.base.errors import ItemError
from clipmill.models.checkpoints import Checkpoint

IDLE_SECONDS = 2.0  # a backend says that it waits at least so often, so that what has come is written down meanwhile

# Kinds of errors that say nothing of the question: the same one may go well later.
PASSING = frozenset({"timeout", "busy", "server_error", "broken_off", "bad_answer"})

Outcome = tuple[str, "Answer | ItemError"]


@dataclass(frozen=True)
class Task:
    """What all requests of a job have in common. `schema`: the JSON schema that an answer must obey, if any.

    `max_tokens`: length at which an answer is cut off. `system`: a message before the user's, for models that take one.
    `images`: the most that a request has; `as_video`: whether they go as one video.
    """

    max_tokens: int
    system: str | None = None
    schema: dict[str, Any] | None = None
    images: int = 0
    as_video: bool = False


@dataclass(frozen=True)
class Request:
    """One question. `images`: JPEGs, in order of time. `fps`: their number a second, for a task that sends a video.

    `temperature` 0 takes the likeliest words; above it `seed` says which answer is drawn.
    """

    id: str
    text: str
    images: tuple[bytes, ...] = ()
    fps: float = 1.0
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Answer:
    """What a model said. `whole`: False where it was cut off at the limit of tokens."""

    text: str
    whole: bool = True


class ChatModel(Protocol):
    """What captioning and rewriting ask of a backend. Constructing one loads nothing."""

    batch: int
    """Requests under way at once. Never changes a value."""
    about: dict[str, Any]
    """All that its answers depend on: backend, model, revision. Part of the journal's key."""

    def checkpoints(self) -> list[Checkpoint]:
        """Find the model files, and fetch those that are not there. Raises SetupError."""

    def servers(self) -> Iterator[ChatModel]:
        """Its servers one by one, each of which a check must find at work; itself where there are none."""

    def answers(self, requests: Iterable[Request], task: Task) -> Iterator[Outcome | None]:
        """(id, answer or ItemError) of each request, as they come; None when nothing has come for IDLE_SECONDS.

        Requests are taken as there is room for them: at most `batch` are held. Raises SetupError where the model, the
        server or the key is at fault rather than a request.
        """


def name(model: ChatModel) -> str:
    """How tables call a model: backend, model and revision."""
    about = model.about
    revision = f" ({about['revision']})" if about["revision"] else ""
    return f"{about['backend']}: {about['model']}{revision}"


def whole(text: str) -> str:
    """`text` without halves of characters, which UTF-8 cannot hold: an escape in JSON may have been cut in two."""
    return text.encode("utf-8", "replace").decode()


def messages(request: Request, task: Task, encode: Callable[[bytes], str]) -> list[dict[str, Any]]:
    """The conversation in OpenAI's form: a system message only if the task has one, then pictures before words.

    `encode` gives a picture's base64. A video is one data URL of all its JPEGs, as vLLM takes it.
    """
    pictures = list(map(encode, request.images))
    if pictures and task.as_video:
        parts = [{"type": "video_url", "video_url": {"url": f"data:video/jpeg;base64,{','.join(pictures)}"}}]
    else:
        urls = (f"data:image/jpeg;base64,{picture}" for picture in pictures)
        parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    content: Any = [*parts, {"type": "text", "text": request.text}] if parts else request.text
    system = [{"role": "system", "content": task.system}] if task.system else []
    return [*system, {"role": "user", "content": content}]


def media_kwargs(request: Request) -> dict[str, Any]:
    """What vLLM must know of a video that is sent as JPEGs: all of them count, at their true rate."""
    return {"video": {"num_frames": -1, "fps": request.fps}}
