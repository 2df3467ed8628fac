"""What clusters, disks and people do to a run: the next one finishes, and leaves the bytes of an undisturbed one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from runs import (
    REPOSITORY,
    SETTINGS,
    Run,
    explain,
    make_shots,
    make_video,
    obey_modes,
    on_a_small_disk,
    same,
    wait_for,
    whole_lines,
    whole_plan,
)

from clipmill.inputs.identities import make_id
from clipmill.terminal.handler import BY_SIGTERM, BY_USER, GO_ON

FAULTS = {**SETTINGS, "videos_per_shard": 3}
DECODE = {str(REPOSITORY / "scripts" / "decode.py"), "000000"}  # in the command of the job on the first shard
FIRST = "work/videos/000000.parquet"
HOUR = 3600 * 10**9


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards: one that takes its time to decode and to encode, one with a broken file and two scenes."""
    folder = tmp_path_factory.mktemp("faults") / "videos"
    make_video(folder / "a.mp4", seconds=2, audio=True)
    make_video(folder / "b.mp4", picture="chelsea.png")
    make_video(folder / "long.mp4", seconds=8, size=(480, 360), fps=25, picture="astronaut.png", rotation=90)
    make_video(folder / "stands.mp4", speed=0)
    make_video(folder / "torn.mp4").write_bytes((folder / "a.mp4").read_bytes()[:3000])
    make_shots(folder / "two shots.mp4", "coffee.png", "ihc.png")
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, videos: Path) -> dict[str, bytes]:
    run = Run(tmp_path_factory.mktemp("undisturbed") / "run", FAULTS, str(videos))
    assert run.done().jobs == whole_plan(2)
    assert run.kept() == {"a.mp4", "b.mp4", "long.mp4", "two shots.mp4"}
    return run.left()


@pytest.fixture
def faulty(tmp_path: Path, videos: Path) -> Run:
    """A run that has nothing yet, on a copy of the videos."""
    run = Run(tmp_path / "run", dict(FAULTS))
    shutil.copytree(videos, run.folder, dirs_exist_ok=True)
    return run


def commands(main: subprocess.Popen) -> dict[psutil.Process, list[str]]:
    """Processes below Snakemake's, parents first, and their command lines."""
    found = {}
    for process in psutil.Process(main.pid).children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            found[process] = process.cmdline()
    return found


def reading_long(run: Run, main: subprocess.Popen) -> tuple[psutil.Process, psutil.Process]:
    """The job that decodes the long video and its worker, which is stopped in the middle of it."""
    temporary = run.outdir / "work" / "frames" / "000000" / f".{make_id('long.mp4')}.zip.tmp"
    temporary.unlink(missing_ok=True)  # of a run that was killed

    def at_it() -> list[psutil.Process]:
        found = [one for one, words in commands(main).items() if set(words) >= DECODE]
        return found if len(found) == 2 and temporary.exists() else []

    job, worker = wait_for(at_it, lambda: main.poll() is None)
    worker.send_signal(signal.SIGSTOP)
    assert temporary.exists()
    return job, worker


def first_journal(run: Run) -> int:
    """Videos of the first shard that are written down as decoded."""
    return len(whole_lines(run.outdir / "work" / "journals" / "decode" / "000000.jsonl"))


def whole(run: Run, undisturbed: dict[str, bytes], **options) -> bool:
    """Whether the same command finishes the run and leaves what it should, and another one has nothing to do."""
    outcome = run.run(**options)
    assert outcome.code == 0, outcome.output
    assert run.run(**options).nothing_done
    return same(run.left(), undisturbed)


