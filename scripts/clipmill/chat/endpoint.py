"""Any server that speaks OpenAI's chat protocol: vLLM, SGLang, VILA's own, a cloud service. Several may share the load.

A server that refuses a field which it does not know, or the lengths in a schema, is asked without from then on.

If a server is busy, slow or fails, the request is sent again, to another server if there is one. A server that cannot
be reached is not used for a while, and its requests go to the others. If no server can be reached, the job ends.
"""

from __future__ import annotations

import asyncio
import copy
import email.utils
import json
import logging
import math
import os
import re
import ssl
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx2
import openai
import pybase64
import tenacity

from clipmill.base.errors import ItemError, SetupError
from clipmill.base.silence import silence_requests
from clipmill.chat import (
    IDLE_SECONDS,
    REFUSED,
    Answer,
    Outcome,
    Request,
    Task,
    answer_of,
    media_kwargs,
    messages,
    only_thoughts,
    whole,
)
from clipmill.chat.keys import Secrets
from clipmill.models.checkpoints import Checkpoint

log = logging.getLogger("clipmill")

LONGEST_WAIT = 120.0  # seconds between two tries at most, whatever the server asks for
LEFT_OUT_SECONDS = 20.0  # in which an unreachable server is not used, if there are others
# What a request can do without, and the words by which a refusal names it. vLLM says chat_template of both its fields.
TEMPLATE, LENGTHS = "chat_template_kwargs", "lengths in the schema"
NAMED = {
    TEMPLATE: r"chat_template",
    LENGTHS: r"(?i)schema|response_?format|grammar|structured.output|(?:min|max)(?:Length|Items)",
}
LENGTH_WORDS = {"minLength", "maxLength", "minItems", "maxItems"}
PLACE = f"@{uuid.uuid4().hex}@"  # stands for a picture or a sound in a message until it is put in


@cache
def _trusted() -> ssl.SSLContext:
    """The certificates that the package trusts by default. To read them takes 40 ms, and each client would do so."""
    return httpx2.create_ssl_context()


