"""A real run that captions and rewrites with small random models of transformers, in the jobs themselves."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
from runs import NO_TEXT_CHECKS, SETTINGS, SMALL_MODELS_ON_THE_CPU, Run, explain

from language_checkpoints import make_llama, make_qwen2_5_vl

pytestmark = pytest.mark.torch


def test_models_of_transformers_caption_and_rewrite(tmp_path):
    """One job of each serves both shards; a new video is asked alone; without a GPU that is asked for, one line."""
    seeing, speaking = make_qwen2_5_vl(tmp_path / "seeing"), make_llama(tmp_path / "speaking")
    caption = {"backend": "transformers", "frames": 3, "max_tokens": 12, "transformers": {"model": str(seeing)}}
    rewrite = {"backend": "transformers", "max_tokens": 12, "max_tries": 2, "transformers": {"model": str(speaking)}}
    language = {"caption": caption, "rewrite": rewrite, "text_checks": NO_TEXT_CHECKS}
    language["resources"] = SMALL_MODELS_ON_THE_CPU
    run = Run(tmp_path / "run", {**SETTINGS, **language, "videos_per_shard": 1})
    run.video("one.mp4")
    run.video("two.mp4", picture="chelsea.png")
    outcome = run.done()
    assert [outcome.jobs[rule] for rule in ("filter_clips", "caption_clips", "rewrite_captions")] == [2, 1, 1]
    rows = {row["name"]: row for row in pq.read_table(run.outdir / "dataset" / "metadata.parquet").to_pylist()}
    assert rows.keys() == {"one.mp4", "two.mp4"}
    assert rows["one.mp4"]["caption"] != rows["two.mp4"]["caption"]
    for row in rows.values():
        assert row["caption_model"].startswith(f"transformers: {seeing} (sha256:") and row["caption_whole"] is False
        assert row["rewritten"] is False and row["text"] == " ".join(row["caption"].split())
    assert "2 texts stand as they were captioned" in outcome.output

    run.video("three.mp4", picture="astronaut.png")
    before = run.written("caption", "rewrite")
    assert run.done().jobs["caption_clips"] == 1
    assert run.more(before) == {"caption": 1, "rewrite": 1}

    outcome = run.run(config={"resources": {"caption": {"gpu": 1}}, "caption": {"frames": 2}})
    assert explain(outcome, "failed: caption, backend transformers: no GPU visible", "set resources.<step>.gpu: 0")
