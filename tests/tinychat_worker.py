"""TinyChat's worker on this machine, without its model: tinychat/serve/model_worker_new.py of llm-awq at 3665e1a.

It takes a prompt with a mark `<image>` for each picture. It streams the prompt with the answer so far, word by word, as
JSON with a zero byte after it. For whatever goes wrong it says `error_code` 1. The real one mixes up two questions at
the same time: `most_under_way` tells whether there were any.
"""

from __future__ import annotations

import base64
import json
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np

MOST_TOKENS = 1024
EXCUSE = "**SOMETHING WENT WRONG**"  # the worker says nothing of the reason


@dataclass(frozen=True)
class Asked:
    """One question. `images`: the files, as they came."""

    prompt: str
    images: tuple[bytes, ...]
    temperature: float
    top_p: float
    max_new_tokens: int


@dataclass(frozen=True)
class Said:
    """What the worker does: say the words of `text`, with `delay` seconds before each, and wait for `hold` before them.

    `fails_after`: words, after which it says error_code 1. `dies_after`: words, after which the process is gone.
    `status`, `raw`: this status or these bytes instead. `echo`: said before the words instead of the prompt.
    """

    text: str = ""
    delay: float = 0.0
    hold: threading.Event | None = None
    fails_after: int | None = None
    dies_after: int | None = None
    status: int = 200
    raw: bytes | None = None
    echo: str | None = None


class TinyChatWorker:
    """The worker at `port`, as long as it is held. `answer` says what to do with a question."""

    def __init__(self, port: int, answer: Callable[[Asked], Said | str], name: str = "VILA1.5-40b-AWQ-4bit-AWQ"):
        self.asked: list[Asked] = []
        self.faults: list[str] = []
        self.gone = 0  # clients that went away in the middle of an answer
        self.most_under_way = self.under_way = 0
        self.name, self._answer = name, answer
        self._lock = threading.Lock()
        outer = self

        class Handler(_Handler):
            worker = outer

        self._server = _Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> TinyChatWorker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.stop()
        self._thread.join()

    def check(self) -> None:
        """Every question had the form that the worker takes, and none came while another was answered."""
        assert not self.faults, self.faults
        assert self.most_under_way <= 1

    def read(self, content: bytes) -> Asked:
        """A question from its JSON. Raises what the worker's own code would raise."""
        body = json.loads(content)
        known = {"prompt", "images", "temperature", "top_p", "max_new_tokens"}
        if body.keys() != known:
            self.faults.append(f"fields: {sorted(body.keys() ^ known)}")
        images = tuple(base64.b64decode(image) for image in body["images"])
        if images and len(images) != body["prompt"].count("<image>"):
            self.faults.append(f"{len(images)} pictures for {body['prompt'].count('<image>')} marks")
            raise ValueError("Number of images does not match")
        if not all(cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR) is not None for image in images):
            raise ValueError("no picture")
        tokens = min(int(body["max_new_tokens"]), MOST_TOKENS)
        return Asked(body["prompt"], images, float(body["temperature"]), float(body["top_p"]), tokens)

    def begin(self) -> None:
        with self._lock:
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)

    def end(self) -> None:
        with self._lock:
            self.under_way -= 1

    def say(self, content: bytes) -> tuple[Asked | None, Said]:
        """A question, if it is one, and what to do."""
        try:
            asked = self.read(content)
            self.asked.append(asked)
            said = self._answer(asked)
            return asked, Said(said) if isinstance(said, str) else said
        except Exception:  # as the worker does
            return None, Said(fails_after=0)


class _Server(ThreadingHTTPServer):
    """Ends with all of its connections, as a process does."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]):
        super().__init__(address, handler)
        self._connections: list[socket.socket] = []

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.append(request)
        super().process_request(request, client_address)

    def stop(self) -> None:
        self.server_close()
        for connection in self._connections:
            with suppress(OSError):  # it is closed already
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    worker: TinyChatWorker

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        worker = self.worker
        if self.path == "/worker_get_status":
            status = {"model_names": [worker.name], "speed": 1, "queue_length": worker.under_way}
            return self._whole(200, json.dumps(status).encode())
        if self.path != "/worker_generate_stream":
            return self._whole(404, b'{"detail":"Not Found"}')
        worker.begin()
        try:
            self._stream(*worker.say(content))
        except (BrokenPipeError, ConnectionResetError):
            worker.gone += 1
        finally:
            worker.end()
        return None

    def _whole(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, asked: Asked | None, said: Said) -> None:
        if said.status != 200:
            return self._whole(said.status, b"Internal Server Error")
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while said.hold and not said.hold.wait(0.02):
            self._check_client()
        if said.raw is not None:
            self._chunk(said.raw)
        else:
            self._words(asked, said)
        if said.dies_after is None:
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.close_connection = True  # without the end of the stream
        return None

    def _words(self, asked: Asked | None, said: Said) -> None:
        text = (asked.prompt if asked else "") if said.echo is None else said.echo
        words = said.text.split(" ")[: asked.max_new_tokens] if asked else []
        for number, word in enumerate(words):
            if number in (said.fails_after, said.dies_after):
                break
            time.sleep(said.delay)
            self._check_client()
            text += word + " " * (number < len(words) - 1)
            self._object(text, 0)
        if said.fails_after is not None:
            self._object(EXCUSE, 1)

    def _object(self, text: str, code: int) -> None:
        """One object of the stream, in two pieces: pieces are not objects."""
        content = json.dumps({"text": text, "error_code": code}).encode() + b"\0"
        self._chunk(content[:7])
        self._chunk(content[7:])

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))

    def _check_client(self) -> None:
        """Raise ConnectionResetError if the client has closed the connection."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        if readable and self.connection.recv(1, socket.MSG_PEEK) == b"":
            raise ConnectionResetError