class Endpoint:
    """A model behind one or more servers. `base_urls`: addresses without `/chat/completions` at the end.

    `revision` is your own name for the served weights: nothing else shows that a model's name now stands for others.
    `api_key_env` names the variable that holds the key; `headers` may contain ${NAME} of other variables. `tries`: per
    request; the first ones are `backoff_seconds` apart, later ones further. `options`: more fields of each request;
    null removes a field.
    """

    batch = 64

    def __init__(
        self,
        base_urls: list[str],
        model: str,
        revision: str | None,
        api_key_env: str | None,
        headers: dict[str, str],
        tries: int,
        backoff_seconds: float,
        timeout_seconds: float,
        options: dict[str, Any],
    ):
        self._urls, self._model, self._options = list(base_urls), model, options
        self._api_key_env, self._headers = api_key_env, headers
        self._tries, self._backoff, self._timeout = tries, backoff_seconds, timeout_seconds
        self._secrets = Secrets()
        self._left_out: defaultdict[str, set[str]] = defaultdict(set)  # by server: what it refuses
        self.where = ", ".join(base_urls)
        self.about = {"backend": "openai", "model": model, "revision": revision, "options": options}

    def checkpoints(self) -> list[Checkpoint]:
        """None: the files are on the server."""
        return []

    def servers(self) -> Iterator[Endpoint]:
        """One `Endpoint` for each server, so that a check can test each of them."""
        for url in self._urls:
            one = copy.copy(self)
            one._urls, one.where = [url], url
            yield one

    def answers(self, requests: Iterable[Request], task: Task) -> Iterator[Outcome | None]:
        """See `ChatModel`. Uses one thread: its event loop runs while the caller waits for answers."""
        silence_requests()
        headers = self._request_headers()
        servers = [_Server(url, self._client(url), headers, self._left_out[url]) for url in self._urls]
        loop = asyncio.new_event_loop()
        todo = iter(requests)
        under_way: set[asyncio.Task[Outcome]] = set()
        try:
            while True:
                while len(under_way) < self.batch and (request := next(todo, None)) is not None:
                    under_way.add(loop.create_task(self._answer(_Question(request, task), servers)))
                    del request
                if not under_way:
                    return
                waiting = asyncio.wait(under_way, timeout=IDLE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                done, under_way = loop.run_until_complete(waiting)
                faults = [fault for ended in done if (fault := ended.exception())]
                yield from (ended.result() for ended in done if not ended.exception())
                if faults:
                    raise faults[0]
                if not done:
                    yield None
        finally:
            loop.run_until_complete(_close(under_way, servers))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def _client(self, url: str) -> openai.AsyncOpenAI:
        """A client that tries once and follows no redirect: a key is meant for the address in the config alone."""
        try:
            fault = None if (httpx2.URL(url).port or 0) < 2**16 else "there is no such port"
        except httpx2.InvalidURL as error:
            fault = str(error)
        if fault:
            raise SetupError(f"base_urls: {url} is no address: {fault}")
        timeout = httpx2.Timeout(self._timeout, connect=min(self._timeout / 2, 30.0))
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        return openai.AsyncOpenAI(
            base_url=url,
            api_key="none",  # else the package looks for a key by itself
            max_retries=0,
            timeout=timeout,
            http_client=openai.DefaultAsyncHttpxClient(
                verify=_trusted(), limits=limits, timeout=timeout, follow_redirects=False
            ),
        )

    def _request_headers(self) -> dict[str, Any]:
        """Headers of each request: those of the config, without those that the package takes from the environment."""
        ambient = [line.partition(":")[0].strip() for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")]
        names = [*filter(None, ambient), "OpenAI-Organization", "OpenAI-Project", "Authorization"]
        headers: dict[str, Any] = {name.lower(): openai.Omit() for name in names}
        if self._api_key_env:
            headers["authorization"] = f"Bearer {self._secrets.get(self._api_key_env)}"
        own = {name.lower(): self._secrets.fill(name, value) for name, value in self._headers.items()}
        return {**headers, **own, "content-type": "application/json"}

    def _fields(self, question: _Question, left_out: set[str]) -> dict[str, Any]:
        """The fields of a request, with places for its media. `left_out`: what the server refuses, of NAMED."""
        request, task = question.request, question.task
        fields: dict[str, Any] = {
            "model": self._model,
            "max_tokens": task.max_tokens,
            "temperature": request.temperature,
            "messages": messages(request, task, lambda medium: PLACE),
        }
        if request.temperature:
            fields["seed"] = request.seed
        if task.as_video and request.images:
            fields["media_io_kwargs"] = media_kwargs(request)
        if task.template and TEMPLATE not in left_out:
            fields[TEMPLATE] = task.template
        if task.schema:
            schema = without_lengths(task.schema) if LENGTHS in left_out else task.schema
            described = {"name": "answer", "schema": schema, "strict": True}
            fields["response_format"] = {"type": "json_schema", "json_schema": described}
        return {name: value for name, value in {**fields, **self._options}.items() if value is not None}

    def _body(self, fields: dict[str, Any], media: tuple[bytes, ...]) -> bytes:
        """A request as JSON. Media are put in last, as bytes: the JSON encoder would read every character."""
        encoded = [pybase64.b64encode(medium) for medium in media]
        between = json.dumps(fields).encode().split(PLACE.encode())
        return b"".join(part for pair in zip(between, [*encoded, b""], strict=True) for part in pair)

    async def _answer(self, question: _Question, servers: list[_Server]) -> Outcome:
        name = question.request.id
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(self._tries),
            wait=self._wait_seconds,
            retry=tenacity.retry_if_exception_type(_TryAgain),
            reraise=True,
        )
        try:
            return name, await retrying(self._try, question, servers, Counter())
        except _Unreachable as error:
            raise SetupError(f"{error}; is the server up, and the address right? Run again when it answers") from error
        except _TryAgain as error:
            return name, ItemError(error.kind, f"{error} ({self._tries} tries)", lasting=False)
        except ItemError as error:
            return name, error.with_traceback(None)

    async def _try(self, question: _Question, servers: list[_Server], failures: Counter[_Server]) -> Answer:
        """Ask the server with the fewest failures of this request, then the least load; if unreachable, the next."""

        def rank(server: _Server) -> tuple[bool, int, int]:
            return server.out_until > time.monotonic(), failures[server], server.under_way

        left, away = list(servers), []
        while True:
            server = min(left, key=rank)
            try:
                return await self._ask(question, server)
            except _Unreachable as error:
                left.remove(server)
                away.append(str(error))
                if not left:
                    raise _Unreachable(error.kind, "; ".join(away)) from None
            except _TryAgain:
                failures[server] += 1
                raise

    async def _ask(self, question: _Question, server: _Server) -> Answer:
        """Ask once; and if the server refuses what the request can do without, once more without it.

        What helped is left out of later requests to this server too.
        """
        left_out, why = set(server.left_out), dict[str, str]()
        while True:
            fields = self._fields(question, left_out)
            try:
                response = await self._post(self._body(fields, question.request.media), server)
            except _Refused as error:
                named = (part for part in NAMED if part not in left_out and re.search(NAMED[part], error.said))
                part = next((part for part in named if self._fields(question, {*left_out, part}) != fields), None)
                if part is None:
                    raise ItemError(REFUSED, str(error)) from None
                left_out.add(part)
                why[part] = str(error)
                continue
            for part in why.keys() - server.left_out:
                log.warning("%s; asked without %s from now on", why[part], part)
            server.left_out.update(why)
            return self._read(response, server.url)

    async def _post(self, body: bytes, server: _Server) -> httpx2.Response:
        server.under_way += 1
        try:
            options: Any = {"headers": server.headers}
            async with asyncio.timeout(self._timeout):  # the client's own timeout restarts with each byte
                response = await server.client.post(
                    "/chat/completions", content=body, cast_to=httpx2.Response, options=options
                )
            server.out_until = 0.0
            return response
        except openai.APIStatusError as error:
            server.out_until = 0.0
            raise self._status_fault(error, server.url) from None
        except (openai.APIConnectionError, TimeoutError) as error:
            raise self._connection_fault(error, server) from None
        finally:
            server.under_way -= 1

    def _read(self, response: httpx2.Response, url: str) -> Answer:
        try:
            choice = json.loads(response.content)["choices"][0]
            said = choice["message"]
            text = _words(said.get("content")) or said.get("refusal") or ""
            ended = choice.get("finish_reason")
            text = self._secrets.hide(whole(text.strip()))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            begin = self._line(response.text)
            raise _TryAgain("bad_answer", f"{url}: the answer is no chat completion: {begin!r}") from None
        if ended == "content_filter":
            raise ItemError("filtered", f"{url}: its content filter refused the answer")
        if not text and (said.get("reasoning") or said.get("reasoning_content")):
            raise only_thoughts(url)
        answer = answer_of(text, ended != "length", url, f" (finish_reason {self._line(str(ended))})")
        if isinstance(answer, ItemError):
            raise answer
        return answer

    def _status_fault(self, error: openai.APIStatusError, url: str) -> Exception:
        status, message = error.status_code, _message(error)
        where = f"{url}: status {status}: {self._line(message)}"
        if status in (401, 403):
            key = f"the variable {self._api_key_env}" if self._api_key_env else "a key (api_key_env is not set)"
            return SetupError(f"{where}; the server refuses {key}")
        if status == 404:
            return SetupError(f"{where}; correct base_urls (they end in /v1, mostly) or model {self._model!r}")
        if status < 400:
            there = self._line(error.response.headers.get("location", "nowhere"))
            return SetupError(f"{url}: status {status}: it points to {there}; set base_urls to where the server is")
        if status == 402 or (status == 429 and "insufficient_quota" in str(error.body)):
            return SetupError(f"{where}; the account's quota is used up")
        if status in (408, 409, 425, 429) or status >= 500:
            return _TryAgain("busy" if status == 429 else "server_error", where, _retry_after(error.response))
        return _Refused(where, message)

    def _connection_fault(self, error: Exception, server: _Server) -> _TryAgain:
        cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else error
        reason = f"{type(cause).__name__}: {self._line(str(cause))}"
        if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
            server.out_until = time.monotonic() + LEFT_OUT_SECONDS
            return _Unreachable("unreachable", f"{server.url}: cannot be reached ({reason})")
        if isinstance(cause, httpx2.TimeoutException | TimeoutError):
            advice = "raise timeout_seconds, or ask less at once"
            return _TryAgain("timeout", f"{server.url}: no answer within {self._timeout:g} s; {advice}")
        return _TryAgain("broken_off", f"{server.url}: the answer broke off ({reason})")

    def _line(self, text: str) -> str:
        """The beginning of a server's text, in one line. Keys are hidden first: half a key would not be recognised."""
        return " ".join(whole(self._secrets.hide(text)).split())[:300]

    def _wait_seconds(self, state: tenacity.RetryCallState) -> float:
        """Seconds until the next try: more with each try, at least what the server asks for, at most LONGEST_WAIT."""
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, _TryAgain) else 0.0
        growing = tenacity.wait_exponential_jitter(multiplier=self._backoff, max=LONGEST_WAIT, jitter=self._backoff)(
            state
        )
        return min(max(asked, growing), LONGEST_WAIT)


