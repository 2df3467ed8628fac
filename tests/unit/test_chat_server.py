"""The tests' own chat server lets no request pass that the real ones would refuse."""

from __future__ import annotations

import base64
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from chat_server import ChatServer
from clipmill.base.opencv import cv2

JPEG = cv2.imencode(".jpg", np.zeros((6, 8, 3), np.uint8))[1].tobytes()
URL = "data:image/jpeg;base64," + base64.b64encode(JPEG).decode()
FINE = {"model": "m", "messages": [{"role": "user", "content": "What is it?"}]}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
JSON = {"Content-Type": "application/json"}


def picture(url: str, kind: str = "image_url") -> dict[str, Any]:
    return {"type": kind, kind: {"url": url}}


def asking(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A fine request of these parts, but for `more`."""
    return {**FINE, "messages": [{"role": "user", "content": [*parts, {"type": "text", "text": "?"}]}], **more}


def structured(schema: dict[str, Any]) -> dict[str, Any]:
    format = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
    return {**FINE, "response_format": format}


def send(server: ChatServer, body: Any, headers: dict[str, str] = JSON, path: str = "/chat/completions") -> int:
    """The status that a request gets."""
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.netloc)
    connection.request("POST", address.path + path, json.dumps(body), headers)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("body", [FINE, asking(picture(URL)), structured(SCHEMA), {**FINE, "temperature": 0.5}])
@pytest.mark.parametrize("as_vila", [False, True])
def test_what_is_as_it_should_be_is_answered(body: Any, as_vila: bool):
    with ChatServer(lambda asked: "It is black.", as_vila=as_vila) as server:
        assert send(server, body) == 200
    server.check()
    assert server.asked[0].sizes == [(8, 6)] * len(server.asked[0].images)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"model": "m"},
        {**FINE, "model": "another"},
        {**FINE, "messages": []},
        {**FINE, "messages": [{"role": "narrator", "content": "?"}]},
        {**FINE, "messages": [{"role": "system", "content": [picture(URL)]}]},
        {**FINE, "unknown": 1},
        {**FINE, "seed": None},
        {**FINE, "max_tokens": 0},
        {**FINE, "temperature": 3},
        asking({"type": "image_url", "url": URL}),
        asking(picture("data:image/jpeg;base64,%%%")),
        asking(picture("data:image/jpeg;base64," + base64.b64encode(b"no picture").decode())),
        asking(picture(URL.replace("jpeg", "png"))),
        asking(picture("file:///etc/passwd")),
        structured({**SCHEMA, "required": []}),
        structured({**SCHEMA, "additionalProperties": True}),
    ],
)
def test_what_openai_would_refuse_is_a_fault(body: Any):
    with ChatServer(lambda asked: "?") as server:
        assert send(server, body) == 400
    assert server.faults and not server.asked


@pytest.mark.parametrize(
    "body",
    [
        {**FINE, "messages": [{"role": "system", "content": "Be brief."}, *FINE["messages"]]},
        asking(picture(URL.replace("image", "video"), "video_url")),
        asking(picture("data:image/gif;base64,R0lGOD")),
        asking(picture("https://example.org/picture.jpg")),
        {**FINE, "model": "another"},
    ],
)
def test_what_vila_would_refuse_is_a_fault(body: Any):
    with ChatServer(lambda asked: "?", as_vila=True) as server:
        assert send(server, body) == 422
    assert server.faults and not server.asked


def test_a_wrong_head_is_a_fault():
    with ChatServer(lambda asked: "?") as server:
        assert send(server, FINE, {"Content-Type": "text/plain"}) == 400
        assert send(server, FINE, path="/completions") == 400
    assert len(server.faults) == 2


def test_a_fault_of_the_script_is_told():
    with ChatServer(lambda asked: 1 / 0) as server:
        assert send(server, FINE) == 500
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        server.check()
