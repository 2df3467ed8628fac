"""Targets: one line of a command makes clips that are exactly as the trainer of a model takes them."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
from runs import REPOSITORY, Run, call, make_video, snakemake

from clipmill.store import tables

pytestmark = pytest.mark.slow

TARGET = REPOSITORY / "config" / "presets" / "targets" / "wan2.2-a14b.yaml"


def with_target(run: Run, *arguments: str):
    """Call Snakemake with the target, then the user's own file."""
    command = run.command(*arguments)
    command.insert(command.index("--configfile") + 1, str(TARGET))
    outcome = call(command, run.workdir)
    assert outcome.code == 0, outcome.output
    return outcome


def test_a_target_gives_files_of_exact_frames_and_says_what_it_leaves_out(tmp_path):
    run = Run(tmp_path)
    wide = {"size": (960, 480), "speed": 60, "fps": 20}
    make_video(run.folder / "good.mp4", seconds=6.5, **wide)
    make_video(run.folder / "short.mp4", seconds=2, **wide)
    make_video(run.folder / "small.mp4", seconds=6, size=(320, 240), speed=30)
    assert "too_few_frames, too_small: see docs/faq.md" in with_target(run).output

    reasons = {row["name"]: row["reason"] for row in run.verdicts()}
    assert reasons == {"good.mp4": None, "short.mp4": "too_few_frames", "small.mp4": "too_small"}
    assert [row["name"] for row in run.verdicts() if row["caption"]] == ["good.mp4"]
    (clip,) = pq.read_table(run.outdir / "dataset" / "metadata.parquet").to_pylist()
    assert (clip["cut_frames"], clip["target_frames"], clip["cut_fps"]) == (81, 81, 16)
    assert (clip["cut_width"], clip["cut_height"], clip["cut_codec"]) == (832, 480, "h264")
    assert (clip["bucket_width"], clip["bucket_height"], clip["bucket_frames"]) == (832, 480, 81)
    assert all(clip[promise.name] for promise in tables.PROMISES)
    assert "What does not hold" not in (run.outdir / "dataset" / "README.md").read_text(encoding="utf-8")
    assert "not all clips are as" not in run.log("export") and run.errors() == []
    assert '<th scope="row">[81] <small>config</small>' in (run.outdir / "report.html").read_text(encoding="utf-8")

    said = with_target(run, "plan").output
    assert "clips have the numbers of frames [81] at 16 per second" in said and "are in clips, " in said
    # Without a file of one's own: the command of the documents.
    command = [*snakemake(), "--configfile", str(TARGET), "--config", f"videos={run.folder}", "outdir=other"]
    outcome = call([*command, "--dry-run", "--cores", "1"], run.workdir)
    assert outcome.code == 0 and outcome.planned["cut_clips"] == outcome.planned["split_videos"], outcome.output