@pytest.fixture
def rename_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Makes the next rename to a path with a given ending fail, as on a full disk."""

    def once(ending: str) -> None:
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "rename_fails"))
        monkeypatch.setenv("RENAME_FAILS", ending)
        monkeypatch.setenv("RENAME_FAILED", str(tmp_path / f"failed {ending.replace('/', ' ')}"))

    return once


def encoders(main: subprocess.Popen) -> list[psutil.Process]:
    """Each ffmpeg that encodes a clip."""
    return [one for one, words in commands(main).items() if "libx264" in words]


def test_decoding_that_is_killed_over_and_over(faulty, undisturbed):
    """The worker that has the video, the job that has the worker; then asked to end, alone, with all, and by Ctrl-C."""
    with faulty.started() as main:
        _, worker = reading_long(faulty, main)
        worker.kill()
        assert "memory ran out" in explain(faulty.ended(main), "failed: a worker process was killed")
    with faulty.started() as main:
        job, worker = reading_long(faulty, main)
        job.kill()
        assert faulty.ended(main).code != 0
        assert not psutil.wait_procs([worker], timeout=10)[1]
    for how, everyone, by in (("TERM", False, "SIGTERM"), ("TERM", True, "SIGTERM"), ("INT", True, "the user")):
        with faulty.started() as main:
            job, worker = reading_long(faulty, main)
            number = signal.Signals[f"SIG{how}"]
            os.killpg(main.pid, number) if everyone else job.send_signal(number)
            # Far less than the 30 seconds that SLURM gives by default.
            assert not psutil.wait_procs([job, worker], timeout=15)[1]
            outcome = faulty.ended(main)
            assert outcome.code != 0
        if everyone:
            stopped = {"SIGTERM": BY_SIGTERM, "the user": BY_USER}[by]
            assert outcome.output.splitlines()[-2:] == [stopped, GO_ON], outcome.output
        else:
            assert explain(outcome, "decode_videos for shard 000000 failed: stopped by SIGTERM")
        assert "Traceback" not in faulty.log("decode")
        assert f"ERROR stopped by {by}; the same command goes on from here" in faulty.log("decode")
    assert first_journal(faulty) == 2
    assert whole(faulty, undisturbed)
    assert "videos: 2 of 3 are in the journal already" in faulty.log("decode")
    assert set(Counter(record["item"] for record in faulty.journal("decode")).values()) == {1}


def test_a_run_ends_though_it_is_told_to_while_it_puts_down_that_a_job_is_done(faulty, undisturbed):
    outcome = faulty.run(env={**os.environ, "PYTHONPATH": str(Path(__file__).parent / "told_to_end")})
    assert outcome.code != 0
    assert outcome.output.splitlines()[-2:] == [BY_SIGTERM, GO_ON], outcome.output
    assert whole(faulty, undisturbed)


def test_a_job_outlives_its_snakemake_and_keeps_its_shard(faulty, undisturbed):
    faulty.cores = 1
    with faulty.started() as main:
        job, worker = reading_long(faulty, main)
        main.kill()
        main.wait()
        outcome = faulty.run()
        assert explain(outcome, "journals/decode/000000.jsonl: another job is working on this shard; wait for it")
        worker.send_signal(signal.SIGCONT)
        assert not psutil.wait_procs([job], timeout=60)[1]
    assert first_journal(faulty) == 3
    assert whole(faulty, undisturbed)
    assert set(Counter(record["item"] for record in faulty.journal("decode")).values()) == {1}


def test_files_that_cannot_be_put_in_place(faulty, undisturbed, rename_fails):
    """A video's frames, a table, a clip, the train file: the disk is full each time, and the next run gets further."""
    for ending in (f"{make_id('long.mp4')}.zip", FIRST, ".mp4", "dataset/train.json"):
        rename_fails(ending)
        assert ending in explain(faulty.run(), "failed: no space left on the disk (", "run the same command again")
    assert whole(faulty, undisturbed)


def test_a_disk_that_is_full_when_a_journal_grows(faulty, undisturbed):
    faulty.cores = 1  # two jobs at once can both find the disk full, and both say so
    first, second = on_a_small_disk(faulty, "4k", "work/journals")
    line = explain(first, "failed: no space left on the disk (../out/work/journals/", "run the same command again")
    assert ".jsonl)" in line
    assert second.code == 0, second.output
    assert same(faulty.left(), undisturbed)


