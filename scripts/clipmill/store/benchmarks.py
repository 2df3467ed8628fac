"""What Snakemake measured of finished jobs: the files below `<outdir>/benchmarks/`, a folder a step."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Benchmark:
    """A job as it last ran: wall and processor time in seconds, the most memory in MiB.

    None is what Snakemake could not measure, as of a job that was over before it looked.
    """

    wall: float
    processor: float | None
    memory: float | None


def read(path: Path) -> Benchmark | None:
    """None where there is no such file, or a kill has cut it off."""
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            row = list(csv.DictReader(handle, delimiter="\t"))[-1]
        return Benchmark(float(row["s"]), _number(row["cpu_time"]), _number(row["max_rss"]))
    except (OSError, LookupError, TypeError, ValueError):
        return None


def _number(text: str) -> float | None:
    return None if text == "NA" else float(text)
