"""What the command line tools share: their common flags, and settings given as JSON."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from clipmill import tables


def step_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the flags that every shard step has."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--outdir", type=Path, required=True, help="the run's output folder")
    parser.add_argument("--shard", required=True, help="name of the shard, six digits")
    parser.add_argument("--settings", type=json.loads, required=True, help="the step's settings as JSON")
    parser.add_argument("--threads", type=int, default=1, help="cores to use")
    parser.add_argument("--max-error-rate", type=float, default=1.0, help="share of bad items that stops the job")
    return parser


def read_scores(paths: list[Path]) -> dict[str, list[dict]]:
    """Rows of score tables, by the metric that their folder is named after."""
    by_metric = {table.path.split("/")[-2]: table for table in tables.ALL if "/scores/" in table.path}
    return {path.parent.name: by_metric[path.parent.name].rows(path) for path in paths}