def test_a_killed_encoder_and_journals_that_end_in_the_middle_of_a_line(faulty, undisturbed):
    with faulty.started() as main:
        wait_for(lambda: encoders(main), lambda: main.poll() is None)[0].kill()
        outcome = faulty.ended(main)
    assert "resources.cut.mem_mb" in explain(outcome, "failed: ffmpeg was killed", "run again")
    for journal in (faulty.outdir / "work" / "journals").rglob("*.jsonl"):
        content = journal.read_bytes()
        if lines := content.splitlines():
            journal.write_bytes(content[: -len(lines[-1]) // 2])
    for folder in ("videos", "clips", "verdicts", "captions", "cuts"):
        shutil.rmtree(faulty.outdir / "work" / folder)
    assert whole(faulty, undisturbed)


def test_an_output_folder_that_is_removed_beside_input_that_may_only_be_read(faulty, undisturbed):
    for path in (*faulty.folder.iterdir(), faulty.folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    faulty.cores = 1  # nobody else is at work in the folder
    with faulty.started(preexec_fn=obey_modes) as main:
        _, worker = reading_long(faulty, main)
        shutil.rmtree(faulty.outdir)
        worker.send_signal(signal.SIGCONT)
        outcome = faulty.ended(main)
    assert outcome.code != 0 and "Traceback" not in outcome.output, outcome.output
    assert whole(faulty, undisturbed, preexec_fn=obey_modes)


def test_a_video_that_vanishes_and_one_that_changes_while_it_is_read(faulty, undisturbed):
    """The second by copying it over anew, as at the end of a download. Both cost themselves, until they are back."""
    video, away = faulty.folder / "long.mp4", faulty.place / "away.mp4"
    content, times = video.read_bytes(), (video.stat().st_atime_ns, video.stat().st_mtime_ns)
    for kind in ("vanished", "changed"):
        with faulty.started() as main:
            _, worker = reading_long(faulty, main)
            video.rename(away) if kind == "vanished" else video.write_bytes(content[:-1])
            worker.send_signal(signal.SIGCONT)
            outcome = faulty.ended(main)
        assert outcome.code == 0, outcome.output
        assert {error["video"]: error["kind"] for error in faulty.errors()}["long.mp4"] == kind
        assert faulty.kept() == {"a.mp4", "b.mp4", "two shots.mp4"}
        if kind == "vanished":
            away.rename(video)
        else:
            video.write_bytes(content)
            os.utime(video, ns=times)
    assert whole(faulty, undisturbed)


def test_a_second_run_is_refused_by_name_and_a_clock_jumps_back(faulty, undisturbed):
    """Wherever the second run is started; plans may be made meanwhile, and change nothing.

    After the jump what was written before is of a time that has not come yet.
    """
    other = Run(faulty.place / "elsewhere", dict(FAULTS))
    other.videos = str(faulty.folder)
    config = {"outdir": str(faulty.outdir)}
    faulty.cores = 1  # so that the job that is stopped is alone, and no file goes while all are dated anew
    with faulty.started() as main:
        _, worker = reading_long(faulty, main)
        (faulty.folder / "new.mp4").write_bytes((faulty.folder / "a.mp4").read_bytes())
        dry = other.run("--dry-run", config=config)
        assert dry.code == 0 and dry.planned["export_dataset"] == 1, dry.output
        assert "planned with the videos that it knows" in dry.output
        plan = other.run("plan", config=config)
        assert plan.code == 0 and plan.jobs == {}, plan.output
        line = explain(other.run(config=config), str(faulty.outdir), "another run is at work on it")
        assert f"process {main.pid} on " in line and str(faulty.workdir) in line
        (faulty.folder / "new.mp4").unlink()

        for path in (*faulty.outdir.rglob("*"), *(faulty.workdir / ".snakemake").rglob("*")):
            later = path.lstat().st_mtime_ns + HOUR
            os.utime(path, ns=(later, later), follow_symlinks=False)
        worker.send_signal(signal.SIGCONT)
        outcome = faulty.ended(main)
    assert outcome.code != 0 and "This could indicate a clock skew problem" in outcome.output
    outcome = faulty.done()
    assert "had times in the future, as after a clock has jumped back: set to now" in outcome.output
    assert set(Counter(record["item"] for record in faulty.journal("decode")).values()) == {1}
    assert whole(faulty, undisturbed)


def test_a_late_job_of_a_run_that_another_has_followed_touches_nothing(faulty, undisturbed):
    """As one that waited in a queue while its Snakemake died."""
    faulty.done()
    table = faulty.outdir / FIRST
    before = table.read_bytes()
    last = (faulty.outdir / "work" / "run.lock").read_text(encoding="utf-8")
    late = faulty.job("decode_videos", "000000", CLIPMILL_RUN="process 1 on another machine")
    assert explain(late, "this job is of an earlier run (process 1 on another machine)", last)
    assert table.read_bytes() == before
    assert faulty.job("decode_videos", "000000", CLIPMILL_RUN=last).code == 0
    assert same(faulty.left(), undisturbed)
