"""The adapter's server: one question at a time goes to the worker, a few wait, and others are told to come again.

The worker has one cache of keys and values for all of its questions. It would mix up two questions at the same time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import socket
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from clipmill.base.errors import SetupError
from clipmill.base.silence import silence_requests
from clipmill.extras.tinychat.question import Question, Refusal, read_question
from clipmill.extras.tinychat.worker import Worker

log = logging.getLogger("clipmill")

MOST_BYTES = 32 << 20  # of a request
MOST_CONNECTIONS = 256
CLIENT_GONE = 499


class Adapter:
    """Serves the worker at `worker_url` as the model `model`.

    `places`: questions that are asked or wait at the same time. `timeout_seconds`: for one answer of the worker. The
    wait for the questions before it does not count.
    """

    def __init__(self, worker_url: str, model: str, places: int, timeout_seconds: float):
        self._worker, self._model, self._places = Worker(worker_url, timeout_seconds), model, places
        self._turn = asyncio.Lock()
        self._taken = 0
        self._seconds = 1.0  # that the last answer took

    def app(self) -> Starlette:
        """The application for a server of ASGI."""
        routes = [
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/models", self._models, methods=["GET"]),
            Route("/health", self._health, methods=["GET"]),
        ]
        handlers: dict[Any, Any] = {Refusal: _refused, HTTPException: _unknown}
        return Starlette(routes=routes, exception_handlers=handlers, lifespan=self._open)

    @contextlib.asynccontextmanager
    async def _open(self, app: Starlette) -> AsyncIterator[None]:
        yield
        await self._worker.close()

    async def _models(self, request: Request) -> Response:
        about = {"id": self._model, "object": "model", "created": 0, "owned_by": "tinychat"}
        return JSONResponse({"object": "list", "data": [about]})

    async def _health(self, request: Request) -> Response:
        """200 if the worker can be asked, else the error that a question would get."""
        return JSONResponse({"status": "ok", "worker": await self._worker.status(), "questions": self._taken})

    async def _chat(self, request: Request) -> Response:
        try:
            question = read_question(await _body(request), self._model)
            answering = asyncio.ensure_future(self._answer(question))
            leaving = asyncio.ensure_future(_until_gone(request))
            try:
                await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
                if not answering.done():
                    raise ClientDisconnect
                text, ended = await answering
            finally:
                for task in (answering, leaving):
                    task.cancel()
                await asyncio.gather(answering, leaving, return_exceptions=True)
        except ClientDisconnect:
            log.info("a client has gone; its question is cancelled")
            return Response(status_code=CLIENT_GONE)
        message = {"role": "assistant", "content": text, "refusal": None}
        # The worker does not say whether an answer was cut off.
        choice = {"index": 0, "message": message, "finish_reason": "stop" if ended else None}
        about = {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": "chat.completion", "created": int(time.time())}
        return JSONResponse({**about, "model": self._model, "choices": [choice]})

    async def _answer(self, question: Question) -> tuple[str, bool]:
        if self._taken >= self._places:
            seconds = max(1, math.ceil(self._seconds))
            raise Refusal(
                429, f"{self._places} questions are asked or wait already; come again later", retry_after=seconds
            )
        self._taken += 1
        try:
            async with self._turn:
                begin = time.monotonic()
                answer = await self._worker.answer(question)
                self._seconds = time.monotonic() - begin
                return answer
        finally:
            self._taken -= 1


def serve(adapter: Adapter, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM. Raises SetupError if the address cannot be had."""
    try:
        listening = socket.create_server((host, port))
    except OSError as error:
        raise SetupError(f"--host {host} --port {port}: {error.strerror}; choose another") from None
    silence_requests()
    config = uvicorn.Config(
        adapter.app(),
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=2,
    )
    log.info("listening on http://%s:%d/v1", host, listening.getsockname()[1])
    with listening:
        uvicorn.Server(config).run(sockets=[listening])


async def _body(request: Request) -> Any:
    """The request's JSON."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "content-type: send application/json")
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > MOST_BYTES:
            advice = "send fewer pictures, or smaller ones (max_side)"
            raise Refusal(413, f"the request has more than {MOST_BYTES >> 20} MiB; {advice}")
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise Refusal(400, "the request is no JSON") from None


async def _until_gone(request: Request) -> None:
    """Returns when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refused(request: Request, refusal: Refusal) -> Response:
    if refusal.status >= 500:
        log.warning("%s", refusal)
    kind = "invalid_request_error" if refusal.status < 500 and refusal.status != 429 else "server_error"
    error = {"message": str(refusal), "type": kind, "param": refusal.field, "code": refusal.code}
    headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
    return JSONResponse({"error": error}, refusal.status, headers)


async def _unknown(request: Request, error: HTTPException) -> Response:
    """An address or method that does not exist, in OpenAI's form."""
    place = f"{request.method} {request.url.path}: there are POST /v1/chat/completions, GET /v1/models and GET /health"
    return await _refused(request, Refusal(error.status_code, place))
