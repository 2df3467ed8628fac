"""A real run with `split.detector: transnetv2`: its jobs, a kill, what a change runs again, and missing weights."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal

import pytest
from runs import AFTER_FILTER, LAST, SETTINGS, SIZE, Outcome, Run, Saved, explain, wait_for

from clipmill.demo import render
from clipmill.shots.weights import INSTALLED
from clipmill.store import tables
from default_config import CONFIG

FPS, SHOT_SECONDS = 25, 5
FRAMES = 2 * FPS * SHOT_SECONDS
NETWORK = {"detector": "transnetv2", "transnetv2": {"where": "everywhere"}, "min_seconds": 0.5}
NETWORK |= {"combined_cut": 1, "combined_gradual": 1}  # the transitions of `combined` would join the network's
# On one core, four windows are written to the journal together, and the video has five.
ONE_CORE = {"shots": {"threads": 1}}
FROM_SPLIT = {"split_videos": 1, "score_clips": 1, "filter_clips": 1, **dict.fromkeys(AFTER_FILTER, 1), **LAST}

needs_weights = pytest.mark.skipif(not INSTALLED.is_file(), reason="needs the weights (make transnetv2)")


def new_run(folder) -> Run:
    run = Run(folder / "run", {**SETTINGS, "split": NETWORK, "resources": ONE_CORE})
    pictures = [render.photograph(name) for name in ("coffee.png", "chelsea.png")]
    shots = itertools.chain(*(render.pan(picture, SIZE, SHOT_SECONDS, FPS, 20) for picture in pictures))
    render.encode(run.folder / "two shots.mp4", shots, SIZE, FPS)
    return run


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> tuple[Saved, Outcome]:
    """A run that was killed while the network was at work, and went on to its end; and what it said then."""
    run = new_run(tmp_path_factory.mktemp("shots"))
    with run.started() as main:
        wait_for(lambda: run.journal("shots"), lambda: main.poll() is None)
        os.killpg(main.pid, signal.SIGKILL)
        main.wait()
    assert len(run.journal("shots")) == 4 and not table_of(run).exists()
    outcome = run.done()
    return Saved(run), outcome


def table_of(run: Run):
    return tables.SHOTS.of(run.outdir, "000000")


def read_models(run: Run) -> list[dict]:
    return json.loads((run.outdir / "models.json").read_text(encoding="utf-8"))


@needs_weights
def test_a_killed_run_goes_on_and_cuts_at_the_cut(story):
    saved, outcome = story
    run = saved.fresh()
    assert outcome.jobs == {"detect_shots": 1, **FROM_SPLIT}
    assert "windows: 4 of 5 are in the journal already" in run.log("shots")
    (shots,) = tables.SHOTS.rows(table_of(run))
    single, many = shots["single"], shots["many"]
    assert len(single) == len(many) == FRAMES and None not in single
    assert single.index(max(single)) == many.index(max(many)) == FRAMES // 2 - 1
    clips = tables.CLIPS.rows(tables.CLIPS.of(run.outdir, "000000"))
    assert [(clip["start_frame"], clip["end_frame"]) for clip in clips] == [(0, FRAMES // 2 - 2), (FRAMES // 2, FRAMES)]
    assert any(row["step"] == "shots" and row["licence"] == "MIT" for row in read_models(run))
    assert run.done("-n").nothing_done


@needs_weights
def test_the_threshold_runs_only_split_again_and_a_kill_left_no_trace(story):
    """The threshold is so high that no cut is left. The table is the same, byte by byte, without the kill."""
    run = story[0].fresh()
    before, clips = table_of(run).read_bytes(), tables.CLIPS.of(run.outdir, "000000")
    times = {path: path.stat().st_mtime_ns for path in run.outdir.rglob("work/*/000000*") if path.is_file()}
    run.settings["split"] = {**NETWORK, "transnetv2": {**NETWORK["transnetv2"], "threshold": 0.9999}}
    assert run.done("-n").planned == FROM_SPLIT
    assert run.done(os.path.relpath(clips, run.workdir)).jobs == {"split_videos": 1}
    early = [path for path in times if path.parent.name in ("videos", "shots", "signals", "frames")]
    assert early and all(path.stat().st_mtime_ns == times[path] for path in early)
    assert len(tables.CLIPS.rows(clips)) == 1
    shutil.rmtree(table_of(run).parent)
    shutil.rmtree(run.outdir / "work" / "journals" / "shots")
    run.done(os.path.relpath(table_of(run), run.workdir))
    assert table_of(run).read_bytes() == before


@pytest.fixture
def planned(tmp_path) -> Run:
    """A run of which only the plan is looked at."""
    run = Run(tmp_path / "run", {**SETTINGS, "split": NETWORK})
    (run.folder / "a.mp4").write_bytes(b"nobody looks at it")
    return run


def test_only_runs_with_the_network_have_its_step(planned):
    with_network = planned.done("-n", "-p")
    assert with_network.planned["detect_shots"] == 1 and '"miniatures": true' in with_network.output
    planned.settings["split"] = {"detector": "content"}
    without = planned.done("-n", "-p")
    assert "detect_shots" not in without.planned and "check_backend" not in without.planned
    # The section of the config alone, as in a run that never had a network, so that nothing is decoded again.
    section = json.dumps(CONFIG["decode"], sort_keys=True)
    assert f"--settings '{section}'" in without.output


def test_missing_weights_are_reported_before_anything_is_decoded(planned):
    network = {**NETWORK["transnetv2"], "weights": str(planned.place / "mine.pth")}
    outcome = planned.run("--keep-going", config={"split": {"transnetv2": network}})
    assert explain(outcome, "check_backend", "failed: shots, backend transnetv2:", "mine.pth: there is no such file")
    assert not (planned.outdir / "work" / "shots").exists()
