"""A set-up that cannot work ends the run with one clear line; what stands in the way once removed, it goes on."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
from runs import CHECKS, Run, explain, obey_modes, on_a_small_disk, whole_plan


@pytest.fixture
def closed():
    """Takes all rights from a path; they are given back in the end."""
    paths: list[Path] = []

    def close(path: Path) -> Path:
        path.chmod(0)
        paths.append(path)
        return path

    yield close
    for path in paths:
        path.chmod(0o700)


# --- where the videos are ----------------------------------------------------------------------------------------


def test_a_missing_folder(run: Run):
    run.videos = "vidoes"
    assert explain(
        run.run(), f"{run.place}/vidoes does not exist", "name a folder of videos, a sheet or a single video"
    )


@pytest.mark.parametrize("command", [["browse"], ["compare", "--config", "run_a=nope", "run_b=nope"]])
def test_a_misspelt_folder_of_a_finished_run_leaves_nothing_behind(run: Run, command):
    run.video("good.mp4", speed=0)
    run.below = "nope"
    assert explain(run.run(*command), "nope/review.html: there is no" if len(command) == 1 else "run_a: nope has no")
    assert not run.outdir.exists()


def test_an_empty_folder(run: Run):
    assert explain(run.run(), f"{run.folder} holds no video", "mp4")


def test_a_folder_without_video_files(run: Run):
    (run.folder / "notes.txt").write_text("nothing to see")
    (run.folder / "picture.jpg").touch()
    outcome = run.run()
    assert explain(outcome, f"{run.folder} holds no video", "mp4")
    assert explain(outcome, str(run.folder), "2 files with other endings are ignored")


def test_a_folder_that_may_not_be_read(run: Run, closed):
    run.video("good.mp4", speed=0)
    closed(run.folder)
    assert explain(run.run(preexec_fn=obey_modes), f"{run.folder} cannot be read (Permission denied)", "check its mode")


def test_an_outdir_that_may_not_be_written(run: Run, closed):
    run.video("good.mp4", speed=0)
    run.outdir.mkdir()
    closed(run.outdir)
    outcome = run.run(preexec_fn=obey_modes)
    assert explain(outcome, "no permission", f"{Path('..', 'out')}", "check the owner and mode")


def test_a_file_that_is_no_sheet(run: Run):
    run.videos = "notes.txt"
    (run.place / "notes.txt").write_text("good.mp4\n")
    assert explain(run.run(), f"{run.place}/notes.txt is neither a folder nor a sheet (.csv", "and no video (avi")


def test_a_sheet_without_the_column_path(run: Run):
    run.videos = "sheet.csv"
    (run.place / "sheet.csv").write_text("file,id\ngood.mp4,1\n")
    assert explain(run.run(), f"{run.place}/sheet.csv", "no column `path`", "it has file, id")


def test_a_sheet_whose_rows_lead_nowhere(run: Run):
    run.videos = "sheet.csv"
    (run.place / "sheet.csv").write_text("path\na.mp4\nb.mp4\n")
    assert explain(run.run(), f"{run.place}/sheet.csv holds no video", f"{run.place}/a.mp4 cannot be read")


def test_a_single_video_in_the_home_folder(run: Run):
    run.video("one.mp4", speed=0)
    home = {**os.environ, "HOME": str(run.place)}
    outcome = run.run("--dry-run", config={"videos": "~/videos/one.mp4", "outdir": "~/out"}, env=home)
    assert outcome.code == 0, outcome.output
    assert "1 video in 1 shard (1 new)" in outcome.output
    assert (run.outdir / "work" / "index" / "shards.txt").read_text() == "000000 1\n"
    assert not (run.workdir / "~").exists()


def test_a_python_without_the_packages(run: Run):
    (run.place / "sitecustomize.py").write_text("import sys; sys.modules['av'] = None")
    outcome = run.run(env={**os.environ, "PYTHONPATH": str(run.place)})
    assert explain(outcome, f"{sys.executable} has no package `av`", "`make install`")
    assert not run.outdir.exists()


# --- while the run is on -----------------------------------------------------------------------------------------


def test_too_many_bad_videos_stop_the_run(run: Run):
    run.settings |= {"videos_per_shard": 30}
    for number in range(30):
        (run.folder / f"{number:02d}.mp4").touch()
    outcome = run.run(config={"max_error_rate": 0.9})
    assert outcome.jobs == CHECKS
    line = explain(outcome, "failed: 20 of 20 videos failed", "max_error_rate 0.9")
    assert line.startswith("decode_videos for shard 000000 failed") and line.endswith("logs/decode/000000.log)")
    below = outcome.output.splitlines()[-2:]
    assert outcome.output.splitlines()[-3] == line and "Not finished" in below[0] and "Log of Snakemake" in below[1]
    assert "CalledProcessError" not in outcome.output and "--settings" not in outcome.output
    assert "00.mp4: the file has 0 bytes" in run.log("decode")


def test_a_write_that_finds_no_space_stops_the_run(run: Run):
    """On a device that is always full, put where the frames of the video go first; needs no rights."""
    run.video("good.mp4")
    run.done("--dry-run")
    (shard,) = (run.outdir / "work" / "index" / "shards").iterdir()
    frames = run.outdir / "work" / "frames" / shard.stem
    frames.mkdir(parents=True)
    (frames / f".{json.loads(shard.read_text())['video_id']}.zip.tmp").symlink_to("/dev/full")
    assert explain(run.run(), "failed: no space left on the disk (../out/work/", "run the same command again")


def test_a_full_disk_stops_the_run_and_the_same_command_goes_on_once_there_is_space(run: Run):
    run.settings |= {"videos_per_shard": 3, "resources": {"decode": {"threads": 1}}}
    for name in ("a.mp4", "b.mp4", "c.mp4"):  # some 700 KB of frames each, one after the other
        run.video(name, seconds=6, size=(640, 480), picture="ihc.png")
    first, second = on_a_small_disk(run, "1500k")
    fault = "failed: no space left on the disk (../out/work/"
    assert explain(first, "decode_videos", fault, "run the same command again")
    assert first.jobs in (CHECKS, {})  # the check runs beside the decoding: the full disk may stop it too
    assert second.code == 0, second.output
    assert first.jobs | second.jobs == whole_plan(1)
    assert re.search(r"videos: [12] of 3 are in the journal already", run.log("decode"))
    assert run.kept() == {"a.mp4", "b.mp4", "c.mp4"}
