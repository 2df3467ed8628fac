"""Published models score clips, in small random checkpoints of their layout on the CPU: what is said of a faulty set-up
before the work begins, what comes out, and what a change runs again.

One set of videos is run three times by the same command, and most tests look at that: first with a fault in each
model, then, with these corrected and the frames of one video overwritten, to its end, and once more, which decodes that
video again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from model_runs import ANY, CLIP_WIDTH, DINOV2_WIDTH, MODEL_STEPS, ON_THE_CPU, Models, archive, running
from runs import AFTER_FILTER, LAST, Outcome, Run, Saved, explain, wait_for

from clipmill.store import tables
from clipmill.store.table import about

pytestmark = pytest.mark.torch

LOST, STILL = "lost.mp4", "still.mp4"
KEPT = {"a.mp4", "b.mp4", "c.mp4", LOST}
SCORES = {"text": tables.TEXT_SCORES, "aesthetic": tables.AESTHETIC, "consistency": tables.CONSISTENCY}
AFTER_CHECKS = {**dict.fromkeys((*(f"score_{metric}" for metric in SCORES), "filter_clips", *AFTER_FILTER), 1), **LAST}
JOURNALS = ("decode", *SCORES, "alignment", "alignment_texts", "caption", "rewrite", "cut")


@dataclass(frozen=True)
class Story:
    """What the runs said, what the second one left of the video whose frames were lost, and the finished run."""

    faulty: Outcome
    whole: Outcome
    errors: list[dict[str, str]]
    reasons: dict[str, str | None]
    healed: Outcome
    saved: Saved


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models.make(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, models: Models) -> Story:
    run = Run(tmp_path_factory.mktemp("models") / "run")
    run.settings |= {"cascade": False, "videos_per_shard": 5, **models.sections()}
    run.settings["filters"] = {**run.settings["filters"], **ANY}
    for name, picture in (("a", "coffee.png"), ("b", "chelsea.png"), ("c", "astronaut.png"), ("lost", "rocket.jpg")):
        run.video(f"{name}.mp4", picture=picture, seconds=2.5)
    run.video(STILL, speed=0)
    faulty = run.run("--keep-going", config=models.faults())
    archive(run, "lost").write_bytes(b"garbage" * 1000)
    whole = run.done("--keep-going")
    reasons = {row["name"]: row["reason"] for row in run.verdicts()}
    return Story(faulty, whole, run.errors(), reasons, run.done("--keep-going"), Saved(run))


@pytest.fixture
def finished(story: Story) -> Run:
    return story.saved.fresh()


@pytest.fixture
def offline(tmp_path: Path) -> dict[str, str]:
    """An environment without a hub, and with no model in its cache."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}


def score_table(run: Run, step: str) -> Path:
    return run.outdir / "work" / "scores" / step / "000000.parquet"


def listed(run: Run) -> list[dict[str, Any]]:
    return json.loads((run.outdir / "models.json").read_text(encoding="utf-8"))


def changed(*rules: str, **more: int) -> dict[str, int]:
    """Jobs by rule where the scores that `rules` make are other ones."""
    return {**dict.fromkeys((*rules, "filter_clips", *AFTER_FILTER), 1), **LAST, **more}


def grown(**more: int) -> dict[str, int]:
    """What the journals of all steps have got, where a step that is not named got nothing."""
    return {**dict.fromkeys(JOURNALS, 0), **more}


# --- before the work ---------------------------------------------------------------------------------------------


def test_each_fault_of_a_model_is_said_in_one_line_and_nothing_in_it_is_run(story: Story, models: Models):
    said = story.faulty
    assert said.jobs == {"check_embedded": 1, "decode_videos": 1, "split_videos": 1}  # that of caption and rewrite
    assert explain(said, "failed: text, backend easyocr", f"{models.code}: refused", "nothing of it was run")
    assert explain(
        said, "failed: aesthetic, backend siglip-v2.5", f"{models.half}/model.safetensors", "half downloaded"
    )
    assert explain(said, "failed: consistency, backend dinov2", f"{models.nowhere}: there is no such folder or file")
    assert explain(
        said, "failed: alignment, backend videoclip-xl", str(models.incomplete), f"{models.lacks} is missing"
    )
    assert len({line for line in said.output.splitlines() if " failed: " in line}) == len(MODEL_STEPS)
    assert not models.mark.exists()


