"""vLLM in this process: answers matched by id, guided decoding, videos at their rate, and what a bad request costs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import psutil
import pytest

from clipmill.base.errors import ItemError, SetupError
from clipmill.base.opencv import cv2
from clipmill.captions.fields import read_fields, schema
from clipmill.chat import Answer, Request, Task
from clipmill.chat.engine import Engine

FIELDS = {"subject": 20, "action": 12}


def engine(folder, dtype: str = "float32", stops: tuple[int, ...] = (), **options) -> Engine:
    options = {"enforce_eager": True, **options}
    return Engine(str(folder), None, 2048, 0.9, dtype, None, False, [*stops], options)


def pictures(seed: int, count: int = 4) -> tuple[bytes, ...]:
    """JPEGs of noise: height 84, width 112."""
    chance = np.random.default_rng(seed)
    noise = (chance.integers(0, 256, (84, 112, 3), np.uint8) for _ in range(count))
    return tuple(cv2.imencode(".jpg", picture)[1].tobytes() for picture in noise)


def requests(count: int = 6) -> list[Request]:
    return [Request(f"clip {n}", f"Say {n}.", pictures(n)) for n in range(count)]


def answered(engine: Engine, asked, task: Task) -> dict[str, Answer | ItemError]:
    """Answers by id: one for each request. One without text counts as an answer here: the models say anything."""
    outcomes = [outcome for outcome in engine.answers(iter(asked), task) if outcome]
    assert sorted(name for name, _ in outcomes) == sorted(request.id for request in asked)
    return {name: Answer("") if getattr(said, "kind", "") == "empty_answer" else said for name, said in outcomes}


@pytest.fixture(scope="module")
def images(model):
    """An engine that sees four pictures a request; it starts with the first one."""
    return engine(model("qwen2_5_vl"))


TASK = Task(max_tokens=12, images=4)


def test_nothing_to_answer_starts_nothing(images):
    assert list(images.answers(iter([]), TASK)) == []
    assert images._engine is None


def test_answers_are_those_of_their_requests_whatever_they_are_asked_with(images):
    together = answered(images, requests(), TASK)
    assert len({answer.text for answer in together.values()}) > 2
    assert not all(answer.whole for answer in together.values())
    images.batch, batch = 2, images.batch
    assert answered(images, requests()[::-1], TASK) == together
    images.batch = batch
    for request in requests(2):
        assert answered(images, [request], TASK) == {request.id: together[request.id]}


def test_few_requests_are_held_at_once(images):
    taken = []

    def asked():
        for request in requests(8):
            taken.append(request.id)
            yield request

    images.batch, batch = 2, images.batch
    answers = (outcome for outcome in images.answers(asked(), TASK) if outcome)
    next(answers)
    assert len(taken) <= 3
    assert len(list(answers)) == 7
    images.batch = batch


def test_a_schema_is_obeyed(images):
    for answer in answered(images, requests(3), Task(200, images=4, schema=schema(FIELDS))).values():
        assert answer.whole
        found = read_fields(answer.text, FIELDS)
        assert json.loads(answer.text, strict=False).keys() == FIELDS.keys()
        assert {name: len(text) <= FIELDS[name] for name, text in found.items()} == dict.fromkeys(FIELDS, True)


def test_what_is_drawn_depends_on_the_seed_alone(images):
    def drawn(seed: int) -> Answer | ItemError:
        request = Request("a", "Say a.", pictures(0), temperature=1.0, seed=seed)
        return answered(images, [request], TASK)["a"]

    assert drawn(1) == drawn(1)
    assert len({drawn(seed) for seed in range(4)}) > 1


def test_a_request_that_is_too_long_costs_itself(images):
    asked = [*requests(2), Request("long", "word " * 4000, pictures(0)), Request("many", "x", pictures(0, 9))]
    found = answered(images, asked, TASK)
    assert {name for name, answer in found.items() if isinstance(answer, ItemError)} == {"long", "many"}
    assert {found[name].kind for name in ("long", "many")} == {"refused"}


def test_a_processor_that_misses_something_is_one_line(images, monkeypatch):
    def render(*_):
        raise AttributeError("no pixels")

    answered(images, requests(1), TASK)
    monkeypatch.setattr(images._engine.renderer, "render_chat", render)
    with pytest.raises(SetupError, match=r"its processor does not fit this vLLM \(AttributeError: no pixels\); name"):
        answered(images, requests(1), TASK)


def test_of_a_checkpoints_settings_for_drawing_only_the_ends_are_followed(images, model, tmp_path, monkeypatch):
    """The last test that uses `images`: a second engine of this process takes its state with it when it ends."""
    monkeypatch.setattr("clipmill.chat.engine.Engine._answer", lambda _, output: output)
    asked = [replace(request, id=f"{request.id}, {n}") for request in requests(4) for n in (1, 2)]

    def tokens(engine: Engine) -> list[list[int]]:
        found = dict(filter(None, engine.answers(iter(asked), TASK)))
        return [[*found[request.id].token_ids] for request in asked]

    plain = tokens(images)
    ends, stops = {row[3] for row in plain[:4]}, {row[3] for row in plain[4:]}
    copy = shutil.copytree(model("qwen2_5_vl"), tmp_path / "copy")
    said = {"do_sample": True, "temperature": 1.5, "top_k": 3, "repetition_penalty": 5.0, "eos_token_id": [2, *ends]}
    (copy / "generation_config.json").write_text(json.dumps(said))
    made = engine(copy, stops=(*stops,))
    cut = tokens(made)
    assert made._engine.get_default_sampling_params().repetition_penalty == 5.0  # what a server would follow
    for row, whole in zip(cut, plain, strict=True):
        first = next(place for place, token in enumerate(whole) if token in ends | stops)
        assert row == whole[: first + 1]


def test_the_template_gets_its_values(model, tmp_path):
    """One as Qwen3's closes thoughts at once if it is told to, and opens them otherwise."""
    folder = shutil.copytree(model("llama"), tmp_path / "copy")
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text() + "{{ 'Do not think.' if enable_thinking is false else 'Think.' }}")
    thinking = engine(folder)
    asked = [Request("a", "Say a.")]
    off, on, none = (
        answered(thinking, asked, Task(12, template=values))
        for values in ({"enable_thinking": False}, {"enable_thinking": True}, None)
    )
    assert off != on == none


