"""A language model's server on this machine: OpenAI's chat protocol, or VILA's, and answers as a test scripts them.

Each request is held against the published form; what breaks it is refused, and told in `faults`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import re
import socket
import threading
import time
import wave
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any

import jsonschema
import numpy as np

from clipmill import checks
from clipmill.base.opencv import cv2

# --- what a request may be --------------------------------------------------------------------------------------------


def closed(required: list[str], **properties: Any) -> dict[str, Any]:
    """An object with these properties and no other."""
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


TEXT = {"type": "string", "minLength": 1}
TEXT_PART = closed(["type", "text"], type={"const": "text"}, text=TEXT)
IMAGE_PART = closed(
    ["type", "image_url"],
    type={"const": "image_url"},
    image_url=closed(
        ["url"],
        url={"type": "string", "pattern": "^(https?://|data:image/(jpeg|png|gif|webp);base64,)"},
        detail={"enum": ["auto", "low", "high"]},
    ),
)
VIDEO_PART = closed(  # vLLM's
    ["type", "video_url"],
    type={"const": "video_url"},
    video_url=closed(["url"], url={"type": "string", "pattern": "^data:video/jpeg;base64,"}),
)

SOUND_PART = closed(
    ["type", "input_audio"],
    type={"const": "input_audio"},
    input_audio=closed(["data", "format"], data=TEXT, format={"enum": ["wav", "mp3"]}),
)


def message(role: str, *parts: dict[str, Any]) -> dict[str, Any]:
    """A message whose content is a text, or a list of `parts`."""
    listed = {"type": "array", "minItems": 1, "items": {"anyOf": list(parts)}}
    return closed(["role", "content"], role={"const": role}, content={"anyOf": [TEXT, listed]}, name=TEXT)


# Of OpenAI's "create chat completion" what is used here; `media_io_kwargs` and `chat_template_kwargs` are vLLM's.
REQUEST = closed(
    ["model", "messages"],
    model=TEXT,
    messages={
        "type": "array",
        "minItems": 1,
        "items": {
            "anyOf": [
                message("system", TEXT_PART),
                message("user", TEXT_PART, IMAGE_PART, VIDEO_PART, SOUND_PART),
                message("assistant", TEXT_PART),
            ]
        },
    },
    max_tokens={"type": "integer", "minimum": 1},
    max_completion_tokens={"type": "integer", "minimum": 1},
    temperature={"type": "number", "minimum": 0, "maximum": 2},
    top_p={"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    seed={"type": "integer"},
    reasoning_effort={"enum": ["none", "minimal", "low", "medium", "high", "xhigh"]},
    response_format=closed(
        ["type", "json_schema"],
        type={"const": "json_schema"},
        json_schema=closed(
            ["name", "schema"],
            name={"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
            description={"type": "string"},
            schema={"type": "object"},
            strict={"type": ["boolean", "null"]},
        ),
    ),
    chat_template_kwargs={"type": "object", "minProperties": 1},
    media_io_kwargs=closed(
        ["video"], video=closed([], num_frames={"type": "integer"}, fps={"type": "number", "exclusiveMinimum": 0})
    ),
)
# What VILA's own server takes. It drops all other fields.
VILA_REQUEST = {
    **closed(
        ["model", "messages"],
        model=TEXT,
        messages={
            "type": "array",
            "items": {
                "anyOf": [message(role, TEXT_PART, IMAGE_PART) for role in ("user", "assistant")],
            },
        },
        max_tokens={"type": "integer"},
        top_p={"type": "number"},
        temperature={"type": "number"},
        stream={"const": False},
        use_cache={"type": "boolean"},
        num_beams={"type": "integer"},
    ),
    "additionalProperties": True,
}
SEEN = ("image_url", "video_url")
VILA_PICTURE = re.compile("data:image/(png|jpe?g);base64,")

# --- a request, and a reply -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """One request. `number`: how many came before. `tries`: how often the same one has come, this time included.

    `under_way`: how many were worked on, this one included. `at`: seconds on the monotonic clock. Names of headers have
    small letters.
    """

    body: dict[str, Any]
    headers: dict[str, str]
    number: int
    tries: int
    under_way: int
    at: float

    @cached_property
    def parts(self) -> list[dict[str, Any]]:
        """What the last message consists of."""
        content = self.body["messages"][-1]["content"]
        return content if isinstance(content, list) else [{"type": "text", "text": content}]

    @property
    def prompt(self) -> str:
        """The words of the last message."""
        return "".join(part["text"] for part in self.parts if part["type"] == "text")

    @cached_property
    def images(self) -> list[bytes]:
        """The pictures of the last message, those of a video included."""
        urls = [part[part["type"]]["url"] for part in self.parts if part["type"] in SEEN]
        return [base64.b64decode(one, validate=True) for url in urls for one in url.partition(",")[2].split(",")]

    @cached_property
    def sound(self) -> np.ndarray | None:
        """The sound of the last message, of ±1; None if it has none. The server takes no other than 16-bit mono."""
        sounds = [part["input_audio"]["data"] for part in self.parts if part["type"] == "input_audio"]
        if not sounds:
            return None
        (sound,) = sounds
        with wave.open(io.BytesIO(base64.b64decode(sound, validate=True))) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2), file.getparams()
            return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 2**15

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Width and height of each picture."""
        pictures = [cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR) for image in self.images]
        return [(picture.shape[1], picture.shape[0]) for picture in pictures]

    @property
    def digest(self) -> str:
        """Stands for words and pictures of the last message: the same for the same clip and prompt."""
        return hashlib.sha256(b"\0".join([self.prompt.encode(), *self.images])).hexdigest()