def test_with_the_faults_corrected_the_same_command_finishes(story: Story):
    assert story.whole.jobs == {"check_backend": len(MODEL_STEPS), **AFTER_CHECKS}
    assert f"{len(KEPT) - 1} kept" in story.whole.output
    assert "alignment videoclip-xl" in story.whole.output


def test_a_job_that_is_to_have_a_gpu_where_there_is_none_fails_in_its_check(run: Run, models: Models):
    run.video("a.mp4")
    run.cores = 1
    settings = {"text": models.sections()["text"], "resources": {"text": {"gpu": 1}}}
    outcome = run.run(config=settings, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    assert explain(outcome, "failed: text, backend easyocr: no GPU visible", "set resources.<step>.gpu: 0")
    assert outcome.jobs.keys() <= {"check_backend", "check_embedded"}


def test_a_job_on_a_gpu_has_the_threads_that_it_needs(run: Run, models: Models):
    """Eight by default, one on the CPU, and as many as the config says; other jobs get the free cores."""
    run.video("a.mp4")
    run.cores = 16
    resources = {step: {"gpu": "auto"} for step in ("text", "aesthetic", "alignment")}
    resources |= {"consistency": {"gpu": 0}, "alignment": {"gpu": 1, "threads": 3}}
    outcome = run.done("-n", config={**models.sections(), "resources": resources})
    blocks = re.findall(r"^rule (\w+):\n((?:    .*\n)+)", outcome.output, re.MULTILINE)
    threads = {rule: int(found[1]) for rule, block in blocks if (found := re.search(r"threads: (\d+)", block))}
    free = dict.fromkeys(("decode_videos", "caption_clips", "cut_clips"), 16)  # of one shard
    assert threads == {"score_text": 8, "score_aesthetic": 8, "align_captions": 3, **free}


def test_checks_come_first_and_after_a_kill_clips_that_were_scored_are_not_scored_again(run: Run, models: Models):
    """A wrong path fails before the first video is decoded; with the right one a job is killed, and goes on."""
    run.cores = 1
    run.settings |= {"cascade": False, "split": {"min_seconds": 0.3, "max_seconds": 0.5}}
    run.settings |= {"text": models.sections()["text"], "resources": {"text": {"gpu": 0, "batch": 1}}}
    run.video("long.mp4", seconds=32, speed=4)

    missing = models.craft.with_suffix(".bin")
    outcome = run.run(config={"text": {"easyocr": {"model": str(missing)}}})
    assert explain(outcome, f"failed: text, backend easyocr: {missing}: there is no such file")
    assert outcome.jobs.keys() <= {"check_backend", "check_embedded"}
    assert run.journal("decode") == []

    with run.started() as main:
        wait_for(lambda: run.journal("text"), lambda: main.poll() is None)
        running(main, "score.py").send_signal(signal.SIGKILL)
        outcome = run.ended(main)
    assert outcome.code != 0 and "score_text for shard 000000 failed" in outcome.output
    scored = run.journal("text")
    clips = pq.read_table(run.outdir / "work" / "clips" / "000000.parquet").num_rows
    assert 0 < len(scored) < clips

    assert run.done("../out/work/scores/text/000000.parquet").jobs == {"score_text": 1}
    assert f"clips: {len(scored)} of {clips} are in the journal already" in run.log("text")
    again = run.journal("text")
    assert again[: len(scored)] == scored
    assert len({record["item"] for record in again}) == len(again) == clips


# --- what comes out ----------------------------------------------------------------------------------------------


def test_every_kept_clip_has_every_score(finished: Run):
    assert finished.kept() == KEPT
    for row in finished.verdicts():
        if not row["kept"]:
            continue
        numbers = [row[name] for name in ("text_area", "text_static_area", "text_scene_area", "aesthetic")]
        numbers += [row["consistency"], row["alignment"], row["alignment_margin"]]
        assert all(math.isfinite(number) for number in numbers)
        assert 0 <= row["text_area"] <= 1
        assert len(row["text_area_frames"]) == 2
        assert row["aesthetic"] == pytest.approx(sum(row["aesthetic_frames"]) / len(row["aesthetic_frames"]), abs=1e-4)
        assert -1 <= row["consistency"] <= 1 and -1 <= row["alignment"] <= 1
    assert len({row["alignment"] for row in finished.verdicts() if row["kept"]}) == len(KEPT)


def test_frames_that_were_overwritten_cost_their_video_alone_until_the_next_run(story: Story, finished: Run):
    (clip,) = {row["clip_id"] for row in finished.verdicts() if row["name"] == LOST}
    assert [(error["step"], error["video"], error["clip_id"], error["kind"]) for error in story.errors] == [
        (rule, LOST, clip, "bad_frames") for rule in ("consistency", "aesthetic", "text")
    ]
    for error in story.errors:
        assert str(archive(finished, "lost").name) in error["message"]
        assert "run the same command again" in error["message"]
    assert story.reasons == {**dict.fromkeys(KEPT), LOST: "consistency missing", STILL: "frozen_share high"}
    assert story.healed.jobs["decode_videos"] == 1
    assert finished.errors() == [] and len(finished.journal("decode")) == len(KEPT) + 2  # one of them was decoded twice


def test_tables_and_the_list_of_models_say_what_was_used(finished: Run, models: Models):
    by_step = {step: [row for row in listed(finished) if row["step"] == step] for step in MODEL_STEPS}
    assert [row for rows in by_step.values() for row in rows] == listed(finished)
    columns = {
        step: [name for name in table.schema.names if name not in ("clip_id", "error_kind", "error")]
        for step, table in {**SCORES, "alignment": tables.ALIGNMENT}.items()
    }
    chosen = {step: models.sections()[step]["backend"] for step in MODEL_STEPS}
    for step, rows in by_step.items():
        made = about(score_table(finished, step))
        assert made["backend"] == chosen[step]
        assert made["version"]
        assert rows == [
            {"step": step, "backend": chosen[step], "columns": columns[step], "licence": "unknown", **model}
            for model in made["models"]  # of no published file
        ]
        assert all(re.fullmatch(r"sha256:[0-9a-f]{16}", row["revision"]) for row in rows)
    assert [row["model"] for row in listed(finished)] == [
        str(models.craft),
        str(models.folder / "siglip"),
        str(models.siglip_head),
        str(models.folder / "dinov2"),
        str(models.videoclip_xl),
        str(models.folder / "clip"),  # for its tokenizer
    ]
    content = hashlib.sha256(models.craft.read_bytes()).hexdigest()
    assert by_step["text"][0]["revision"] == f"sha256:{content[:16]}"


def check_embeddings(run: Run, backend: str, width: int) -> None:
    """The embeddings give the consistency of their clips again, and those of the lost clip are not there."""
    path = run.outdir / "work" / "embeddings" / backend / "000000.parquet"
    table = pq.read_table(path)
    assert table.schema.field("embedding").type == pa.list_(pa.float16(), width)
    assert about(path) == about(score_table(run, "consistency"))
    scores = {row["clip_id"]: row["consistency"] for row in tables.CONSISTENCY.rows(score_table(run, "consistency"))}
    rows = table.to_pylist()
    assert {row["clip_id"] for row in rows} == {clip for clip, score in scores.items() if score is not None}
    for clip in {row["clip_id"] for row in rows}:
        vectors = np.array([row["embedding"] for row in rows if row["clip_id"] == clip], np.float64)
        numbers = [row["number"] for row in rows if row["clip_id"] == clip]
        assert numbers == list(range(len(vectors)))
        assert len(vectors) >= 2
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=2e-3)
        assert min((vectors[:-1] * vectors[1:]).sum(axis=1)) == pytest.approx(scores[clip], abs=2e-3)


