"""Questions with yes or no: what their file may hold, what is asked again, and which answers drop a clip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_chat import Chat, captioner, kept
from made_shards import Shard

from chat_server import Asked, ChatServer, Reply
from clipmill.base.errors import ItemError, SetupError
from clipmill.captions.fields import read_fields, schema
from clipmill.captions.judge import Judge
from clipmill.captions.shard import caption_shards
from clipmill.chat.endpoint import Endpoint
from clipmill.config import check_config
from clipmill.dataset.summary import answer_line
from clipmill.filters.shard import with_good_answers, with_good_caption
from clipmill.filters.verdict import Judgement
from clipmill.models import backends
from clipmill.texts.questions import ANSWERS, columns_and_texts, policy_of, read_questions
from default_config import CONFIG, SCHEMA_PATH, problems_of

PROMPTS = SCHEMA_PATH.parent / "prompts"
PROMPT = "Look, and answer {{truly}}.\n{questions}"
ASKED = [["judge_logo", "Is there a logo {x}?"], ["judge_car", "Is there a car?"]]
WISHED = {"watermark", "logo", "subtitles", "split_screen", "slideshow", "screen_recording", "animation"}
WISHED |= {"heavy_effects", "changed_speed", "static_overlay", "damaged", "nudity", "violence"}


def judge(chat, questions: list[list[str]] = ASKED, **changes: Any) -> Judge:
    settings = {"prompt": PROMPT, "system": None, "template": None, "frames": 2, "max_side": None}
    settings |= {"frames_per_second": None}
    return Judge(chat, questions=questions, **{**settings, "send": "images", "max_tokens": 99, **changes})


def answered(made: Shard, backend, step: str = "judge") -> dict[str, dict]:
    rows = caption_shards(backend, {"000000": kept(made)}, made.outdir, 1.0, step)
    return {row["clip_id"]: row for row in rows}


def says(**answers: str) -> str:
    return json.dumps({f"judge_{name}": answer for name, answer in answers.items()})


@pytest.fixture
def made(tmp_path) -> Shard:
    return Shard(tmp_path, [[3, 4], [2, 5]])


# --- the file of questions --------------------------------------------------------------------------------------------


def test_the_ready_questions_ask_what_they_promise():
    ready = read_questions("judge", PROMPTS, None)
    assert set(ready) == WISHED
    with_subject = read_questions("judge", PROMPTS, "a {red} car")
    assert set(with_subject) == {*WISHED, "subject_visible"}
    assert "a {red} car" in with_subject["subject_visible"].text
    assert with_subject["subject_visible"].drop == "no"
    assert {one.unsure for one in ready.values()} == {"keep"} and {one.drop for one in ready.values()} == {"yes", None}
    for question in ready.values():
        assert question.text.endswith("?") and "{" not in question.text


def test_a_file_of_own_questions_is_read_in_its_order(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "zebra: {question: 'Is it a zebra?', drop: no}\n"
        "apple: {question: 'Is it an apple?', drop: yes, unsure: drop}\n"
        "mood: {question: 'Is it sad?'}\n"
    )
    found = read_questions(str(file), PROMPTS, None)
    assert [(name, one.drop, one.unsure) for name, one in found.items()] == [
        ("zebra", "no", "keep"),
        ("apple", "yes", "drop"),
        ("mood", None, "keep"),
    ]
    assert columns_and_texts(found)[0] == ["judge_zebra", "Is it a zebra?"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no questions; write"),
        ("- a", "holds no questions; write"),
        ("a: [", "not YAML"),
        ("a: Is it?", 'a: write {question: "…", drop: yes, unsure: keep}; the last two may be left out'),
        ("a: {question: 'Is it?', drops: yes}", 'a: write {question: "…", drop: yes, unsure: keep}'),
        ("a: {drop: yes}", "a: has no `question`; write what the model is asked"),
        ("a: {question: 'Is it?', drop: maybe}", "a: drop: 'maybe' is none of: yes, no, null"),
        ("a: {question: 'Is it?', unsure: yes}", "a: unsure: True is none of: keep, drop"),
        ("A b: {question: 'Is it?'}", "A b: cannot be the name of a column"),
        ("a: {question: 'Is it {this}?'}", "a: {this} is not known; choose from: {subject}"),
        ("a: {question: 'Is {subject} there?'}", "all its questions have {subject}; set judge.subject"),
    ],
)
def test_a_file_that_holds_something_else_is_explained(tmp_path, text, message):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(SetupError) as caught:
        read_questions(str(file), PROMPTS, None)
    assert str(caught.value).startswith(f"{file}: {message}")


# --- one request per clip ---------------------------------------------------------------------------------------------


def test_one_request_per_clip_asks_all_questions_by_a_schema(made):
    chat = Chat(lambda request: says(logo="no", car="unsure"))
    rows = answered(made, judge(chat))
    assert [request.id for request in chat.asked] == [clip["clip_id"] for clip in made.clips]
    assert chat.asked[0].text == (
        "Look, and answer {truly}.\njudge_logo: Is there a logo {x}?\njudge_car: Is there a car?"
    )
    assert chat.task.schema["required"] == ["judge_logo", "judge_car"]
    assert chat.task.schema["properties"]["judge_car"] == {"type": "string", "enum": list(ANSWERS)}
    for row in rows.values():
        assert (row["judge_logo"], row["judge_car"], row["judge_model"]) == ("no", "unsure", "made: m (1)")


def test_only_what_the_key_says_is_asked_again(made):
    def asked(**changes: Any) -> int:
        chat = Chat(lambda request: says(logo="no", car="no", new="no"))
        answered(made, judge(chat, **changes))
        return len(chat.asked)

    assert asked() == 4
    assert asked() == 0
    assert asked(questions=[*ASKED, ["judge_new", "Is it new?"]]) == 4
    assert asked(questions=[ASKED[0], ["judge_car", "Is there any car?"]]) == 4
    assert asked(prompt="Other.\n{questions}") == 4
    assert asked(frames=3) == 4
    assert asked() == 0


def test_answers_that_are_none_cost_their_clip_and_are_asked_again(made):
    first = made.clips[0]["clip_id"]
    bad = iter(["Yes.", says(logo="maybe", car="no"), says(logo="no")])
    for kind in ("not_json",) * 3:
        chat = Chat(lambda request: next(bad) if request.id == first else says(logo="Yes ", car="no"))
        rows = answered(made, judge(chat))
        assert rows[first]["error_kind"] == kind
        assert {row["judge_logo"] for name, row in rows.items() if name != first} == {"yes"}
    chat = Chat(lambda request: says(logo="no", car="no"))
    assert answered(made, judge(chat))[first]["judge_logo"] == "no" and [one.id for one in chat.asked] == [first]


def test_the_server_gets_one_request_per_clip(made):
    def answer(asked: Asked) -> Reply | str:
        fields = asked.body["response_format"]["json_schema"]["schema"]["required"]
        return json.dumps(dict.fromkeys(fields, "no"))

    with ChatServer(answer) as server:
        own = {"model": "m", "revision": None, "api_key_env": None, "headers": {}, "tries": 3}
        chat = Endpoint([server.url], **own, backoff_seconds=0.01, timeout_seconds=60, options={})
        rows = answered(made, judge(chat))
        assert answered(made, judge(chat)) == rows
        assert len(server.asked) == len(made.clips)
        assert all(len(one.images) == 2 and "judge_car: Is there a car?" in one.prompt for one in server.asked)
        server.check()
    assert all(row["judge_car"] == "no" for row in rows.values())


# --- in the request for the caption -----------------------------------------------------------------------------------

WITH_CAPTION = {"prompt": PROMPT, "questions": ASKED}


@pytest.mark.parametrize("structured", [False, True])
def test_the_request_for_the_caption_may_ask_the_questions_too(made, structured):
    def say(request):
        names = [name for name in chat.task.schema["required"] if not name.startswith("judge_")]
        return json.dumps({name: f"A {name}." for name in names} | {"judge_logo": "yes", "judge_car": "no"})

    chat = Chat(say)
    rows = answered(made, captioner(chat, structured=structured, judge=WITH_CAPTION), "caption")
    assert len(chat.asked) == len(made.clips)
    assert chat.asked[0].text.startswith("Say ") and "judge_logo: Is there a logo {x}?" in chat.asked[0].text
    for row in rows.values():
        assert row["caption"] == ("A dense." if structured else "A caption.")
        assert (row["judge_logo"], row["judge_car"]) == ("yes", "no")
        assert row.get("caption_short") == ("A short." if structured else None)


def test_a_captioner_without_questions_is_as_it_was():
    chat = Chat(lambda request: "A cat.")
    assert captioner(chat).about == captioner(chat, judge=None).about
    assert "judge" not in captioner(chat).about and captioner(chat).task.schema is None
    assert captioner(chat).about != captioner(chat, judge=WITH_CAPTION).about


# --- what the answers do ----------------------------------------------------------------------------------------------


def policy(with_caption: bool = False, **rules: tuple[str | None, str]) -> Judgement:
    found = [
        {"column": f"judge_{name}", "question": "?", "drop": drop, "unsure": unsure}
        for name, (drop, unsure) in rules.items()
    ]
    return Judgement(found, with_caption)


@pytest.mark.parametrize(
    ("drop", "unsure", "reasons"),
    [
        ("yes", "keep", {"yes": "judge_a yes", "no": None, "unsure": None}),
        ("yes", "drop", {"yes": "judge_a yes", "no": None, "unsure": "judge_a unsure"}),
        ("no", "keep", {"yes": None, "no": "judge_a no", "unsure": None}),
        (None, "keep", {"yes": None, "no": None, "unsure": None}),
        (None, "drop", {"yes": None, "no": None, "unsure": "judge_a unsure"}),
    ],
)
def test_which_answers_drop_a_clip(drop, unsure, reasons):
    judgement = policy(a=(drop, unsure))
    for answer, reason in reasons.items():
        failure = judgement.failure({"judge_a": answer})
        assert (failure and str(failure)) == reason


def test_the_first_question_that_drops_is_the_reason_and_no_answer_is_a_failure():
    judgement = policy(b=("yes", "keep"), a=("yes", "keep"))
    assert str(judgement.failure({"judge_a": "yes", "judge_b": "yes"})) == "judge_b yes"
    assert str(judgement.failure({"judge_b": "no"})) == "judge failed"
    assert policy(with_caption=True, a=("yes", "keep")).failure({"caption": None}) is None


def test_clips_that_an_answer_drops_are_not_captioned_or_rewritten():
    clips = {"000000": [{"clip_id": "a"}, {"clip_id": "b"}], "000001": [{"clip_id": "c"}, {"clip_id": "d"}]}
    answers = [
        {"clip_id": name, "judge_a": answer} for name, answer in zip("abcd", ("yes", "no", "unsure", None), strict=True)
    ]
    good = with_good_answers(clips, answers, policy(a=("yes", "keep")))
    assert good == {"000000": [{"clip_id": "b"}], "000001": [{"clip_id": "c"}]}
    rows = [{**row, "shard": "0", "caption": "A cat on a mat.", "caption_whole": True} for row in answers[:3]]
    checks = CONFIG["text_checks"]
    assert [row["clip_id"] for row in with_good_caption(rows, checks, policy(True, a=("yes", "drop")))["0"]] == ["b"]
    assert len(with_good_caption(rows, checks)["0"]) == 3


def test_the_policy_comes_from_the_questions_and_is_said_in_words():
    found = policy_of(read_questions("judge", PROMPTS, None))
    assert [one["column"] for one in found][:2] == ["judge_watermark", "judge_logo"]
    assert found[0].keys() == {"column", "question", "drop", "unsure"}
    counts = {"yes": 2, "no": 1000, "unsure": 1}
    line = answer_line("judge_a", {"drop": "yes", "unsure": "keep", "counts": counts})
    assert line == "judge_a: 2 yes, 1,000 no, 1 unsure (yes drops, unsure is kept)"
    line = answer_line("judge_a", {"drop": None, "unsure": "drop", "counts": counts})
    assert line.endswith("(no answer drops, unsure is dropped)")


def test_fields_may_be_texts_and_answers():
    found = schema({"a": 5}, ["b"])
    assert found["required"] == ["a", "b"] and found["properties"]["a"] == {"type": "string", "maxLength": 5}
    assert read_fields('{"a": "x y", "b": " NO "}', {"a": 5}, ["b"]) == {"a": "x y", "b": "no"}
    with pytest.raises(ItemError, match="the answer to b is none of yes, no, unsure: 'maybe'"):
        read_fields('{"a": "x", "b": "maybe"}', {"a": 5}, ["b"])


# --- the config -------------------------------------------------------------------------------------------------------


def with_judge(caption: str = "openai", **judge: Any) -> dict[str, Any]:
    config = json.loads(json.dumps({**CONFIG, "videos": "videos"}))
    config["judge"] |= judge
    config["caption"] |= {"backend": caption, "openai": {**config["caption"]["openai"], "model": "m"}}
    config["judge"]["openai"]["model"] = "m"
    return config


def test_nothing_is_asked_by_default():
    assert CONFIG["judge"]["backend"] == "none" and CONFIG["judge"]["with_caption"] is False
    assert backends.settings("judge", CONFIG["judge"], PROMPTS) == {"backend": "none"}
    for config in (with_judge(), with_judge(backend="openai"), with_judge(with_caption=True, subject="a cat")):
        check_config(config, SCHEMA_PATH)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (with_judge(backend="oracle"), "judge.backend: `oracle` is not known; choose from: none, vllm, openai, transf"),
        (
            with_judge(backend="openai", questions="none"),
            f"judge.questions: {PROMPTS / 'none.yaml'}: No such file or dir",
        ),
        (
            with_judge(with_caption=True, questions="/no.yaml"),
            "judge.questions: /no.yaml: No such file or directory; name",
        ),
        (
            with_judge(with_caption=True, backend="openai"),
            "judge.with_caption: the captioner answers, and not openai; set judge.backend to none",
        ),
        (
            with_judge("describe", with_caption=True),
            "judge.with_caption: `describe` answers no questions; choose a language model as caption.backend",
        ),
        (
            with_judge(backend="openai", prompt="rewrite"),
            "judge.prompt: {caption} is not known; choose from: {questions}",
        ),
    ],
)
def test_a_config_that_cannot_be_right_is_explained(config, message):
    (line,) = problems_of(config)
    assert line.startswith(message)


def test_a_prompt_that_leaves_the_questions_out_is_refused(tmp_path):
    (tmp_path / "p.txt").write_text("Look.")
    with pytest.raises(SetupError, match=r"judge.prompt: has no \{questions\}, so that the model would not see it"):
        check_config(with_judge(backend="openai", prompt=str(tmp_path / "p.txt")), SCHEMA_PATH)


def test_which_answer_drops_is_no_setting_of_the_backend(tmp_path):
    file = tmp_path / "q.yaml"
    made_with = []
    for drop, unsure in (("yes", "keep"), ("no", "drop")):
        file.write_text(f"a: {{question: 'Is it?', drop: {drop}, unsure: {unsure}}}")
        section = {**with_judge(backend="openai", questions=str(file))["judge"]}
        made_with.append(backends.settings("judge", section, Path(PROMPTS)))
    assert made_with[0] == made_with[1]
    assert made_with[0]["questions"] == [["judge_a", "Is it?"]]
