"""The plan of a dry run: all of it at once, and nothing but the index is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from runs import Outcome, Run, apart, call, snakemake, whole_plan


def files(folder: Path) -> set[str]:
    """All files below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def dry(tmp_path: Path, hundred_videos: Path):
    """A dry run on the hundred videos, called as a user would; returns the outcome and the output folder."""

    def call_dry(*arguments: str) -> tuple[Outcome, Path]:
        outcome = call([*snakemake(), "--dry-run", *arguments], tmp_path)
        assert outcome.code == 0, outcome.output
        return outcome, tmp_path / "out"

    return call_dry


def test_the_first_dry_run_shows_the_whole_plan_and_writes_the_index_alone(dry, hundred_videos):
    before = {path: path.stat().st_mtime_ns for path in hundred_videos.iterdir()}
    outcome, outdir = dry("--config", f"videos={hundred_videos}", "outdir=out", "videos_per_shard=10")
    assert outcome.planned == whole_plan(10)
    assert outcome.jobs == {}
    assert "100 videos in 10 shards (100 new)" in outcome.output
    assert "… and 15 more" in outcome.output, "the inputs of the export: lists of files are cut"
    lists = {f"shards/{number:06d}.jsonl" for number in range(10)}
    assert files(outdir) == {
        f"work/index/{name}"
        for name in {
            "lock",
            "problems.jsonl",
            "removed.jsonl",
            "shards.txt",
            "spellings.json",
            "videos.parquet",
            *lists,
        }
    }
    assert {path: path.stat().st_mtime_ns for path in hundred_videos.iterdir()} == before


def test_a_config_file_says_the_same_as_the_command_line(dry, hundred_videos, tmp_path):
    settings = {"videos": str(hundred_videos), "outdir": "out", "videos_per_shard": 30}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    outcome, outdir = dry("--configfile", "my.yaml")
    assert outcome.planned == whole_plan(4)
    assert files(outdir)


def test_the_command_line_goes_over_the_config_file_and_auto_packs_short_videos(dry, hundred_videos, tmp_path):
    settings = {"videos": "/nowhere", "outdir": "out", "videos_per_shard": 30}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    outcome, _ = dry("--configfile", "my.yaml", "--config", f"videos={hundred_videos}", "videos_per_shard=auto")
    assert outcome.planned == whole_plan(2)


def test_auto_puts_a_thousand_short_videos_into_a_few_shards(run: Run):
    for number in range(1101):
        (run.folder / f"{number}.mp4").touch()
    # The plan is made for one file alone, since that for all takes ten seconds.
    outcome = run.done("--dry-run", "../out/work/videos/000007.parquet", config={"videos_per_shard": "auto"})
    assert "1,101 videos in 8 shards (1,101 new)" in outcome.output
    assert outcome.planned == {"decode_videos": 1}


def test_until_a_job_has_run_the_shards_may_be_laid_anew(dry, hundred_videos):
    config = ("--config", f"videos={hundred_videos}", "outdir=out")
    assert dry(*config, "videos_per_shard=50")[0].planned == whole_plan(2)
    outcome, _ = dry(*config, "videos_per_shard=25")
    assert outcome.planned == whole_plan(4)
    assert "100 videos in 4 shards (100 new)" in outcome.output


def test_what_is_excluded_is_not_planned(run: Run):
    for name in ("a.mp4", "b.preview.mp4", "trailers/c.mp4", "trailers/d.mp4", "notes.txt", "e.srt"):
        (run.folder / name).parent.mkdir(exist_ok=True)
        (run.folder / name).touch()
    outcome = run.done("--dry-run", config={"exclude": ["*.preview.mp4", "trailers/*"], "videos_per_shard": 1})
    assert outcome.planned == whole_plan(1)
    assert "2 files with other endings are ignored" in outcome.output


def test_braces_in_the_path_of_a_model_are_no_wildcards(run: Run):
    run.video("a.mp4")
    path = "/models/{name} {{x}}"
    models = {
        "aesthetic": {"backend": "siglip-v2.5", "siglip-v2.5": {"model": path}},
        "text": {"backend": "easyocr", "easyocr": {"model": path}},
        "consistency": {"backend": "clip", "clip": {"model": path}},
        "alignment": {"backend": "clip", "clip": {"model": path}},
    }
    outcome = run.done("--dry-run", "--printshellcmds", config=models)
    assert outcome.planned == {**apart(whole_plan(1)), "check_backend": len(models)}
    for rule in ("aesthetic", "text", "consistency", "alignment"):
        assert any(rule in command and path in command for command in outcome.output.split("\n\n")), outcome.output


def test_only_runs_that_cut_overlays_away_have_large_pictures(run: Run):
    (run.folder / "a.mp4").write_bytes(b"nobody looks at it")
    assert "large_frames" not in run.done("-n", "-p").output
    run.settings["crop"] = {"overlays": True}
    assert '"large_frames": true' in run.done("-n", "-p").output
