"""The server of `snakemake browse`: one output folder, to the browsers of this machine that know its address.

It listens on 127.0.0.1 only. Its address contains a random token, so other users and pages that a browser has open
cannot guess it. A request that names another host is refused: a foreign name may have been bound to 127.0.0.1. It reads
files below the output folder, and videos of the index by their ids. It writes one file, `review.jsonl`.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import signal
import stat
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

from clipmill.base.errors import SetupError
from clipmill.store import tables
from clipmill.store.layout import Paths
from clipmill.store.review import append_decisions, parse_decision

log = logging.getLogger("clipmill")

HOST = "127.0.0.1"
TOKEN_BYTES = 32
MOST_SENT = 1_000_000  # bytes of decisions in one request
MOST_KEPT = 200_000_000  # bytes of review.jsonl, beyond which nothing is added
PIECE = 1 << 18  # bytes that are read and sent at once
IDLE_SECONDS = 60  # until a connection that says nothing is closed

# Only pages that clipmill has made are shown as pages. All that a browser could run in another file is a text to it.
PAGES = ("review.html", "report.html", "compare.html", "calibrate/learned.html")
HTML, TEXT, BYTES = "text/html; charset=utf-8", "text/plain; charset=utf-8", "application/octet-stream"
TYPES = dict.fromkeys((".csv", ".json", ".jsonl", ".log", ".md", ".toml", ".tsv", ".txt", ".yaml"), TEXT)
TYPES |= {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm", ".ogv": "video/ogg"}
TYPES |= {".mkv": "video/x-matroska", ".webp": "image/webp", ".jpg": "image/jpeg", ".png": "image/png"}

SAFE = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Clipmill-Browse": "1",  # tells the page that its decisions are taken here
}


class Refused(Exception):
    """A request that is not answered, with its status and a sentence."""

    def __init__(self, status: HTTPStatus, sentence: str):
        super().__init__(sentence)
        self.status = status


def check_page(outdir: Path) -> None:
    """Raise SetupError if an output folder has no page to serve."""
    page = Paths(outdir).review_page
    if not page.is_file():
        raise SetupError(f"{page}: there is no such page; a run makes it, when it writes its report")


class Server(ThreadingHTTPServer):
    """Serves the output folder `outdir` at `address`. Raises SetupError if it has no page, or the port is taken.

    `port`: 0 is any free one. Close it after use.
    """

    daemon_threads = True

    def __init__(self, outdir: Path, port: int = 0):
        check_page(outdir)
        self.root = outdir.resolve(strict=True)
        self.decisions = self.root / Paths(outdir).review_file.name
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        self.writing = threading.Lock()
        self._index = Paths(outdir).videos
        self._videos: dict[str, Path] | None = None
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            raise SetupError(
                f"browse.port: {port} cannot be used ({error.strerror}); choose another port, or 0 for any free one"
            ) from error
        self.hosts = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}

    @property
    def address(self) -> str:
        """The address of the page, with the token."""
        return f"http://{HOST}:{self.server_port}/{self.token}/{PAGES[0]}"

    def video(self, video_id: str) -> Path | None:
        """The file of a video of the index; None if the index does not know it, or it is no file of its own."""
        with self.writing:
            if self._videos is None:
                there = self._index.exists()  # not if somebody has deleted work/
                rows = tables.INDEX.read(self._index, ["video_id", "path", "origin"]).to_pylist() if there else []
                self._videos = {row["video_id"]: Path(row["path"]) for row in rows if row["origin"] is None}
        return self._videos.get(video_id)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log a bug; a browser that ends its connection in the middle of a clip is none."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            log.exception("a request failed:")


def serve(outdir: Path, port: int = 0) -> None:
    """Serve `outdir` until Ctrl-C or SIGTERM, and print the address. For the main thread.

    Raises SetupError as `Server` does.
    """
    # Snakemake ignores Ctrl-C meanwhile, and what it starts does too.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with Server(outdir, port) as server:
        try:
            print(f"\n  {server.address}\n\n  Open it in a browser on this machine. Ctrl-C ends it.\n", flush=True)
            server.serve_forever()
        except KeyboardInterrupt:
            file = Paths(outdir).review_file
            print(f"\n  Ended: {f'decisions are in {file}' if file.exists() else 'nothing was decided'}.", flush=True)


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD, and POST of decisions. All other methods are refused."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "clipmill", ""
    timeout = IDLE_SECONDS

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_HEAD(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    # --- who asks for what -------------------------------------------------------------------------------------------

    def _answer(self, method: Callable[[str], None]) -> None:
        try:
            method(self._place())
        except Refused as refused:
            # What follows in the connection may be the body of a request that was not read.
            self._send(refused.status, {"Content-Type": TEXT, "Connection": "close"}, f"{refused}\n".encode())

    def _place(self) -> str:
        """The place below the output folder that the request names, still with its escapes. Checks host and token."""
        if self.headers.get_all("Host", []) not in [[host] for host in self.server.hosts]:
            raise Refused(HTTPStatus.FORBIDDEN, "This server answers at its own address only.")
        token, _, place = self.path.partition("?")[0].removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode()):
            raise Refused(HTTPStatus.FORBIDDEN, "Open the whole address that `snakemake browse` prints.")
        if self.command != "POST" and ("Transfer-Encoding" in self.headers or "Content-Length" in self.headers):
            # Its body would be read as the next request of the connection.
            raise Refused(HTTPStatus.BAD_REQUEST, "Only a request with decisions has a body.")
        return place

    # --- reading -----------------------------------------------------------------------------------------------------

    def _get(self, place: str) -> None:
        names = [urllib.parse.unquote(name, errors="surrogateescape") for name in place.split("/")]
        if names == [""]:
            self._send(HTTPStatus.FOUND, {"Location": PAGES[0]})
        elif names == [self.server.decisions.name] and not os.path.lexists(self.server.decisions):
            self._send(HTTPStatus.OK, {"Content-Type": TEXT})  # nothing has been decided yet
        elif names[0] == "source":
            path = self.server.video(names[1]) if len(names) == 2 else None
            with _opened(path) as file:
                self._send_file(file, _type_of(path))
        else:
            path = self._below(names)
            with _opened(path) as file:
                self._send_file(file, HTML if "/".join(names) in PAGES else _type_of(path))

    def _below(self, names: list[str]) -> Path:
        """The real path of a file below the output folder. Links that lead out of it are refused."""
        if any(name in ("", ".", "..") or re.search(r"[/\\\0]", name) for name in names):
            raise Refused(HTTPStatus.NOT_FOUND, "There is no such file.")
        try:
            path = self.server.root.joinpath(*names).resolve(strict=True)
        except (OSError, RuntimeError, ValueError):
            raise Refused(HTTPStatus.NOT_FOUND, "There is no such file.") from None
        if not path.is_relative_to(self.server.root):
            raise Refused(HTTPStatus.FORBIDDEN, "This file is a link that leads out of the output folder.")
        return path

    def _send_file(self, file: BinaryIO, kind: str) -> None:
        status = os.fstat(file.fileno())
        mark = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        headers = {"Content-Type": kind, "Accept-Ranges": "bytes", "ETag": mark}
        headers["Last-Modified"] = formatdate(status.st_mtime, usegmt=True)
        wanted = self.headers.get("Range") if self.headers.get("If-Range", mark) == mark else None
        try:
            part = byte_range(wanted, status.st_size)
        except ValueError:
            headers["Content-Range"] = f"bytes */{status.st_size}"
            return self._send(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers)
        if part is None:
            start, end = 0, status.st_size
            self._begin(HTTPStatus.OK, headers, end)
        else:
            start, end = part
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{status.st_size}"
            self._begin(HTTPStatus.PARTIAL_CONTENT, headers, end - start)
        if self.command == "HEAD":
            return None
        file.seek(start)
        while start < end:
            piece = file.read(min(PIECE, end - start))
            if not piece:  # the file has become shorter: the browser sees that the answer is too short
                self.close_connection = True
                break
            self.wfile.write(piece)
            start += len(piece)
        return None

    # --- writing -----------------------------------------------------------------------------------------------------

    def _post(self, place: str) -> None:
        """Add decisions to review.jsonl: all lines of the request, or none."""
        if place != self.server.decisions.name:
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "Only review.jsonl takes decisions.")
        if (origin := self.headers.get("Origin")) and origin not in {f"http://{host}" for host in self.server.hosts}:
            raise Refused(HTTPStatus.FORBIDDEN, "Decisions are taken from this server's own page only.")
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,12}", length) or "Transfer-Encoding" in self.headers:
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "A request with decisions says how long it is.")
        if int(length) > MOST_SENT:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A request holds {MOST_SENT:,} bytes at most.")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise Refused(HTTPStatus.BAD_REQUEST, "The request is incomplete.")
        decisions = []
        for number, line in enumerate(body.split(b"\n"), 1):
            try:
                decisions += [parse_decision(line)] if line.strip() else []
            except ValueError as error:
                raise Refused(HTTPStatus.BAD_REQUEST, f"Line {number} is no decision: {error}.") from None
        with self.server.writing:
            file = self.server.decisions
            if file.is_symlink() or (file.exists() and not file.is_file()):
                raise Refused(HTTPStatus.FORBIDDEN, "review.jsonl is no ordinary file.")
            if file.exists() and file.stat().st_size + len(body) > MOST_KEPT:
                raise Refused(HTTPStatus.INSUFFICIENT_STORAGE, f"review.jsonl has {MOST_KEPT:,} bytes at most.")
            try:
                append_decisions(file, decisions)
            except OSError as error:
                log.error("%s: %s", file, error.strerror)
                sentence = f"review.jsonl cannot be written ({error.strerror})."
                raise Refused(HTTPStatus.INSUFFICIENT_STORAGE, sentence) from error
        self._send(HTTPStatus.NO_CONTENT, {})

    # --- answers -----------------------------------------------------------------------------------------------------

    def _begin(self, status: HTTPStatus, headers: dict[str, str], length: int | None) -> None:
        self.send_response(status)
        for name, value in {**SAFE, **headers}.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _send(self, status: HTTPStatus, headers: dict[str, str], body: bytes = b"") -> None:
        self._begin(status, headers, None if status == HTTPStatus.NO_CONTENT else len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """A request that http.server itself refuses: of an unknown method, or not HTTP at all."""
        self.close_connection = True
        self.command = getattr(self, "command", None) or "GET"
        self._send(HTTPStatus(code), {"Content-Type": TEXT, "Connection": "close"}, b"This request is not answered.\n")

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: the path of a request holds the token."""


@contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO]:
    """An ordinary file, to read. Refuses all else, and never waits, as for a pipe."""
    try:
        if path is None:
            raise FileNotFoundError
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        raise Refused(HTTPStatus.NOT_FOUND, "There is no such file.") from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Refused(HTTPStatus.NOT_FOUND, "This is no file.")
        with open(handle, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(handle)


def _type_of(path: Path | None) -> str:
    return TYPES.get(path.suffix.lower(), BYTES) if path else BYTES


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and first byte after the part that a header `Range` asks for (RFC 9110, section 14).

    None is the whole file: also for what is no range of bytes, and for several ranges. Raises ValueError if no byte of
    the range exists.
    """
    found = re.fullmatch(r"bytes=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", header or "")
    if not found or not (found[1] or found[2]):
        return None
    if not found[1]:
        start, end = max(0, size - int(found[2])), size
    else:
        start, end = int(found[1]), min(size, int(found[2]) + 1) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    if start >= size:
        raise ValueError("no byte of this range exists")
    return start, end
