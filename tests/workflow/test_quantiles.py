"""Quantile thresholds: found over the whole set, stage by stage, recorded, and found anew when the set grows."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from runs import LAST, SHARD_RULES, Run, Saved, apart, whole_plan

import checkpoints
from clipmill.store import tables

pytestmark = pytest.mark.torch

SPEEDS = {"slow": 5, "calm": 12, "medium": 20, "quick": 30, "fast": 42}
SHARDS = 2
COSTLY = ("decode", "consistency", "aesthetic", "text")
AT_ONCE = {"filters": {"motion": {"min": "q0.3", "max": "q0.7"}}}


def resolved(run: Run, stage: str) -> dict:
    return json.loads((run.outdir / "work" / "thresholds" / f"{stage}.json").read_text(encoding="utf-8"))


def motions(run: Run) -> dict[str, float]:
    return {row["name"].removesuffix(".mp4"): row["motion"] for row in run.verdicts() if row["reason"] != "too_short"}


def planned(stages: int, shards: int = SHARDS) -> dict[str, int]:
    jobs = whole_plan(shards)
    return {**(apart(jobs) if stages > 1 else jobs), "resolve_thresholds": stages}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Six videos, one of which is too short, in two shards, without a quantile."""
    run = Run(tmp_path_factory.mktemp("quantiles") / "run")
    run.settings |= {"videos_per_shard": 3, "decode": {"samples_per_second": 4}}
    for name, speed in SPEEDS.items():
        run.video(f"{name}.mp4", speed=speed)
    run.video("short.mp4", seconds=0.4, speed=1)
    assert run.done().jobs == whole_plan(SHARDS)
    assert run.kept() == {f"{name}.mp4" for name in SPEEDS}
    assert run.summary()["thresholds"] == {}
    assert not (run.outdir / "work" / "thresholds").exists()
    return Saved(run)


@pytest.fixture
def run(finished: Saved) -> Run:
    return finished.fresh()


def test_a_first_run_waits_for_all_scores_and_a_dry_run_says_so(tmp_path):
    run = Run(tmp_path / "run")
    run.settings |= {"videos_per_shard": 3}
    for name, speed in SPEEDS.items():
        run.video(f"{name}.mp4", speed=speed)
    # With a cascade motion says which clips each of the three costly scores may skip.
    assert run.done("--dry-run", config=AT_ONCE).planned == planned(4)
    assert run.done("--dry-run", config={**AT_ONCE, "cascade": False}).planned == planned(1)
    late = {"filters": {"alignment": {"min": "q0.1"}}, "alignment": {"backend": "clip"}}
    assert run.done("--dry-run", config=late).planned == {**planned(1), "check_backend": 1}
    assert run.done("--dry-run", config={"filters": {"text_area": {"max": "q0.9"}}}).planned == planned(1)
    assert run.done(config=AT_ONCE).jobs == planned(4)
    assert run.kept() == {"medium.mp4"}
    assert run.done(config=AT_ONCE).nothing_done


def test_the_value_is_the_score_of_a_clip_is_recorded_and_as_a_number_keeps_the_same(run):
    before, known = run.written(*COSTLY), motions(run)
    outcome = run.done(config=AT_ONCE)
    assert outcome.jobs == {**rerun(), "resolve_thresholds": 4}
    assert run.more(before) == dict.fromkeys(COSTLY, 0)
    # Of five clips q0.3 lies between the second and the third, q0.7 between the third and the fourth.
    found = {"quantile": 0.3, "clips": 5, "value": known["medium"]}
    assert run.summary()["thresholds"] == {
        "motion": {"min": found, "max": {"quantile": 0.7, "clips": 5, "value": known["medium"]}}
    }
    for stage in ("consistency", "aesthetic", "text", "filter"):
        assert resolved(run, stage) == run.summary()["thresholds"]
    assert f"motion.min is {known['medium']}: q0.3 of 5 clips" in outcome.output
    assert run.kept() == {"medium.mp4"}
    reasons = Counter(row["reason"] for row in run.verdicts())
    assert reasons == {"motion low": 2, "motion high": 2, "too_short": 1, None: 1}

    other = {"filters": {**AT_ONCE["filters"], "sharpness": {"min": 0.1}}}
    assert run.done("--dry-run", config=other).planned == rerun(), "quantiles of motion do not depend on it"

    train, numbers = run.train(), run.summary()["thresholds"]["motion"]
    fixed = {"filters": {"motion": {side: found["value"] for side, found in numbers.items()}}}
    outcome = run.done(config=fixed)
    assert "resolve_thresholds" not in outcome.jobs
    assert run.train() == train
    assert run.summary()["thresholds"] == {}


def rerun() -> dict[str, int]:
    rules = [rule for rule in SHARD_RULES if rule not in ("decode_videos", "split_videos")]
    return apart({**dict.fromkeys(rules, SHARDS), **LAST})


def test_a_costly_quantile_is_of_those_that_came_so_far(run):
    config = {"filters": {"motion": {"max": 20}, "aesthetic": {"min": "q0.5"}}}
    run.done(config=config)
    scores = sorted(row["aesthetic"] for row in run.verdicts() if row["aesthetic"] is not None)
    assert len(scores) == 3
    assert run.summary()["thresholds"] == {
        "aesthetic": {"min": {"quantile": 0.5, "clips": 3, "value": scores[1]}},
    }
    assert len(run.kept()) == 2
    before = run.written(*COSTLY)
    run.done(config={**config, "cascade": False})
    assert run.summary()["thresholds"]["aesthetic"]["min"]["clips"] == 5
    assert run.more(before) == dict.fromkeys(COSTLY, 0)  # the first run had scored them all


def test_a_quantile_of_nothing_keeps_nothing_without_a_score(run):
    outcome = run.done(config={"filters": {"motion": {"min": None, "max": 0.5}, "aesthetic": {"min": "q0.5"}}})
    found = {"quantile": 0.5, "clips": 0, "value": None}
    assert run.summary()["thresholds"] == {"aesthetic": {"min": found}}
    assert "0 kept" in outcome.output and run.train() == []


def test_new_and_removed_videos_move_the_value_and_nothing_is_scored_twice(run):
    run.done(config=AT_ONCE)
    before = run.written(*COSTLY)
    for name, speed in (("faster", 50), ("fastest", 60)):
        run.video(f"{name}.mp4", speed=speed)
    outcome = run.done(config=AT_ONCE)
    assert outcome.jobs["decode_videos"] == outcome.jobs["split_videos"] == 1
    assert outcome.jobs["resolve_thresholds"] == 4
    known = motions(run)
    found = run.summary()["thresholds"]["motion"]
    assert (found["min"]["clips"], found["min"]["value"], found["max"]["value"]) == (7, known["medium"], known["fast"])
    assert run.kept() == {"medium.mp4", "quick.mp4", "fast.mp4"}
    # Two were let in: `quick` and `fast` had been scored before the first quantile was asked for.
    assert run.more(before) == {**dict.fromkeys(COSTLY, 0), "decode": 2}

    for name in ("slow", "calm"):
        Path(run.folder, f"{name}.mp4").unlink()
    outcome = run.done(config=AT_ONCE)
    found = run.summary()["thresholds"]["motion"]
    assert "decode_videos" not in outcome.jobs
    assert (found["min"]["clips"], found["min"]["value"], found["max"]["value"]) == (5, known["fast"], known["fast"])
    assert run.kept() == {"fast.mp4"}
    assert run.done(config=AT_ONCE).nothing_done


def test_a_quantile_of_alignment_is_found_before_anything_is_cut(run, tmp_path):
    checkpoints.MAKERS["clip"](tmp_path / "clip")
    config = {
        "alignment": {"backend": "clip", "clip": {"model": str(tmp_path / "clip")}},
        "filters": {"alignment": {"min": "q0.5"}},
        "resources": {"alignment": {"gpu": 0}},
    }
    outcome = run.done(config=config)
    assert outcome.jobs["resolve_thresholds"] == 1
    scores = sorted(row["alignment"] for row in run.verdicts() if row["alignment"] is not None)
    found = {"quantile": 0.5, "clips": 5, "value": scores[2]}
    assert run.summary()["thresholds"] == resolved(run, "late") == {"alignment": {"min": found}}
    assert len(run.train()) == 3
    cut = [row for table in (run.outdir / "work" / "cuts").iterdir() for row in tables.CUTS.rows(table)]
    assert len(cut) == 3
