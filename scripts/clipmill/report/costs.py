"""Time and memory per step, from the benchmarks of the run's jobs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from clipmill.steps import BY_NAME, of_run
from clipmill.store import benchmarks
from clipmill.store.layout import Paths


@dataclass
class Cost:
    """The finished jobs of a step, or other `folder` of benchmarks: their number, seconds, and peak memory in MiB.

    `start`: seconds before the work began. Processor time and memory are of the `measured` jobs only: up to clipmill
    0.2 Snakemake measured the jobs, and could not measure very short ones.
    """

    folder: str
    jobs: int = 0
    wall: float = 0.0
    start: float = 0.0
    longest: float = 0.0
    measured: int = 0
    processor: float = 0.0
    memory: float = 0.0

    def add(self, job: benchmarks.Benchmark) -> None:
        self.jobs += 1
        self.wall += job.wall_seconds
        self.start += job.start_seconds or 0.0
        self.longest = max(self.longest, job.wall_seconds)
        if job.processor_seconds is not None and job.memory_mib is not None:
            self.measured += 1
            self.processor += job.processor_seconds
            self.memory = max(self.memory, job.memory_mib)


def costs(outdir: Path) -> list[Cost]:
    """One `Cost` per folder of benchmarks, in the order of the steps."""
    folders = [path for path in Paths(outdir).benchmarks.glob("*") if path.is_dir()]
    steps = of_run([*BY_NAME, *(path.name for path in folders)])
    order = {step.name: place for place, step in enumerate(steps)}
    found = []
    for folder in sorted(folders, key=lambda path: (order.get(path.name, len(order)), path.name)):
        cost = Cost(folder.name)
        for file in sorted(folder.glob("*.tsv")):
            if job := benchmarks.read(file):
                cost.add(job)
        if cost.jobs:
            found.append(cost)
    return found
