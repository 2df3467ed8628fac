"""A whole run on the cluster, once: what it makes, and where and when SLURM ran its jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cluster import CPU_NODES, GPU_NODES, GPUS_A_NODE, Cluster, Job
from runs import REPOSITORY, SETTINGS, WITH_KEYS, Run, make_video, same, whole_plan
from slurm_runs import SlurmRun

from bucket_server import bucket_server, environment, fill, objects_below

PROFILE = yaml.safe_load((REPOSITORY / "profiles" / "slurm" / "config.yaml").read_text(encoding="utf-8"))
# Embedded backends that are given GPUs, so that no model is needed; their job, which all of them share, gets what the
# greediest asks for: in four shards at once eight GPUs where two are of the model. A node of the cluster has two cores,
# fewer than a job on a GPU asks for by itself.
GPUS = {"text": 2, "aesthetic": 1, "consistency": 1}
RESOURCES = {**{step: {"gpu": count, "threads": 1} for step, count in GPUS.items()}, "cut": {"runtime": 99_999}}
# The first has GPUs and the second none, as where a step was set back to its embedded backend.
MODEL = ("--set-resources", "score_clips:gpu_model=h100", "caption_clips:gpu_model=h100")
SHARDS = ("000000", "000001", "000002", "000003")
JOBS = {**whole_plan(len(SHARDS)), "upload": 1}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is kept as it is, what is encoded anew, what is refused and what is broken."""
    folder = tmp_path_factory.mktemp("videos") / "videos"
    make_video(folder / "a.mp4", seconds=2, audio=True)
    make_video(folder / "turned.mp4", picture="astronaut.png", rotation=270)
    make_video(folder / "stands.mp4", speed=0)
    make_video(folder / "broken.mp4").write_bytes((folder / "a.mp4").read_bytes()[:3000])
    return folder


@pytest.fixture(scope="module")
def buckets(videos: Path) -> Iterator[str]:
    """The videos in a bucket: the nodes need no folder of videos."""
    with bucket_server() as url, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(url).items():
            patch.setenv(name, value)
        fill(url, "films", {f"raw/{path.name}": path for path in videos.iterdir()})
        yield url


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster, buckets: str) -> SlurmRun:
    place = tmp_path_factory.mktemp("whole")
    settings = {**SETTINGS, "videos_per_shard": 1, "cascade": False, "resources": RESOURCES}
    settings |= {"videos": "s3://films/raw", "export": {"upload": "s3://films/set"}}
    settings |= {"fetch": {"directory": str(place / "disk of a node")}}
    run = SlurmRun(place / "run", settings, cluster=cluster, options=MODEL)
    assert run.done().jobs == JOBS
    return run


def gpus_of(job: Job) -> int:
    """What the config wants for a job, by its comment."""
    return max(GPUS.values()) if job.comment.startswith("rule_score_clips_") else 0


def test_leaves_the_same_bytes_as_a_local_run(finished, videos, buckets, tmp_path):
    own = ("resources", "videos", "export", "fetch")
    settings = {name: value for name, value in finished.settings.items() if name not in own}
    local = Run(tmp_path / "run", settings, str(videos))
    local.done()
    assert {"dataset/train.json", "verdicts.parquet", "errors.csv", "models.json"} <= finished.left().keys()
    assert same(finished.left(), local.left(), but=WITH_KEYS)
    sent = {f"dataset/{name}": content for name, content in objects_below(buckets, "films", "set/").items()}
    assert same(sent, {name: content for name, content in local.left().items() if name.startswith("dataset/")})
    assert not [path for path in (finished.place.parent / "disk of a node").rglob("*") if path.is_file()]
    assert finished.kept() == {"a.mp4", "turned.mp4"}
    assert [error["video"] for error in finished.errors()] == ["broken.mp4"]


def test_each_job_ran_once_on_its_partition(finished):
    record = finished.record
    assert len(record) == sum(JOBS.values())
    assert {job.state for job in record} == {"COMPLETED"}
    for job in record:
        wanted = gpus_of(job)
        assert (job.partition, job.gpus) == (("gpu", wanted) if wanted else ("cpu", 0)), job
        assert job.nodes in (GPU_NODES if wanted else CPU_NODES)


def test_a_model_of_gpu_can_be_asked_for(finished):
    scores = [job for shard in SHARDS for job in finished.of(f"rule_score_clips_wildcards_{shard}")]
    assert {GPU_NODES[job.nodes] for job in scores} == {"h100"}


def devices(run: SlurmRun, job: Job) -> set[tuple[str, str]]:
    """Node and number of the GPUs that a job said to run on; SLURM forgets them when the job is done."""
    log = run.outdir / "logs" / "scores" / f"{job.comment.rpartition('_')[2]}.log"
    said = re.search(r"runs on GPU ([\d, ]+)$", log.read_text(), re.MULTILINE)
    return {(job.nodes, index) for index in said[1].split(", ")}


def test_no_gpu_was_given_to_two_jobs_at_once(finished):
    users = [job for job in finished.record if job.gpus]
    most = 0
    for job in users:
        assert len(devices(finished, job)) == job.gpus
        beside = [other for other in users if other.start <= job.start < other.end]
        held = [device for other in beside for device in devices(finished, other)]
        assert len(held) == len(set(held)) == sum(other.gpus for other in beside), beside
        most = max(most, len(held))
    assert most == GPUS_A_NODE, "those of the one node with this model"


def test_jobs_can_be_told_apart_in_squeue(finished):
    assert {job.name.partition("_")[0] for job in finished.record} == {"clipmill"}
    assert len({job.name for job in finished.record}) == 1, "the run's own name, by which it can be cancelled"
    comments = {job.comment for job in finished.record}
    assert {f"rule_{rule}_wildcards_{shard}" for rule in ("decode_videos", "cut_clips") for shard in SHARDS} <= comments
    assert {"rule_export_dataset", "rule_check_embedded"} <= comments


def test_no_job_asks_for_more_time_than_the_profile_allows(finished):
    (job, *_) = finished.of("rule_cut_clips_wildcards_000000")
    assert job.minutes == PROFILE["resources"]["runtime"]
    (other, *_) = finished.of("rule_split_videos_wildcards_000000")
    assert other.minutes == 60


def test_a_second_command_has_nothing_to_do(finished):
    before = len(finished.record)
    assert finished.run().nothing_done
    assert len(finished.record) == before
