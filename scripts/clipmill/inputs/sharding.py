"""Which shard a new video belongs to, so that the jobs of a shard last long enough for their start not to matter.

Only sizes and numbers of files are known here. A video's work is estimated from its bytes, rather too low than too
high: a job may use several threads, so a shard that is too large costs less than one that is too small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEW_VIDEOS = 10  # so many new videos have a shard each, however small they are
UNKNOWN_BYTES = 20_000_000  # assumed of a file whose size is not known
MOST_SHARDS = 1000  # of a first start; later starts never bring the number far beyond twice as many
VIDEO_SECONDS, SECONDS_PER_MB = 0.5, 0.2  # core-seconds of all steps: of the shortest video, and per megabyte
# Core-seconds that a shard has at least, if there are enough videos, so that starting its jobs takes less than a tenth
# of its time. A job starts in half a second here; a cluster takes 20 seconds.
LEAST_HERE, LEAST_ON_CLUSTER = 30.0, 600.0
MOST_SECONDS = 1800.0  # a shard is filled beyond only if there were more than MOST_SHARDS, so that a job ends in time
SHARDS_PER_WORKER = 4  # so that all of them have work until the end


@dataclass(frozen=True)
class Workers:
    """What jobs run on: `count` cores of this machine, or jobs at once on a cluster.

    `least_seconds`: work that makes up for starting the jobs of a shard there.
    """

    count: int = 1
    least_seconds: float = LEAST_HERE

    @staticmethod
    def of(cores: int | None, cluster_jobs: int | None) -> Workers:
        """The workers of a run. `cluster_jobs` is None on one machine."""
        if cluster_jobs:
            return Workers(cluster_jobs, LEAST_ON_CLUSTER)
        return Workers(max(1, cores or 1))


def shards_of(sizes: np.ndarray, taken: int, workers: Workers) -> np.ndarray:
    """The shards, counted from 0, of new videos with these sizes in bytes, where `taken` shards exist already.

    A video with more work than a shard should have gets a shard of its own. The others are divided into shards of about
    the same work. The order of the videos stays, since rows of tables and of the dataset are in the order of shards.
    """
    if len(sizes) <= FEW_VIDEOS and taken < MOST_SHARDS:
        return np.arange(len(sizes))
    work = VIDEO_SECONDS + SECONDS_PER_MB * sizes / 1e6
    wanted = np.clip(work.sum() / (SHARDS_PER_WORKER * workers.count), workers.least_seconds, MOST_SECONDS)
    wanted = max(wanted, work.sum() / max(1, min(MOST_SHARDS, (2 * MOST_SHARDS - taken) // 2)))
    alone = work > wanted
    small = np.where(alone, 0.0, work)
    shards = max(1, int(np.ceil(small.sum() / wanted)))
    middle = np.cumsum(small) - small / 2
    place = np.minimum(middle / max(small.sum(), 1e-9) * shards, shards - 1).astype("int64")
    begins = np.diff(place, prepend=-1) > 0
    begins |= alone
    begins[1:] |= alone[:-1]
    return np.cumsum(begins) - 1
