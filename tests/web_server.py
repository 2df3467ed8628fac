"""A web server on the loopback that has ranges and etags, and every fault that a test asks for."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from serving import in_a_thread

MODIFIED = "Mon, 02 Nov 2026 10:00:00 GMT"


@dataclass
class Fault:
    """What goes wrong with the first `times` requests of a path.

    `status`, with `headers` and `body`: answered instead. `cut_after`: bytes after which the connection ends. `says`:
    the length that is claimed. `pause`: seconds before the body. `rate`: bytes per second.
    """

    times: int = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_after: int | None = None
    says: int | None = None
    pause: float = 0.0
    rate: float | None = None


class WebServer:
    """`files`: path -> content. `faults`: path -> fault. `asked`: method, path and headers of each request."""

    def __init__(self, ranges: bool = True) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, Fault] = {}
        self.texts: dict[str, tuple[dict[str, str], bytes]] = {}  # answered with these headers, whatever is asked
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.ranges = ranges
        self.etags: dict[str, str] = {}  # of paths that have another one than the MD5 sum of the file
        self.sent: Counter[str] = Counter()  # bytes of bodies
        self.url = ""

    @property
    def host(self) -> str:
        """The entry of `fetch.hosts` for this server."""
        return self.url

    def answer(self, handler: BaseHTTPRequestHandler, method: str) -> None:
        path = handler.path.partition("?")[0]
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.asked.append((method, handler.path, headers))
        fault = self.faults.get(path, Fault(times=0))
        if fault.times > 0:
            fault.times -= 1
        else:
            fault = Fault()
        if fault.status is not None:
            self._head(handler, fault.status, {"Content-Length": str(len(fault.body)), **fault.headers})
            if method != "HEAD":
                handler.wfile.write(fault.body)
            return
        if handler.path in self.texts:
            extra, body = self.texts[handler.path]
            self._head(handler, 200, {"Content-Length": str(len(body)), **extra})
            handler.wfile.write(body)
            return
        if path not in self.files:
            self._head(handler, 404, {"Content-Length": "0"})
            return
        self._send(handler, method, path, headers, fault)

    def _send(
        self, handler: BaseHTTPRequestHandler, method: str, path: str, headers: dict[str, str], fault: Fault
    ) -> None:
        whole = self.files[path]
        etag = self.etags.get(path, f'"{hashlib.md5(whole).hexdigest()}"')
        status, body, answer = 200, whole, {"ETag": etag, "Last-Modified": MODIFIED}
        wanted = headers.get("range")
        if self.ranges and wanted and headers.get("if-range", etag) == etag:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            begin, end = int(first), min(int(last) + 1 if last else len(whole), len(whole))
            if begin >= len(whole):
                self._head(handler, 416, {"Content-Length": "0", "Content-Range": f"bytes */{len(whole)}"})
                return
            status, body = 206, whole[begin:end]
            answer["Content-Range"] = f"bytes {begin}-{end - 1}/{len(whole)}"
        self._head(handler, status, {**answer, "Content-Length": str(fault.says or len(body))})
        if method == "HEAD":
            return
        time.sleep(fault.pause)
        body = body[: fault.cut_after]
        piece = max(1, int(fault.rate / 20)) if fault.rate else 1 << 20
        for place in range(0, len(body), piece):
            handler.wfile.write(body[place : place + piece])
            self.sent[handler.path] += len(body[place : place + piece])
            if fault.rate:
                time.sleep(piece / fault.rate)
        if fault.cut_after is not None or fault.says is not None:
            handler.close_connection = True

    @staticmethod
    def _head(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()


@contextmanager
def web_server(ranges: bool = True) -> Iterator[WebServer]:
    server = WebServer(ranges)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer("GET")

        def do_HEAD(self) -> None:
            self._answer("HEAD")

        def _answer(self, method: str) -> None:
            try:
                server.answer(self, method)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A client that was killed has closed its connection."""

    web = Server(("127.0.0.1", 0), Handler)
    with in_a_thread(web) as server.url:
        yield server