@dataclass(frozen=True)
class Reply:
    """What the server does. By default it says `text`; `body` stands instead of the whole JSON.

    It waits `delay` seconds, and until `hold` is set. `share`: of the body, after which the connection is closed.
    `dies`: it is closed without a word. `drips`: white space comes without end.
    """

    text: str | None = ""
    finish: str | None = "stop"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    kind: str = "application/json"
    delay: float = 0.0
    hold: threading.Event | None = None
    share: float = 1.0
    dies: bool = False
    drips: bool = False


def refusal(status: int, said: str, code: str | None = None, **more: Any) -> Reply:
    """An error in OpenAI's form; `more` are fields of the reply."""
    error = {"message": said, "type": "error", "param": None, "code": code}
    return Reply(status=status, body=json.dumps({"error": error}).encode(), **more)


def is_check(asked: Asked) -> bool:
    """Whether a request is one of the check before a run."""
    return asked.prompt in (checks.TEXT, *checks.QUESTIONS, *checks.QUESTIONS_OF_SOUND)


def said_to_check(asked: Asked, sees: slice = slice(None), hears: bool = True) -> str:
    """The answer to a check of a model that sees these of its pictures: it tells their mean colours.

    One that hears tells the share of time in which a sound is loud.
    """
    if hears and asked.sound is not None:
        return f"I hear something {(abs(asked.sound) > 0.05).mean():.0%} of the time"
    pictures = [cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR) for image in asked.images[sees]]
    return "I see " + "; ".join(str(picture.mean(axis=(0, 1)).round().tolist()) for picture in pictures)


Answering = Callable[[Asked], "Reply | str"]

