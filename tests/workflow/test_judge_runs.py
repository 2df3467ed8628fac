"""Questions with yes or no in real runs, by a server that speaks OpenAI's protocol: each clip is asked once."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from runs import NO_TEXT_CHECKS, Run, Saved, of_two_photographs

from chat_server import Asked, ChatServer, is_check, said_to_check
from clipmill.base.opencv import cv2

NOT_ASKED = {"still.mp4": "frozen_share high"}  # a filter drops it before
LOGO = "Is there a logo of a rocket?"
CAPTION = "A camera moves slowly over a still photograph."


def brown(asked: Asked) -> bool:
    """Whether the first picture is brownish, as the coffee is and the rocket is not."""
    picture = cv2.imdecode(np.frombuffer(asked.images[0], np.uint8), cv2.IMREAD_COLOR)
    blue, _, red = picture.mean(axis=(0, 1))
    return bool(red > blue + 20)


def answer(asked: Asked) -> str:
    """Answers a check, questions and captions: there is a logo on what is not brown, and a cat is uncertain."""
    if is_check(asked):
        return said_to_check(asked)
    wanted = asked.body.get("response_format", {}).get("json_schema", {}).get("schema", {}).get("required", [])
    if not wanted:
        return CAPTION
    known = {"judge_logo": "no" if brown(asked) else "yes", "judge_cat": "unsure", "caption": CAPTION}
    return json.dumps({name: known[name] for name in wanted})


def of_clips(server: ChatServer) -> list[Asked]:
    """The requests about clips."""
    return [asked for asked in server.asked if not is_check(asked) and asked.images]


def count(server: ChatServer, what: str) -> int:
    """How many requests about clips had these words."""
    return sum(what in asked.prompt for asked in of_clips(server))


def questions(run: Run, drop: str = "yes", unsure: str = "keep", text: str = LOGO) -> str:
    path = run.place / "questions.yaml"
    asked = {"logo": {"question": text, "drop": drop == "yes"}, "cat": {"question": "A cat?", "unsure": unsure}}
    path.write_text(yaml.safe_dump(asked, sort_keys=False))
    return str(path)


def config(server: ChatServer, file: str, with_caption: bool = False) -> dict[str, Any]:
    own = {"openai": {"base_urls": [server.url], "model": "m", "tries": 2, "backoff_seconds": 0.05}}
    judge = {"questions": file, "with_caption": with_caption, "frames": 2, **own}
    return {
        "judge": judge if with_caption else {**judge, "backend": "openai"},
        "caption": {"backend": "openai", **own},
        "text_checks": NO_TEXT_CHECKS,
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Three videos in a run that asks nothing; a filter drops the last one."""
    run = of_two_photographs(tmp_path_factory.mktemp("judge") / "run")
    run.video("still.mp4", picture="coffee.png", speed=0)
    assert "judge_clips" not in run.done().jobs
    assert "judge" not in "".join(pq.read_schema(run.outdir / "verdicts.parquet").names)
    return Saved(run)


@pytest.fixture
def run(finished: Saved) -> Run:
    return finished.fresh()


@pytest.fixture
def server():
    with ChatServer(answer) as serving:
        yield serving
        serving.check()


def reasons(run: Run) -> dict[str, str | None]:
    return {row["name"]: row["reason"] for row in run.verdicts()}


def test_clips_are_asked_once_before_their_captions(run, server):
    assert run.kept() == {"coffee.mp4", "rocket.mp4"}
    outcome = run.done(config=config(server, questions(run)))
    assert outcome.jobs["judge_clips"] == outcome.jobs["caption_clips"] == 1
    assert reasons(run) == {**NOT_ASKED, "coffee.mp4": None, "rocket.mp4": "judge_logo yes"}
    captioned = [asked for asked in of_clips(server) if LOGO not in asked.prompt]
    assert count(server, LOGO) == 2 and len(captioned) == 1 and brown(captioned[0])

    rows = {row["name"]: row for row in run.verdicts()}
    assert (rows["rocket.mp4"]["judge_logo"], rows["rocket.mp4"]["judge_cat"]) == ("yes", "unsure")
    assert rows["still.mp4"]["judge_logo"] is rows["still.mp4"]["judge_cat"] is None
    assert rows["rocket.mp4"]["caption"] is None and rows["coffee.mp4"]["caption"] == CAPTION
    (row,) = pq.read_table(run.outdir / "dataset" / "metadata.parquet").to_pylist()
    assert (row["judge_logo"], row["judge_cat"], row["judge_model"]) == ("no", "unsure", "openai: m")
    summary = run.summary()
    assert summary["dropped"] == {"frozen_share high": 1, "judge_logo yes": 1}
    assert summary["answers"]["judge_logo"]["counts"] == {"yes": 1, "no": 1, "unsure": 0}
    assert "judge_cat: 0 yes, 0 no, 2 unsure (no answer drops, unsure is kept)" in outcome.output
    models = {model["step"]: model for model in json.loads((run.outdir / "models.json").read_text())}
    assert models["judge"]["columns"] == ["judge_model", "judge_logo", "judge_cat"]
    assert LOGO in (run.outdir / "dataset" / "README.md").read_text()
    report = (run.outdir / "report.html").read_text()
    assert LOGO in report and "no answer drops it" in report
    assert "judge_clips" in run.done("plan", config=config(server, questions(run))).output

    before = len(server.asked)
    assert run.done(config=config(server, questions(run))).nothing_done
    # Another answer drops: nothing is judged again, and the other clip is captioned.
    jobs = run.done(config=config(server, questions(run, drop="no"))).jobs
    assert reasons(run) == {**NOT_ASKED, "coffee.mp4": "judge_logo no", "rocket.mp4": None}
    assert "judge_clips" not in jobs and len(server.asked) == before + 1
    jobs = run.done(config=config(server, questions(run, unsure="drop"))).jobs
    assert "judge_clips" not in jobs and len(server.asked) == before + 1
    assert reasons(run) == {**NOT_ASKED, "coffee.mp4": "judge_cat unsure", "rocket.mp4": "judge_logo yes"}
    # Another question is asked of all clips.
    run.done(config=config(server, questions(run, text="Is there another logo?")))
    assert count(server, "Is there another logo?") == 2
    assert reasons(run) == {**NOT_ASKED, "coffee.mp4": None, "rocket.mp4": "judge_logo yes"}


def test_the_request_for_the_caption_may_ask_them_too(run, server):
    jobs = run.done(config=config(server, questions(run), with_caption=True)).jobs
    assert "judge_clips" not in jobs
    assert reasons(run) == {**NOT_ASKED, "coffee.mp4": None, "rocket.mp4": "judge_logo yes"}
    assert count(server, LOGO) == 2 == len(of_clips(server))
    rows = {row["name"]: row for row in run.verdicts()}
    assert rows["rocket.mp4"]["caption"] == CAPTION and rows["rocket.mp4"]["text"] is None
    (row,) = pq.read_table(run.outdir / "dataset" / "metadata.parquet").to_pylist()
    assert (row["caption"], row["judge_logo"], row["judge_cat"]) == (CAPTION, "no", "unsure")
    before = len(server.asked)
    run.done(config=config(server, questions(run, drop="no"), with_caption=True))
    assert reasons(run) == {**NOT_ASKED, "coffee.mp4": "judge_logo no", "rocket.mp4": None}
    assert len(server.asked) == before