def test_what_it_says_of_itself(model):
    """Without further ends it says what earlier versions said, whose journals have it in their keys."""
    about = engine(model("llama")).about
    assert "stop_token_ids" not in about
    assert engine(model("llama"), stops=(7, 5)).about == about | {"stop_token_ids": [5, 7]}


def test_a_model_that_is_none(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "no such", "architectures": ["NoSuch"]}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(SetupError, match="vLLM does not start it"):
        list(engine(tmp_path).answers(iter(requests(1)), TASK))


@pytest.mark.parametrize(("kind", "dtype"), [("qwen3_vl", "float32"), ("qwen3_5", "bfloat16")])
def test_a_video_at_its_true_rate(model, kind, dtype):
    """They are told the time of each picture in words, so that the rate shows in the answer.

    On a CPU vLLM computes Qwen3.5's linear attention in bfloat16 alone.
    """
    videos = engine(model(kind), dtype)
    task = Task(12, images=4, as_video=True)
    asked = [Request(f"{fps}", "Say it.", pictures(0), fps=fps) for fps in (0.5, 2.0, 2.0001)]
    found = answered(videos, asked, task)
    assert found["0.5"] != found["2.0"]
    assert found["2.0"] == found["2.0001"]


KILLED = """
import sys

from clipmill import cli
from clipmill.chat import Request, Task
from clipmill.chat.engine import Engine

if __name__ == "__main__":
    engine = Engine(sys.argv[1], None, 2048, 0.9, "float32", None, False, [], {"enforce_eager": True})
    for outcome in engine.answers((Request(str(n), f"Say {n}.") for n in range(10**6)), Task(100)):
        print("answered", flush=True)
"""


def test_a_killed_job_leaves_no_process_behind(model, tmp_path):
    """vLLM's engine runs in a process of its own, as it does by default, which would hold the GPU's memory."""
    tool = tmp_path / "tool.py"
    tool.write_text(KILLED)
    environment = {**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    with subprocess.Popen([sys.executable, tool, model("llama")], env=environment, stdout=subprocess.PIPE) as job:
        assert any(line == b"answered\n" for line in job.stdout)  # vLLM has things to say before
        family = psutil.Process(job.pid).children(recursive=True)
        assert any("EngineCore" in process.name() for process in family)
        job.kill()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []
