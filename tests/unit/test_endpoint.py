"""Requests to servers that speak OpenAI's protocol: each gets its own answer or an error, whatever the servers do."""

from __future__ import annotations

import email.utils
import gc
import json
import logging
import random
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from chat_server import Asked, ChatServer, Reply, free_port, refusal
from clipmill.base.errors import ItemError, SetupError
from clipmill.base.opencv import cv2
from clipmill.chat import PASSING, Answer, Outcome, Request, Task, endpoint
from clipmill.chat.endpoint import Endpoint
from clipmill.chat.keys import HIDDEN, Secrets

TASK = Task(max_tokens=64)
TRIES = 3
CANARY = 'canary/key+0123456789="abcdef'
VARIABLE = "A_KEY_OF_THE_TESTS"
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}

pytestmark = pytest.mark.filterwarnings("error")  # sockets and tasks that are left behind


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, and nothing that the client's package reads by itself."""
    names = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "OPENAI_API_KEY")
    for name in (*names, "OPENAI_CUSTOM_HEADERS"):
        monkeypatch.delenv(name, raising=False)


def client(*servers: ChatServer | str, batch: int = 64, **more: Any) -> Endpoint:
    """An endpoint of these servers or addresses that loses no time between tries."""
    settings = {
        "model": "m",
        "revision": None,
        "api_key_env": None,
        "headers": {},
        "tries": TRIES,
        "backoff_seconds": 0.01,
        "timeout_seconds": 60,
        "options": {},
    }
    urls = [server if isinstance(server, str) else server.url for server in servers]
    made = Endpoint(urls, **{**settings, **more})
    made.batch = batch
    return made


def questions(count: int) -> list[Request]:
    return [Request(f"clip {number}", f"What is in clip {number}?") for number in range(count)]


def collected(outcomes: Iterator[Outcome | None]) -> dict[str, Answer | ItemError]:
    """By id, in the order in which they came."""
    found: dict[str, Answer | ItemError] = {}
    for outcome in outcomes:
        if outcome is not None:
            assert outcome[0] not in found
            found[outcome[0]] = outcome[1]
    return found


def ask(model: Endpoint, request: Request = Request("a", "?"), task: Task = TASK) -> Answer | ItemError:  # noqa: B008
    """What comes of one request."""
    return collected(model.answers([request], task))[request.id]


def refused(model: Endpoint, count: int = 1) -> str:
    """The one line in which the job ends."""
    with pytest.raises(SetupError) as caught:
        collected(model.answers(questions(count), TASK))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def number_of(asked: Asked) -> int:
    return int(asked.prompt.removeprefix("What is in clip ").removesuffix("?"))


def jpeg(grey: int) -> bytes:
    return cv2.imencode(".jpg", np.full((6, 8, 3), grey, np.uint8))[1].tobytes()


# --- many requests ----------------------------------------------------------------------------------------------------

# What becomes of every 20th request, from the number on.
FATES = {
    3: ("refused", refusal(400, "too long")),
    7: ("server_error", refusal(500, "out of memory")),
    8: ("busy", refusal(429, "slow down")),
    11: ("broken_off", Reply("half of it", share=0.5)),
    12: ("broken_off", Reply(dies=True)),
    13: ("bad_answer", Reply(body=b"{")),
    17: ("empty_answer", Reply(" ")),
    19: ("filtered", Reply("", finish="content_filter")),
}


@pytest.mark.slow
def test_each_of_500_requests_gets_its_own_answer_or_error_though_a_server_dies():
    """Answers come in any order, one of eight requests stumbles once, and one of two servers is stopped meanwhile."""

    def answer(asked: Asked) -> Reply:
        number = number_of(asked)
        drawn = random.Random(f"{number} {asked.tries}")
        if number % 20 in FATES:
            return FATES[number % 20][1]
        if number % 8 == 6 and asked.tries == 1:
            return drawn.choice([refusal(503, "starting"), Reply(dies=True), Reply("no", share=0.1), refusal(429, "!")])
        return Reply(f"It is number {number}.", delay=drawn.uniform(0, 0.03))

    with ChatServer(answer) as dying, ChatServer(answer) as staying:
        found = {}
        for outcome in client(dying, staying, tries=6).answers(questions(500), TASK):
            if outcome is not None:
                assert outcome[0] not in found
                found[outcome[0]] = outcome[1]
            if len(found) == 150:
                dying.stop()
    assert dying.asked and len(staying.asked) > 350
    dying.check()
    staying.check()
    assert list(found) != sorted(found, key=lambda name: int(name.split()[1]))
    assert len(found) == 500
    for number in range(500):
        result = found[f"clip {number}"]
        if number % 20 in FATES:
            assert isinstance(result, ItemError), number
            last = "broken_off" if dying.url in str(result) and result.kind == "broken_off" else FATES[number % 20][0]
            assert result.kind == last, (number, result)
        else:
            assert result == Answer(f"It is number {number}."), number


