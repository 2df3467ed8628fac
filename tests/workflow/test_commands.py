"""Commands beside the run: they need no videos, say what they need, and print no summary of an earlier run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from runs import Outcome, call, explain, snakemake


def command(place: Path, *arguments: str) -> Outcome:
    """Call Snakemake with the output folder `out` of `place` and nothing else set."""
    return call([*snakemake(), "--config", "outdir=out", *arguments], place)


@pytest.mark.parametrize("target", ["all", "export_dataset", "out/dataset/train.json"])
def test_what_needs_the_videos_says_so(tmp_path, target):
    outcome = command(tmp_path, "--", target)
    assert outcome.code == 1
    assert explain(outcome, "config: `videos` is not set", "--config videos=")
    assert outcome.output.count("config:") == 1
    assert not (tmp_path / "out").exists()


def test_models_are_fetched_without_videos(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "summary.json").write_text(json.dumps({"of": "an earlier run"}))
    outcome = command(tmp_path, "--", "fetch_models")
    assert outcome.code == 0, outcome.output
    assert outcome.jobs == {}
    assert "none of these backends needs a model from elsewhere" in outcome.output


def test_quantize_says_what_it_needs(tmp_path):
    outcome = command(tmp_path, "--", "quantize")
    assert outcome.code == 1
    assert explain(outcome, "config: `model` is not set", "--config model=NAME out=FOLDER -- quantize")
    assert explain(outcome, "config: `out` is not set", "--config model=NAME out=FOLDER -- quantize")
    assert outcome.output.count("config:") == 2
    outcome = command(tmp_path, "model=m", "--", "quantize")
    assert outcome.output.count("config:") == 1
    assert not (tmp_path / "out").exists()


def test_quantize_leaves_other_folders_alone(tmp_path):
    """Whatever its name holds, and whichever package quantizes."""
    foreign = tmp_path / "a {model}' $HOME"
    foreign.mkdir()
    (foreign / "config.json").write_text("{}")
    named = ["model=m", f"out={foreign.name}", "quantize={backend: llm-compressor}"]
    outcome = command(tmp_path, *named, "--set-resources", "quantize:gpu=0", "--", "quantize")
    assert explain(outcome, f"failed: out: {foreign} exists and was not made by", "nothing in it is touched")
    assert [path.name for path in foreign.iterdir()] == ["config.json"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != ".snakemake") == [foreign.name, "out"]
