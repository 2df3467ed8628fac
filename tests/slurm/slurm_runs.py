"""Runs of the workflow through `profiles/slurm` as it is shipped, on the cluster of the tests."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster import Cluster, Job
from runs import REPOSITORY, Run, wait_for

# A short wait before the first question, so that a test takes minutes; and not more jobs than this machine can start.
QUICK = {"slurm-init-seconds-before-status-checks": 3, "latency-wait": 20, "jobs": 8}


@dataclass
class SlurmRun(Run):
    """A run whose jobs go to the cluster. `options` and the files `targets` below the output are given to each call."""

    cluster: Cluster = field(kw_only=True)
    options: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    def command(self, *arguments: str, config: Mapping[str, Any] | None = None) -> list[str]:
        super().command(config=config)  # writes the config file
        return [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")),
            *("--profile", str(REPOSITORY / "profiles" / "slurm"), "--configfile", "my.yaml"),
            *(f"--{name}={value}" for name, value in QUICK.items()),
            *self.options,
            *arguments,
            *(f"../{self.below}/{target}" for target in self.targets),
        ]

    @property
    def record(self) -> list[Job]:
        """The controller's record of this run's jobs, of all calls."""
        return [job for job in self.cluster.jobs() if job.output.is_relative_to(self.workdir)]

    def of(self, comment: str) -> list[Job]:
        """The jobs of a rule and shard in the order of their submission."""
        return [job for job in self.record if job.comment == comment]

    def running(self, comment: str, process: Any) -> Job:
        """The job of a rule and shard, as soon as it runs."""

        def now() -> Job | None:
            return next((job for job in self.of(comment) if job.state == "RUNNING"), None)

        return wait_for(now, lambda: process.poll() is None)