# --- the server -------------------------------------------------------------------------------------------------------


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class ChatServer:
    """Serves the model `model`, in a thread of its own, as long as it is held. `answer` says what to do with a request.

    `as_vila`: as VILA's own server, which takes less, and answers in another form.
    """

    def __init__(self, answer: Answering, model: str = "m", as_vila: bool = False, port: int = 0):
        self._answer, self._model, self._as_vila, self._port = answer, model, as_vila, port
        self.asked: list[Asked] = []
        self.faults: list[str] = []
        self.most_under_way = self._under_way = 0
        self._seen: Counter[str] = Counter()
        self._open: set[asyncio.Task] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    @property
    def url(self) -> str:
        """The address that goes into a config; VILA's has no version in it."""
        return f"http://127.0.0.1:{self._port}" + ("" if self._as_vila else "/v1")

    def __enter__(self) -> ChatServer:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End at once: connections are torn, and nobody listens any more."""
        if self._thread.is_alive():
            with suppress(RuntimeError):  # it has just ended
                self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()

    def check(self) -> None:
        """Every request was as it should be."""
        assert not self.faults, "\n".join(self.faults)

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", self._port, backlog=1000)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        server.close()
        await asyncio.sleep(0.01)  # for those that are just being accepted
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open)
        await asyncio.sleep(0)  # sockets are closed a turn later

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._open.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
            writer.close()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()  # the client has gone, or the server is stopped
        finally:
            self._open.discard(task)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its reply; whether the connection stays."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in head[1:] if line)]
        headers = dict(pairs)
        content = await reader.readexactly(int(headers.get("content-length", 0)))
        self._under_way += 1
        try:
            reply = self._reply(head[0], pairs, content)
            await asyncio.sleep(reply.delay)
            while reply.hold and not reply.hold.is_set():
                await asyncio.sleep(0.005)
        finally:
            self._under_way -= 1
        if reply.dies:
            return False
        body = self._completion(reply) if reply.body is None else reply.body
        length = 1_000_000 if reply.drips else len(body)
        lines = {"Content-Type": reply.kind, "Content-Length": str(length), **reply.headers}
        status = f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"
        writer.write("\r\n".join([status, *(f"{name}: {value}" for name, value in lines.items()), "", ""]).encode())
        while reply.drips:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)
        writer.write(body[: int(len(body) * reply.share)])
        await writer.drain()
        return reply.share == 1

    def _reply(self, line: str, pairs: list[tuple[str, str]], content: bytes) -> Reply:
        headers = dict(pairs)
        try:
            body = json.loads(content)
        except ValueError:
            body = None
        if faults := [*self._faults_of_head(line, pairs), *self._faults_of(body)]:
            self.faults += faults
            return self._refused(faults)
        digest = hashlib.sha256(content).hexdigest()
        self._seen[digest] += 1
        self.most_under_way = max(self.most_under_way, self._under_way)
        asked = Asked(body, headers, len(self.asked), self._seen[digest], self._under_way, time.monotonic())
        self.asked.append(asked)
        try:
            answer = self._answer(asked)
        except Exception as error:  # the test's own
            self.faults.append(f"the answer to {asked.prompt[:40]!r}: {error!r}")
            return refusal(500, "the test failed")
        return Reply(answer) if isinstance(answer, str) else answer

    def _faults_of_head(self, line: str, pairs: list[tuple[str, str]]) -> list[str]:
        headers = dict(pairs)
        path = self.url.partition(f":{self._port}")[2]
        faults = []
        if line != f"POST {path}/chat/completions HTTP/1.1":
            faults.append(f"asked for: {line}")
        if headers.get("content-type", "").partition(";")[0] != "application/json":
            faults.append(f"content-type: {headers.get('content-type')}")
        if "content-length" not in headers:
            faults.append("no content-length")
        twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
        return faults + [f"the header {name} came twice" for name in twice]

    def _faults_of(self, body: Any) -> list[str]:
        schema = VILA_REQUEST if self._as_vila else REQUEST
        found = list(jsonschema.Draft202012Validator(schema).iter_errors(body))
        if found:
            return [jsonschema.exceptions.best_match([error]).message[:300] for error in found]
        faults = [] if body["model"] == self._model else [f"the model is {self._model}, not {body['model']}"]
        for part in Asked(body, {}, 0, 0, 0, 0.0).parts:
            if part["type"] in SEEN:
                faults += self._faults_of_pictures(part[part["type"]]["url"])
        if not self._as_vila and "response_format" in body:
            faults += _faults_of_schema(body["response_format"]["json_schema"])
        return faults

    def _faults_of_pictures(self, url: str) -> list[str]:
        if self._as_vila and not VILA_PICTURE.match(url):
            return [f"no picture that VILA's server takes: {url[:40]}"]
        if not url.startswith("data:"):
            return []
        faults = []
        for content in url.partition(",")[2].split(","):
            try:
                data = base64.b64decode(content, validate=True)
            except ValueError:
                faults.append(f"no base64: {content[:40]}")
                continue
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
            if picture is None or ("jpeg" in url[:20]) != data.startswith(b"\xff\xd8\xff"):
                faults.append(f"no picture of its kind: {url[:40]}")
        return faults

    def _refused(self, faults: list[str]) -> Reply:
        if self._as_vila:
            return Reply(status=422, body=json.dumps({"detail": [{"type": "fault", "msg": faults[0]}]}).encode())
        return refusal(400, faults[0], "invalid_request_error")

    def _completion(self, reply: Reply) -> bytes:
        said: dict[str, Any] = {"role": "assistant", "content": reply.text}
        choice: dict[str, Any] = {"index": 0, "message": {**said, "refusal": None}, "finish_reason": reply.finish}
        if self._as_vila:
            choice = {"message": {"role": "assistant", "content": [{"type": "text", "text": reply.text}]}}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        about = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": self._model}
        return json.dumps({**about, "choices": [choice], "usage": usage}).encode()


def _faults_of_schema(described: dict[str, Any]) -> list[str]:
    """A strict schema names each property of an object as required, and allows no other."""
    schema = described["schema"]
    jsonschema.Draft202012Validator.check_schema(schema)
    if not described.get("strict"):
        return []
    loose = [
        part
        for part in _objects(schema)
        if part.get("additionalProperties") is not False or set(part.get("required", ())) != part["properties"].keys()
    ]
    return [f"not strict: {json.dumps(part)[:200]}" for part in loose]


def _objects(schema: Any) -> list[dict[str, Any]]:
    inner = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    found = [part for value in inner for part in _objects(value)]
    return [schema, *found] if isinstance(schema, dict) and schema.get("type") == "object" else found
