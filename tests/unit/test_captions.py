"""Captions and rewriting of shards: who gets which text, what is asked again, and what a clip's request holds."""

from __future__ import annotations

import json
import random
import shutil
import threading

import numpy as np
import pytest
from made_chat import Chat, captioner, kept
from made_shards import Shard, level, thirty_clips

from clipmill.base.errors import ItemError, SetupError
from clipmill.base.opencv import cv2
from clipmill.captions import Caption
from clipmill.captions.describe import Describe
from clipmill.captions.fields import FIELDS, read_fields, schema
from clipmill.captions.language_step import NO_THINKING
from clipmill.captions.looking import smaller
from clipmill.captions.rewriter import FIELD, Rewriter, loss
from clipmill.captions.shard import caption_shards, rewrite_shards
from clipmill.chat import Answer, Request
from clipmill.decode.frames import jpeg_size
from clipmill.store.index import SHARDS_PER_GROUP, shard_groups
from clipmill.texts.prompts import places, read_prompt


def rewriter(chat, **changes) -> Rewriter:
    settings = {"prompt": "Again: {caption}", "system": None, "template": NO_THINKING, "max_tokens": 9}
    settings |= {"temperature": 0, "seed": 0, "max_tries": 3, "max_growth": 1.2, "on_failure": "keep"}
    return Rewriter(chat, **{**settings, **changes})


@pytest.fixture
def made(tmp_path) -> Shard:
    return thirty_clips(tmp_path)


def caption(made: Shard, backend, clips=None, rate=1.0) -> dict[str, dict]:
    rows = caption_shards(backend, {"000000": kept(made) if clips is None else clips}, made.outdir, rate)
    return {row["clip_id"]: row for row in rows}


def seen(request: Request) -> str:
    """What a request shows: the mean level of each of its pictures."""
    pictures = (cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR) for image in request.images)
    return " ".join(str(round(picture.mean())) for picture in pictures)


# --- who gets which text ----------------------------------------------------------------------------------------------


def test_each_clip_gets_its_own_text_in_whatever_order_they_come(made):
    rows = caption(made, captioner(chat := Chat(seen)))
    assert list(rows) == [clip["clip_id"] for clip in made.clips]
    for clip in made.clips:
        video = int(clip["video_id"][1:])
        levels = {level(video, sample) for sample in range(clip["start_frame"], clip["end_frame"])}
        said = [int(number) for number in rows[clip["clip_id"]]["caption"].split()]
        assert said and all(min(abs(number - known) for known in levels) <= 2 for number in said)
        assert rows[clip["clip_id"]]["shard"] == "000000"
    assert chat.most == Chat.batch  # taken as there is room


def test_a_clip_that_goes_wrong_costs_itself_and_is_asked_again(made):
    bad = {made.clips[number]["clip_id"] for number in (0, 7, 29)}
    fault = ItemError("timeout", "too slow")
    rows = caption(made, captioner(Chat(lambda request: fault if request.id in bad else seen(request))))
    assert {name for name, row in rows.items() if row.get("error_kind") == "timeout"} == bad
    again = caption(made, captioner(chat := Chat(seen)))
    assert {request.id for request in chat.asked} == bad
    assert {name: row["caption"] for name, row in again.items() if name not in bad} == {
        name: row["caption"] for name, row in rows.items() if name not in bad
    }


def test_a_clip_whose_frames_are_lost_is_not_asked(made):
    lost = {clip["clip_id"] for clip in made.clips if clip["video_id"] == "v2"}
    (made.outdir / "work" / "frames" / "000000" / "v2.zip").write_bytes(b"no zip")
    rows = caption(made, captioner(chat := Chat(seen)))
    assert {name for name, row in rows.items() if row.get("error_kind") == "bad_frames"} == lost
    assert not lost & {request.id for request in chat.asked}
    assert caption(made, captioner(Chat(seen)), [row for row in kept(made) if row["clip_id"] in lost]).keys() == lost


