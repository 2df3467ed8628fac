"""Named classifiers in real runs: a step, a column and a filter each, and none without them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from runs import AFTER_FILTER, CHECKS, LAST, Run, Saved, explain, of_two_photographs, whole_plan

from clipmill.shots.graph import Graph

NSFW, RED = "classifier_nsfw", "classifier_red"


def network(path: Path) -> None:
    """How red a picture is: the share of red in its mean colour."""
    graph = Graph({"picture": ("float32", (None, 3, None, None))}, ("numbers",))
    colours = graph.add("ReduceMean", "picture", np.array([2, 3], np.int64), keepdims=0)
    graph.finish(
        numbers=graph.add("Div", colours, graph.add("ReduceSum", colours, np.array([1], np.int64), keepdims=1))
    )
    path.write_bytes(graph.as_onnx())


def red(run: Run, **more) -> dict:
    own = {"file": str(run.place / "red.onnx"), "size": [32, 32], "mean": [0, 0, 0], "std": [1, 1, 1]}
    return {"backend": "onnx", "onnx": {**own, "output": "none", "label": 0}, **more}


def two(run: Run, bound: float | None = 0.4, **more) -> dict:
    """A config with two classifiers, of which one has a bound."""
    filters = {RED: {"max": bound}, NSFW: {"max": 0.99}}
    return {"classifiers": {"nsfw": {"backend": "opennsfw", "frames": 2}, "red": red(run, **more)}, "filters": filters}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Two videos, a red and a grey one, in a run without classifiers."""
    run = of_two_photographs(tmp_path_factory.mktemp("classifiers") / "run")
    network(run.place / "red.onnx")
    assert run.done().jobs == whole_plan(1)
    return Saved(run)


@pytest.fixture
def run(finished: Saved) -> Run:
    return finished.fresh()


def test_a_run_without_classifiers_has_no_trace_of_them(run):
    assert run.done("--dry-run").planned == {}
    columns = pq.read_schema(run.outdir / "verdicts.parquet").names
    assert not [name for name in columns if name.startswith("classifier")]
    assert "classifier" not in (run.outdir / "models.json").read_text()


def test_classifiers_add_their_steps_columns_filters_and_models(run):
    kept = run.kept()
    assert kept == {"coffee.mp4", "rocket.mp4"}
    jobs = run.done(config=two(run)).jobs
    expected = {"check_backend": 1, **CHECKS, f"score_{RED}": 1, f"score_{NSFW}": 1}
    assert jobs.pop("score_clips", 1) == 1
    assert {**expected, "filter_clips": 1, **dict.fromkeys(AFTER_FILTER, 1), **LAST}.items() >= jobs.items()
    assert {f"score_{RED}", "check_backend", *LAST} <= jobs.keys() and "decode_videos" not in jobs

    rows = {row["name"]: row for row in run.verdicts()}
    reds = {name: row[RED] for name, row in rows.items()}
    assert reds["coffee.mp4"] > 0.4 > reds["rocket.mp4"]
    assert {name: row["reason"] for name, row in rows.items()} == {"coffee.mp4": f"{RED} high", "rocket.mp4": None}
    assert rows["rocket.mp4"][NSFW] == max(rows["rocket.mp4"][f"{NSFW}_frames"])
    assert len(rows["rocket.mp4"][f"{NSFW}_frames"]) == 2 and len(rows["rocket.mp4"][f"{RED}_frames"]) > 2
    assert run.summary()["dropped"] == {f"{RED} high": 1}

    metadata = pq.read_table(run.outdir / "dataset" / "metadata.parquet").to_pylist()
    assert [row[RED] for row in metadata] == [reds["rocket.mp4"]]
    models = {model["step"]: model for model in json.loads((run.outdir / "models.json").read_text())}
    assert (models[NSFW]["licence"], models[RED]["licence"]) == ("BSD-2-Clause", "unknown")
    assert models[RED]["columns"] == [RED, f"{RED}_frames"]
    card = (run.outdir / "dataset" / "README.md").read_text()
    assert "open-nsfw.onnx" in card.replace("\\", "") and f"| {RED} |  | 0.4 |" in card.replace("\\", "")
    page = (run.outdir / "report.html").read_text()
    assert f'data-filter="{RED}"' in page and f'data-filter="{NSFW}"' in page
    assert run.done(config=two(run)).nothing_done


def test_one_changed_setting_computes_one_classifier_anew(run):
    run.done(config=two(run))
    before = run.written(NSFW, RED, "consistency", "caption")
    jobs = run.done(config=two(run, frames=1)).jobs
    assert jobs.keys() >= {f"score_{RED}"} and f"score_{NSFW}" not in jobs
    after = run.written(NSFW, RED, "consistency", "caption")
    assert after == {**before, RED: before[RED] + 2}
    # Another bound scores nothing.
    jobs = run.done(config=two(run, bound=None, frames=1)).jobs
    assert not [rule for rule in jobs if rule.startswith("score") and rule != f"score_{NSFW}"]
    assert run.kept() == {"coffee.mp4", "rocket.mp4"}
    assert run.written(RED) == {RED: after[RED]}


def test_a_classifier_may_have_a_quantile_and_come_first(run):
    config = two(run)
    config |= {"filter_order": [RED], "filters": {RED: {"max": "q0.5"}}}
    run.done(config=config)
    assert run.kept() == {"rocket.mp4"}
    values = run.summary()["thresholds"][RED]["max"]
    assert (values["quantile"], values["clips"]) == (0.5, 2)
    plan = run.done("plan", config=config).output
    assert re.search(rf"score_{RED} +0", plan)


def test_a_file_that_goes_missing_is_named_before_anything_runs(run):
    (run.place / "red.onnx").unlink()
    shutil.rmtree(run.outdir / "work" / "verdicts")
    outcome = run.run(config=two(run))
    assert explain(outcome, "classifiers.red.onnx.file", "red.onnx", "there is no such file")