def test_no_more_than_batch_are_under_way_or_taken_ahead():
    batch, taken, done = 7, 0, 0
    full = threading.Event()

    def answer(asked: Asked) -> Reply:
        if len(server.asked) == batch:  # which come before the first answer, on however busy a machine
            full.set()
        return Reply("Fine.", hold=full, delay=random.Random(asked.prompt).uniform(0, 0.01))

    def requests() -> Iterator[Request]:
        nonlocal taken
        for request in questions(60):
            taken += 1
            yield request

    with ChatServer(answer) as server:
        for _ in client(server, batch=batch).answers(requests(), TASK):
            assert taken - done <= batch
            done += 1
    assert done == taken == 60
    assert server.most_under_way == batch


def test_servers_share_the_load():
    """Those six are under way at once, two at each of three servers; then each gets something to do as it is done."""
    full = threading.Event()

    def answer(asked: Asked) -> Reply:
        if sum(len(server.asked) for server in servers) == 6:
            full.set()
        return Reply("Fine.", hold=full)

    with ExitStack() as stack:
        servers = [stack.enter_context(ChatServer(answer)) for _ in range(3)]
        assert len(collected(client(*servers, batch=6).answers(questions(60), TASK))) == 60
    assert [server.most_under_way for server in servers] == [2, 2, 2]
    assert sum(len(server.asked) for server in servers) == 60
    assert all(server.asked for server in servers)


def test_a_server_that_fails_at_once_keeps_no_request_from_the_other():
    """It always has the least to do, but a request that has failed there goes elsewhere."""

    def answer(asked: Asked) -> Reply:
        return Reply(f"It is number {number_of(asked)}.", delay=0.01)

    with ChatServer(lambda asked: refusal(500, "broken")) as broken, ChatServer(answer) as slow:
        found = collected(client(broken, slow, tries=2, batch=8).answers(questions(40), TASK))
    assert found == {f"clip {number}": Answer(f"It is number {number}.") for number in range(40)}
    assert broken.asked


def test_where_nobody_listens_is_left_out_while_another_server_answers():
    with ChatServer(lambda asked: "Fine.") as server:
        model = client(f"http://127.0.0.1:{free_port()}/v1", server, tries=1)
        assert collected(model.answers(questions(30), TASK)) == {r.id: Answer("Fine.") for r in questions(30)}


def test_it_is_told_when_nothing_comes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(endpoint, "IDLE_SECONDS", 0.02)
    heard = threading.Event()
    with ChatServer(lambda asked: Reply("Fine.", hold=heard)) as server:
        outcomes = client(server).answers(questions(1), TASK)
        assert next(outcomes) is None
        heard.set()
        assert collected(outcomes) == {"clip 0": Answer("Fine.")}


def test_a_caller_that_stops_leaves_nothing_behind(caplog: pytest.LogCaptureFixture):
    never, threads = threading.Event(), set(threading.enumerate())

    def answer(asked: Asked) -> Reply:
        return Reply("Fine.") if number_of(asked) == 5 else Reply(hold=never)

    with ChatServer(answer) as server:
        outcomes = client(server, batch=10).answers(iter(questions(20)), TASK)
        assert next(outcome for outcome in outcomes if outcome) == ("clip 5", Answer("Fine."))
        outcomes.close()
        assert len(server.asked) <= 11
    gc.collect()
    for thread in set(threading.enumerate()) - threads:
        thread.join(10)
        assert not thread.is_alive()
    assert not caplog.records


def test_a_caller_that_fails_is_told_its_own_error():
    def requests() -> Iterator[Request]:
        yield from questions(3)
        raise OSError("no more frames")

    with ChatServer(lambda asked: "Fine.") as server, pytest.raises(OSError, match="no more frames"):
        collected(client(server).answers(requests(), TASK))


def test_what_has_come_is_handed_over_before_the_job_ends(monkeypatch: pytest.MonkeyPatch, caplog):
    """Where answers and refused keys come at the same time."""

    async def answer(self: Endpoint, question: Any, *_: Any) -> Outcome:
        name = question.request.id
        if int(name.split()[1]) % 4 == 1:
            raise SetupError("the key is refused")
        return name, Answer("Fine.")

    monkeypatch.setattr(Endpoint, "_answer", answer)
    found = []
    with pytest.raises(SetupError, match="the key is refused"):
        found.extend(client("http://127.0.0.1:1/v1").answers(questions(12), TASK))
    assert {name for name, _ in found} == {f"clip {number}" for number in range(12) if number % 4 != 1}
    gc.collect()
    assert not caplog.records  # of errors that nobody looked at


