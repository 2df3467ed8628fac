"""The cluster that all tests of this folder share. Where SLURM is not installed they are skipped."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))

from cluster import Cluster, missing
from runs import make_video
from slurm_runs import SlurmRun


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster, to which this process and all that it starts talk."""
    if reason := missing():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="clipmill-slurm-") as folder, pytest.MonkeyPatch.context() as patch:
        Path(folder).chmod(0o755)  # munge asks that its socket can be reached by all
        cluster = Cluster(Path(folder) / "cluster")
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))  # by way of the `finally` below
        try:
            cluster.start()
            for name, value in cluster.settings.items():
                patch.setenv(name, value)
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture
def run(tmp_path: Path, cluster: Cluster) -> SlurmRun:
    """A run of two videos in two shards that has nothing yet."""
    run = SlurmRun(tmp_path / "run", cluster=cluster)
    run.settings["videos_per_shard"] = 1
    for name, picture in (("a.mp4", "coffee.png"), ("b.mp4", "chelsea.png")):
        make_video(run.folder / name, picture=picture)
    return run
