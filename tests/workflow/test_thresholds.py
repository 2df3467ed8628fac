"""A setting moves: only what it can change runs again, and only clips that were never looked at are looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import AFTER_FILTER, LAST, SHARD_RULES, Run, Saved, all_of, whole_plan

SHARDS = 2
SCORES = ("consistency", "aesthetic", "text")
SCORE_RULES = ("score_clips",)
STEPS = ("decode", *SCORES, "caption", "rewrite", "cut")
SLOW, MEDIUM, FAST = {"slow 1.mp4", "slow 2.mp4"}, {"medium 1.mp4", "medium 2.mp4"}, {"fast 1.mp4", "fast 2.mp4"}


def jobs(*rules: str) -> dict[str, int]:
    return {**dict.fromkeys(rules, SHARDS), **LAST}


def up_to(motion: float) -> dict:
    """A bound on motion, in percent of the short side a second: slow is 5, medium 15 and fast 35."""
    return {"filters": {"motion": {"max": motion}}}


def grown(**more: int) -> dict[str, int]:
    """What the journals of all steps have got, where a step that is not named got nothing."""
    return {**dict.fromkeys(STEPS, 0), **more}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Six videos in two shards, of which the slow ones are kept."""
    run = Run(tmp_path_factory.mktemp("thresholds") / "run")
    run.settings |= {"videos_per_shard": 3, "cascade": True, "decode": {"samples_per_second": 4}}
    for number in (1, 2):  # shard 0 has both fast ones and a medium one
        for name, speed in (("slow", 6), ("medium", 18), ("fast", 42)):
            run.video(f"{name} {number}.mp4", speed=speed)
    assert run.done(config=up_to(10)).jobs == whole_plan(SHARDS)
    return Saved(run)


@pytest.fixture
def run(finished: Saved) -> Run:
    return finished.fresh()


def test_a_cascade_scores_what_passed_the_cheap_filters(run):
    assert run.kept() == SLOW
    assert run.written(*STEPS) == {**dict.fromkeys(STEPS, 2), "decode": 6}
    for row in run.verdicts():
        assert (row["consistency"] is None) == (row["aesthetic"] is None) == (row["name"] not in SLOW)
        assert row["reason"] == (None if row["name"] in SLOW else "motion high")


def test_with_a_cascade_loosening_computes_what_it_lets_in_and_tightening_nothing(run):
    before, first = run.written(*STEPS), run.train()

    outcome = run.done(config=up_to(25))
    assert outcome.jobs == jobs(*SCORE_RULES, "filter_clips", *AFTER_FILTER)
    assert run.kept() == SLOW | MEDIUM
    loosened = run.train()
    assert run.more(before) == grown(**dict.fromkeys(STEPS[1:], 2))
    assert [entry for entry in loosened if "slow" in entry["file_path"]] == first

    outcome = run.done(config=up_to(10))
    assert outcome.jobs == jobs(*SCORE_RULES, "filter_clips", *AFTER_FILTER)
    assert run.train() == first
    assert run.clip_files() == {entry["file_path"] for entry in first}
    assert run.more(before) == grown(**dict.fromkeys(STEPS[1:], 2))

    run.done(config=up_to(25))
    assert run.train() == loosened
    # Scores and texts were kept, and the files of clips that left are cut anew.
    assert run.more(before) == grown(**{**dict.fromkeys(STEPS[1:], 2), "cut": 4})


def test_without_a_cascade_only_the_filter_and_what_follows_run(run):
    all_scored = {"cascade": False}
    before = run.written(*STEPS)
    outcome = run.done(config={**all_scored, **up_to(10)})
    assert outcome.jobs == jobs(*SCORE_RULES, "filter_clips", *AFTER_FILTER)
    assert run.more(before) == grown(**dict.fromkeys(SCORES, 4))  # those that the cascade had spared
    assert run.kept() == SLOW

    before = run.written(*STEPS)
    outcome = run.done(config={**all_scored, **up_to(25)})
    assert outcome.jobs == jobs("filter_clips", *AFTER_FILTER)
    assert run.more(before) == grown(caption=2, rewrite=2, cut=2)
    assert run.kept() == SLOW | MEDIUM

    outcome = run.done(config={**all_scored, **up_to(10)})
    assert outcome.jobs == jobs("filter_clips", *AFTER_FILTER)
    assert run.more(before) == grown(caption=2, rewrite=2, cut=2)
    assert run.kept() == SLOW


def test_a_split_setting_decodes_nothing(run):
    all_but_decode = jobs(*(rule for rule in SHARD_RULES if rule != "decode_videos"))
    before = run.written(*STEPS)
    outcome = run.done(config={**up_to(10), "split": {"max_seconds": 0.8}})
    assert outcome.jobs == all_but_decode
    assert [row["seconds"] for row in run.verdicts()] == pytest.approx([0.8, 0.7] * 6)
    assert run.kept() == SLOW
    assert len(run.train()) == 4
    assert run.more(before) == grown(**dict.fromkeys(STEPS[1:], 4))

    outcome = run.done(config={**up_to(10), "split": {"min_seconds": 2}})
    assert outcome.jobs == all_but_decode
    assert "6 found, 0 kept" in outcome.output
    assert {row["reason"] for row in run.verdicts()} == {"too_short"}
    assert run.train() == [] and run.clip_files() == set() and run.errors() == []
    assert run.more(before) == grown(**dict.fromkeys(STEPS[1:], 4))


def test_resources_and_where_the_workflow_lies_re_run_nothing(run, tmp_path):
    resources = {
        "cut": {"mem_mb": 2000, "threads": 2},
        "text": {"mem_mb": 3000, "threads": 2, "runtime": 9, "batch": 3, "gpu": 1},
    }
    outcome = run.done(config={**up_to(10), "resources": resources, "compile": True})
    assert outcome.nothing_done
    moved = Path(tmp_path, "another checkout")
    moved.symlink_to(Path(__file__).resolve().parents[2])
    outcome = run.done("--snakefile", str(moved / "Snakefile"), config=up_to(10))
    assert outcome.nothing_done


def test_videos_moved_elsewhere_are_still_known(run):
    before, train = run.written(*STEPS), run.train()
    run.folder.rename(run.place / "moved")
    run.videos = "moved"
    outcome = run.done(config=up_to(10))
    assert outcome.jobs == all_of(SHARDS)
    assert run.more(before) == grown()
    assert run.train() == train
