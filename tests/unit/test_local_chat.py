"""Chatting with a model in transformers: small random models of true layouts, asked on the CPU."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from made_chat import captioner
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from clipmill import chat
from clipmill.base.errors import ItemError, SetupError
from clipmill.base.opencv import cv2
from clipmill.captions.captioner import Captioner
from clipmill.captions.fields import FIELDS, schema
from clipmill.chat import Answer, Request, Task
from clipmill.chat.grammar import Grammar
from clipmill.chat.local import Local, _Draw, _Loaded
from clipmill.checks import check_backend
from clipmill.models import batches
from language_checkpoints import MAKERS

SHORT = schema({"first": 12, "second": 30})


pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Callable[[str], Path]:
    """Where the checkpoint of a kind is, made once."""
    root = tmp_path_factory.mktemp("models")
    return cache(lambda kind: MAKERS[kind](root / kind))


@pytest.fixture(scope="module")
def model(folder) -> Callable[[str], Local]:
    """A model of a kind, loaded once."""
    return cache(lambda kind: local(folder(kind)))


def local(path: Path, dtype: str = "auto", trust: bool = False) -> Local:
    return Local(model=str(path), revision=None, dtype=dtype, trust_remote_code=trust)


def outcomes(model: Local, requests: list[Request], task: Task) -> dict[str, Answer | ItemError]:
    """What came for each request, by its name."""
    answered = [outcome for outcome in model.answers(requests, task) if outcome]
    assert len(answered) == len(requests)
    return dict(answered)


def one_by_one(model: Local, requests: list[Request], task: Task) -> dict[str, Answer | ItemError]:
    return {name: told for request in requests for name, told in outcomes(model, [request], task).items()}


def pictures(count: int, seed: int = 0, size: tuple[int, int] = (64, 96)) -> tuple[bytes, ...]:
    numbers = np.random.default_rng(seed).integers(0, 255, (count, 8, 12, 3), dtype=np.uint8)
    larger = (cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC) for small in numbers)
    return tuple(cv2.imencode(".jpg", picture)[1].tobytes() for picture in larger)


def questions(images: int = 0, **more) -> list[Request]:
    """Six of different lengths, more than a batch."""
    return [
        Request(f"clip-{number}", "what is it? " * (1 + 3 * number % 7), pictures(images, number), seed=number, **more)
        for number in range(6)
    ]


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "images", "as_video"),
    [
        ("llama", 0, False),
        ("qwen2_5_vl", 0, False),
        ("qwen2_5_vl", 2, False),
        ("qwen2_5_vl", 4, True),
        ("qwen2_vl", 2, True),
        ("qwen3_vl", 2, False),
        ("qwen3_vl", 3, True),
        ("qwen3_5", 2, False),
        ("qwen3_5", 3, True),
        ("idefics3", 3, False),
        ("internvl", 1, False),
        ("internvl", 3, True),
        ("gemma4", 2, False),
        ("gemma4", 3, True),
        ("minicpmv4_6", 2, False),
        ("minicpmv4_6", 3, True),
    ],
)
def test_answers_are_those_of_each_request_alone(model, kind, images, as_video):
    task, asked = Task(8, images=images, as_video=as_video), questions(images)
    found = outcomes(model(kind), asked, task)
    assert list(found) == [request.id for request in asked]
    assert found == one_by_one(model(kind), asked, task)
    assert len({told.text for told in found.values()}) > 3


@pytest.mark.parametrize(
    ("kind", "images"),
    [
        *(("llama", 0), ("qwen2_5_vl", 2), ("qwen3_5", 2), ("idefics3", 1)),
        *(("internvl", 1), ("gemma4", 2), ("minicpmv4_6", 2)),
    ],
)
def test_answers_are_those_of_the_usual_way(model, folder, kind, images):
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

    read, cls = (AutoProcessor, AutoModelForImageTextToText) if images else (AutoTokenizer, AutoModelForCausalLM)
    processor, usual = read.from_pretrained(folder(kind)), cls.from_pretrained(folder(kind))
    for request in questions(images)[:2]:
        seen = [Image.open(io.BytesIO(image)) for image in request.images]
        parts = [*({"type": "image", "image": image} for image in seen), {"type": "text", "text": request.text}]
        conversation = [{"role": "user", "content": parts if images else request.text}]
        inputs = processor.apply_chat_template(
            conversation, tokenize=True, return_dict=True, add_generation_prompt=True, return_tensors="pt"
        )
        row = usual.generate(**inputs, max_new_tokens=8)[0, inputs["input_ids"].shape[1] :]
        text = processor.decode(row, skip_special_tokens=True).strip()
        assert outcomes(model(kind), [request], Task(8, images=images))[request.id].text == text


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_5", "idefics3", "internvl", "gemma4", "minicpmv4_6"])
def test_an_answer_depends_on_each_picture(model, kind):
    first, second = pictures(2), pictures(2, seed=1)
    asked = [Request(str(number), "?", (first[0], last)) for number, last in enumerate((first[1], second[1]))]
    found = outcomes(model(kind), asked, Task(8, images=2))
    assert found["0"] != found["1"]


def test_drawn_answers_depend_on_their_seed_alone(model):
    asked = [Request(str(seed), "what?", temperature=0.8, seed=seed) for seed in (1, 2, 3, 4, 5)]
    asked += [Request("again", "what?", temperature=0.8, seed=2), Request("greedy", "what?")]
    found = outcomes(model("llama"), asked, Task(8))
    assert found == one_by_one(model("llama"), asked, Task(8))
    assert found["again"] == found["2"]
    assert len({told.text for told in found.values()}) == 6


def test_what_is_drawn_has_the_distribution_of_the_temperature():
    scores = torch.tensor([[1.0, 0.0, -1.0, -torch.inf]]).expand(4000, -1)
    draw = _Draw([Request("", "", temperature=2.0, seed=seed) for seed in range(4000)], scores.device)
    shares = torch.bincount(draw(torch.zeros(4000, 1), scores).argmax(dim=1), minlength=4) / 4000
    assert shares[3] == 0
    assert torch.allclose(shares, torch.softmax(scores[0] / 2, dim=0), atol=0.03)


def test_an_answer_that_reaches_the_limit_is_not_whole(model):
    loaded = model("llama")._loaded
    words = loaded.tokenizer("the red car").input_ids
    for tokens, whole in ((words, False), ([*words, 2], True), ([*words, 2, 0, 0], True)):
        assert loaded._read(tokens) == Answer("the red car", whole)
    assert outcomes(model("llama"), questions()[:1], Task(3))["clip-0"].whole is False


def test_an_empty_answer_is_an_error_that_may_pass(model):
    told = model("llama")._loaded._read([2, 0, 0])
    assert (told.kind, told.lasting) == ("empty_answer", False)


def test_a_system_message_is_part_of_the_question(model):
    for kind in ("llama", "qwen2_5_vl"):
        prompt = model(kind)._loaded._prompt(Request("", "hello", ()), Task(1, system="be brief"))
        assert prompt == (
            "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
        )


THINKING = (
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% else %}<think>\n{% endif %}"
)


@pytest.mark.parametrize("kind", ["llama", "idefics3"])
def test_the_template_gets_its_values(folder, tmp_path, kind, monkeypatch):
    """One as Qwen3's opens thoughts, or closes them at once; another model gets the same values, and does not mind."""
    warnings: list[str] = []
    monkeypatch.setattr("transformers.processing_utils.logger.warning", warnings.append)
    thinking, usual = shutil.copytree(folder(kind), tmp_path / "copy"), local(folder(kind))
    template = thinking / "chat_template.jinja"
    template.write_text(template.read_text() + THINKING)
    made, request = local(thinking), Request("", "what?")
    prompts = {
        name: made._loaded._prompt(request, Task(8, template=values))
        for name, values in {"off": {"enable_thinking": False}, "on": {"enable_thinking": True}, "null": None}.items()
    }
    assert prompts["off"].endswith("<think>\n\n</think>\n\n")
    assert prompts["on"] == prompts["null"] and prompts["on"].endswith("assistant\n<think>\n")
    off, on = (outcomes(made, [request], Task(8, template={"enable_thinking": value}))[""] for value in (False, True))
    assert isinstance(off, Answer)
    assert isinstance(on, ItemError) and on.kind == "only_thoughts"  # for it closes no thoughts in eight tokens
    plain, told = (
        outcomes(usual, [request], Task(8, template=values)) for values in (None, {"enable_thinking": False})
    )
    assert plain == told
    assert warnings == []


