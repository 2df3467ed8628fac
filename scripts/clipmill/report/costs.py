"""Time and memory per step, from Snakemake's benchmarks of the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clipmill.steps import STEPS
from clipmill.store import benchmarks
from clipmill.store.layout import Paths


@dataclass
class Cost:
    """The finished jobs of a step, or other `folder` of benchmarks: their number, seconds, and peak memory in MiB.

    Processor time and memory are of the `measured` jobs only: Snakemake cannot measure very short ones.
    """

    folder: str
    jobs: int = 0
    wall: float = 0.0
    longest: float = 0.0
    measured: int = 0
    processor: float = 0.0
    memory: float = 0.0

    def add(self, job: benchmarks.Benchmark) -> None:
        self.jobs += 1
        self.wall += job.wall
        self.longest = max(self.longest, job.wall)
        if job.processor is not None and job.memory is not None:
            self.measured += 1
            self.processor += job.processor
            self.memory = max(self.memory, job.memory)


def costs(outdir: Path) -> list[Cost]:
    """One `Cost` per folder of benchmarks, in the order of the steps."""
    order = {step.name: place for place, step in enumerate(STEPS)}
    folders = [path for path in Paths(outdir).benchmarks.glob("*") if path.is_dir()]
    found = []
    for folder in sorted(folders, key=lambda path: (order.get(path.name, len(order)), path.name)):
        cost = Cost(folder.name)
        for file in sorted(folder.glob("*.tsv")):
            if job := benchmarks.read(file):
                cost.add(job)
        if cost.jobs:
            found.append(cost)
    return found