# --- faults of a server -----------------------------------------------------------------------------------------------

NEVER = threading.Event()
FAULTS = {
    "status 500": ("server_error", refusal(500, "out of memory")),
    "status 503": ("server_error", Reply(status=503, body=b"<html>Unavailable</html>", kind="text/html")),
    "status 408": ("server_error", refusal(408, "too slow")),
    "status 429": ("busy", refusal(429, "slow down")),
    "an error of VILA": ("server_error", Reply(status=500, body=b'{"error": "CUDA out of memory"}')),
    "no answer": ("timeout", Reply(hold=NEVER)),
    "an answer that never ends": ("timeout", Reply(drips=True)),
    "half an answer": ("broken_off", Reply("It is a long text.", share=0.5)),
    "half an error": ("broken_off", refusal(500, "out of memory", share=0.5)),
    "an answer longer than it is": ("broken_off", Reply(body=b"{}", headers={"Content-Length": "1000"}, share=0.99)),
    "a closed connection": ("broken_off", Reply(dies=True)),
    "half a JSON": ("bad_answer", Reply(body=b'{"choices": [')),
    "no JSON": ("bad_answer", Reply(body=b"<html>Welcome</html>", kind="text/html")),
    "no UTF-8": ("bad_answer", Reply(body=b"\xff\xfe\xfd")),
    "nothing": ("bad_answer", Reply(body=b"")),
    "a list": ("bad_answer", Reply(body=b"[]")),
    "no choice": ("bad_answer", Reply(body=b'{"choices": []}')),
    "no message": ("bad_answer", Reply(body=b'{"choices": [{"text": "It is"}]}')),
    "a message of another kind": ("bad_answer", Reply(body=b'{"choices": [{"message": "It is"}]}')),
    "a number": ("bad_answer", Reply(body=b'{"choices": [{"message": {"content": 7}}]}')),
    "parts of another kind": ("bad_answer", Reply(body=b'{"choices": [{"message": {"content": ["It is"]}}]}')),
    "an error as an answer": ("bad_answer", Reply(body=b'{"error": {"message": "overloaded"}}')),
    "a deep JSON": ("bad_answer", Reply(body=b"[" * 100_000)),
    "an empty text": ("empty_answer", Reply("")),
    "no text": ("empty_answer", Reply(None)),
    "white space": ("empty_answer", Reply(" \n\t")),
    "thoughts up to the limit": ("empty_answer", Reply("", finish="length")),
    "status 400": ("refused", refusal(400, "the prompt is too long")),
    "status 413": ("refused", Reply(status=413, body=b"", kind="text/plain")),
    "status 422": ("refused", Reply(status=422, body=b'{"detail": [{"msg": "no such role"}]}')),
    "a filter": ("filtered", Reply("It is", finish="content_filter")),
}


def seconds_for(kind: str, seconds: float) -> float:
    """A time limit that is reached where that is the fault, and nowhere else."""
    return seconds if kind == "timeout" else 60


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_its_kind_and_is_tried_again_where_that_may_help(name: str):
    kind, reply = FAULTS[name]
    with ChatServer(lambda asked: reply) as server:
        result = ask(client(server, timeout_seconds=seconds_for(kind, 0.2)))
    assert isinstance(result, ItemError)
    assert result.kind == kind
    assert "\n" not in str(result) and len(str(result)) < 500
    assert str(result).startswith(server.url)
    assert len(server.asked) == (TRIES if kind in PASSING else 1)
    assert ("(3 tries)" in str(result)) == (kind in PASSING)
    assert result.lasting == (kind in ("refused", "filtered"))
    assert len({json.dumps(asked.body) for asked in server.asked}) == 1
    server.check()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, (kind, _) in FAULTS.items() if kind in PASSING])
def test_a_fault_that_passes_costs_nothing_but_a_try(name: str):
    kind, reply = FAULTS[name]
    with ChatServer(lambda asked: reply if asked.tries < TRIES else "It is a cat.") as server:
        assert ask(client(server, timeout_seconds=seconds_for(kind, 1.5))) == Answer("It is a cat.")
    assert [asked.tries for asked in server.asked] == [1, 2, 3]


def test_what_the_server_says_is_told():
    for name, said in {
        "status 500": "out of memory",
        "status 503": "<html>Unavailable",
        "status 422": "no such role",
    }.items():
        with ChatServer(lambda asked, reply=FAULTS[name][1]: reply) as server:
            assert f"{name}: " in str(ask(client(server, tries=1))) and said in str(ask(client(server, tries=1)))