@pytest.mark.parametrize(("kind", "template_begins"), [("llama", True), ("idefics3", True), ("idefics3", False)])
def test_a_question_begins_once(folder, tmp_path, kind, template_begins):
    """Some templates have the token that begins a text, and some leave it to the tokenizer."""
    copy = shutil.copytree(folder(kind), tmp_path / "copy")
    tokenizer = Tokenizer.from_file(str(copy / "tokenizer.json"))
    tokenizer.post_processor = TemplateProcessing(single="<global-img> $A", special_tokens=[("<global-img>", 10)])
    tokenizer.save(str(copy / "tokenizer.json"))
    config = json.loads((copy / "tokenizer_config.json").read_text()) | {"bos_token": "<global-img>"}
    (copy / "tokenizer_config.json").write_text(json.dumps(config))
    if template_begins:
        template = copy / "chat_template.jinja"
        template.write_text("{{ bos_token }}" + template.read_text())
    made = local(copy)._loaded.inputs([Request("", "?")], Task(8))
    assert made["input_ids"][0].tolist().count(10) == 1


def test_what_the_checkpoint_says_of_drawing_is_not_followed(model, folder, tmp_path):
    copy = shutil.copytree(folder("llama"), tmp_path / "copy")
    said = json.loads((copy / "generation_config.json").read_text())
    said |= {"do_sample": True, "temperature": 1.5, "top_k": 3, "repetition_penalty": 5.0}
    (copy / "generation_config.json").write_text(json.dumps(said))
    assert outcomes(local(copy), questions(), Task(8)) == outcomes(model("llama"), questions(), Task(8))


