"""Chat with language models: each request has an id, and answers are matched by it, never by their order.

A backend is a `ChatModel`: vLLM in this process (`engine`), any endpoint that speaks OpenAI's protocol (`endpoint`), or
transformers (`local`). It knows nothing of clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from clipmill.base.errors import ItemError
from clipmill.models.checkpoints import Checkpoint
from clipmill.texts.thoughts import without_thoughts

IDLE_SECONDS = 2.0  # a waiting backend yields None at least this often, so that finished answers are written down

# Kinds of errors that do not depend on the request: the same request may succeed later.
PASSING = frozenset({"timeout", "busy", "server_error", "broken_off", "bad_answer"})

# Kinds of errors: of an answer that says nothing; of a request that is refused whenever it is asked.
EMPTY, ONLY_THOUGHTS, REFUSED = "empty_answer", "only_thoughts", "refused"

Outcome = tuple[str, "Answer | ItemError"]


@dataclass(frozen=True)
class Task:
    """What all requests of a job have in common. `schema`: the JSON schema that an answer must obey, if any.

    `max_tokens`: length at which an answer is cut off. `system`: a message before the user's, for models that take one.
    `images`: most images in a request; `as_video`: whether they are sent as one video. `sound`: whether requests may
    have a sound. `template`: values for the model's chat template, as {"enable_thinking": False}.
    """

    max_tokens: int
    system: str | None = None
    schema: dict[str, Any] | None = None
    images: int = 0
    as_video: bool = False
    template: dict[str, Any] | None = None
    sound: bool = False


@dataclass(frozen=True)
class Request:
    """One question. `images`: JPEGs, in order of time. `fps`: images per second, for a task that sends a video.

    `sound`: a WAV file, as `sounds.as_wav` makes it; None for a question without one. `temperature` 0 takes the most
    likely words; above 0, `seed` decides which answer is drawn.
    """

    id: str
    text: str
    images: tuple[bytes, ...] = ()
    fps: float = 1.0
    temperature: float = 0.0
    seed: int = 0
    sound: bytes | None = None

    @property
    def media(self) -> tuple[bytes, ...]:
        """Pictures and sound, in the order in which `messages` has them."""
        return self.images if self.sound is None else (*self.images, self.sound)

    @property
    def nbytes(self) -> int:
        """Memory that its pictures and its sound take."""
        return sum(map(len, self.media))


@dataclass(frozen=True)
class Answer:
    """The answer of a model. `whole`: False if it was cut off at the limit of tokens."""

    text: str
    whole: bool = True


class ChatModel(Protocol):
    """The interface that captioning and rewriting use. Constructing one loads nothing."""

    batch: int
    """Requests in progress at once. Never changes a value."""
    where: str
    """What messages call it: the address of its servers, or the model's name."""
    about: dict[str, Any]
    """Everything that its answers depend on: backend, model, revision. Part of the journal's key."""

    def checkpoints(self) -> list[Checkpoint]:
        """Find the model files, and fetch those that are not there. Raises SetupError."""

    def servers(self) -> Iterator[ChatModel]:
        """Its servers one by one, so that a check can test each of them; the model itself if it has no servers."""

    def answers(self, requests: Iterable[Request], task: Task) -> Iterator[Outcome | None]:
        """(id, answer or ItemError) of each request, as they finish; None if none has finished for IDLE_SECONDS.

        A request is taken when there is room for it: at most `batch` are in progress. Raises SetupError if the model,
        the server or the key is at fault rather than a request.
        """


def name(model: ChatModel) -> str:
    """The name of a model in tables: backend, model and revision."""
    about = model.about
    revision = f" ({about['revision']})" if about["revision"] else ""
    return f"{about['backend']}: {about['model']}{revision}"


def answer_of(text: str, whole: bool, where: str, why_empty: str = "") -> Answer | ItemError:
    """The answer in the `text` that a model wrote: what comes after its thoughts. An ItemError if nothing does.

    `where`: the server or the model. `why_empty`: words for the message if the text is empty.
    """
    said = without_thoughts(text)
    if said:
        return Answer(said, whole)
    if text.strip():
        return only_thoughts(where)
    return ItemError(EMPTY, f"{where}: the answer is empty{why_empty}", lasting=False)


def only_thoughts(where: str) -> ItemError:
    """The error of an answer that ended before the model's thoughts did."""
    what = (
        "the model thought, and did not come to an answer; set template: {enable_thinking: false}, or raise max_tokens"
    )
    return ItemError(ONLY_THOUGHTS, f"{where}: {what}", lasting=False)


def whole(text: str) -> str:
    """`text` without half characters, which UTF-8 cannot hold: a JSON escape of a character may be cut in two."""
    return text.encode("utf-8", "replace").decode()


def messages(request: Request, task: Task, encode: Callable[[bytes], str]) -> list[dict[str, Any]]:
    """The conversation in OpenAI's form: a system message only if the task has one; pictures, sound, then the text.

    `encode` returns a picture or a sound as base64. A video is one data URL of all its JPEGs, as vLLM takes it.
    """
    pictures = list(map(encode, request.images))
    parts: list[dict[str, Any]]
    if pictures and task.as_video:
        parts = [{"type": "video_url", "video_url": {"url": f"data:video/jpeg;base64,{','.join(pictures)}"}}]
    else:
        urls = (f"data:image/jpeg;base64,{picture}" for picture in pictures)
        parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    if request.sound is not None:
        parts.append({"type": "input_audio", "input_audio": {"data": encode(request.sound), "format": "wav"}})
    content: Any = [*parts, {"type": "text", "text": request.text}] if parts else request.text
    system = [{"role": "system", "content": task.system}] if task.system else []
    return [*system, {"role": "user", "content": content}]


def media_kwargs(request: Request) -> dict[str, Any]:
    """vLLM's options for a video that is sent as JPEGs: use all of them, at their true rate."""
    return {"video": {"num_frames": -1, "fps": request.fps}}