def test_embeddings_are_kept_and_give_the_consistency_again(finished: Run):
    check_embeddings(finished, "dinov2", DINOV2_WIDTH)


# --- what runs again ---------------------------------------------------------------------------------------------


def test_nothing_has_changed_and_nothing_is_done(finished: Run):
    assert finished.done().nothing_done
    assert finished.done(config={"resources": {"text": {"batch": 3, "threads": 2}}}).nothing_done


def test_another_aesthetic_model_runs_its_check_its_score_and_what_follows(finished: Run, models: Models):
    before, scores = finished.written(*JOURNALS), {row["clip_id"]: row["aesthetic"] for row in finished.verdicts()}
    others = [row for row in listed(finished) if row["step"] != "aesthetic"]
    outcome = finished.done(config={"aesthetic": {"backend": "laion"}})
    assert outcome.jobs == changed("check_backend", "score_aesthetic")
    assert finished.more(before) == grown(aesthetic=len(KEPT) + 1)  # not what was written down of the other steps
    assert finished.kept() == KEPT
    for row in finished.verdicts():
        assert row["aesthetic"] not in (None, scores[row["clip_id"]])
    made = [(row["backend"], row["model"]) for row in listed(finished) if row["step"] == "aesthetic"]
    assert made == [("laion", str(models.folder / "clip")), ("laion", str(models.laion_head))]
    assert [row for row in listed(finished) if row["step"] != "aesthetic"] == others
    assert about(score_table(finished, "aesthetic"))["backend"] == "laion"


def test_other_models_for_consistency_and_alignment_run_their_checks_and_what_follows(finished: Run):
    before, first = finished.written(*JOURNALS), {row["clip_id"]: row for row in finished.verdicts()}
    outcome = finished.done(config={"consistency": {"backend": "clip"}, "alignment": {"backend": "clip"}})
    assert outcome.jobs == changed("score_consistency", check_backend=2)
    more = dict.fromkeys(("caption", "alignment", "alignment_texts"), len(KEPT))  # captions tell of great changes
    assert finished.more(before) == grown(consistency=len(KEPT) + 1, **more)
    assert finished.kept() == KEPT
    check_embeddings(finished, "clip", CLIP_WIDTH)
    for row in finished.verdicts():
        if row["kept"]:
            assert math.isfinite(row["alignment"]) and math.isfinite(row["alignment_margin"])
            assert row["alignment"] != first[row["clip_id"]]["alignment"]
    assert {row["backend"] for row in listed(finished) if row["step"] in ("consistency", "alignment")} == {"clip"}


def test_a_bound_on_alignment_drops_the_clip_below_it_and_only_cuts_and_exports(finished: Run):
    before, train = finished.written(*JOURNALS), finished.train()
    kept = [row for row in finished.verdicts() if row["kept"]]
    worst, next_worst, *_ = sorted(kept, key=lambda row: row["alignment"])
    bound = (worst["alignment"] + next_worst["alignment"]) / 2
    outcome = finished.done(config={"filters": {"alignment": {"min": bound}}})
    assert outcome.jobs == {"cut_clips": 1, **LAST}
    reasons = {row["name"]: row["reason"] for row in finished.verdicts() if row["name"] in KEPT}
    assert reasons == {**dict.fromkeys(KEPT), worst["name"]: "alignment low"}
    assert finished.kept() == KEPT - {worst["name"]}
    gone = f"clips/{worst['video_id']}/{worst['clip_id']}.mp4"
    assert finished.clip_files() == {entry["file_path"] for entry in train} - {gone}

    assert finished.done().jobs == {"cut_clips": 1, **LAST}
    assert finished.train() == train
    assert finished.more(before) == grown(cut=1)


# --- fetching ----------------------------------------------------------------------------------------------------


def test_fetch_models_says_what_lies_where(run: Run, models: Models, offline):
    run.video("a.mp4")
    outcome = run.run("fetch_models", config=models.sections(), env=offline)
    assert outcome.code == 0, outcome.output
    assert outcome.jobs == {}
    said = re.findall(r"^(\w+): (\S+) \| (sha256:\w{16}) \| unknown\n    (.+)$", outcome.output, re.MULTILINE)
    paths = {
        "text": [models.craft],
        "aesthetic": [models.folder / "siglip", models.siglip_head],
        "consistency": [models.folder / "dinov2"],
        "alignment": [models.videoclip_xl, models.folder / "clip"],
    }
    assert [(step, model, path) for step, model, _, path in said] == [
        (step, str(path), str(path)) for step in sorted(MODEL_STEPS) for path in paths[step]
    ]


def test_a_model_of_the_hub_that_is_not_there_offline_is_one_clear_line(run: Run, offline):
    run.video("a.mp4")
    settings = {"consistency": {"backend": "clip"}, "resources": ON_THE_CPU}
    outcome = run.run("fetch_models", config=settings, env=offline)
    assert explain(outcome, "failed: ", "openai/clip-vit-large-patch14-336", "HF_HUB_OFFLINE", "snakemake fetch_models")
    assert outcome.jobs == {}
