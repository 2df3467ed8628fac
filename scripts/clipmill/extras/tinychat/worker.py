"""TinyChat's worker: tinychat/serve/model_worker_new.py of mit-han-lab/llm-awq.

It streams JSON objects, each followed by a zero byte: `text` is the prompt with the answer so far, `error_code` is 0.
After an error it sends an object with another code. Its text does not give the reason: only the worker's log does.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx2

from clipmill.base.errors import SetupError
from clipmill.extras.tinychat.question import END, Question, Refusal

MOST_BYTES = 1 << 20  # of one object; a prompt and 1024 tokens have some kilobytes
STATUS_SECONDS = 10.0
IDLE_SECONDS = 0.05  # between two looks at whether the worker is idle
# The worker looks at pictures only if the name of its model contains one of these. Else it drops them, and answers.
SEEING = ("vila", "llava")


class Worker:
    """The worker at `url`. It mixes up two questions at the same time, so a caller asks one after the other.

    `timeout_seconds`: for a whole answer. Raises SetupError if the URL is none.
    """

    def __init__(self, url: str, timeout_seconds: float):
        if not re.fullmatch(r"https?://[^/\s?#]+/?", url):
            raise SetupError(f"--worker {url}: this is no address such as http://127.0.0.1:40000")
        self._url, self._timeout = url, timeout_seconds
        self._client = httpx2.AsyncClient(
            base_url=url,
            timeout=httpx2.Timeout(timeout_seconds, connect=min(STATUS_SECONDS, timeout_seconds)),
            follow_redirects=False,
            trust_env=False,  # no proxy between the adapter and its worker
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def status(self) -> dict[str, Any]:
        """`model_names`, and `queue_length`: how many questions it has. Raises Refusal if it is no worker that sees."""
        try:
            async with asyncio.timeout(STATUS_SECONDS):
                response = await self._client.post("/worker_get_status")
            status = response.json()
            names, queue_length = [str(name) for name in status["model_names"]], int(status["queue_length"])
        except (httpx2.RequestError, TimeoutError) as error:
            raise self._fault(error, STATUS_SECONDS) from None
        except (ValueError, LookupError, TypeError):
            raise Refusal(502, f"{self._url}: this is no worker of TinyChat (status {response.status_code})") from None
        if not any(word in name.lower() for name in names for word in SEEING):
            advice = "start it with a --model-path or --model-name that contains vila, or it does not look at pictures"
            raise Refusal(502, f"the worker at {self._url} serves {', '.join(names)}; {advice}")
        return {"model_names": names, "queue_length": queue_length}

    async def answer(self, question: Question) -> tuple[str, bool]:
        """The answer's text, and whether the model is known to have ended it. Raises Refusal.

        If the caller is cancelled, the worker stops at the next word.
        """
        try:
            async with asyncio.timeout(self._timeout):
                while (await self.status())["queue_length"]:  # of a cancelled question, or of another client
                    await asyncio.sleep(IDLE_SECONDS)
                return await self._ask(question)
        except (httpx2.RequestError, TimeoutError) as error:
            raise self._fault(error, self._timeout) from None

    async def _ask(self, question: Question) -> tuple[str, bool]:
        text, rest = None, b""
        async with self._client.stream("POST", "/worker_generate_stream", json=question.body) as response:
            if response.status_code != 200:
                raise Refusal(502, f"the worker at {self._url} says status {response.status_code}; its log says why")
            async for piece in response.aiter_bytes():
                *objects, rest = (rest + piece).split(b"\0")
                for content in objects:
                    text = self._text(content, question.prompt)
                    if END in text:  # VILA's own server ends here, whatever the tokenizer's end is
                        return text.partition(END)[0].strip(), True
                if len(rest) > MOST_BYTES:
                    raise Refusal(502, f"the worker at {self._url} sent {MOST_BYTES} bytes without a zero byte")
        if text is None or rest:
            raise Refusal(502, f"the worker at {self._url} ended in the middle of an answer; its log says why")
        return text.strip(), False

    def _text(self, content: bytes, prompt: str) -> str:
        """The answer so far, from one object of the stream."""
        try:
            said = json.loads(content)
            text, code = said["text"], said["error_code"]
            fits = code == 0 and text.startswith(prompt)
        except (ValueError, LookupError, TypeError, AttributeError):
            raise Refusal(502, f"the worker at {self._url} sent no answer of TinyChat: {content[:200]!r}") from None
        if code != 0:
            advice = "its log says why. If every question fails: commits of llm-awq since 8e61d1e do, 3665e1a does not"
            raise Refusal(
                502, f"the worker at {self._url} failed with error_code {code}; {advice}", code="worker_error"
            )
        if not fits:
            raise Refusal(502, f"the worker at {self._url} answered another prompt; does anybody else ask it?")
        return text[len(prompt) :]

    def _fault(self, error: Exception, seconds: float) -> Refusal:
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
            advice = "start it, or correct --worker"
            return Refusal(503, f"no worker can be reached at {self._url}; {advice}", retry_after=10)
        if isinstance(error, httpx2.TimeoutException | TimeoutError):
            advice = "is its controller running? Without one it hangs"
            return Refusal(504, f"the worker at {self._url} did not answer within {seconds:g} s; {advice}")
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return Refusal(502, f"the worker at {self._url} broke off ({reason}); is it still running?")
