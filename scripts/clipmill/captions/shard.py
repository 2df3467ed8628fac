"""Captions and their rewriting for the clips of a shard, each made once ever under the same inputs."""

from __future__ import annotations

import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

from clipmill.captions import ClipFacts
from clipmill.errors import ItemError, check_error_rate
from clipmill.journal import Journal, fingerprint
from clipmill.progress import Progress
from clipmill.scores.shard import Samples, by_video

log = logging.getLogger("clipmill")

FRAMES = 8


def caption_shard(
    backend: Any, clips: list[dict[str, Any]], outdir: Path, shard: str, max_error_rate: float
) -> list[dict[str, Any]]:
    """CAPTIONS rows of the kept clips. `clips` are rows with all that is known of each, `source_key` included."""
    rows: dict[str, dict[str, Any]] = {}
    with Journal(outdir / "work" / "journals" / "caption" / f"{shard}.jsonl") as journal:
        facts = {clip["clip_id"]: _facts(clip) for clip in clips}
        keys = {
            clip["clip_id"]: fingerprint(backend.model, clip["source_key"], facts[clip["clip_id"]]) for clip in clips
        }
        for clip_id, key in keys.items():
            if (row := journal.get(clip_id, key)) is not None:
                rows[clip_id] = row
        todo = [clip for clip in clips if clip["clip_id"] not in rows]
        progress = Progress("captions", len(clips), len(rows))
        samples = Samples(outdir, shard)
        for group in by_video(todo):
            for clip, frames in samples.pictures(group, FRAMES):
                clip_id = clip["clip_id"]
                if isinstance(frames, ItemError):
                    log.warning("%s: %s", clip_id, frames)
                    rows[clip_id] = {"error_kind": frames.kind, "error": str(frames)}
                else:
                    caption = backend.caption([ClipFacts(**facts[clip_id], frames=frames)])[0]
                    rows[clip_id] = {"caption": caption, "caption_model": backend.model}
                    journal.add([(clip_id, keys[clip_id], rows[clip_id])])
                progress.step()
                check_error_rate(sum("error" in row for row in rows.values()), len(rows), max_error_rate, "captions")
    return [{"clip_id": clip["clip_id"], **rows[clip["clip_id"]]} for clip in clips]


def _facts(clip: dict[str, Any]) -> dict[str, Any]:
    return {field.name: clip[field.name] for field in fields(ClipFacts) if field.name != "frames"}


def rewrite_shard(backend: Any, captions: list[dict[str, Any]], outdir: Path, shard: str) -> list[dict[str, Any]]:
    """REWRITES rows of the clips that have a caption."""
    with Journal(outdir / "work" / "journals" / "rewrite" / f"{shard}.jsonl") as journal:
        captions = [row for row in captions if row["caption"] is not None]
        keys = {row["clip_id"]: fingerprint(backend.model, row["caption"]) for row in captions}
        todo = [row for row in captions if journal.get(row["clip_id"], keys[row["clip_id"]]) is None]
        texts = backend.rewrite([row["caption"] for row in todo])
        journal.add(
            (row["clip_id"], keys[row["clip_id"]], {"text": text, "rewrite_model": backend.model})
            for row, text in zip(todo, texts, strict=True)
        )
        return [{"clip_id": clip_id, **journal.get(clip_id, key)} for clip_id, key in keys.items()]
