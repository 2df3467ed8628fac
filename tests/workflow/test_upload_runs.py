"""A run with `export.upload` ends with its dataset in a bucket."""

from __future__ import annotations

import json
import os

import pytest
from runs import Run

from bucket_server import bucket_server, environment, fill, objects_below

pytestmark = pytest.mark.slow

TO = "s3://of-runs/mine"


def test_a_run_ends_with_its_dataset_in_a_bucket(tmp_path, monkeypatch):
    run = Run(tmp_path)
    run.video("a.mp4", seconds=4)
    run.video("b.mp4", seconds=4)
    run.settings = {**run.settings, "export": {"upload": "s3://key:secret@of-runs/mine", "formats": ["hf-videofolder"]}}
    refused = run.run("--dry-run")
    assert refused.code != 0 and "export.upload" in refused.output and "secret" not in refused.output

    run.settings["export"]["upload"] = TO
    with bucket_server() as url:
        for name, value in environment(url).items():
            monkeypatch.setenv(name, value)
        fill(url, "of-runs", {"mine/notes.txt": b"not ours"})
        outcome = run.run(env=dict(os.environ))
        assert outcome.code == 0 and outcome.jobs["upload"] == 1, outcome.output
        dataset = {
            path.relative_to(run.outdir / "dataset").as_posix(): path.read_bytes()
            for path in (run.outdir / "dataset").rglob("*")
            if path.is_file()
        }
        assert objects_below(url, "of-runs", "mine/") == {**dataset, "notes.txt": b"not ours"}
        assert sum(below.endswith(".mp4") for below in dataset) == 4  # two clips, each in two folders

        assert run.run("upload", env=dict(os.environ)).jobs == {}
        (run.folder / "b.mp4").unlink()
        outcome = run.run("upload", env=dict(os.environ))
        assert outcome.code == 0 and outcome.jobs["upload"] == 1, outcome.output
        assert json.loads((run.outdir / "work" / "upload.json").read_text())["removed"] == 2
        assert sum(below.endswith(".mp4") for below in objects_below(url, "of-runs", "mine/")) == 2
