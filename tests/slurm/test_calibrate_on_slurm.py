"""`snakemake calibrate` on the cluster: its jobs, each a Snakemake of its own, know that they work on the sample."""

from __future__ import annotations

import json


def test_jobs_on_the_nodes_work_on_the_sample(run):
    outcome = run.done("calibrate", "--until", "decode_videos", config={"calibrate": {"videos": 2}})
    assert outcome.jobs == {"decode_videos": 2}
    assert len(run.record) == 2
    assert [path.name for path in run.outdir.iterdir()] == ["calibrate"]
    sheet = (run.outdir / "calibrate" / "videos.jsonl").read_text(encoding="utf-8")
    drawn = {json.loads(line)["id"] for line in sheet.splitlines()}
    decoded = {path.stem for path in (run.outdir / "calibrate" / "work" / "frames").rglob("*.zip")}
    assert decoded == drawn and len(drawn) == 2
