"""The check of language models before a run: they must answer, without thoughts, and see all of their pictures."""

from __future__ import annotations

import json
from typing import Any

import pytest
from made_chat import Chat, captioner

from chat_server import Asked, ChatServer, Reply, said_to_check
from clipmill.base.errors import ItemError, SetupError
from clipmill.captions.judge import Judge
from clipmill.captions.rewriter import Rewriter
from clipmill.chat import Answer, Request
from clipmill.chat.endpoint import Endpoint
from clipmill.checks import FEW_TOKENS, QUESTIONS, TEXT, check_backend

NONE, LAST, FIRST, ALL = slice(0, 0), slice(-1, None), slice(0, 1), slice(None)


def check(*answers: Any, frames: int = 2, **changes: Any) -> list[list[Asked]]:
    """Check a captioner whose servers answer so. Returns what each server was asked."""
    servers = [ChatServer(answer) for answer in answers]
    try:
        urls = [server.__enter__().url for server in servers]
        own = {"api_key_env": None, "headers": {}, "tries": 1, "backoff_seconds": 0.01, "timeout_seconds": 60}
        model = Endpoint(urls, "m", None, options={}, **own)
        check_backend("caption", "openai", captioner(model, frames=frames, **{"max_tokens": 512, **changes}))
    finally:
        for server in servers:
            server.stop()
    for server in servers:
        server.check()
    return [server.asked for server in servers]


def refused(*answers: Any, **changes: Any) -> str:
    """The line in which a check ends."""
    with pytest.raises(SetupError) as caught:
        check(*answers, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- servers that do not see ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("frames", "send"), [(1, "images"), (2, "images"), (4, "video")])
def test_a_server_that_sees_is_asked_once_about_each_set(frames, send):
    ((*asked,),) = check(said_to_check, frames=frames, send=send)
    assert [one.prompt for one in asked] == [QUESTIONS[0]] * min(frames + 1, 3)
    assert {len(one.images) for one in asked} == {frames}
    assert all(one.body["temperature"] == 0 and one.body["max_tokens"] == FEW_TOKENS for one in asked)
    if frames > 1:
        shown, same_end, same_begin = (one.images for one in asked)
        assert shown[-1] == same_end[-1] and not {*shown[:-1]} & {*same_end[:-1]}
        assert shown[0] == same_begin[0] and not {*shown[1:]} & {*same_begin[1:]}


@pytest.mark.parametrize(
    ("sees", "frames", "what"),
    [
        (LAST, 3, "all but the last"),
        (FIRST, 3, "all but the first"),
        (NONE, 2, "all but the last"),
        (LAST, 2, "all but the last"),
        (FIRST, 2, "all but the first"),
        (NONE, 1, "colour and shape"),
    ],
)
def test_a_server_that_does_not_see_all_pictures_is_refused(sees, frames, what):
    said = refused(lambda asked: said_to_check(asked, sees), frames=frames)
    assert f"differ in {what}, it answered 'I see" in said
    assert "does not see all of its pictures" in said and said.startswith("http://127.0.0.1:")


def test_the_message_shortens_long_answers():
    assert f"'{'word ' * 16}…'" in refused(lambda asked: "word " * 500)


@pytest.mark.parametrize("only", [0, -1])
def test_a_model_that_answers_with_one_word_on_one_picture_is_not_refused(only):
    """It sees all of them: where the first or the last is asked about, it speaks of that one."""

    def answer(asked: Asked) -> str:
        looked_at = 0 if "first picture?" in asked.prompt else -1 if "last picture?" in asked.prompt else only
        return said_to_check(asked, slice(looked_at, looked_at + 1 or None)).split()[2]

    check(answer)


def test_each_of_several_servers_is_checked():
    assert "does not see" in refused(said_to_check, lambda asked: said_to_check(asked, LAST))
    assert [len(asked) for asked in check(said_to_check, said_to_check)] == [3, 3]


@pytest.mark.parametrize("sees", [True, False])
def test_a_judge_is_checked_without_its_schema_too(sees):
    """Its answers to the questions on a clip may well be the same for all clips."""

    def say(request: Request) -> str:
        if chat.task.schema:
            return json.dumps({"judge_logo": "no"})
        return str(hash(request.images)) if sees else "A picture."

    chat = Chat(say)
    judge = Judge(chat, "Answer: {questions}", None, None, [["judge_logo", "A logo?"]], 4, None, None, "images", 99)
    if sees:
        check_backend("judge", "made", judge)
        assert [request.text for request in chat.asked] == [TEXT] + [QUESTIONS[0]] * 3
    else:
        with pytest.raises(SetupError, match="^made: does not see all of its pictures"):
            check_backend("judge", "made", judge)


# --- thoughts ---------------------------------------------------------------------------------------------------------

THOUGHTS = {
    "in marks": Reply("<think>The user wants", finish="length"),
    "without marks": Reply("Okay, the user wants a caption of", finish="length"),
    "apart, vLLM": Reply(
        body=b'{"choices": [{"message": {"content": null, "reasoning": "The user"}, "finish_reason": "length"}]}'
    ),
    "apart, others": Reply(
        body=b'{"choices": [{"message": {"content": "", "reasoning_content": "Hm"}, "finish_reason": "stop"}]}'
    ),
}


@pytest.mark.parametrize("reply", THOUGHTS.values(), ids=THOUGHTS)
def test_a_model_that_only_thinks_is_refused(reply):
    said = refused(lambda asked: reply)
    assert "template: {enable_thinking: false}" in said and "max_tokens" in said


def test_a_model_that_thinks_and_then_answers_gets_all_tokens():
    def answer(asked: Asked) -> Reply | str:
        if asked.body["max_tokens"] == FEW_TOKENS:
            return THOUGHTS["in marks"]
        return f"<think>Pictures.</think>{said_to_check(asked)}"

    ((*asked,),) = check(answer, template={"enable_thinking": True}, max_tokens=4096)
    assert [one.body["max_tokens"] for one in asked] == [FEW_TOKENS, 4096] * 3
    assert all(one.body["chat_template_kwargs"] == {"enable_thinking": True} for one in asked)


def test_a_rewriter_is_checked_by_one_question():
    def check_rewriter(said: Any) -> Chat:
        chat = Chat(lambda request: said)
        settings = {"max_tokens": 512, "temperature": 0, "seed": 0, "max_tries": 9, "max_growth": 1.2}
        check_backend("rewrite", "made", Rewriter(chat, "{caption}", None, None, on_failure="keep", **settings))
        return chat

    assert [request.text for request in check_rewriter("Grey.").asked] == [TEXT]
    assert len(check_rewriter(ItemError("empty_answer", "empty", lasting=False)).asked) == 2
    assert len(check_rewriter(Answer("Let me think: grey.")).asked) == 1  # a talkative model, which came to an end
    for said in (ItemError("only_thoughts", "only thoughts"), Answer("The user wants a text", whole=False)):
        with pytest.raises(SetupError, match="thought"):
            check_rewriter(said)
    with pytest.raises(SetupError, match="^no$"):
        check_rewriter(ItemError("refused", "no"))
