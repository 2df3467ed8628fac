"""What SLURM adds: a run through the cluster of the tests against the same run by the local profile.

    make slurm; python tests/bench/bench_slurm.py [--videos FOLDER] [--a-shard 64]

First the sample videos in one shard: jobs that last a second, one after the other, so that nearly all of the time is
overhead. Then decoding of one full shard, from copies of the videos: which share of the time that SLURM gave to the job
was spent in the tool, by the job's own benchmark.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path[:0] = [str(REPOSITORY / "scripts"), str(HERE.parent / "workflow"), str(HERE.parent / "slurm")]

from cluster import Cluster, missing
from runs import Run
from slurm_runs import SlurmRun

from clipmill.demo.videos import render_demo_videos
from clipmill.store import benchmarks
from clipmill.store.layout import Paths

# Each waits for the one before it; the checks run beside each other and count once.
CHAIN = 12
DECODE = "work/videos/000000.parquet"


def timed(what: Callable[[], object]) -> float:
    started = time.monotonic()
    what()
    return time.monotonic() - started


def overhead(folder: Path, cluster: Cluster) -> None:
    videos = folder / "samples"
    render_demo_videos(videos)
    settings = {"videos_per_shard": 20}
    local = timed(Run(folder / "local", dict(settings), str(videos)).done)
    slurm = timed(SlurmRun(folder / "slurm", dict(settings), str(videos), cluster=cluster).done)
    print(f"samples: {local:.0f} s by the local profile, {slurm:.0f} s through SLURM: ", end="")
    print(f"{(slurm - local) / CHAIN:.1f} s more for each of {CHAIN} jobs in a row", flush=True)


def share(folder: Path, cluster: Cluster, videos: list[Path], count: int) -> None:
    run = SlurmRun(folder / "shard", {"videos_per_shard": count}, cluster=cluster, targets=(DECODE,))
    for number in range(count):
        source = videos[number % len(videos)]
        os.symlink(source, run.folder / f"{number:03d}{source.suffix}")
    run.done()
    (job,) = run.of("rule_decode_videos_wildcards_000000")
    took = benchmarks.read(Paths(run.outdir).benchmark("decode", "000000"))
    held, spent = (job.end - job.start).total_seconds(), took.wall_seconds
    print(f"decoding {count} videos: {spent:.0f} of {held:.0f} s that SLURM gave: {spent / held:.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, default=REPOSITORY / "tests" / "data" / "videos")
    parser.add_argument("--a-shard", type=int, default=64)
    args = parser.parse_args()
    if reason := missing():
        sys.exit(reason)
    videos = sorted(path.resolve() for path in args.videos.iterdir() if path.suffix == ".mp4")
    with tempfile.TemporaryDirectory(prefix="clipmill-slurm-") as folder:
        Path(folder).chmod(0o755)
        cluster = Cluster(Path(folder) / "cluster")
        try:
            cluster.start()
            os.environ.update(cluster.settings)
            overhead(Path(folder), cluster)
            share(Path(folder), cluster, videos, args.a_shard)
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()