def test_too_many_faults_stop_the_job(made):
    with pytest.raises(SetupError, match="max_error_rate"):
        caption(made, captioner(Chat(lambda request: ItemError("refused", "no"))), rate=0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "asks"),
    [
        ({}, 0),
        ({"prompt": "Tell {seconds}."}, 30),
        ({"frames": 3}, 30),
        ({"max_tokens": 10}, 30),
        ({"seed": 1}, 0),  # at temperature 0 nothing is drawn
        ({"temperature": 0.5}, 30),
        ({"system": "You are terse."}, 30),
        ({"template": {"enable_thinking": True}}, 30),
        ({"template": {"enable_thinking": False, "style": "plain"}}, 30),
        ({"template": None}, 30),
    ],
)
def test_what_a_caption_depends_on(made, change, asks):
    caption(made, captioner(Chat(seen)))
    caption(made, captioner(chat := Chat(seen), **change))
    assert len(chat.asked) == asks


@pytest.mark.slow
def test_captions_of_before_the_template_are_kept_but_for_thoughts(made):
    """Journals of older versions hold answers as they came; those with thoughts before them are asked again."""
    caption(made, captioner(Chat(seen)))
    path = made.outdir / "work" / "journals" / "caption" / "000000.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    thought, ended = (line["value"]["caption"] for line in lines[:2])
    text = path.read_text()
    for said, old in ((thought, f"<think>\\nThe user wants {thought}"), (ended, f"Well. </think> {ended}")):
        assert text.count(f'"{said}"') == 1
        text = text.replace(f'"{said}"', f'"{old}"')
    path.write_text(text)
    rows = caption(made, captioner(chat := Chat(seen)))
    assert len(chat.asked) == 2 and not any("think" in row["caption"] for row in rows.values())
    caption(made, captioner(chat := Chat(seen)))
    assert chat.asked == []


def test_another_revision_asks_anew_and_new_clips_are_asked_alone(made):
    caption(made, captioner(Chat(seen)), kept(made)[:20])
    caption(made, captioner(chat := Chat(seen)))
    assert len(chat.asked) == 10
    caption(made, captioner(chat := Chat(seen, revision="2")))
    assert len(chat.asked) == 30


def test_other_groups_of_shards_find_what_was_finished(tmp_path):
    first = thirty_clips(tmp_path)
    for folder in ("frames", "signals"):
        (tmp_path / "work" / folder / "000000").rename(tmp_path / "work" / folder / "000001")
    second = [{**row, "clip_id": f"other {row['clip_id']}"} for row in kept(first)]
    thirty_clips(tmp_path)
    rows = caption_shards(captioner(Chat(seen)), {"000000": kept(first), "000001": second}, tmp_path, 1.0)
    assert [row["shard"] for row in rows] == ["000000"] * 30 + ["000001"] * 30
    for shard, clips in {"000000": kept(first), "000001": second}.items():
        assert caption_shards(captioner(chat := Chat(seen)), {shard: clips}, tmp_path, 1.0)
        assert chat.asked == []


# --- descriptions -----------------------------------------------------------------------------------------------------


def describer(threads: int) -> Describe:
    backend = Describe()
    backend.threads = threads
    return backend


def test_threads_change_no_description(tmp_path):
    found = []
    for threads in (1, 4):
        made = thirty_clips(tmp_path / str(threads))
        (made.outdir / "work" / "frames" / "000000" / "v2.zip").write_bytes(b"no zip")
        rows = caption(made, describer(threads))
        journal = (made.outdir / "work" / "journals" / "caption" / "000000.jsonl").read_text()
        found.append(([row.get("caption") or row["error_kind"] for row in rows.values()], journal))
    assert found[0] == found[1]
    lost = [clip["video_id"] == "v2" for clip in made.clips]
    assert [text == "bad_frames" for text in found[0][0]] == lost
    assert len(found[0][1].splitlines()) == lost.count(False) > 0


def test_descriptions_of_several_shards(tmp_path):
    second = kept(thirty_clips(tmp_path))
    for folder in ("frames", "signals"):
        (tmp_path / "work" / folder / "000000").rename(tmp_path / "work" / folder / "000001")
    first = kept(Shard(tmp_path, [[9], [3, 4]]))
    second = [{**row, "clip_id": f"other {row['clip_id']}"} for row in second]
    shards = {"000000": first, "000001": second}
    alone = [row for shard, clips in shards.items() for row in caption_shards(Describe(), {shard: clips}, tmp_path, 0)]
    shutil.rmtree(tmp_path / "work" / "journals")
    assert caption_shards(describer(3), shards, tmp_path, 0) == alone


