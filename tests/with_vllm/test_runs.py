"""Real runs of the workflow that caption and rewrite with vLLM: in the jobs themselves, and by a server of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from runs import NO_TEXT_CHECKS, PATIENCE, SETTINGS, SMALL_MODELS_ON_THE_CPU, Run, explain


def settings(caption: dict[str, Any], rewrite: dict[str, Any]) -> dict[str, Any]:
    rewrite = {"max_tokens": 60, "max_tries": 2, **rewrite}
    language = {
        "caption": caption,
        "rewrite": rewrite,
        "text_checks": NO_TEXT_CHECKS,
        "resources": SMALL_MODELS_ON_THE_CPU,
    }
    return {**SETTINGS, **language, "videos_per_shard": 1}


def texts(run: Run) -> dict[str, dict[str, Any]]:
    """What stands in the dataset, by the video's name."""
    table = pq.read_table(run.outdir / "dataset" / "metadata.parquet")
    return {row["name"]: row for row in table.to_pylist()}


def test_vllm_in_the_jobs_themselves(tmp_path: Path, model):
    """One engine captions the clips of two shards; what is finished is never asked again."""
    tiny = {"max_model_len": 4096, "dtype": "float32", "options": {"enforce_eager": True}}
    run = Run(
        tmp_path / "run",
        settings(
            {"backend": "vllm", "frames": 4, "max_tokens": 30, "vllm": {**tiny, "model": str(model("qwen2_5_vl"))}},
            {"backend": "vllm", "vllm": {**tiny, "model": str(model("llama"))}},
        ),
    )
    run.video("one.mp4")
    run.video("two.mp4", picture="chelsea.png")
    outcome = run.done()
    assert {rule: outcome.jobs[rule] for rule in ("decode_videos", "caption_clips", "rewrite_captions")} == {
        "decode_videos": 2,
        "caption_clips": 1,
        "rewrite_captions": 1,
    }
    found = texts(run)
    assert found.keys() == {"one.mp4", "two.mp4"}
    assert found["one.mp4"]["caption"] != found["two.mp4"]["caption"]
    for row in found.values():
        assert row["caption_model"].startswith(f"vllm: {model('qwen2_5_vl')} (sha256:")
        assert row["caption_whole"] is False
        # noise has none of the caption's words: it stands as it was, and is counted
        assert row["rewritten"] is False and row["refused_since"]
        assert row["text"] == " ".join(row["caption"].split())
    assert run.summary()["texts"]["not_rewritten"] == 2
    assert run.run().nothing_done

    prompt = run.place / "prompt.txt"
    prompt.write_text("Say it again: {caption}")
    outcome = run.done(config={"rewrite": {"prompt": str(prompt)}})
    assert "caption_clips" not in outcome.jobs and outcome.jobs["rewrite_captions"] == 1

    run.settings = {**run.settings, "rewrite": {"backend": "rules"}}
    run.video("three.mp4", picture="astronaut.png")
    before = run.written("caption")
    run.done()
    assert run.more(before) == {"caption": 1}
    assert len(texts(run)) == 3
    assert {name: row["caption"] for name, row in texts(run).items() if name != "three.mp4"} == {
        name: row["caption"] for name, row in found.items()
    }


@pytest.fixture
def server(model, tmp_path: Path) -> Iterator[str]:
    """vLLM's own server on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "8192", "--served-model-name", "tiny"]
    flags += [
        "--trust-request-mm-kwargs",
        "--structured-outputs-config",
        '{"backend": "xgrammar", "disable_any_whitespace": true}',
    ]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model("qwen2_5_vl")), *flags]
    log = tmp_path / "server.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        end = time.monotonic() + PATIENCE
        while not _is_up(port):
            assert process.poll() is None and time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(60)


def _is_up(port: int) -> bool:
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).status == 200
    except OSError:
        return False


def test_vllm_as_a_server(tmp_path: Path, server: str):
    """Captions in fields by guided decoding, then as one video; and what a wrong name costs."""
    there = {"backend": "openai", "openai": {"base_urls": [server], "model": "tiny"}}
    asked = {"frames": 4, "max_tokens": 6000, "structured": True}
    run = Run(tmp_path / "run", settings({**there, **asked}, {**there, "max_tries": 1}))
    run.video("one.mp4")
    run.video("two.mp4", picture="chelsea.png")
    run.done()
    found = texts(run)
    assert found.keys() == {"one.mp4", "two.mp4"}
    for row in found.values():
        assert row["caption"] and row["caption_model"] == "openai: tiny"
        fields = [row[f"caption_{name}"] for name in ("short", "subject", "action", "setting", "style", "camera")]
        assert None not in fields and any(fields)
    outcome = run.done(config={"caption": {"structured": False, "max_tokens": 20, "send": "video"}})
    assert outcome.jobs["caption_clips"] == 2
    assert {name: row["caption"] for name, row in texts(run).items()} != {
        name: row["caption"] for name, row in found.items()
    }
    outcome = run.run(config={"caption": {"openai": {"model": "other"}}})
    assert explain(outcome, "failed: caption, backend openai", server, "'other'")