def test_a_checkpoint_without_a_token_to_pad_with(model, folder, tmp_path):
    copy = shutil.copytree(folder("llama"), tmp_path / "copy")
    for name, key in (("tokenizer_config.json", "pad_token"), ("generation_config.json", "pad_token_id")):
        (copy / name).write_text(json.dumps(json.loads((copy / name).read_text()) | {key: None}))
    assert outcomes(local(copy), questions(), Task(8)) == outcomes(model("llama"), questions(), Task(8))


# --- a JSON schema ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "images", "temperature"), [("llama", 0, 0), ("llama", 0, 1.5), ("qwen2_5_vl", 2, 0)])
def test_answers_obey_a_schema(model, kind, images, temperature):
    asked = questions(images, temperature=temperature)
    task = Task(120, schema=SHORT, images=images)
    found = outcomes(model(kind), asked, task)
    for told in found.values():
        fields = json.loads(told.text)
        assert list(fields) == ["first", "second"]
        assert len(fields["first"]) <= 12 and len(fields["second"]) <= 30
        assert told.whole
    assert len({told.text for told in found.values()}) > 3
    assert found == one_by_one(model(kind), asked, task)


def test_the_fields_of_captions_are_a_schema_that_can_be_obeyed(model):
    loaded = model("llama")._loaded
    guide = Grammar(schema(FIELDS), loaded.tokenizer, loaded.ends).guide(1)
    written = json.dumps(dict.fromkeys(FIELDS, 'a "red" car\n')) + "<|im_end|>"
    tokens, said = loaded.tokenizer(written).input_ids, [0]
    for token in tokens:
        allowed = guide(torch.tensor([said]), torch.zeros(1, 512))
        assert allowed[0, token] == 0
        said.append(token)
    assert torch.isinf(allowed[0]).sum() == 511  # nothing but the end


def test_a_schema_or_tokenizer_that_is_of_no_use(model, monkeypatch):
    with pytest.raises(ValueError, match="^the JSON schema cannot be followed: "):
        loaded = model("llama")._loaded
        Grammar({"type": "nothing"}, loaded.tokenizer, loaded.ends)
    with pytest.raises(SetupError, match="its answers cannot be held to a JSON schema .*; name another model or"):
        list(model("llama").answers(questions(), Task(8, schema={"type": "nothing"})))


# --- pictures and videos ----------------------------------------------------------------------------------------------


def test_the_rate_of_frames_reaches_the_positions_of_qwen2_5(model):
    loaded = model("qwen2_5_vl")._loaded
    asked = [Request(str(fps), "?", pictures(4), fps=fps) for fps in (1.0, 0.5)]
    made = loaded.inputs(asked, Task(8, images=4, as_video=True))
    assert made["second_per_grid_ts"].tolist() == [2.0, 4.0]  # two frames are one step of the grid
    assert made["video_grid_thw"].tolist() == [[2, 4, 6]] * 2