def test_threads_that_describe_end_with_the_job(made):
    shutil.rmtree(made.outdir / "work" / "frames")
    before = threading.active_count()
    with pytest.raises(SetupError, match="max_error_rate") as caught:
        caption(made, describer(3), rate=0.1)
    assert threading.active_count() == before
    assert caught.traceback  # which holds the frames of the functions that were left


# --- what a request holds ---------------------------------------------------------------------------------------------


def test_places_are_filled_and_pictures_are_the_archive_s_own(made):
    chat = Chat(seen)
    caption(made, captioner(chat, prompt="{seconds} {width}×{height} {{x}} {camera}"))
    by_id = {clip["clip_id"]: clip for clip in made.clips}
    for request in chat.asked:
        assert request.text.startswith(f"{by_id[request.id]['seconds']:.1f} 16×16 {{x}} ")
        assert 1 <= len(request.images) <= 2
        assert {jpeg_size(image) for image in request.images} == {(16, 16)}


def test_the_rate_of_frames_is_their_true_one(tmp_path):
    made = Shard(tmp_path, [[9]])
    caption(made, captioner(chat := Chat(seen), frames=3, send="video"))
    assert chat.asked[0].fps == pytest.approx(2 / 3)  # samples 1, 4, 7 at two a second
    assert (chat.task.images, chat.task.as_video) == (3, True)
    caption(made, captioner(chat := Chat(seen), frames=8, frames_per_second=1))
    assert (len(chat.asked[0].images), chat.asked[0].fps) == (5, 1.0)


def test_larger_pictures_are_made_smaller_and_others_left_alone():
    picture = np.random.default_rng(0).integers(0, 256, (60, 100, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    assert jpeg_size(jpeg) == (100, 60)
    assert smaller(jpeg, 100) is jpeg
    assert jpeg_size(smaller(jpeg, 50)) == (50, 30)
    assert jpeg_size(b"no picture") is None
    with pytest.raises(ItemError):
        smaller(b"no picture", 50)


def test_structured_answers_are_columns(made):
    answer = json.dumps({name: f"the  {name}\n of it" for name in FIELDS})
    rows = caption(made, captioner(chat := Chat(lambda request: f"Sure: {answer}"), structured=True))
    assert chat.task.schema == schema(FIELDS)
    for row in rows.values():
        assert row["caption"] == "the dense of it"
        others = [name for name in FIELDS if name not in ("dense", "camera")]
        assert {name: row[f"caption_{name}"] for name in others} == {name: f"the {name} of it" for name in others}
        assert row["caption_camera"] == "The camera is still.", "as measured"
    unknown = [{**clip, "camera": "unknown"} for clip in kept(made)]
    rows = caption(made, captioner(chat, structured=True), unknown)
    assert {row["caption_camera"] for row in rows.values()} == {"the camera of it"}
    assert len(chat.asked) == len(unknown), "the model's own words were in the journal"
    cut = Answer(answer[:50], whole=False)
    rows = caption(made, captioner(Chat(lambda request: cut, revision="2"), structured=True))
    assert {row["error_kind"] for row in rows.values()} == {"cut_off"}


@pytest.mark.parametrize(
    "made_by", [schema(FIELDS), schema({"caption": FIELDS["dense"]}, ["judge_logo"]), schema(FIELD)]
)
def test_no_schema_has_the_length_that_llama_cpp_refuses(made_by):
    """Its grammars take 1999 characters and 2001, but not 2000: github.com/ggml-org/llama.cpp/issues/27087."""
    lengths = [part["maxLength"] for part in made_by["properties"].values() if "maxLength" in part]
    assert lengths and max(lengths) < 2000


@pytest.mark.parametrize("text", ["", "no JSON", "{}", '{"a": 1}', '{"a": "x"', '["a"]', '{"b": "x"}'])
def test_what_has_not_the_fields_is_no_answer(text):
    with pytest.raises(ItemError) as caught:
        read_fields(text, {"a": 9})
    assert caught.value.kind == "not_json"


# --- prompts ----------------------------------------------------------------------------------------------------------


def test_prompts_without_their_comments(tmp_path):
    (tmp_path / "mine.txt").write_text("# why\nOne {a}.\n\n# and\nTwo.\n")
    assert read_prompt("mine", tmp_path) == read_prompt(str(tmp_path / "mine.txt"), tmp_path) == "One {a}.\n\nTwo."
    with pytest.raises(SetupError, match=r"other.txt: No such file or directory; name a file, or one of .*: mine$"):
        read_prompt("other", tmp_path)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("{seconds} {who}", r"^p: \{who\} is not known; choose from: \{seconds\}, or write \{\{ and \}\}$"),
        ('{"a": 1}', "^p: "),
        ("{", "^p: .*write a brace that is meant as"),
        ("{seconds:.9f}", "^p: a place is a name in braces"),
        ("{seconds.__class__}", r"^p: \{seconds.__class__\} is not known"),
    ],
)
def test_places_that_are_not_known(prompt, message):
    with pytest.raises(SetupError, match=message):
        places(prompt, ("seconds",), "p")


