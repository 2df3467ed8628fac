"""Snakemake's measurements of finished jobs: the files below `<outdir>/benchmarks/`, one folder per step."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Benchmark:
    """The last run of a job: wall and processor time in seconds, peak memory in MiB.

    None stands for a number that Snakemake could not measure, as when the job ended before Snakemake looked.
    """

    wall: float
    processor: float | None
    memory: float | None


def read(path: Path) -> Benchmark | None:
    """Read one file of measurements; None if it is missing, or if a kill has cut it off."""
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            row = list(csv.DictReader(handle, delimiter="\t"))[-1]
        return Benchmark(float(row["s"]), _number(row["cpu_time"]), _number(row["max_rss"]))
    except (OSError, LookupError, TypeError, ValueError):
        return None


def _number(text: str) -> float | None:
    return None if text == "NA" else float(text)