def test_the_rate_of_frames_reaches_the_words_of_qwen3(model):
    loaded = model("qwen3_vl")._loaded
    made = loaded.inputs([Request("", "?", pictures(4), fps=0.5)], Task(8, images=4, as_video=True))
    text = loaded.tokenizer.decode(made["input_ids"][0])
    assert "<1.0 seconds>" in text and "<5.0 seconds>" in text  # between the frames at 0 and 2, and at 4 and 6


def test_pictures_are_rgb(model):
    red = cv2.imencode(".jpg", np.full((64, 64, 3), (0, 0, 255), np.uint8))[1].tobytes()
    pixels = model("idefics3")._loaded.inputs([Request("", "?", (red,))], Task(8, images=1))["pixel_values"]
    assert [round(value, 1) for value in pixels.mean(dim=(0, 1, 3, 4)).tolist()] == [1.0, -1.0, -1.0]


@pytest.mark.parametrize(("dtype", "wanted"), [("auto", torch.float32), ("bf16", torch.bfloat16)])
def test_weights_and_pictures_have_the_precision_that_was_asked_for(folder, dtype, wanted):
    made = local(folder("qwen2_5_vl"), dtype)
    assert outcomes(made, questions(1)[:1], Task(4, images=1))
    assert made._loaded.model.dtype == wanted
    inputs = made._loaded.inputs([Request("", "?", pictures(2), fps=3.0)], Task(8, images=2, as_video=True))
    assert inputs["pixel_values_videos"].dtype == wanted
    assert inputs["second_per_grid_ts"].dtype == torch.float32


# --- faults -----------------------------------------------------------------------------------------------------------


def test_a_request_at_fault_costs_itself(model):
    good = questions(2)
    bad = [
        (Request("long", "word " * 9000, pictures(2)), "tokens and an answer of 8 are more than the 8192 that it"),
        (Request("broken", "?", (pictures(1)[0][:200], b"no picture")), "an image is no picture, or only a part of"),
        (Request("narrow", "?", pictures(1, size=(1, 400))), "aspect ratio"),
        (Request("marked", "a <|image_pad|>", pictures(2)), "its text has a mark of a picture in it"),
    ]
    asked = [*good[:1], *(request for request, _ in bad), *good[1:]]
    found = outcomes(model("qwen2_5_vl"), asked, Task(8, images=2))
    for request, why in bad:
        assert (found[request.id].kind, found[request.id].lasting) == ("refused", True)
        assert why in str(found.pop(request.id))
    assert found == outcomes(model("qwen2_5_vl"), good, Task(8, images=2))


def test_a_request_without_pictures_among_others(model):
    asked = [Request("none", "?"), *questions(1)[:2]]
    assert outcomes(model("idefics3"), asked, Task(8, images=1)) == one_by_one(
        model("idefics3"), asked, Task(8, images=1)
    )


def test_a_memory_that_is_too_small_for_a_batch(folder, monkeypatch, caplog):
    sizes, generate = [], _Loaded.generate

    def narrow(self, inputs, requests, *rest):
        sizes.append(len(requests))
        if len(requests) > 2:
            raise torch.cuda.OutOfMemoryError("full")
        return generate(self, inputs, requests, *rest)

    monkeypatch.setattr(batches, "_fits", {})
    made = local(folder("llama"))
    wanted = outcomes(made, questions(), Task(8))
    monkeypatch.setattr(_Loaded, "generate", narrow)
    assert outcomes(made, questions(), Task(8)) == wanted
    assert sizes == [4, 2, 2, 2]


def test_a_model_that_does_not_fit_the_task(model):
    for kind, as_video, why in (
        ("llama", False, "takes no pictures; name a vision-language model"),
        ("idefics3", True, "takes no videos; set caption.send: images"),
    ):
        with pytest.raises(SetupError, match=why):
            list(model(kind).answers(questions(1), Task(8, images=1, as_video=as_video)))


@pytest.mark.parametrize(
    ("lost", "said", "why"),
    [
        ("config.json", None, "transformers does not read it: "),
        ("tokenizer.json", None, "transformers does not read it: "),
        ("chat_template.jinja", None, "has no chat template; name a model that is made for chat"),
        (
            "chat_template.jinja",
            "{{ raise_exception('no system') }}",
            r"\(TemplateError: no system\); leave the step's",
        ),
        ("config.json", '{"model_type": "siglip"}', "a siglip writes no texts; name a"),
    ],
)
def test_files_that_are_no_model_to_chat_with(folder, tmp_path, lost, said, why):
    copy = shutil.copytree(folder("llama"), tmp_path / "copy")
    (copy / lost).unlink()
    if said:
        (copy / lost).write_text(said)
    with pytest.raises(SetupError, match=f"^{copy}.*{why}"):
        list(local(copy).answers(questions(), Task(8, system="be brief")))


def test_a_processor_that_misses_something_is_one_line(model, folder, tmp_path, monkeypatch):
    """As the processor of InternVL does, where the tokenizer is that of another form of the model."""
    copy = shutil.copytree(folder("internvl"), tmp_path / "copy")
    config = json.loads((copy / "tokenizer_config.json").read_text())
    del config["start_image_token"]
    (copy / "tokenizer_config.json").write_text(json.dumps(config))
    why = "its code or its files do not fit transformers .* has no attribute start_image_token.*; name another revision"
    with pytest.raises(SetupError, match=f"^{copy}: {why}"):
        list(local(copy).answers(questions(1), Task(8, images=1)))

    def inputs(*_):
        raise AttributeError("no pixels")

    monkeypatch.setattr(_Loaded, "inputs", inputs)
    with pytest.raises(SetupError, match="do not fit transformers .*AttributeError: no pixels"):
        list(model("idefics3").answers(questions(1), Task(8, images=1)))


def test_weights_of_another_size(folder, tmp_path):
    copy = shutil.copytree(folder("llama"), tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"vocab_size": 64}))
    with pytest.raises(SetupError, match="not the weights that this backend reads: .* has the shape "):
        list(local(copy).answers(questions(), Task(8)))


def test_a_models_own_code_runs_only_where_it_is_trusted(model, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    copy = shutil.copytree(folder("llama"), tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "own.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
        "class Config(LlamaConfig):\n    model_type = 'own'\n"
        "class Model(LlamaForCausalLM):\n    config_class = Config\n"
    )
    with pytest.raises(SetupError, match="; set trust_remote_code to true if you trust it$"):
        list(local(copy).answers(questions(), Task(8)))
    assert not (tmp_path / "ran").exists()
    assert outcomes(local(copy, trust=True), questions(), Task(8)) == outcomes(model("llama"), questions(), Task(8))
    assert (tmp_path / "ran").exists()
    assert local(copy).about != local(copy, trust=True).about  # the code is part of what a model is


# --- as a backend -----------------------------------------------------------------------------------------------------


def test_nothing_is_loaded_without_a_request(tmp_path):
    made = local(tmp_path / "nowhere")
    assert list(made.answers([], Task(8))) == []
    assert list(made.servers()) == [made]
    with pytest.raises(SetupError, match="there is no such folder or file"):
        made.checkpoints()


def test_what_it_says_of_itself(folder, model):
    made = local(folder("llama"), "bf16")
    (checkpoint,) = made.checkpoints()
    assert made.about == {"backend": "transformers", **checkpoint.identity(), "dtype": "bf16"}
    assert chat.name(made) == f"transformers: {folder('llama')} ({checkpoint.revision})"


def test_requests_are_taken_as_there_is_room(model):
    taken = []
    asked = (taken.append(request.id) or request for request in questions())
    for outcome in model("llama").answers(asked, Task(2)):
        if outcome:
            assert len(taken) <= 4 + int(outcome[0].removeprefix("clip-"))
    assert len(taken) == 6


def test_a_captioner_on_it_is_checked(folder):
    videos = Captioner(
        local(folder("qwen2_5_vl")),
        prompt="Describe the clip of {seconds} seconds.",
        system=None,
        template={"enable_thinking": False},
        frames=2,
        frames_per_second=None,
        max_side=None,
        send="video",
        structured=True,
        max_tokens=512,
        temperature=0,
        seed=0,
    )
    told = check_backend("caption", "transformers", videos)
    assert [entry["model"] for entry in told["models"]] == [str(folder("qwen2_5_vl"))]


def test_a_model_that_does_not_see_all_pictures_is_refused(folder, monkeypatch):
    """The check sees it, whatever loses the pictures on their way."""
    made, inputs = local(folder("idefics3")), _Loaded.inputs

    def last_alone(self, requests, task):
        return inputs(self, [replace(request, images=request.images[-1:]) for request in requests], task)

    check_backend("caption", "transformers", captioner(made))
    monkeypatch.setattr(_Loaded, "inputs", last_alone)
    with pytest.raises(SetupError, match=f"^{folder('idefics3')}: does not see all of its pictures.* but the last, it"):
        check_backend("caption", "transformers", captioner(made))