def test_a_server_is_given_the_time_that_it_asks_for():
    """As a number of seconds, or a date. What is neither is not waited for."""
    waits = {"1": 0.9, "date": 0.9, "-5": 0, "soon": 0, "nan": 0, "Wed, 21 Oct 2015 07:28:00 GMT": 0}

    def answer(asked: Asked) -> Reply | str:
        if asked.tries > 1:
            return "Fine."
        date = email.utils.formatdate(time.time() + 2, usegmt=True)  # whole seconds
        return refusal(429, "slow down", headers={"Retry-After": date if asked.prompt == "date" else asked.prompt})

    with ChatServer(answer) as server:
        found = collected(client(server, tries=2).answers([Request(text, text) for text in waits], TASK))
    assert found == dict.fromkeys(waits, Answer("Fine."))
    times = {(asked.prompt, asked.tries): asked.at for asked in server.asked}
    for text, least in waits.items():
        waited = times[text, 2] - times[text, 1]
        assert waited >= least
        assert least or waited < 0.9, text


@pytest.mark.parametrize("asked_for", ["100000", "inf", "1e300"])
def test_no_server_makes_it_wait_for_ever(asked_for: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(endpoint, "LONGEST_WAIT", 0.05)
    busy = refusal(429, "slow down", headers={"Retry-After": asked_for})
    with ChatServer(lambda asked: busy if asked.tries == 1 else "Fine.") as server:
        assert ask(client(server)) == Answer("Fine.")


def test_waits_grow(monkeypatch: pytest.MonkeyPatch):
    with ChatServer(lambda asked: refusal(500, "!")) as server:
        ask(client(server, tries=4, backoff_seconds=0.1))
    times = [asked.at for asked in server.asked]
    assert all(times[tried + 1] - times[tried] >= 0.1 * 2**tried for tried in range(3))


# --- faults of the set-up ---------------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_ends_the_job():
    url = f"http://127.0.0.1:{free_port()}/v1"
    assert refused(client(url, tries=2), count=10).startswith(f"{url}: cannot be reached (ConnectError")


def test_all_servers_that_are_not_there_are_named():
    urls = [f"http://127.0.0.1:{free_port()}/v1" for _ in range(2)]
    said = refused(client(*urls, tries=2), count=10)
    assert all(f"{url}: cannot be reached" in said for url in urls)


def test_a_machine_that_does_not_answer_is_not_there():
    """Its queue of connections is full, so that the next one hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent, ExitStack() as stack:
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(silent.getsockname())
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        assert f"{url}: cannot be reached (ConnectTimeout" in refused(client(url, tries=1, timeout_seconds=0.4))


def test_a_server_that_is_stopped_ends_the_job_when_all_others_are():
    with ChatServer(lambda asked: "Fine.") as server:
        outcomes = client(server, batch=4, tries=2).answers(questions(50), TASK)
        assert next(outcomes)
        server.stop()
        with pytest.raises(SetupError, match="cannot be reached") as caught:
            collected(outcomes)
    assert server.url in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_ends_the_job_and_its_variable_is_named(status: int, monkeypatch, caplog):
    monkeypatch.setenv(VARIABLE, CANARY)
    with ChatServer(lambda asked: refusal(status, "no access")) as server:
        said = refused(client(server, api_key_env=VARIABLE), count=64)
        assert VARIABLE in said and f"{server.url}: status {status}: no access" in said
        assert "api_key_env is not set" in refused(client(server))
    gc.collect()
    assert not caplog.records  # of the other refusals


def test_a_model_that_is_not_served_ends_the_job():
    with ChatServer(lambda asked: refusal(404, "The model `m` does not exist.")) as server:
        said = refused(client(server))
    assert server.url in said and "model 'm'" in said and "base_urls" in said
    assert len(server.asked) == 1


@pytest.mark.parametrize("reply", [refusal(429, "You exceeded it.", "insufficient_quota"), refusal(402, "No balance.")])
def test_an_account_without_money_ends_the_job(reply: Reply):
    with ChatServer(lambda asked: reply) as server:
        assert "quota is used up" in refused(client(server))
    assert len(server.asked) == 1


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_variable_that_is_not_set_is_named(value: str | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    for model in (
        client("http://x/v1", api_key_env=VARIABLE),
        client("http://x/v1", headers={"X": f"a ${{{VARIABLE}}}"}),
    ):
        assert f"variable {VARIABLE} is not set" in refused(model)


@pytest.mark.parametrize("url", ["http://127.0.0.1:eight/v1", "http://[::1/v1", "http://127.0.0.1:800000/v1"])
def test_an_address_that_is_none_is_named(url: str):
    assert url in refused(client(url))


def test_a_server_that_points_elsewhere_is_not_followed(monkeypatch: pytest.MonkeyPatch):
    """A header with a key would go to wherever it points."""
    monkeypatch.setenv(VARIABLE, CANARY)
    with ChatServer(lambda asked: "Fine.") as elsewhere:
        there = f"{elsewhere.url}/chat/completions"
        with ChatServer(lambda asked: Reply(status=307, headers={"Location": there}, body=b"")) as server:
            said = refused(client(server, headers={"api-key": f"${{{VARIABLE}}}"}))
    assert server.url in said and there in said and "base_urls" in said
    assert not elsewhere.asked


def test_each_server_is_checked_by_itself():
    with ChatServer(lambda asked: "Fine.") as first, ChatServer(lambda asked: "Fine.") as second:
        alone = list(client(first, second, batch=3).servers())
        assert [ask(one) for one in alone] == [Answer("Fine.")] * 2
    assert [len(server.asked) for server in (first, second)] == [1, 1]


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (Reply(" It is a cat.\n"), Answer("It is a cat.")),
        (Reply("It is a", finish="length"), Answer("It is a", whole=False)),
        (Reply("It is", finish=None), Answer("It is")),
        (Reply("word " * 20_000), Answer(("word " * 20_000).strip())),
        (Reply("Eine Straße, 街道, 🎬 ñ"), Answer("Eine Straße, 街道, 🎬 ñ")),
        (Reply("half a clapper: \ud83c"), Answer("half a clapper: ?")),
        (
            Reply(body=b'{"choices": [{"message": {"content": null, "refusal": "I cannot."}}]}'),
            Answer("I cannot."),
        ),
        (
            Reply(body=b'{"choices": [{"message": {"content": [{"type": "text", "text": "It "}, {"text": "is."}]}}]}'),
            Answer("It is."),
        ),
        (Reply(body=b'\n\n  {"choices": [{"message": {"content": "It is."}}]}'), Answer("It is.")),
        (Reply("<think>A cat?</think>\n\nIt is."), Answer("It is.")),
        (Reply(body=b'{"choices": [{"message": {"content": "It is.", "reasoning": "A cat?"}}]}'), Answer("It is.")),
    ],
)
def test_a_text_arrives_as_it_was_said(reply: Reply, answer: Answer):
    with ChatServer(lambda asked: reply) as server:
        assert ask(client(server)) == answer


def test_a_servers_message_may_hold_anything():
    """It goes into tables, which hold no half characters."""
    with ChatServer(lambda asked: refusal(400, "half: \ud83c\n\nline two " + "x" * 1000)) as server:
        message = str(ask(client(server)))
    assert "half: ? line two xxx" in message and len(message) < 400
    message.encode()


# --- requests ---------------------------------------------------------------------------------------------------------


def body_of(request: Request, task: Task = TASK, **more: Any) -> Asked:
    """What arrives at a server."""
    with ChatServer(lambda asked: "Fine.") as server:
        assert ask(client(server, **more), request, task) == Answer("Fine.")
    server.check()
    (asked,) = server.asked
    return asked


def test_a_question_without_pictures_is_a_text():
    assert body_of(Request("a", "Say {x} or \n“y”.")).body == {
        "model": "m",
        "max_tokens": 64,
        "temperature": 0.0,
        "messages": [{"role": "user", "content": "Say {x} or \n“y”."}],
    }


def test_pictures_arrive_unchanged_in_their_order_before_the_words():
    images = (jpeg(10), jpeg(200), jpeg(90))
    asked = body_of(Request("a", "What is it?", images), Task(max_tokens=64, images=3))
    assert asked.images == list(images)
    assert asked.sizes == [(8, 6)] * 3
    assert [part["type"] for part in asked.parts] == ["image_url", "image_url", "image_url", "text"]
    assert asked.prompt == "What is it?"


def test_a_video_is_one_part_with_its_rate():
    images = (jpeg(10), jpeg(200), jpeg(90))
    task = Task(max_tokens=64, images=3, as_video=True)
    asked = body_of(Request("a", "What is it?", images, fps=2.5), task)
    assert asked.images == list(images)
    assert [part["type"] for part in asked.parts] == ["video_url", "text"]
    assert asked.body["media_io_kwargs"] == {"video": {"num_frames": -1, "fps": 2.5}}
    assert "media_io_kwargs" not in body_of(Request("a", "What is it?"), task).body  # a check sends no picture


def test_a_system_message_goes_where_there_is_one():
    asked = body_of(Request("a", "What is it?"), Task(max_tokens=64, system="Be brief."))
    assert [message["role"] for message in asked.body["messages"]] == ["system", "user"]
    assert asked.body["messages"][0]["content"] == "Be brief."


def test_a_schema_goes_as_response_format():
    asked = body_of(Request("a", "What is it?"), Task(max_tokens=64, schema=SCHEMA))
    described = {"name": "answer", "strict": True, "schema": SCHEMA}
    assert asked.body["response_format"] == {"type": "json_schema", "json_schema": described}


def test_a_seed_goes_where_it_counts():
    assert "seed" not in body_of(Request("a", "?", temperature=0, seed=5)).body
    body = body_of(Request("a", "?", temperature=0.7, seed=5)).body
    assert (body["temperature"], body["seed"]) == (0.7, 5)


def test_options_add_replace_and_remove_fields():
    options = {"max_tokens": None, "max_completion_tokens": 30, "temperature": 1, "top_p": 0.5, "seed": None}
    body = body_of(Request("a", "?", temperature=0.7, seed=5), options=options).body
    assert body.keys() == {"model", "messages", "max_completion_tokens", "temperature", "top_p"}
    assert (body["max_completion_tokens"], body["temperature"], body["top_p"]) == (30, 1, 0.5)


# --- servers that refuse a field --------------------------------------------------------------------------------------

LONG = {**SCHEMA, "properties": {"a": {"type": "string", "maxLength": 9}, "b": {"type": "array", "maxItems": 3}}}
NO_THINKING = {"enable_thinking": False}
FULL = Task(max_tokens=64, schema={**LONG, "required": ["a", "b"]}, template=NO_THINKING)


def lengths_of(asked: Asked) -> set[str]:
    """The bounds on lengths in the schema of a request."""
    return {word for word in ("maxLength", "maxItems") if word in json.dumps(asked.body.get("response_format"))}


def without_template(asked: Asked) -> Reply | str:
    if "chat_template_kwargs" in asked.body:
        return refusal(400, "Unrecognized request argument supplied: chat_template_kwargs")
    return "Fine."


def strict(asked: Asked) -> Reply | str:
    """A service that takes neither the template nor lengths, and names one of them at a time."""
    if lengths_of(asked):
        said = "Invalid schema for response_format 'answer': In context=(), 'maxLength' is not permitted."
        return refusal(400, said) if "chat_template_kwargs" not in asked.body else without_template(asked)
    return without_template(asked)


def test_values_for_the_template_go_where_there_are_any():
    assert body_of(Request("a", "?"), Task(64, template=NO_THINKING)).body["chat_template_kwargs"] == NO_THINKING
    for none in (None, {}):
        assert "chat_template_kwargs" not in body_of(Request("a", "?"), Task(64, template=none)).body


@pytest.mark.parametrize(
    "said",
    [
        "Unrecognized request argument supplied: chat_template_kwargs",  # OpenAI
        "Unknown parameter: 'chat_template_kwargs'.",  # OpenAI
        'Invalid JSON payload received. Unknown name "chat_template_kwargs": Cannot find field.',  # Gemini
        "chat_template is not supported for Mistral tokenizers.",  # vLLM
    ],
)
def test_a_server_that_refuses_the_template_is_asked_without_it_from_then_on(said, caplog):
    def answer(asked: Asked) -> Reply | str:
        return refusal(400, said) if "chat_template_kwargs" in asked.body else "Fine."

    task = Task(64, template=NO_THINKING)
    with ChatServer(answer) as server, ChatServer(lambda asked: "Fine.") as other:
        model = client(server)
        assert ask(model, task=task) == Answer("Fine.")
        assert collected(model.answers(questions(3), task)) == {f"clip {n}": Answer("Fine.") for n in range(3)}
        assert len(server.asked) == 2 + 3
        assert ask(client(other), task=task) == Answer("Fine.")
    (warning,) = caplog.messages
    assert warning.startswith(f"{server.url}: status 400: ")
    assert warning.endswith("; asked without chat_template_kwargs from now on")
    assert "chat_template_kwargs" in other.asked[0].body


def test_a_service_that_takes_neither_template_nor_lengths():
    with ChatServer(strict) as server:
        model = client(server)
        (checked,) = model.servers()  # what a check has learned is known afterwards
        assert ask(checked, task=FULL) == ask(model, task=FULL) == Answer("Fine.")
    assert [("chat_template_kwargs" in asked.body, len(lengths_of(asked))) for asked in server.asked] == [
        (True, 2),
        (False, 2),
        (False, 0),
        (False, 0),
    ]
    last = server.asked[-1].body["response_format"]["json_schema"]
    assert last["strict"] is True and last["schema"]["properties"] == {"a": {"type": "string"}, "b": {"type": "array"}}


@pytest.mark.parametrize("said", ["the prompt has 9000 tokens", "bad schema", "chat_template, schema: {your body}"])
def test_what_is_refused_for_another_reason_is_not_asked_for_ever(said):
    """A server may repeat the request in its answer, so a word in it proves nothing: later requests are whole."""

    def answer(asked: Asked) -> Reply | str:
        return refusal(400, said) if "long" in asked.prompt else "Fine."

    with ChatServer(answer) as server:
        model = client(server)
        told = ask(model, Request("a", "long"), FULL)
        assert isinstance(told, ItemError) and told.kind == "refused" and said in str(told)
        tries = 1 + ("chat_template" in said) + ("schema" in said)
        assert len(server.asked) == tries
        assert ask(model, task=FULL) == Answer("Fine.")
    assert server.asked[-1].body["chat_template_kwargs"] and lengths_of(server.asked[-1])


def test_what_the_request_does_not_hold_is_not_left_out():
    with ChatServer(lambda asked: refusal(400, "no schema, no chat_template_kwargs")) as server:
        model = client(server, options={"response_format": None, "chat_template_kwargs": None})
        assert ask(model, task=FULL).kind == "refused"
    assert len(server.asked) == 1


# --- one more kind of server ------------------------------------------------------------------------------------------


def test_vilas_own_server_is_understood():
    """It takes no system message, drops what it does not know, and answers in parts."""
    request = Request("a", "What is it?", (jpeg(10),))
    with ChatServer(lambda asked: "It is a cat.", as_vila=True, model="VILA1.5-40B-AWQ") as server:
        model = client(server, model="VILA1.5-40B-AWQ")
        assert ask(model, request, Task(max_tokens=64, images=1, schema=SCHEMA)) == Answer("It is a cat.")
        server.check()
        with_system = ask(model, request, Task(max_tokens=64, images=1, system="Be brief."))
        assert isinstance(with_system, ItemError) and with_system.kind == "refused"
    assert server.asked[0].images == [jpeg(10)]


# --- headers and keys -------------------------------------------------------------------------------------------------

AMBIENT = {
    "OPENAI_API_KEY": "ambient-key",
    "OPENAI_ADMIN_KEY": "ambient-admin",
    "OPENAI_ORG_ID": "ambient-organization",
    "OPENAI_PROJECT_ID": "ambient-project",
    "OPENAI_BASE_URL": "http://ambient/v1",
    "OPENAI_CUSTOM_HEADERS": "Authorization: Bearer ambient-header\nX-Ambient: ambient-header\nauthorization: ambient",
}


@pytest.fixture
def ambient(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """What other programs of the user are set up with."""
    for name, value in AMBIENT.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "netrc").write_text("default login ambient-login password ambient-password\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv(VARIABLE, CANARY)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({}, None),
        ({"api_key_env": VARIABLE}, f"Bearer {CANARY}"),
        ({"headers": {"Authorization": f"Key ${{{VARIABLE}}}"}}, f"Key {CANARY}"),
        ({"headers": {"authorization": f"Key ${{{VARIABLE}}}"}}, f"Key {CANARY}"),
        ({"api_key_env": VARIABLE, "headers": {"AUTHORIZATION": "none"}}, "none"),
    ],
)
def test_a_server_is_told_the_configs_key_and_no_other(settings: dict[str, Any], key: str | None, ambient):
    headers = body_of(Request("a", "?"), **settings).headers
    assert headers.get("authorization") == key
    assert not [value for value in headers.values() if "ambient" in value]
    assert not headers.keys() & {"openai-organization", "openai-project"}


def test_headers_of_the_config_are_sent(ambient):
    more = {"X-One": "1", "api-key": f"a-${{{VARIABLE}}}-b", "OpenAI-Organization": "ours"}
    headers = body_of(Request("a", "?"), headers=more).headers
    assert (headers["x-one"], headers["api-key"], headers["openai-organization"]) == ("1", f"a-{CANARY}-b", "ours")


def echo(asked: Asked) -> str:
    return asked.headers["authorization"].removeprefix("Bearer ")


ECHOES = {
    "status 400": lambda asked: refusal(400, f"the key {echo(asked)} is odd"),
    "status 401": lambda asked: refusal(401, f"the key {echo(asked)} is odd"),
    "status 404": lambda asked: refusal(404, f"the key {echo(asked)} is odd"),
    "status 429": lambda asked: refusal(429, f"the key {echo(asked)} is busy"),
    "status 500": lambda asked: refusal(500, f"the key {echo(asked)} is odd"),
    "an error without a message": lambda asked: Reply(status=500, body=json.dumps({"headers": asked.headers}).encode()),
    "escaped": lambda asked: Reply(status=500, body=json.dumps({"k": echo(asked)}).replace("/", "\\/").encode()),
    "escaped, no JSON": lambda asked: Reply(body=json.dumps({"k": echo(asked)}).replace("/", "\\/").encode() + b"!"),
    "a page": lambda asked: Reply(status=502, body=f"<p>{echo(asked)}</p>".encode(), kind="text/html"),
    "cut in the middle": lambda asked: refusal(500, "x" * (300 - len(CANARY) // 2) + echo(asked)),
    "no completion": lambda asked: Reply(body=json.dumps({"you": asked.headers}).encode()),
    "a finish reason": lambda asked: Reply("", finish=echo(asked)),
    "a text": lambda asked: Reply(f"The key is {echo(asked)}, I think."),
    "a redirect": lambda asked: Reply(status=307, body=b"", headers={"Location": f"http://x/{echo(asked)}"}),
    "a header": lambda asked: Reply("Fine.", headers={"X-Echo": echo(asked)}),
    "a broken header": lambda asked: Reply("Fine.", headers={"X Echo": echo(asked)}),
    "a status line": lambda asked: Reply(status=500, body=b"", headers={"Content-Length": echo(asked)}),
    "half an answer": lambda asked: Reply(f"The key is {echo(asked)}.", headers={"X-Echo": echo(asked)}, share=0.9),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ECHOES)
def test_no_text_repeats_a_key(name: str, monkeypatch, caplog):
    """Whatever the server says back; in no log, even where everything is logged."""
    monkeypatch.setenv(VARIABLE, CANARY)
    caplog.set_level(logging.DEBUG)
    with ChatServer(ECHOES[name]) as server:
        model = client(server, api_key_env=VARIABLE, tries=2)
        try:
            result = ask(model)
            said = "".join(traceback.format_exception(result)) if isinstance(result, ItemError) else result.text
        except SetupError as error:
            said = "".join(traceback.format_exception(error))
    assert server.asked and all(CANARY in asked.headers["authorization"] for asked in server.asked)
    for text in (said, caplog.text, json.dumps(model.about)):
        assert "canary" not in text and "0123456789" not in text
    if name in ("status 500", "a text"):
        assert HIDDEN in said


@pytest.mark.parametrize("value", ["canary-0123456789\nabc", "canary-0123456789…", "canary-01234\t56789"])
def test_a_variable_that_holds_no_key_is_named(value: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, value)
    for model in (
        client("http://x/v1", api_key_env=VARIABLE),
        client("http://x/v1", headers={"X": f"${{{VARIABLE}}}"}),
    ):
        said = refused(model)
        assert VARIABLE in said and "canary" not in said


def test_only_what_was_given_out_is_hidden(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LONG", "canary-0123456789-and-more")
    monkeypatch.setenv("PART", "canary-0123456789")
    monkeypatch.setenv("SHORT", "none")
    secrets, text = Secrets(), "canary-0123456789-and-more, canary-0123456789, none of them"
    assert secrets.hide(text) == text
    assert (
        secrets.fill("X-Key", "${LONG} and ${SHORT}, $LONG {PART}")
        == "canary-0123456789-and-more and none, $LONG {PART}"
    )
    assert secrets.hide(text) == f"{HIDDEN}, canary-0123456789, none of them"
    secrets.get("PART")
    assert secrets.hide(text) == f"{HIDDEN}, {HIDDEN}, none of them"


@pytest.mark.parametrize(
    ("header", "variable", "secret"),
    [("X-Project", "PROJECT", False), ("X-Api-Key", "PROJECT", True), ("X-Project", "MY_TOKEN", True)],
)
def test_words_of_ordinary_headers_may_stand_in_captions(monkeypatch, header: str, variable: str, secret: bool):
    monkeypatch.setenv(variable, "daylight")
    secrets = Secrets()
    assert secrets.fill(header, f"${{{variable}}}") == "daylight"
    assert secrets.hide("A road under even daylight.") == f"A road under even {HIDDEN if secret else 'daylight'}."


def test_where_servers_are_changes_no_result():
    one, other = client("http://a/v1"), client("http://b/v1", api_key_env=VARIABLE, tries=9, headers={"X": "1"})
    assert one.about == other.about
    assert client("http://a/v1", revision="2").about != one.about != client("http://a/v1", options={"top_p": 1}).about
