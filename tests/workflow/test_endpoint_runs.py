"""Captions and texts by a server that speaks OpenAI's protocol: each clip is asked for once and gets its own.

One set of videos is run to its end; most tests change that run.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from runs import AFTER_FILTER, LAST, SHARD_RULES, Outcome, Run, Saved, explain, wait_for, whole_plan

from chat_server import Asked, ChatServer, Reply, free_port, is_check, refusal, said_to_check
from clipmill.captions.fields import FIELDS, OF_SOUND
from clipmill.demo.render import SOUND_PITCH
from clipmill.store.review import clip_key
from clipmill.texts.heard import NONE, with_heard

SLOW, ODD, MEDIUM = {"slow 1.mp4", "slow 2.mp4", "slow 3.mp4"}, "odd.mp4", {"medium 1.mp4", "medium 2.mp4"}
CAPTION = re.compile(r"A camera glides over photograph (\w{12}) while soft daylight falls across the quiet scene\.")
VARIABLE, CANARY = "A_KEY_OF_THE_TESTS", "canary/key+0123456789=abcdef"
SCORES = tuple(rule for rule in SHARD_RULES if rule.startswith("score_"))
LOOSER = {"filters": {"motion": {"max": 25}}}  # lets the medium ones in
NEVER = threading.Event()


def said_of(image: bytes) -> str:
    """The caption of a clip, by its first picture."""
    name = hashlib.sha256(image).hexdigest()[:12]
    return f"A camera glides over photograph {name} while soft daylight falls across the quiet scene."


def answer(asked: Asked) -> Reply | str:
    """Answers a check, a question for a caption, and one for its rewriting; it thinks before the last two."""
    if is_check(asked):
        return said_to_check(asked)
    if asked.images:
        return f"<think>\nThe user wants a caption.\n</think>\n\n{said_of(asked.images[0])}"
    return "{Shorter.}</think>" + json.dumps(
        {"text": CAPTION.search(asked.prompt)[0].replace("A camera", "The camera")}
    )


def captions(server: ChatServer) -> list[Asked]:
    """What a server was asked of clips."""
    return [asked for asked in server.asked if asked.images and not is_check(asked)]


def rewrites(server: ChatServer) -> list[Asked]:
    return [asked for asked in server.asked if not asked.images and not is_check(asked)]


def by(server: ChatServer | str, revision: str | None = None, **more: Any) -> dict[str, Any]:
    """Sections of the config that ask this server for captions and texts. `revision`: of captions; `more`: of both."""
    url = server if isinstance(server, str) else server.url
    own = {"base_urls": [url], "model": "m", "tries": 3, "backoff_seconds": 0.05, **more}
    return {
        "caption": {"backend": "openai", "openai": {**own, "revision": revision}},
        "rewrite": {"backend": "openai", "openai": own},
    }


def pictures(run: Run, row: dict[str, Any]) -> set[str]:
    """The names of all pictures that were kept of a clip's video."""
    with zipfile.ZipFile(run.outdir / "work" / "frames" / "000000" / f"{row['video_id']}.zip") as archive:
        return {hashlib.sha256(archive.read(name)).hexdigest()[:12] for name in archive.namelist()}


def check_texts(run: Run, names: set[str]) -> None:
    """The dataset has these videos' clips, each with the caption and the text of its own pictures."""
    assert run.kept() == names
    own = {row["name"]: pictures(run, row) for row in run.verdicts()}
    for row in run.verdicts():
        if row["name"] in names:
            named = CAPTION.fullmatch(row["caption"])[1]
            assert [name for name, shown in own.items() if named in shown] == [row["name"]]
            assert row["text"] == row["caption"].replace("A camera", "The camera")
            assert row["rewritten"] and row["caption_whole"]
    assert {entry["text"] for entry in run.train()} == {
        with_heard(row["text"], row) for row in run.verdicts() if row["kept"]
    }


