"""Time and memory a rule, from the benchmarks that Snakemake left beside the run."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from clipmill.survey import STEPS


@dataclass
class Cost:
    """The finished jobs of a rule's folder: how many, their time in seconds, the most memory of one in MiB."""

    folder: str
    jobs: int = 0
    wall: float = 0.0
    longest: float = 0.0
    processor: float = 0.0
    memory: float = 0.0


def costs(outdir: Path) -> list[Cost]:
    """A row a folder of benchmarks, in the order of the data. Files that are cut off are left out.

    What Snakemake did not measure counts 0.
    """
    order = {step.folder: place for place, step in enumerate(STEPS)}
    folders = [path for path in (outdir / "benchmarks").glob("*") if path.is_dir()]
    found = []
    for folder in sorted(folders, key=lambda path: (order.get(path.name, len(order)), path.name)):
        cost = Cost(folder.name)
        for file in sorted(folder.glob("*.tsv")):
            with open(file, encoding="utf-8", newline="") as handle:
                rows = list(csv.DictReader(handle, delimiter="\t"))
            if rows and all(rows[-1].get(name) for name in ("s", "max_rss", "cpu_time")):
                wall, processor, memory = (_number(rows[-1][name]) for name in ("s", "cpu_time", "max_rss"))
                cost.jobs += 1
                cost.wall += wall
                cost.processor += processor
                cost.longest, cost.memory = max(cost.longest, wall), max(cost.memory, memory)
        if cost.jobs:
            found.append(cost)
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # where Snakemake could not measure, as in a job of a few milliseconds
        return 0.0
