"""Rewrites short prompts in the style of the training captions: a model understands best what it was trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clipmill.base.errors import SetupError
from clipmill.base.files import write_text
from clipmill.base.human import counted
from clipmill.base.journal import fingerprint
from clipmill.captions import RewriteBackend
from clipmill.captions.shard import rewrite_shards

SHARD = "prompts"  # all prompts share one journal, whatever file they come from


def read_prompts(path: Path) -> list[dict[str, Any]]:
    """The prompts of a file, in order, as dicts with a `prompt`; other keys are kept. Empty lines are skipped.

    Each line of a .jsonl file is JSON: an object with `prompt`, or a string. Any other file is plain text, one prompt
    per line. Raises SetupError.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(
            f"{path}: {getattr(error, 'strerror', None) or 'it is not UTF-8'}; correct `prompts`"
        ) from error
    rows = [_row(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise SetupError(f"{path} holds no prompt; write one a line")
    return rows


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    if path.suffix != ".jsonl":
        return {"prompt": line.strip()}
    try:
        value = json.loads(line)
    except ValueError as error:
        raise SetupError(f"{path}, line {number}: no JSON ({error}); correct it, or name the file .txt") from error
    row = {"prompt": value} if isinstance(value, str) else value
    if not isinstance(row, dict) or not isinstance(row.get("prompt"), str) or not row["prompt"].strip():
        raise SetupError(f'{path}, line {number}: has no text `prompt`; write {{"prompt": "a cat on a roof"}}')
    return row


def beautify(
    backend: RewriteBackend, prompts: list[dict[str, Any]], outdir: Path, max_error_rate: float
) -> dict[str, dict[str, Any]]:
    """REWRITES rows by prompt. The same prompt is rewritten only once, whatever file it is in."""
    texts = list(dict.fromkeys(row["prompt"] for row in prompts))
    asked = [{"clip_id": fingerprint(text), "caption": text} for text in texts]
    rows = rewrite_shards(backend, {SHARD: asked}, outdir, max_error_rate, step="beautify")
    return dict(zip(texts, rows, strict=True))


def write_beautified(path: Path, prompts: list[dict[str, Any]], rows: dict[str, dict[str, Any]]) -> str:
    """Write <path>.beautified.jsonl. Each line has its own keys, `text`, `model`; if `text` is null, also `error`.

    Returns a summary in one line.
    """
    lines = []
    for row in prompts:
        made = rows[row["prompt"]]
        text = made.get("text") if made.get("rewritten", True) else None
        fault = {} if text else {"error": made.get("error") or made.get("refused_since")}
        lines.append({**row, "text": text, "model": made.get("rewrite_model"), **fault})
    target = path.with_name(f"{path.stem}.beautified.jsonl")
    write_text(target, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    missing = sum(line["text"] is None for line in lines)
    return f"{target}: {counted(len(lines), 'prompt')}, {missing} without a text"