class _Server:
    """One server. `out_until`: time on the monotonic clock until which it is not used.

    `left_out`: what is left out of its requests, of NAMED.
    """

    def __init__(self, url: str, client: openai.AsyncOpenAI, headers: dict[str, Any], left_out: set[str]):
        self.url, self.client, self.headers, self.left_out = url, client, headers, left_out
        self.under_way, self.out_until = 0, 0.0


@dataclass(frozen=True)
class _Question:
    """A request and its task."""

    request: Request
    task: Task


class _Refused(Exception):
    """The server refuses the request. `said`: its own message, which may hold a key."""

    def __init__(self, message: str, said: str):
        super().__init__(message)
        self.said = said


class _TryAgain(Exception):
    """Another try may succeed, after `retry_after` seconds."""

    def __init__(self, kind: str, message: str, retry_after: float = 0.0):
        super().__init__(message)
        self.kind, self.retry_after = kind, retry_after


class _Unreachable(_TryAgain):
    """No server answers at the address."""


def without_lengths(schema: Any) -> Any:
    """A JSON schema, or a part of one, without bounds on the lengths of texts and lists."""
    if isinstance(schema, list):
        return [without_lengths(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: without_lengths(part) for name, part in schema.items() if name not in LENGTH_WORDS}


async def _close(tasks: set[asyncio.Task], servers: list[_Server]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for server in servers:
        await server.client.close()


def _message(error: openai.APIStatusError) -> str:
    """The server's own message. It may hold a key."""
    body = error.body
    body = body.get("error", body) if isinstance(body, dict) else body
    body = body.get("message", body) if isinstance(body, dict) else body
    return body if isinstance(body, str) else json.dumps(body) if body else error.response.text


def _words(content: Any) -> Any:
    """The text of an answer. `content` is a text, or a list of parts, as VILA's server sends it."""
    return "".join(part.get("text", "") for part in content) if isinstance(content, list) else content


def _retry_after(response: httpx2.Response) -> float:
    """Seconds that the server asks to wait, by a number or a date; 0 if it does not ask."""
    asked = response.headers.get("retry-after", "")
    with suppress(ValueError):
        return max(float(asked), 0.0) if math.isfinite(float(asked)) else 0.0
    with suppress(ValueError, TypeError, OverflowError):
        return max(email.utils.parsedate_to_datetime(asked).timestamp() - time.time(), 0.0)
    return 0.0