@dataclass(frozen=True)
class Story:
    """The finished run, what it printed, and the server that it asked."""

    saved: Saved
    whole: Outcome
    server: ChatServer


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Six videos, of which the medium ones are too fast.

    The server stumbles once over each clip, refuses the odd one, and tells the key in each error.
    """

    def stumbling(asked: Asked) -> Reply | str:
        key = asked.headers["authorization"]
        if asked.images and not is_check(asked):
            width, height = asked.sizes[0]
            if height > width:
                return refusal(400, f"You are {key}: no portraits.")
            if asked.tries == 1:
                return refusal(500, f"You are {key}: out of memory.")
        return answer(asked)

    run = Run(tmp_path_factory.mktemp("endpoint") / "run")
    run.settings |= {"videos_per_shard": 10, "filters": {**run.settings["filters"], "motion": {"max": 10}}}
    for number, picture in enumerate(("coffee.png", "chelsea.png", "astronaut.png"), 1):
        run.video(f"slow {number}.mp4", speed=6, picture=picture, audio=number == 1)
    run.video(ODD, speed=6, picture="rocket.jpg", size=(120, 160))
    for number, picture in enumerate(("coffee.png", "chelsea.png"), 1):
        run.video(f"medium {number}.mp4", speed=18, picture=picture, size=(176, 120))
    with ChatServer(stumbling) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, CANARY)
        whole = run.done(config=by(server, api_key_env=VARIABLE))
    return Story(Saved(run), whole, server)


@pytest.fixture
def finished(story: Story) -> Run:
    return story.saved.fresh()


# --- what comes out ----------------------------------------------------------------------------------------------


def test_each_clip_is_asked_for_once_and_has_its_own_texts(finished: Run, story: Story):
    story.server.check()
    assert story.whole.jobs == {**whole_plan(1), "check_backend": 2}
    check_texts(finished, SLOW)
    assert sum(map(is_check, story.server.asked)) == 3 + 1  # captions by three sets of pictures, and texts
    asked = captions(story.server)
    assert len({one.digest for one in asked}) == len(SLOW) + 1
    assert len(asked) == 2 * len(SLOW) + 1  # each stumbled once, but the odd one
    assert len(rewrites(story.server)) == len(SLOW)
    assert all(one.body["chat_template_kwargs"] == {"enable_thinking": False} for one in story.server.asked)
    assert {size for one in asked for size in one.sizes} == {(160, 120), (120, 160)}
    assert all(len(one.images) == 3 and "frames of one video clip of 1.5 seconds" in one.prompt for one in asked)
    assert {row["caption_model"] for row in finished.verdicts() if row["kept"]} == {"openai: m"}
    listed = json.loads((finished.outdir / "models.json").read_text(encoding="utf-8"))
    asked_for = [(row["step"], row["model"], row["licence"]) for row in listed if row["backend"] == "openai"]
    assert asked_for == [("caption", "m", "unknown"), ("rewrite", "m", "unknown")]


def test_a_clip_that_the_server_refuses_costs_itself_alone(finished: Run):
    (error,) = finished.errors()
    assert (error["step"], error["video"], error["kind"]) == ("caption", ODD, "refused")
    assert "status 400: You are Bearer ***: no portraits." in error["message"]
    assert {row["reason"] for row in finished.verdicts() if row["name"] == ODD} == {"caption failed"}


def test_the_key_stands_in_no_file_and_is_not_printed(finished: Run, story: Story):
    assert all(asked.headers["authorization"] == f"Bearer {CANARY}" for asked in story.server.asked)
    assert "***" in finished.log("caption") and "canary" not in story.whole.output
    files = [path for path in finished.place.rglob("*") if path.is_file()]
    assert {".snakemake", "logs", "journals"} <= {part for path in files for part in path.parts}
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".parquet":  # compressed
            table = pq.read_table(path)
            content += str([table.schema.metadata, table.to_pylist()]).encode()
        assert b"canary" not in content, path


# --- what runs again ---------------------------------------------------------------------------------------------


def test_where_the_server_is_and_how_it_is_asked_re_runs_nothing(finished: Run):
    with ChatServer(answer) as server:
        more = {"tries": 9, "timeout_seconds": 7, "headers": {"X-Project": "ours"}}
        config = {**by(server, **more), "resources": {"caption": {"batch": 2}}}
        assert finished.done(config=config).nothing_done
    assert not server.asked


def test_another_prompt_for_rewriting_asks_for_no_caption(finished: Run):
    own = finished.place / "mine.txt"
    own.write_text("# Only this is sent.\nSay it again as JSON: {caption}\n", encoding="utf-8")
    with ChatServer(answer) as server:
        sections = by(server)
        sections["rewrite"]["prompt"] = str(own)
        outcome = finished.done(config=sections)
    server.check()
    after = AFTER_FILTER[AFTER_FILTER.index("rewrite_captions") :]
    assert outcome.jobs == {"check_backend": 1, **dict.fromkeys(after, 1), **LAST}
    assert captions(server) == []
    assert {asked.prompt.partition(": ")[0] for asked in rewrites(server)} == {"Say it again as JSON"}
    assert len(rewrites(server)) == len(SLOW)
    check_texts(finished, SLOW)


def test_a_looser_threshold_asks_for_what_it_lets_in_and_for_what_had_failed(finished: Run):
    before = {entry["file_path"] for entry in finished.train()}
    with ChatServer(answer) as server:
        outcome = finished.done(config={**by(server), **LOOSER})
    server.check()
    assert outcome.jobs == {**dict.fromkeys((*SCORES, "filter_clips", *AFTER_FILTER), 1), **LAST}
    assert sorted(asked.sizes[0] for asked in captions(server)) == [(120, 160), (176, 120), (176, 120)]
    assert len(rewrites(server)) == 3
    check_texts(finished, SLOW | MEDIUM | {ODD})
    assert before < {entry["file_path"] for entry in finished.train()}
    assert finished.errors() == []


def test_a_review_runs_no_model_and_holds_when_a_threshold_changes(finished: Run):
    shutil.copytree(finished.outdir, finished.place / "before")
    clips = {row["video_id"]: row for row in pq.read_table(finished.outdir / "work/clips/000000.parquet").to_pylist()}
    seen = {row["name"]: clips[row["video_id"]] for row in finished.verdicts()}
    decided = {"decision": None, "star": False, "text": None, "at": "2026-11-30T22:30:00Z"}
    decisions = [
        {"clip_id": clip["clip_id"], "clip": clip_key(clip), **decided, **what}
        for clip, what in (
            (seen["slow 1.mp4"], {"decision": "drop"}),
            (seen["slow 2.mp4"], {"text": "A person wrote this."}),
            (seen["slow 3.mp4"], {"decision": "drop", "clip": "of other pictures"}),
            (seen["medium 1.mp4"], {"decision": "keep"}),  # a filter drops it all the same
        )
    ]

    def review(*lines: dict[str, Any]) -> tuple[str, str]:
        (finished.workdir / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return "--config", "review=mine.jsonl"

    with ChatServer(answer) as server:
        outcome = finished.done(*review(*decisions), config=by(server))
        assert outcome.jobs == {"cut_clips": 1, **LAST}
        assert "3 clips looked at: 1 kept, 1 reviewed out" in outcome.output
        assert finished.kept() == {"slow 2.mp4", "slow 3.mp4"}
        both = finished.done("compare", "--config", "run_a=../before", "run_b=../out").output
        assert both.rstrip().endswith("out/compare.html")
        page = (finished.outdir / "compare.html").read_text(encoding="utf-8")
        assert "A person wrote this." in page and "<td>reviewed out</td>" in page and page.count("<img") == 3
        rows = {row["name"]: row for row in finished.verdicts()}
        assert (rows["slow 1.mp4"]["reason"], rows["medium 1.mp4"]["reason"]) == ("reviewed out", "motion high")
        assert [rows["slow 2.mp4"][name] for name in ("text", "text_source")] == ["A person wrote this.", "reviewed"]
        assert rows["slow 3.mp4"]["text_source"] == "rewritten"
        (changed,) = (error for error in finished.errors() if error["step"] == "review")
        assert (changed["video"], changed["kind"]) == ("slow 3.mp4", "clip_changed")
        # What was decided at another time is the same, and what is only dropped needs no cutting.
        again = [{**line, "at": "2026-12-01T00:00:00Z"} for line in decisions]
        assert finished.done(*review(*again), config=by(server)).nothing_done
        starred = {**again[2], "decision": None, "star": True, "clip": clip_key(seen["slow 3.mp4"])}
        stars = {"review": {"require": "star"}}  # which the file on the command line leaves as it is
        assert finished.done(*review(*again[:2], starred), config={**by(server), **stars}).jobs == LAST
        assert finished.kept() == {"slow 3.mp4"}
        assert server.asked == []
        finished.done(*review(*decisions), config={**by(server), **LOOSER})
        assert finished.kept() == {"slow 2.mp4", "slow 3.mp4", ODD, *MEDIUM}
        assert len(captions(server)) == 3  # what the threshold lets in, and the odd one
        rows = {row["name"]: row for row in finished.verdicts()}
        assert (rows["slow 1.mp4"]["reason"], rows["slow 2.mp4"]["text"]) == ("reviewed out", "A person wrote this.")
        broken = finished.run(*review({"clip_id": "a"}), config=by(server))
        assert broken.code != 0 and "mine.jsonl, line 1: it has no field `decision`" in broken.output
        assert finished.done(config=by(server)).jobs.keys() >= LAST.keys()
    check_texts(finished, SLOW | {ODD})


def test_structured_answers_fill_their_columns_and_what_is_heard_ends_the_texts(finished: Run):
    def structured(asked: Asked) -> Reply | str:
        if not asked.images or is_check(asked):
            return answer(asked)
        schema = asked.body["response_format"]["json_schema"]["schema"]
        fields = {name: f"The {name} of it." for name in schema["required"]}
        return json.dumps({**fields, "dense": said_of(asked.images[0]), "on_screen_text": "EXIT \ud83d"})

    with ChatServer(structured) as server:
        sections = by(server)
        sections["caption"] |= {"structured": True, "audio": True, "max_tokens": 1024}
        finished.done(config=sections)
    server.check()
    assert all("on_screen_text" in asked.prompt for asked in captions(server))
    (heard,) = (asked.sound for asked in captions(server) if asked.sound is not None)  # the first film's alone
    assert len(heard) == 1.5 * 16000
    assert np.abs(np.fft.rfft(heard)).argmax() / 1.5 == pytest.approx(SOUND_PITCH, abs=1)
    check_texts(finished, SLOW | {ODD})
    names = [f"caption_{name}" for name in (*FIELDS, *OF_SOUND) if name != "dense"]
    for file in (finished.outdir / "verdicts.parquet", finished.outdir / "dataset" / "metadata.parquet"):
        rows = [row for row in pq.read_table(file).to_pylist() if row.get("kept", True)]
        assert len(rows) == len(SLOW) + 1
        for row in rows:
            told = {name: row[name] for name in names}
            assert told.pop("caption_on_screen_text") == "EXIT ?"  # half a character cannot be written
            camera = told.pop("caption_camera")  # as measured, whatever a model says of it
            assert camera in ("The camera pans to the right.", "The camera pans slowly to the right.")
            assert row["caption_heard"] == (row["name"] == "slow 1.mp4")
            of_sound = {name: told.pop(f"caption_{name}") for name in OF_SOUND}
            assert of_sound == {name: f"The {name} of it." if row["caption_heard"] else NONE for name in OF_SOUND}
            assert told == {name: f"The {name.removeprefix('caption_')} of it." for name in told}
    ends = "The speech of it. The music of it. The sounds of it."
    assert [entry["text"].endswith(f". {ends}") for entry in finished.train()].count(True) == 1


# --- what stops a run --------------------------------------------------------------------------------------------


def answering(count: int) -> Any:
    """Answers checks and the first `count` questions for captions; later ones wait until the server ends."""
    came = 0

    def some(asked: Asked) -> Reply | str:
        nonlocal came
        came += bool(asked.images) and not is_check(asked)
        return answer(asked) if came <= count else Reply(hold=NEVER)

    return some


def interrupted(run: Run, server: ChatServer, count: int) -> Any:
    """Whether all clips have been asked for, and `count` of the answers are written down."""
    before = run.written("caption")
    return lambda: len(captions(server)) == 6 and run.more(before) == {"caption": count}


def test_after_a_kill_no_clip_that_was_answered_is_asked_for_again(finished: Run):
    run = finished
    with ChatServer(answering(3)) as server:
        run.settings |= {**by(server, revision="2"), "filters": {**run.settings["filters"], **LOOSER["filters"]}}
        moment = interrupted(run, server, 3)
        with run.started() as main:  # and killed with all that it has started
            wait_for(moment, lambda: main.poll() is None)
    first = {asked.digest for asked in captions(server)}
    assert len(first) == 6
    with ChatServer(answer) as again:
        run.settings |= by(again, revision="2")
        run.done()
    again.check()
    asked = [one.digest for one in captions(again)]
    assert len(asked) == 3 and set(asked) < first
    check_texts(run, SLOW | MEDIUM | {ODD})


def test_a_server_that_is_down_ends_the_run_in_one_line_and_once_it_is_up_the_same_command_finishes(finished: Run):
    """Before the work, and in the middle of it."""
    run, port = finished, free_port()
    url = f"http://127.0.0.1:{port}/v1"
    run.settings |= {**by(url, revision="3"), "filters": {**run.settings["filters"], **LOOSER["filters"]}}
    outcome = run.run()
    line = explain(outcome, " failed: ")
    assert f"caption, backend openai: {url}: cannot be reached" in line and "Run again" in line
    assert "caption_clips" not in outcome.jobs

    with ChatServer(answering(2), port=port) as server:
        moment = interrupted(run, server, 2)
        with run.started() as main:
            wait_for(moment, lambda: main.poll() is None)
            server.stop()
            outcome = run.ended(main)
    assert f"{url}: cannot be reached" in explain(outcome, " failed: ")
    assert "caption_clips for shard 000000 failed" in outcome.output

    with ChatServer(answer, port=port) as server:
        run.done()
    server.check()
    assert len(captions(server)) == 4
    check_texts(run, SLOW | MEDIUM | {ODD})


def test_a_variable_that_is_not_set_ends_the_run_before_the_work(finished: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with ChatServer(answer) as server:
        outcome = finished.run(config=by(server, api_key_env=VARIABLE, revision="4"))
    assert f"environment variable {VARIABLE} is not set" in explain(outcome, " failed: caption")
    assert not server.asked
