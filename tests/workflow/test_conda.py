"""With `--sdm conda` or `--sdm apptainer` each rule runs in the environment that it names, which has all that it needs.

conda and Apptainer come from elsewhere than Python's packages; files in `conda/bin` stand for them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from runs import Run, explain, same, whole_plan

TOOLS = {"check", "decode", "split", "score", "filter", "caption", "rewrite", "align", "cut", "export", "report"}


def test_runs_in_environments_of_conda_and_in_containers_leave_the_same_bytes(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    run.video("a.mp4", audio=True)
    run.video("b.mp4", speed=0)
    plain = Run(run.place, dict(run.settings), below="plain")
    plain.done()
    monkeypatch.setenv("PATH", f"{Path(__file__).parent / 'conda' / 'bin'}{os.pathsep}{os.environ['PATH']}")
    outcome = run.done("--sdm", "conda")
    assert outcome.jobs == whole_plan(1)
    assert "Creating conda environment" in outcome.output
    used = [path.read_text().split() for path in (run.workdir / ".snakemake" / "conda").glob("*/used")]
    assert {f"{tool}.py" for tool in TOOLS} <= {name for names in used for name in names}
    assert run.kept() == {"a.mp4"}
    assert same(run.left(), plain.left())

    image = run.place / "my_images" / "video.sif"
    image.parent.mkdir()
    contained = Run(run.place, {**run.settings, "containers": str(image.parent)}, below="contained")
    refusal = contained.run("--sdm", "apptainer")
    explain(refusal, f"{image}: there is no such container", "make containers/video.sif")
    image.touch()
    assert contained.done("--sdm", "apptainer").jobs == whole_plan(1)
    commands = image.with_name("video.sif.used").read_text()
    assert all(f"{tool}.py" in commands for tool in TOOLS)
    assert same(contained.left(), plain.left())
