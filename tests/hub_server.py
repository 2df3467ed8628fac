"""A server on the loopback that takes commits to one dataset, as the Hugging Face hub does.

Source: what huggingface_hub 2.4 asks for (`_commit_api.py`, `lfs.py`, `hf_api.py`).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from serving import in_a_thread

DATASET = "me/set"
TOKEN = "Bearer hf_made"
LARGE = (".mp4", ".parquet")  # what the hub keeps as large files


class HubServer:
    """`files`: those of the dataset. `commits`: the paths that each added and removed. `large`: sent as large files."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {".gitattributes": b"*.mp4 filter=lfs"}
        self.commits: list[tuple[list[str], list[str]]] = []
        self.large: set[str] = set()
        self.blobs: dict[str, bytes] = {}
        self.url = ""

    def about(self, path: str) -> dict[str, Any]:
        """A file as the hub lists it."""
        content = self.files[path]
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        about = {"type": "file", "path": path, "size": len(content), "oid": blob}
        if path in self.large:
            about["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 100}
        return about

    def commit(self, lines: list[dict[str, Any]]) -> None:
        added, removed = [], []
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.files[value["path"]] = self.blobs[value["oid"]]
                self.large.add(value["path"])
            elif line["key"] == "deletedFile":
                del self.files[value["path"]]
                removed.append(value["path"])
            if line["key"] in ("file", "lfsFile"):
                added.append(value["path"])
        self.commits.append((added, removed))


@contextmanager
def hub_server() -> Iterator[HubServer]:
    hub = HubServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    with in_a_thread(server) as hub.url:
        yield hub


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if f"/api/datasets/{DATASET}/tree/main" in path:
            start = path.partition("/tree/main")[2].strip("/")
            below = [name for name in self.hub.files if name.startswith(f"{start}/" if start else "")]
            if below:
                self._send([self.hub.about(name) for name in below])
            else:
                self._missing("EntryNotFound")
        else:
            self._missing()

    def do_PUT(self) -> None:
        content = self._body()
        self.hub.blobs[hashlib.sha256(content).hexdigest()] = content
        self._send({})

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/api/validate-yaml":
            return self._send({"errors": [], "warnings": []})
        if f"/{DATASET}" not in self.path or self.headers["authorization"] != TOKEN:
            return self._missing()
        if "/preupload/" in self.path:
            modes = [
                (file["path"], "lfs" if file["path"].endswith(LARGE) else "regular")
                for file in json.loads(body)["files"]
            ]
            return self._send(
                {"files": [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes]}
            )
        if self.path.endswith("/info/lfs/objects/batch"):
            return self._send(
                {"transfer": "basic", "objects": [self._object(one) for one in json.loads(body)["objects"]]}
            )
        if "/commit/" in self.path:
            self.hub.commit([json.loads(line) for line in body.splitlines()])
            return self._send(
                {"success": True, "commitOid": "0" * 40, "commitUrl": f"{self.hub.url}/datasets/{DATASET}/commit/0"}
            )
        if "/paths-info/" in self.path:
            return self._send([self.hub.about(path) for path in parse_qs(body.decode())["paths"]])
        return self._missing()

    def _object(self, one: dict[str, Any]) -> dict[str, Any]:
        if one["oid"] in self.hub.blobs:
            return one
        return {**one, "actions": {"upload": {"href": f"{self.hub.url}/blob/{one['oid']}"}}}

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["content-length"] or 0))

    def _send(self, answer: Any) -> None:
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _missing(self, code: str = "RepoNotFound") -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass
