"""The adapter for TinyChat's worker: the real program, between a stub of the worker and clipmill's own client."""

from __future__ import annotations

import base64
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from test_presets import FOLDER, PROMPTS, merged

from chat_server import free_port
from clipmill.base.errors import ItemError
from clipmill.base.opencv import cv2
from clipmill.chat import Answer, Request, Task
from clipmill.chat.endpoint import Endpoint
from clipmill.extras.tinychat.question import MOST_TOKENS, Question, Refusal, read_question
from clipmill.models import backends
from tinychat_worker import Asked, Said, TinyChatWorker

TOOL = Path(__file__).resolve().parents[2] / "scripts" / "serve_tinychat.py"
PRESET = merged(FOLDER / "captions" / "vila1.5-40b-awq.yaml")["caption"]
MODEL = PRESET["openai"]["model"]
PLACES, TIMEOUT = 3, 3.0
TASK = Task(max_tokens=PRESET["max_tokens"], images=8)
# The prompt of `hermes-2` in llava/conversation.py of VILA, for a question with eight pictures before its text.
PROMPT = (
    "<|im_start|>system\nAnswer the questions.<|im_end|>"
    "<|im_start|>user\n" + "<image>" * 8 + "What happens?<|im_end|>"
    "<|im_start|>assistant\n"
)


def picture(value: int, kind: str = ".jpg") -> bytes:
    """A file of one grey."""
    return cv2.imencode(kind, np.full((16, 24, 3), value, np.uint8))[1].tobytes()


def data_url(content: bytes, kind: str = "jpeg") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


# --- reading a request -----------------------------------------------------------------------------------------------


def body(content: Any = "What?", **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **fields}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def image(url: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def test_a_question_has_the_form_that_the_model_was_trained_with():
    parts = [*(image(data_url(picture(value))) for value in range(0, 160, 20)), text("What happens?")]
    question = read_question(body(parts, temperature=0, max_tokens=512), MODEL)
    encoded = tuple(base64.b64encode(picture(value)).decode() for value in range(0, 160, 20))
    assert question == Question(PROMPT, encoded, temperature=0.0, top_p=1.0, max_tokens=512)
    assert question.body == {
        "prompt": PROMPT,
        "images": list(encoded),
        "temperature": 0.0,
        "top_p": 1.0,
        "max_new_tokens": 512,
    }


def test_pictures_stand_where_the_request_has_them_and_turns_follow_each_other():
    first, second = data_url(picture(1)), data_url(picture(2, ".png"), "png")
    messages = [
        {"role": "user", "content": [text("Before "), image(first), text(" after.")]},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": [text("And "), image(second)]},
    ]
    question = read_question({"model": MODEL, "messages": messages}, MODEL)
    assert question.prompt.partition("<|im_end|>")[2] == (
        "<|im_start|>user\nBefore <image> after.<|im_end|><|im_start|>assistant\nTwo.<|im_end|>"
        "<|im_start|>user\nAnd <image><|im_end|><|im_start|>assistant\n"
    )
    assert [base64.b64decode(encoded) for encoded in question.pictures] == [picture(1), picture(2, ".png")]
    assert (question.temperature, question.top_p, question.max_tokens) == (1.0, 1.0, MOST_TOKENS)


def test_fields_that_ask_for_nothing_are_accepted():
    plain = read_question(body(temperature=0), MODEL)
    nothing = {"stream": False, "n": 1, "response_format": {"type": "text"}, "stop": None, "seed": 3, "user": "me"}
    nothing |= {"chat_template_kwargs": {"enable_thinking": False}, "max_completion_tokens": MOST_TOKENS}
    assert read_question(body(temperature=0, **nothing), MODEL) == plain


def with_part(part: Any) -> dict[str, Any]:
    return body([text("See"), part])


SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "What?"}
REFUSED = {
    "no object": (["?"], None, "no JSON object"),
    "another model": (body() | {"model": "gpt"}, "model", "'gpt' is not served here, but 'VILA1.5-40b-AWQ' is"),
    "no message": (body() | {"messages": []}, "messages", "no list of messages"),
    "a system message": (body() | {"messages": [SYSTEM, USER]}, "messages[0].role", "set system: null"),
    "two questions": (body() | {"messages": [USER, USER]}, "messages[1].role", "take turns"),
    "no question": (
        body() | {"messages": [USER, {"role": "assistant", "content": "It"}]},
        "messages",
        "the last message must be the user's",
    ),
    "no content": (body(None), "messages[0].content", "neither a text nor a list"),
    "a picture of the model": (
        body() | {"messages": [USER, {"role": "assistant", "content": [image(data_url(picture(1)))]}, USER]},
        "messages[1].content[0].type",
        "parts of text are taken",
    ),
    "a video": (
        with_part({"type": "video_url", "video_url": {"url": "data:video/jpeg;base64,"}}),
        "messages[0].content[1].type",
        "this is 'video_url', and parts of text and image_url are taken; set send: images",
    ),
    "an address": (with_part(image("http://a/b.jpg")), "messages[0].content[1].image_url.url", "nothing else is read"),
    "a file": (with_part(image("file:///etc/passwd")), "messages[0].content[1].image_url.url", "nothing else is read"),
    "a gif": (with_part(image("data:image/gif;base64,R0lG")), "messages[0].content[1].image_url.url", "nothing else"),
    "no address": (with_part(image(7)), "messages[0].content[1].image_url.url", "nothing else is read"),
    "no base64": (with_part(image("data:image/png;base64,%%%")), "messages[0].content[1].image_url.url", "no base64"),
    "letters": (with_part(image("data:image/png;base64,äöü=")), "messages[0].content[1].image_url.url", "no base64"),
    "a text as picture": (with_part(image(data_url(b"Hi."))), "messages[0].content[1].image_url.url", "no jpeg file"),
    "a png as jpeg": (
        with_part(image(data_url(picture(1, ".png")))),
        "messages[0].content[1].image_url.url",
        "this is no jpeg file",
    ),
    "a mark of a picture": (body("Is <image> a tag?"), "messages[0].content[0].text", "would read <image> as a mark"),
    "a mark of a turn": (body("No.<|im_end|>"), "messages[0].content[0].text", "would read <|im_end|> as a mark"),
    "too many tokens": (body(max_tokens=1025), "max_tokens", "1025 is more than 1024"),
    "too many tokens by the other name": (body(max_completion_tokens=4096), "max_completion_tokens", "lower it"),
    "no tokens": (body(max_tokens=0), "max_tokens", "0 is no number of tokens"),
    "a truth value of tokens": (body(max_tokens=True), "max_tokens", "True is no number of tokens"),
    "a hot temperature": (body(temperature=3), "temperature", "3 is no number from 0 to 2"),
    "a worded temperature": (body(temperature="low"), "temperature", "'low' is no number from 0 to 2"),
    "a seed": (body(temperature=0.7, seed=3), "seed", "set temperature: 0"),
    "a schema": (body(response_format={"type": "json_schema"}), "response_format", "set structured: false"),
    "a stream": (body(stream=True), "stream", "answers come as a whole"),
    "two answers": (body(n=2), "n", "one answer per request"),
    "a truth value of answers": (body(n=True), "n", "one answer per request"),
    "thoughts": (body(chat_template_kwargs={"enable_thinking": True}), "chat_template_kwargs", "one fixed template"),
    "stop words": (body(stop=["."]), "stop", "the worker has no such setting"),
}


@pytest.mark.parametrize(("request_body", "field", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_the_worker_cannot_do_is_refused(request_body: Any, field: str | None, message: str):
    with pytest.raises(Refusal) as caught:
        read_question(request_body, MODEL)
    refusal = caught.value
    assert refusal.status == (404 if field == "model" else 400)
    assert refusal.field == field and message in str(refusal)
    assert field is None or str(refusal).startswith(f"{field}: ")


# --- the program -----------------------------------------------------------------------------------------------------

slow = pytest.mark.slow


class Program:
    """The adapter as a process. `worker_port`: where it looks for the worker."""

    def __init__(self, log: Path):
        self.worker_port, self.port, self.log = free_port(), free_port(), log
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, TOOL, "--worker", f"http://127.0.0.1:{self.worker_port}", "--port", self.port]
        command += ["--places", PLACES, "--timeout-seconds", TIMEOUT]
        with log.open("wb") as stderr:
            self.process = subprocess.Popen([str(part) for part in command], stderr=stderr)

    def wait_until_it_listens(self) -> None:
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                assert self.process.poll() is None and time.monotonic() < until, self.log.read_text()
                time.sleep(0.02)

    def worker(self, answer: Any, **more: Any) -> TinyChatWorker:
        return TinyChatWorker(self.worker_port, answer, **more)

    def post(self, content: Any, **more: Any) -> httpx2.Response:
        """The reply to a request to chat, with any status."""
        return httpx2.post(f"{self.url}/v1/chat/completions", json=content, timeout=20, trust_env=False, **more)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Iterator[Program]:
    running = Program(tmp_path_factory.mktemp("adapter") / "log")
    try:
        running.wait_until_it_listens()
        yield running
    finally:
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(10) == 128 + signal.SIGTERM
    assert "Traceback" not in running.log.read_text(), running.log.read_text()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def endpoint(program: Program, batch: int = 2, **changes: Any) -> Endpoint:
    """clipmill's client as the preset makes it, for this program."""
    section = {**PRESET, "openai": {**PRESET["openai"], "base_urls": [f"{program.url}/v1"], **changes}}
    settings, runtime = backends.settings("caption", section, PROMPTS), backends.runtime_settings("caption", section)
    client = backends.load("caption", settings, runtime).chat
    assert isinstance(client, Endpoint)
    client.batch = batch
    return client


def answers(client: Endpoint, requests: list[Request], task: Task = TASK) -> dict[str, Answer | ItemError]:
    return dict(outcome for outcome in client.answers(requests, task) if outcome is not None)


def grey(values: range | list[int]) -> tuple[bytes, ...]:
    return tuple(map(picture, values))


def mean_of_pictures(asked: Asked) -> str:
    means = [round(cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR).mean()) for one in asked.images]
    return "I see " + " ".join(map(str, means))


@slow
def test_a_client_with_the_preset_gets_an_answer_about_all_pictures_in_order(program):
    pictures = grey(range(0, 160, 20))
    with program.worker(mean_of_pictures) as worker:
        found = answers(endpoint(program), [Request("a", "What happens?", pictures)])
        assert found == {"a": Answer("I see 0 20 40 60 80 100 120 140")}
        worker.check()
    assert worker.asked == [Asked(PROMPT, pictures, 0.0, 1.0, PRESET["max_tokens"])]


@slow
def test_an_answer_has_the_form_of_a_chat_completion(program):
    with program.worker(lambda asked: "A cat sits."):
        reply = program.post(body()).json()
    assert reply.pop("id").startswith("chatcmpl-") and abs(reply.pop("created") - time.time()) < 60
    message = {"role": "assistant", "content": "A cat sits.", "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": None}  # the worker does not say why it ended
    assert reply == {"object": "chat.completion", "model": MODEL, "choices": [choice]}


@slow
def test_an_answer_ends_where_the_models_turn_ends(program):
    talkative = Said("A cat.<|im_end|><|im_start|>user and so on for a long time", delay=0.02)
    with program.worker(lambda asked: talkative) as worker:
        choice = program.post(body()).json()["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("A cat.", "stop")
        program.post(body())
        assert worker.gone >= 1  # it was not left to talk
        worker.check()


@slow
def test_the_worker_is_asked_one_question_at_a_time_and_each_gets_its_own_answer(program):
    count = 12
    with program.worker(lambda asked: Said(mean_of_pictures(asked), delay=0.005)) as worker:
        asked = [Request(str(number), "What happens?", grey([number * 10] * 8)) for number in range(count)]
        found = answers(endpoint(program, batch=PLACES), asked)
        worker.check()
    assert found == {str(number): Answer("I see" + f" {number * 10}" * 8) for number in range(count)}
    assert len(worker.asked) == count  # none was refused and asked again


@slow
def test_who_finds_all_places_taken_is_told_to_come_again_and_clipmill_does(program):
    hold = threading.Event()
    with program.worker(lambda asked: Said(mean_of_pictures(asked), hold=hold)) as worker, ExitStack() as stack:
        stack.callback(hold.set)
        found: dict[str, Answer | ItemError] = {}
        asked = [Request(str(number), "What happens?", grey([number * 10])) for number in range(PLACES + 1)]

        def ask() -> None:
            found.update(answers(endpoint(program, batch=len(asked), backoff_seconds=0.01), asked))

        asking = threading.Thread(target=ask)
        asking.start()
        wait_until(lambda: health(program).json().get("questions") == PLACES)
        refused = program.post(body())
        assert refused.status_code == 429 and int(refused.headers["Retry-After"]) >= 1
        assert refused.json()["error"]["message"].startswith(f"{PLACES} questions are asked or wait already")
        hold.set()
        asking.join(20)
        assert found == {str(number): Answer(f"I see {number * 10}") for number in range(PLACES + 1)}
        worker.check()
    assert len(worker.asked) == PLACES + 1


def health(program: Program) -> httpx2.Response:
    return httpx2.get(f"{program.url}/health", timeout=20, trust_env=False)


def wait_until(fact: Any) -> None:
    until = time.monotonic() + 10
    while not fact():
        assert time.monotonic() < until
        time.sleep(0.02)


def begin(program: Program, words: str) -> socket.socket:
    """Ask, and do not wait for the answer."""
    content = json.dumps(body(words)).encode()
    lines = ["POST /v1/chat/completions HTTP/1.1", "Host: a", "Content-Type: application/json"]
    head = "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""])
    connection = socket.create_connection(("127.0.0.1", program.port))
    connection.sendall(head.encode() + content)
    return connection


@slow
def test_a_client_that_goes_away_takes_its_question_back(program):
    hold = threading.Event()
    with program.worker(lambda asked: Said("Done.", hold=hold)) as worker, ExitStack() as stack:
        stack.callback(hold.set)
        asked, waiting = begin(program, "First?"), begin(program, "Second?")
        wait_until(lambda: worker.under_way == 1 and health(program).json()["questions"] == 2)
        waiting.close()
        wait_until(lambda: health(program).json()["questions"] == 1)
        asked.close()
        wait_until(lambda: worker.gone == 1 and health(program).json()["questions"] == 0)
        hold.set()
        assert program.post(body("Third?")).json()["choices"][0]["message"]["content"] == "Done."
        worker.check()
    prompts = [one.prompt for one in worker.asked]
    assert len(prompts) == 2 and "Third?" in prompts[1]  # one of the two that went away had been asked


@slow
def test_a_worker_that_is_busy_for_somebody_else_is_waited_for(program):
    hold = threading.Event()
    with program.worker(lambda asked: Said("A cat.", hold=hold)) as worker, ExitStack() as stack:
        stack.callback(hold.set)
        question = read_question(body("Theirs?"), MODEL)
        url = f"http://127.0.0.1:{program.worker_port}/worker_generate_stream"
        other = threading.Thread(target=httpx2.post, args=[url], kwargs={"json": question.body, "trust_env": False})
        other.start()
        wait_until(lambda: worker.under_way == 1)
        with begin(program, "Ours?"):
            time.sleep(0.3)
            assert len(worker.asked) == 1
            hold.set()
            wait_until(lambda: len(worker.asked) == 2)
        other.join(10)
        worker.check()


@slow
def test_a_worker_that_dies_in_the_middle_costs_a_try(program):
    said = iter([Said("A cat sits on a mat.", dies_after=3), Said("A cat sits.")])
    with program.worker(lambda asked: next(said)) as worker:
        client = endpoint(program, tries=2, backoff_seconds=0.01)
        assert answers(client, [Request("a", "What?", grey([7]))]) == {"a": Answer("A cat sits.")}
        assert len(worker.asked) == 2
    with program.worker(lambda asked: Said("A cat sits on a mat.", dies_after=3)):
        [error] = answers(endpoint(program, tries=1), [Request("a", "What?", grey([7]))]).values()
    assert isinstance(error, ItemError) and error.kind == "server_error"
    assert "status 502" in str(error) and "broke off" in str(error)


BROKEN = {
    "an error at once": (Said(fails_after=0), "failed with error_code 1; its log says why"),
    "an error in the middle": (Said("A cat sits.", fails_after=2), "failed with error_code 1; its log says why"),
    "another status": (Said(status=500), "says status 500; its log says why"),
    "no answer": (Said(raw=b""), "ended in the middle of an answer"),
    "half an object": (Said(raw=b'{"text": "A c'), "ended in the middle of an answer"),
    "no object": (Said(raw=b"[]\0"), "sent no answer of TinyChat: b'[]'"),
    "no JSON": (Said(raw=b"<html>\0"), "sent no answer of TinyChat: b'<html>'"),
    "another prompt": (Said("A cat.", echo="What else? "), "answered another prompt"),
}


@slow
@pytest.mark.parametrize(("said", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_the_workers_faults_become_errors_that_say_where_to_look(program, said: Said, message: str):
    with program.worker(lambda asked: said):
        reply = program.post(body())
    error = reply.json()["error"]
    assert reply.status_code == 502 and error["type"] == "server_error"
    assert f"the worker at http://127.0.0.1:{program.worker_port} {message}" in error["message"]


@slow
def test_a_worker_that_is_not_there_or_hangs_or_does_not_see_is_named(program):
    for reply in (program.post(body()), health(program)):
        assert reply.status_code == 503 and reply.headers["Retry-After"] == "10"
        assert f"no worker can be reached at http://127.0.0.1:{program.worker_port}" in reply.json()["error"]["message"]
    hold = threading.Event()
    with program.worker(lambda asked: Said("A cat.", hold=hold)) as worker:
        assert health(program).json()["worker"] == {"model_names": ["VILA1.5-40b-AWQ-4bit-AWQ"], "queue_length": 0}
        reply = program.post(body())
        assert reply.status_code == 504 and f"did not answer within {TIMEOUT:g} s" in reply.json()["error"]["message"]
        hold.set()
        wait_until(lambda: not worker.under_way)
    with program.worker(lambda asked: "A cat.", name="llama-7b") as worker:
        reply = program.post(body())
        assert reply.status_code == 502 and "it does not look at pictures" in reply.json()["error"]["message"]
        assert not worker.asked
    with program.worker(lambda asked: "A cat."):
        assert program.post(body()).status_code == 200  # it is asked again as soon as it is there


@slow
def test_what_the_worker_cannot_do_costs_an_item_and_says_what_to_change(program):
    tasks = {
        "set system: null": Task(max_tokens=64, images=1, system="Be brief."),
        "set structured: false": Task(max_tokens=64, images=1, schema={"type": "object"}),
        "set send: images": Task(max_tokens=64, images=1, as_video=True),
        "1025 is more than 1024": Task(max_tokens=1025, images=1),
    }
    with program.worker(lambda asked: "A cat.") as worker:
        for advice, task in tasks.items():
            [error] = answers(endpoint(program), [Request("a", "What?", grey([7]))], task).values()
            assert isinstance(error, ItemError) and error.kind == "refused" and advice in str(error)
    assert not worker.asked


@slow
def test_other_requests_are_refused_in_openais_form(program):
    chat = f"{program.url}/v1/chat/completions"
    get = {"timeout": 20, "trust_env": False}
    assert httpx2.get(f"{program.url}/v1/models", **get).json()["data"][0]["id"] == MODEL
    large = body("x" * (32 << 20))
    replies = {
        404: httpx2.get(f"{program.url}/v1/embeddings", **get),
        405: httpx2.get(chat, **get),
        400: httpx2.post(chat, content=b"{", headers={"Content-Type": "application/json"}, **get),
        415: httpx2.post(chat, content=json.dumps(body()), headers={"Content-Type": "text/plain"}, **get),
        413: program.post(large),
    }
    for status, reply in replies.items():
        assert reply.status_code == status
        assert reply.json()["error"].keys() == {"message", "type", "param", "code"}


@slow
def test_addresses_that_cannot_be_used_are_named(program):
    faults = {
        ("--port", str(program.port)): f"--host 127.0.0.1 --port {program.port}: Address already in use",
        ("--worker", "localhost:40000"): "--worker localhost:40000: this is no address such as http://127.0.0.1:40000",
    }
    for options, message in faults.items():
        done = subprocess.run([sys.executable, str(TOOL), *options], capture_output=True, text=True)
        assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr
