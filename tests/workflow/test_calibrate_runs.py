"""`snakemake calibrate`: thresholds are proposed from a sample of the videos, in a run of its own."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from statistics import median

import pyarrow.parquet as pq
import pytest
import yaml
from runs import CHECKS, REPOSITORY, Run, Saved, all_of, explain, merged, same, wait_for

from clipmill.base.opencv import cv2
from clipmill.store.review import clip_key

SPEEDS = [6, 14, 22, 30, 38]
DRAWN, CLIPS = 4, 24
ASKED = {"calibrate": {"videos": DRAWN, "keep": 0.5}}
STEPS = ("decode", "consistency", "aesthetic", "text")


def sampled(run: Run) -> Run:
    """The sample's own run, below the output folder of the other."""
    return replace(run, below=f"{run.below}/calibrate")


def proposed(run: Run) -> dict:
    return yaml.safe_load((run.outdir / "calibrate" / "calibrated.yaml").read_text(encoding="utf-8"))


def kept_share(run: Run) -> float:
    """The share of its clips that a run's filters kept."""
    rows = [row for row in run.verdicts() if row["reason"] != "too_short"]
    return sum(row["kept"] for row in rows) / len(rows)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Five videos of rising speed and six clips, of which four are drawn, with a captioner that does not run here."""
    run = Run(tmp_path_factory.mktemp("calibrate") / "run")
    for speed in SPEEDS:
        run.video(f"{speed}.mp4", speed=speed, seconds=3)
    run.settings |= {"split": {"min_seconds": 0.4, "max_seconds": 0.5}, "decode": {"samples_per_second": 8}}
    run.settings["caption"] = {"backend": "openai", "openai": {"model": "none", "base_urls": ["http://localhost:9/v1"]}}
    outcome = run.done("calibrate", config=ASKED)
    jobs = {**CHECKS, **all_of(DRAWN), "propose_thresholds": 1}
    assert outcome.jobs == jobs
    assert (
        f"Proposed by `snakemake calibrate` from {CLIPS} clips of {DRAWN} videos, drawn with seed 0." in outcome.output
    )
    assert "  motion: {min: " in outcome.output
    page = (sampled(run).outdir / "report.html").read_text(encoding="utf-8")
    assert "a sample of the videos, drawn by <code>snakemake calibrate</code>" in page
    return Saved(run)


@pytest.fixture
def run(calibrated: Saved) -> Run:
    return calibrated.fresh()


def test_the_proposal_keeps_what_was_asked_for_of_the_sample_and_all_of_it_is_scored(run):
    sample = sampled(run)
    assert kept_share(sample) == pytest.approx(0.5, abs=0.1)
    assert f"keep {sample.summary()['clips']['kept']} of them" in (sample.outdir / "calibrated.yaml").read_text()
    for row in sample.verdicts():
        assert None not in (row["motion"], row["consistency"], row["aesthetic"], row["text_area"])
    # Nothing but the sample's folder is made.
    assert [path.name for path in run.outdir.iterdir()] == ["calibrate"]


def test_the_same_again_does_nothing_but_show_it(run):
    before = (run.outdir / "calibrate" / "calibrated.yaml").read_bytes()
    outcome = run.done("calibrate", config=ASKED)
    assert outcome.jobs == {}
    assert before.decode() in outcome.output
    assert (run.outdir / "calibrate" / "calibrated.yaml").read_bytes() == before


def test_another_wish_decodes_and_scores_nothing(run):
    sample = sampled(run)
    before, first = sample.written(*STEPS), proposed(run)
    outcome = run.done("calibrate", config={"calibrate": {"videos": DRAWN, "keep": 0.2}})
    assert outcome.jobs["propose_thresholds"] == 1
    assert not {"decode_videos", "split_videos", "score_clips"} & outcome.jobs.keys()
    assert sample.more(before) == dict.fromkeys(STEPS, 0)
    assert kept_share(sample) == pytest.approx(0.2, abs=0.1)
    assert proposed(run) != first
    wish = {"calibrate": {"videos": DRAWN, "keep": None, "quantiles": {"motion": [0.2, 0.8]}}}
    run.done("calibrate", config=wish)
    assert proposed(run)["filters"].keys() == {"motion"}
    assert kept_share(sample) == pytest.approx(0.6, abs=0.1)
    # A filter that the config gives no bound may be asked for too.
    wish["calibrate"]["quantiles"] = {"colourfulness": [0.5, None]}
    run.done("calibrate", config=wish)
    low = proposed(run)["filters"]["colourfulness"]["min"]
    rows = [row for row in sample.verdicts() if row["reason"] in (None, "colourfulness low")]
    assert {row["kept"] for row in rows} == {True, False}
    assert all(row["kept"] == (row["colourfulness"] >= low) for row in rows)
    assert "colourfulness" in (sample.outdir / "dataset" / "README.md").read_text(encoding="utf-8")


def test_with_a_review_the_run_itself_is_learned_from(run):
    """A person who keeps the faster half of the clips."""

    def review() -> tuple[str, ...]:
        tables = {
            name: [row for path in (run.outdir / "work" / name).glob("*") for row in pq.read_table(path).to_pylist()]
            for name in ("clips", "verdicts")
        }
        motion = {row["clip_id"]: row["motion"] for row in tables["verdicts"] if row["motion"] is not None}
        usual = {"star": False, "text": None, "at": "2026-11-30T22:30:00Z"}
        lines = [
            {"clip_id": clip["clip_id"], "clip": clip_key(clip), "decision": choice, **usual}
            for clip in tables["clips"]
            if (choice := "keep" if motion.get(clip["clip_id"], 0) >= median([*motion.values(), 0]) else "drop")
        ]
        (run.workdir / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return "calibrate", "--config", "review=mine.jsonl"

    few = run.run(*review())
    assert "0 clips of this run kept" in explain(few, "too few to learn from")
    learned = run.done(*review())
    assert learned.jobs == {"learn_thresholds": 1}
    assert "Learned by `snakemake calibrate` from the decisions about 30 clips of 5 videos: " in learned.output
    assert re.search(r"^filters:\n  \w+: \{min: .*# was m", learned.output, re.MULTILINE)
    page = run.outdir / "calibrate" / "learned.html"
    assert learned.output.rstrip().endswith("calibrate/learned.html") and "<code>motion</code>" in page.read_text()
    assert run.done(*review()).jobs == {}
    assert not (run.outdir / "verdicts.parquet").exists()  # the dataset is not made for it


def test_one_that_is_killed_goes_on_and_ends_with_the_same_bytes(run):
    sample = sampled(run)
    left = sample.left()
    shutil.rmtree(run.outdir)
    for moment in ("decode/000002.jsonl", "cut/000000.jsonl"):
        with run.started("calibrate", config=ASKED) as main:  # and killed with all that it has started
            wait_for((sample.outdir / "work" / "journals" / moment).exists, lambda: main.poll() is None)
    run.done("calibrate", config=ASKED)
    assert same(sample.left(), left)
    for step in (*STEPS, "cut"):
        assert set(Counter(record["item"] for record in sample.journal(step)).values()) == {1}


def test_a_larger_sample_decodes_what_is_new(run):
    outcome = run.done("calibrate", config={"calibrate": {"videos": len(SPEEDS), "keep": 0.5}})
    sample = sampled(run)
    assert outcome.jobs["decode_videos"] == 1
    assert sample.written("decode") == {"decode": len(SPEEDS)}
    assert sample.summary()["videos"] == {"decoded": len(SPEEDS), "failed": 0, "removed": 0}


def test_the_file_works_as_a_config(run):
    """Over all videos, with a cascade: of the sample's clips it keeps the same."""
    sample = sampled(run)
    text = (sample.outdir / "calibrated.yaml").read_text(encoding="utf-8")
    given = shlex.split(re.search(r"--configfile my\.yaml (.*)", text)[1])
    assert [(run.workdir / path).resolve() for path in given] == [(sample.outdir / "calibrated.yaml").resolve()]
    expected = {row["clip_id"]: row["kept"] for row in sample.verdicts()}
    run.settings["caption"] = {"backend": "describe"}
    run.settings = merged(run.settings, proposed(run))
    run.done(config={"cascade": True})
    found = {row["clip_id"]: row["kept"] for row in run.verdicts()}
    assert len(found) == CLIPS * len(SPEEDS) // DRAWN and found.items() >= expected.items()
    assert run.summary()["thresholds"] == {}


def test_a_job_on_another_machine_works_on_the_sample(run):
    run.command(config=ASKED)
    table = run.outdir / "calibrate" / "work" / "videos" / "000003.parquet"
    table.unlink()
    done = run.job("decode_videos", "000003", CLIPMILL_CALIBRATES="1")
    assert done.code == 0, done.output
    assert table.exists()


def test_what_it_needs_is_said(run):
    outcome = run.run("calibrate", config={"videos": None})
    assert explain(outcome, "config: `videos` is not set", "--config videos=")
    outcome = run.run("calibrate", config={"calibrate": {"keep": None}})
    assert explain(outcome, "calibrate: nothing is asked for; set calibrate.keep, as 0.3, or calibrate.quantiles")
    outcome = run.run("calibrate", "all", config=ASKED)
    assert explain(outcome, "`calibrate` cannot be combined with other targets")


def test_its_clips_can_be_shown_score_by_score(run):
    command = [sys.executable, str(REPOSITORY / "scripts" / "threshold_pictures.py"), str(sampled(run).outdir), "shown"]
    done = subprocess.run(command, cwd=run.workdir, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown = {path.name: cv2.imread(str(path)) for path in (run.workdir / "shown").iterdir()}
    assert shown.keys() >= {"motion.webp", "brightness.webp", "text_area.webp"}
    assert (
        shown["motion.webp"].shape[1] > 5 * 150
        and shown["motion.webp"].shape[0] > 2 * shown["brightness.webp"].shape[0]
    )


def test_a_folder_of_that_name_is_no_target(run):
    config = {"caption": {"backend": "describe"}}
    outcome = run.done("--dry-run", "--directory", "calibrate", config=config)
    assert "propose_thresholds" not in outcome.planned and outcome.planned["decode_videos"] == 2
