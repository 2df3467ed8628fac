"""`videos_per_shard: auto`: shards go by the work, and a job's start is a small part of it."""

from __future__ import annotations

import numpy as np
import pytest

from clipmill.inputs.sharding import FEW_VIDEOS, LEAST_HERE, LEAST_ON_CLUSTER, MOST_SHARDS, Workers, shards_of

MB, GB = 10**6, 10**9
HERE, CLUSTER = Workers.of(2, None), Workers.of(1, 100)


def sizes_of_shards(sizes: list[int], workers: Workers = HERE, taken: int = 0) -> list[int]:
    """How many videos each shard gets."""
    shards = shards_of(np.array(sizes, "int64"), taken, workers)
    assert len(shards) == len(sizes)
    counts = np.bincount(shards, minlength=0).tolist()
    assert all(counts), "a shard without videos"
    return counts


@pytest.mark.parametrize("videos", [1, 3, FEW_VIDEOS])
@pytest.mark.parametrize("workers", [HERE, CLUSTER])
def test_few_videos_have_a_shard_each(videos, workers):
    assert sizes_of_shards([MB // 2] * videos, workers) == [1] * videos


@pytest.mark.parametrize("workers", [HERE, CLUSTER])
def test_large_videos_have_a_shard_each(workers):
    assert sizes_of_shards([20 * GB] * 100, workers) == [1] * 100


def test_short_videos_share_shards_of_the_same_work():
    assert sorted(sizes_of_shards([MB // 3] * 75)) == [37, 38]
    counts = sizes_of_shards([MB // 3] * 2000)
    assert len(counts) == 8 and max(counts) - min(counts) <= 1


def test_a_large_video_keeps_its_place_between_small_ones():
    small, large = [MB // 3] * 25, [20 * GB]
    assert sizes_of_shards(small + large + small + large) == [25, 1, 25, 1]


def test_more_cores_share_more_shards_but_none_is_too_short():
    few, many = (sizes_of_shards([10 * MB] * 2000, Workers.of(cores, None)) for cores in (2, 64))
    assert len(few) == 4 * 2
    assert len(few) < len(many) <= 4 * 64
    work = 2000 * (0.5 + 2)
    assert work / len(many) >= 0.9 * LEAST_HERE


def test_shards_on_a_cluster_are_larger():
    sizes = [5 * MB] * 20_000
    here, there = (sizes_of_shards(sizes, Workers.of(64, None)), sizes_of_shards(sizes, CLUSTER))
    assert min(there) > 5 * max(here)
    assert 20_000 * 1.5 / len(there) >= LEAST_ON_CLUSTER


@pytest.mark.parametrize("workers", [HERE, Workers.of(100_000, None), CLUSTER, Workers.of(1, 2**63 - 1)])
@pytest.mark.parametrize("size", [MB, 3 * GB])
def test_there_are_never_many_more_than_a_thousand(workers, size):
    assert len(sizes_of_shards([size] * 200_000, workers)) <= MOST_SHARDS


def test_later_videos_never_double_the_shards():
    taken = 0
    for _ in range(50):
        taken += len(sizes_of_shards([3 * GB] * 5000, HERE, taken))
    assert taken <= 2 * MOST_SHARDS + 50
    assert sizes_of_shards([MB] * 3, HERE, MOST_SHARDS) == [3]


def test_without_videos_there_are_no_shards():
    assert len(shards_of(np.empty(0, "int64"), 0, HERE)) == 0


def test_empty_files_are_work_too():
    assert sorted(sizes_of_shards([0] * 75)) == [37, 38]


@pytest.mark.parametrize("workers", [HERE, CLUSTER])
def test_the_order_of_the_videos_stays(workers):
    sizes = np.random.default_rng(0).lognormal(15, 3, 5000).astype("int64")
    shards = shards_of(sizes, 0, workers)
    assert shards[0] == 0 and set(np.diff(shards)) == {0, 1}