# --- rewriting --------------------------------------------------------------------------------------------------------

SAID = {f"c{n}": f"The video shows a {colour} car on a road." for n, colour in enumerate(["red", "blue", "green"])}


def rewrite(backend, outdir, said=SAID) -> dict[str, dict]:
    rows = [{"clip_id": name, "caption": text} for name, text in said.items()]
    return {row["clip_id"]: row for row in rewrite_shards(backend, {"000000": rows}, outdir, 1.0)}


def good(request: Request) -> str:
    return json.dumps({"text": request.text.removeprefix("Again: The video shows a").strip().capitalize()})


def test_texts_are_rewritten(tmp_path):
    rows = rewrite(rewriter(chat := Chat(good)), tmp_path)
    assert {name: row["text"] for name, row in rows.items()} == {
        "c0": "Red car on a road.",
        "c1": "Blue car on a road.",
        "c2": "Green car on a road.",
    }
    assert all(row["rewritten"] and row["rewrite_model"] == "made: m (1)" for row in rows.values())
    assert len(chat.asked) == 3 and chat.task.schema["properties"].keys() == {"text"}
    rewrite(rewriter(chat := Chat(good)), tmp_path)
    assert chat.asked == []
    rewrite(rewriter(chat := Chat(good), prompt="Once more: {caption}"), tmp_path)
    assert len(chat.asked) == 3


def test_refused_answers_are_asked_again_by_another_draw(tmp_path):
    def say(request: Request) -> str:
        return good(request) if request.id != "c1" or request.temperature else "no JSON"

    rows = rewrite(rewriter(chat := Chat(say)), tmp_path)
    assert all(row["rewritten"] for row in rows.values())
    assert [request.id for request in chat.asked] == ["c0", "c1", "c2", "c1"]
    rewrite(rewriter(other := Chat(lambda request: "no JSON", revision="2")), tmp_path)
    assert len(other.asked) == 9
    seeds = {(request.id, request.seed) for request in other.asked}
    assert len(seeds) == 9  # each try of each clip draws its own


@pytest.mark.parametrize("on_failure", ["keep", "drop"])
def test_what_becomes_of_a_caption_without_a_good_rewriting(tmp_path, on_failure):
    rows = rewrite(rewriter(Chat(lambda request: '{"text": ""}'), on_failure=on_failure), tmp_path)
    for name, row in rows.items():
        if on_failure == "keep":
            assert (row["text"], row["rewritten"]) == (SAID[name], False)
            assert row["refused_since"] == "it is empty"
        else:
            assert row["error_kind"] == "not_rewritten" and "it is empty" in row["error"]


