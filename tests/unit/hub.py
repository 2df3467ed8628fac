"""A web server on this machine that answers as the Hugging Face hub does, or with plain files, faults included."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from clipmill.base.errors import SetupError
from serving import in_a_thread

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
COMMIT = "0123456789abcdef0123456789abcdef01234567"

# Looks models up in a process of its own, since huggingface_hub reads its environment once, when it is imported.
LOOK_UP = """
import json, sys
from clipmill.models.checkpoints import find_language_model, find_model
from clipmill.base.errors import SetupError
for model, revision, files in json.loads(sys.argv[1]):
    try:
        find = find_model if isinstance(files, list) else find_language_model
        found = find(model, revision, files)
        print(json.dumps([str(found.path), found.about()]))
    except SetupError as error:
        print(json.dumps(str(error)))
"""


def refused(call, *arguments, **options) -> str:
    """The one line in which `call` refuses."""
    with pytest.raises(SetupError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Hub:
    """`models`: name -> file -> content, at COMMIT. `files`: path -> content, served as they are.

    `refused`: name -> status and error code. `cut`: names of files of which half is sent. `asked`: what was asked for,
    but for a list of agents that huggingface_hub fetches for its own use.
    """

    def __init__(self) -> None:
        self.models: dict[str, dict[str, bytes]] = {}
        self.files: dict[str, bytes] = {}
        self.refused: dict[str, tuple[int, str]] = {}
        self.cut: set[str] = set()
        self.asked: list[str] = []
        self.url = ""

    def look_up(self, home: Path, *calls: tuple[str, str | None, list[str] | bool], **environment: str) -> list[Any]:
        """What `find_model` says to each call with this hub as HF_ENDPOINT: path and `about()`, or the error's text.

        With a truth value in place of patterns it is `find_language_model`: whether the model's own code is trusted.
        """
        settings = {"HF_HOME": str(home), "HF_ENDPOINT": self.url, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", LOOK_UP, json.dumps(calls)],
            env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(SCRIPTS), **settings, **environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that listens on a free port of this machine alone."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    with in_a_thread(server) as hub.url:
        yield hub


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        hub, path = self.hub, self.path.partition("?")[0].lstrip("/")
        if path != "api/agent-harnesses":
            hub.asked.append(path)
        parts = path.removeprefix("api/models/").split("/", 4)
        model = "/".join(parts[:2])
        if path in hub.files:
            self._send(hub.files[path], cut=path in hub.cut)
        elif model in hub.refused:
            status, code = hub.refused[model]
            self._refuse(status, code)
        elif model not in hub.models:
            self._refuse(404, "RepoNotFound")
        elif parts[3] not in ("main", COMMIT):
            self._refuse(404, "RevisionNotFound")
        elif parts[2] == "revision":
            self._send(json.dumps({"id": model, "sha": COMMIT, "siblings": []}).encode())
        elif parts[2] == "tree":
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in hub.models[model].items()
            ]
            self._send(json.dumps(entries).encode())
        elif parts[2] == "resolve" and parts[4] in hub.models[model]:
            content = hub.models[model][parts[4]]
            sent = content[: len(content) // 2] if parts[4] in hub.cut and self.command == "GET" else content
            etag = hashlib.sha1(content).hexdigest()
            self._send(sent, {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"', "X-Linked-Size": str(len(content))})
        else:
            self._refuse(404, "EntryNotFound")

    do_HEAD = do_GET

    def _send(self, content: bytes, headers: dict[str, str] | None = None, cut: bool = False) -> None:
        self.send_response(200)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[: len(content) // 2] if cut else content)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass
