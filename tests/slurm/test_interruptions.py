"""Jobs that are cancelled, run out of time or lose their node, and runs that are stopped: what comes of them."""

from __future__ import annotations

import re
import signal
from subprocess import Popen

import pytest
from cluster import Job, kill
from runs import Run, make_video, wait_for
from slurm_runs import SlurmRun

DECODE = "rule_decode_videos_wildcards_{}"


@pytest.fixture
def decoding(run):
    """A run of the two decode jobs alone."""
    run.targets = ("work/videos/000000.parquet", "work/videos/000001.parquet")
    return run


def long_video(run: SlurmRun, name: str) -> None:
    """One in place of a short one, whose job is long enough to be met at work."""
    make_video(run.folder / name, seconds=8, size=(480, 360), fps=25)


def at_work(run: SlurmRun, shard: str, process: Popen) -> None:
    """Wait until a shard's job is in the middle of a video."""
    begun = run.outdir / "work" / "frames" / shard
    wait_for(lambda: [*begun.glob(".*.tmp")], lambda: process.poll() is None)


def tool(run: SlurmRun, job: Job) -> list[int]:
    """The processes of a job that do its work; none before Snakemake has started twice."""
    commands = run.cluster.processes(job)
    return [pid for pid, command in commands.items() if "python " in command and "/decode.py " in command]


def snakemakes_log(run: SlurmRun) -> str:
    """Snakemake's own log of the last run: it has what the terminal does not show."""
    logs = sorted((run.workdir / ".snakemake" / "log").iterdir())
    return logs[-1].read_text(encoding="utf-8")


def test_a_cancelled_job_is_told_and_then_the_only_one_that_is_missing(decoding):
    run = decoding
    run.options = ("--retries", "0")
    long_video(run, "b.mp4")
    with run.started() as process:
        job = run.running(DECODE.format("000001"), process)
        at_work(run, "000001", process)
        kill(tool(run, job), signal.SIGSTOP)  # SLURM lets it go on, asks it to end, and kills it some seconds later
        run.cluster.call("scancel", str(job.number))
        outcome = run.ended(process)
    assert outcome.code != 0
    assert f"SLURM-job '{job.number}' failed, SLURM status is: 'CANCELLED'" in outcome.output
    assert f"{run.below}/logs/decode/000001.log" in outcome.output
    assert "stopped by SIGTERM; the same command goes on from here" in run.log("decode")
    log = run.workdir / ".snakemake" / "slurm_logs" / "rule_decode_videos" / "000001" / f"{job.number}.log"
    assert str(log) in outcome.output and "CANCELLED" in log.read_text(encoding="utf-8")

    run.options = ()
    assert run.done().jobs == {"decode_videos": 1}
    assert [job.state for job in run.of(DECODE.format("000001"))] == ["CANCELLED", "COMPLETED"]
    assert [job.state for job in run.of(DECODE.format("000000"))] == ["COMPLETED"]


def test_a_job_whose_node_dies_is_done_on_another_with_more_memory(decoding):
    run = decoding
    with run.started() as process:
        job = run.running(DECODE.format("000001"), process)
        run.cluster.kill_node(job.nodes)
        try:
            outcome = run.ended(process)
        finally:
            run.cluster.start_node(job.nodes)
    assert outcome.code == 0, outcome.output
    assert f"SLURM-job '{job.number}' failed due to a node failure" in outcome.output
    first, second = run.of(DECODE.format("000001"))
    assert (first.state, second.state) == ("NODE_FAIL", "COMPLETED")
    assert first.nodes != second.nodes
    assert (first.memory, second.memory) == ("1500M", "3000M")
    local = Run(run.place, dict(run.settings), below="local")
    local.done(*(f"../local/{target}" for target in run.targets))
    made = [
        path.relative_to(local.outdir)
        for path in (local.outdir / "work").rglob("*")
        if path.suffix in (".parquet", ".zip")
    ]
    assert set(map(str, made)) > set(run.targets)
    assert [path for path in made if (run.outdir / path).read_bytes() != (local.outdir / path).read_bytes()] == []


def test_a_job_whose_time_is_over_gets_more(decoding):
    run = decoding
    run.targets = run.targets[:1]
    run.settings["resources"] = {"decode": {"runtime": 1}}
    with run.started() as process:
        job = run.running(DECODE.format("000000"), process)
        kill(wait_for(lambda: tool(run, job), lambda: process.poll() is None), signal.SIGSTOP)
        outcome = run.ended(process)
    assert outcome.code == 0, outcome.output
    assert f"SLURM-job '{job.number}' failed, SLURM status is: 'TIMEOUT'" in outcome.output
    assert [(job.state, job.minutes) for job in run.of(DECODE.format("000000"))] == [("TIMEOUT", 1), ("COMPLETED", 2)]


def test_a_job_that_takes_too_much_memory_gets_more(decoding):
    run = decoding
    run.targets = run.targets[:1]
    run.settings["resources"] = {"decode": {"mem_mb": 150}}  # two Snakemakes, the tool and its worker take up to 370
    outcome = run.done()
    assert outcome.jobs == {"decode_videos": 1}
    *killed, last = run.of(DECODE.format("000000"))
    assert killed and all(job.state in ("OUT_OF_MEMORY", "FAILED", "CANCELLED") for job in killed)
    assert last.state == "COMPLETED"
    assert [job.memory for job in [*killed, last]] == ["150M", "300M", "450M"][: len(killed) + 1]


def test_an_interrupted_run_takes_its_jobs_with_it_and_goes_on_by_the_same_command(decoding):
    run = decoding
    long_video(run, "b.mp4")
    with run.started() as process:
        job = run.running(DECODE.format("000001"), process)
        at_work(run, "000001", process)
        wait_for(lambda: snakemakes_log(run).count("submitted with SLURM jobid") == 2)
        process.send_signal(signal.SIGINT)
        assert run.ended(process).code != 0
    wait_for(lambda: all(job.end for job in run.record))
    assert run.of(DECODE.format("000001"))[0].state == "CANCELLED"
    # The other may have written its table before it was cancelled, and Snakemake may have heard of that or not.
    is_there = (run.outdir / "work" / "videos" / "000000.parquet").exists()
    assert run.done().jobs["decode_videos"] in ((1, 2) if is_there else (2,))
    assert job.number not in [job.number for job in run.record if job.state == "COMPLETED"]


def test_jobs_of_a_killed_run_keep_their_shards_until_they_are_cancelled(decoding):
    run = decoding
    run.targets, run.options = run.targets[:1], ("--retries", "0")
    long_video(run, "a.mp4")
    with run.started() as process:  # and killed at the end of this
        job = run.running(DECODE.format("000000"), process)
        at_work(run, "000000", process)
        kill(tool(run, job), signal.SIGSTOP)
        name = re.search(r"^SLURM run ID: (\S+)$", run.said.read_text(encoding="utf-8"), re.MULTILINE)[1]
    outcome = run.run()
    assert outcome.code != 0
    assert "another job is working on this shard" in outcome.output
    assert run.of(DECODE.format("000000"))[0].state == "RUNNING"

    run.cluster.call("scancel", "--name", name)
    wait_for(lambda: all(job.state != "RUNNING" for job in run.record))
    assert run.done().jobs == {"decode_videos": 1}
    assert [job.state for job in run.of(DECODE.format("000000"))] == ["CANCELLED", "FAILED", "COMPLETED"]