@pytest.mark.parametrize("on_failure", ["keep", "drop"])
def test_what_the_server_refuses_is_asked_once(tmp_path, on_failure):
    """The same question would be refused again; all others are tried as before."""

    def say(request: Request) -> str | ItemError:
        return ItemError("refused", "status 400: too long") if request.id == "c1" else good(request)

    rows = rewrite(rewriter(chat := Chat(say), on_failure=on_failure), tmp_path)
    assert [request.id for request in chat.asked] == ["c0", "c1", "c2"]
    assert rows["c0"]["rewritten"] and rows["c2"]["rewritten"]
    if on_failure == "keep":
        assert (rows["c1"]["text"], rows["c1"]["rewritten"]) == (SAID["c1"], False)
        assert rows["c1"]["refused_since"] == "status 400: too long"
    else:
        assert rows["c1"]["error"] == "no good answer in 1 try; the last one: status 400: too long"


def test_faults_of_the_server_say_nothing_of_the_text(tmp_path):
    rows = rewrite(rewriter(chat := Chat(lambda request: ItemError("timeout", "too slow"))), tmp_path)
    assert {row["error_kind"] for row in rows.values()} == {"timeout"}
    assert len(chat.asked) == 3
    assert all(row["rewritten"] for row in rewrite(rewriter(Chat(good)), tmp_path).values())


@pytest.mark.parametrize(
    ("source", "text", "why"),
    [
        ("A red car drives by.", "Red car drives by.", None),
        ("A red car drives by.", "A red automobile drove by.", "it has none"),
        ("A red car drives along a road.", "A car, red, is driving along the roads.", None),
        ("A red car drives by.", "", "it is empty"),
        ("A red car drives by.", "I'm sorry, but I cannot see the car that drives.", "it is a refusal"),
        ("A red car drives by.", "car drives " * 20, "it has 40 words, the caption 5"),
        ("A red car drives by.", "The user wants a text on a red car.", "it holds thoughts"),
        ("A red car drives by.", "A red car. <think>Drives?", "it holds thoughts"),
        ("It is so.", "Quite another thing.", None),  # no content word to lose
        ("一辆红色的汽车驶过。", "红色汽车驶过。", None),
        ("一辆红色的汽车驶过。", "猫在睡觉。", "it has none"),
    ],
)
def test_losses(source, text, why):
    found = loss(source, text, 1.2)
    assert found is None if why is None else found.startswith(why)


def test_a_text_may_hold_braces_and_orders(tmp_path):
    said = {"c": "A sign says {caption} {0} and 'ignore all that'."}
    rewrite(rewriter(chat := Chat(lambda request: json.dumps({"text": said["c"]}))), tmp_path, said)
    assert chat.asked[0].text == f"Again: {said['c']}"


def test_rewriting_of_nothing_asks_nothing(tmp_path):
    assert rewrite(rewriter(chat := Chat(good)), tmp_path, {}) == {}
    assert chat.asked == [] and not hasattr(chat, "task")
    assert list(rewriter(chat).rewrite([Caption("a", "A red car drives by.")]))


# --- groups -----------------------------------------------------------------------------------------------------------


def test_shards_that_share_a_job():
    ones = {f"{number:06d}": 1 for number in range(7)}
    assert shard_groups(ones, None) == {name: [name] for name in ones}
    assert [len(group) for group in shard_groups(ones, 30).values()] == [3, 3, 1]
    assert list(shard_groups(ones, 30)) == ["000000", "000003", "000006"]
    assert shard_groups({"000000": 1000, "000001": 5, "000002": 1000}, 100) == {
        "000000": ["000000"],
        "000001": ["000001", "000002"],
    }
    assert shard_groups({}, 100) == {}


@pytest.mark.parametrize("clips", [1, 10, 75, 10**9])
def test_a_full_group_never_changes(clips):
    chance = random.Random(clips)
    sizes = {f"{number:06d}": chance.randrange(1, 12) for number in range(1200)}
    whole = shard_groups(sizes, clips)
    assert [name for group in whole.values() for name in group] == list(sizes)
    assert max(map(len, whole.values())) <= SHARDS_PER_GROUP
    for count in (1, 2, 50, 777):
        part = shard_groups(dict(list(sizes.items())[:count]), clips)
        *full, last = part.items()
        assert all(whole[first] == group for first, group in full)
        assert whole[last[0]][: len(last[1])] == last[1]
