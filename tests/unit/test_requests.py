"""Requests hold nothing that a server refuses: held against the fields that each of them documents.

What a server does with a field that it does not know differs: some ignore it, some refuse the request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from chat_server import Asked, ChatServer, Reply, refusal
from clipmill.base.opencv import cv2
from clipmill.captions.fields import FIELDS, schema
from clipmill.captions.rewriter import FIELD
from clipmill.chat import Answer, Request, Task
from clipmill.chat.endpoint import Endpoint
from default_config import CONFIG

ROOT = Path(__file__).resolve().parents[2]
OPENAI = {"model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "seed", "response_format"}
LENGTHS = {"maxLength", "minLength", "maxItems", "minItems"}


@dataclass(frozen=True)
class Documented:
    """What a server takes. `fields`: of those that we may send; `refuses`: whether it refuses all others.

    `keywords`: of JSON schemas, that it refuses; `lengths`: numbers of characters that it refuses. `says`: its words
    for a field that it does not know. `options`: what docs/captions.md tells to set for it. `parts`: kinds of content.
    """

    source: str
    fields: set[str]
    refuses: bool = False
    keywords: set[str] = field(default_factory=set)
    lengths: set[int] = field(default_factory=set)
    says: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    parts: set[str] = field(default_factory=lambda: {"text", "image_url"})


GUIDED = "Invalid schema for response_format 'answer': '{}' is not permitted."
SERVERS = {
    "vLLM": Documented(
        "vllm/entrypoints/openai/chat_completion/protocol.py, ChatCompletionRequest: others are logged and ignored",
        OPENAI | {"chat_template_kwargs", "media_io_kwargs", "mm_processor_kwargs", "structured_outputs", "top_k"},
        parts={"text", "image_url", "video_url"},
    ),
    "vLLM, a Mistral tokenizer": Documented(
        "vllm/tokenizers/mistral.py, validate_request_params: no chat_template and no chat_template_kwargs",
        OPENAI | {"media_io_kwargs"},
        refuses=True,
        says="chat_template is not supported for Mistral tokenizers.",
    ),
    "SGLang": Documented(
        "python/sglang/srt/entrypoints/openai/protocol.py, ChatCompletionRequest: pydantic ignores other fields",
        OPENAI | {"chat_template_kwargs", "separate_reasoning", "top_k", "reasoning_effort"},
    ),
    "llama.cpp": Documented(
        "github.com/ggml-org/llama.cpp tools/server/README.md; issues/27087 for the length; other fields are ignored",
        OPENAI | {"chat_template_kwargs", "reasoning_format", "top_k"},
        lengths={2000},
    ),
    "Ollama": Documented(
        "docs.ollama.com/api/openai-compatibility; other fields, chat_template_kwargs too, are ignored; runs llama.cpp",
        (OPENAI - {"max_completion_tokens"}) | {"reasoning_effort"},
        lengths={2000},
        options={"reasoning_effort": "none"},
    ),
    "OpenAI": Documented(
        "platform.openai.com/docs/api-reference/chat/create; of newer models: no max_tokens, temperature 1 alone",
        (OPENAI - {"max_tokens", "temperature"}) | {"reasoning_effort"},
        refuses=True,
        keywords=LENGTHS,
        says="Unrecognized request argument supplied: {}",
        options={"max_tokens": None, "max_completion_tokens": 4096, "temperature": None},
    ),
    "Gemini": Documented(
        "ai.google.dev/gemini-api/docs/openai; github.com/Vali-98/ChatterUI/issues/227 for the seed",
        (OPENAI - {"seed"}) | {"reasoning_effort"},
        refuses=True,
        keywords=LENGTHS,
        says='Invalid JSON payload received. Unknown name "{}": Cannot find field.',
        options={"seed": None},
    ),
}

server_of = pytest.mark.parametrize("name", SERVERS)

JPEG = cv2.imencode(".jpg", np.zeros((6, 8, 3), np.uint8))[1].tobytes()
TEMPLATE = CONFIG["caption"]["template"]
TASKS = {
    "caption": (Task(512, images=2, template=TEMPLATE), 0.0),
    "structured caption": (Task(1024, schema=schema(FIELDS), images=2, template=TEMPLATE), 0.0),
    "judge": (Task(512, schema=schema({}, ["judge_logo"]), images=2, template=TEMPLATE), 0.0),
    "drawn caption with a system message": (Task(512, "Be brief.", images=2, template=TEMPLATE), 0.7),
    "another try at rewriting": (Task(512, schema=schema(FIELD), template=TEMPLATE), 0.7),
}


def keywords_of(part: Any) -> Iterator[tuple[str, Any]]:
    """All keywords of a JSON schema with their values."""
    if isinstance(part, dict):
        for name, value in part.items():
            yield name, value
            yield from keywords_of(value)


def faults(asked: Asked, server: Documented) -> list[str]:
    """What a server refuses of a request, in its words, one after the other."""
    found = [server.says.format(name) for name in sorted(asked.body.keys() - server.fields)] if server.refuses else []
    described = asked.body.get("response_format", {}).get("json_schema", {}).get("schema", {})
    for keyword, value in keywords_of(described):
        if keyword in server.keywords:
            found.append(GUIDED.format(keyword))
        if keyword in LENGTHS and value in server.lengths:
            found.append("Failed to initialize samplers: failed to parse grammar")
    return found + [f"no {part['type']}" for part in asked.parts if part["type"] not in server.parts]


def as_server(server: Documented) -> Callable[[Asked], Reply | str]:
    """Answers as a server does: it refuses a request with the first of its faults."""

    def answer(asked: Asked) -> Reply | str:
        found = faults(asked, server)
        return refusal(400, found[0]) if found else "Fine."

    return answer


def model_of(served: ChatServer, options: dict[str, Any]) -> Endpoint:
    own = {"api_key_env": None, "headers": {}, "tries": 1, "backoff_seconds": 0.01, "timeout_seconds": 60}
    return Endpoint([served.url], "m", None, options=options, **own)


def ask(model: Endpoint, task: Task, temperature: float) -> Any:
    request = Request("a", "What is it?", (JPEG,) * task.images, temperature=temperature, seed=5)
    (answer,) = (outcome[1] for outcome in model.answers([request], task) if outcome)
    return answer


@server_of
def test_a_server_answers_all_kinds_of_requests(name):
    """The first may be asked again without what the server refuses; each later one only for something else."""
    server = SERVERS[name]
    with ChatServer(as_server(server)) as served:
        model = model_of(served, server.options)
        for task, temperature in TASKS.values():
            assert ask(model, task, temperature) == Answer("Fine.")
    refusals = [asked for asked in served.asked if faults(asked, server)]
    assert len(refusals) == (server.refuses and "chat_template_kwargs" not in server.fields) + bool(server.keywords)
    served.check()


@server_of
def test_without_a_template_and_a_schema_nothing_is_refused(name):
    server = SERVERS[name]
    with ChatServer(as_server(server)) as served:
        model = model_of(served, server.options)
        assert ask(model, Task(512, "Be brief.", images=2), 0.7) == Answer("Fine.")
    assert len(served.asked) == 1


def test_the_list_finds_what_would_be_refused():
    """Without the options of the documentation, or with the length of before."""
    task = Task(512, schema=schema({"text": 2000}))
    for name, temperature, word in (("OpenAI", 0.0, "max_tokens"), ("Gemini", 0.7, "seed")):
        with ChatServer(as_server(SERVERS[name])) as served:
            told = ask(model_of(served, {}), Task(512), temperature)
            assert told.kind == "refused" and word in str(told)
    with ChatServer(as_server(SERVERS["llama.cpp"])) as served:
        assert ask(model_of(served, {}), task, 0) == Answer("Fine.")
    assert len(served.asked) == 2 and faults(served.asked[0], SERVERS["llama.cpp"])


def test_a_video_is_for_vllm_alone():
    task = Task(512, images=2, as_video=True)
    for name, server in SERVERS.items():
        with ChatServer(as_server(server)) as served:
            assert (ask(model_of(served, server.options), task, 0) == Answer("Fine.")) == (name == "vLLM")


# --- the documentation ------------------------------------------------------------------------------------------------


def options_in(text: str) -> list[dict[str, Any]]:
    """The `options: {…}` that a text shows, on one line each."""
    return [yaml.safe_load(shown) for shown in re.findall(r"options: (\{[^{}]+\})", text)]


@server_of
def test_the_documentation_tells_the_options(name):
    told = options_in((ROOT / "docs" / "captions.md").read_text(encoding="utf-8"))
    assert not SERVERS[name].options or SERVERS[name].options in told


def test_the_preset_agrees_with_the_documentation():
    preset = (ROOT / "config" / "presets" / "captions" / "openai-endpoint.yaml").read_text(encoding="utf-8")
    shown = [options for options in options_in(preset) if options]
    assert shown == [SERVERS[name].options for name in ("OpenAI", "Gemini", "Ollama")]
