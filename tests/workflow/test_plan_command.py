"""`snakemake plan`: what a run will do and cost is said before it runs, and nothing is done."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from runs import LAST, Outcome, Run, Saved, all_of, explain, whole_plan

from clipmill.base.human import duration

VIDEOS = ("a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4")
SECONDS = 2


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def jobs(outcome: Outcome) -> dict[str, int]:
    """Jobs by rule, as the plan's own table has them; without those that there are none of, as in a dry run."""
    rows = re.findall(r"^  (\w+_\w+|sum) +([\d,]+) ", outcome.output.split("rate from", 1)[1], re.MULTILINE)
    counts = {name: int(count.replace(",", "")) for name, count in rows}
    assert counts.pop("sum") == sum(counts.values())
    return {name: count for name, count in counts.items() if count}


def said(outcome: Outcome, *lines: str) -> None:
    for line in lines:
        assert line in outcome.output, outcome.output


def as_planned(run: Run, config: dict | None = None) -> dict[str, int]:
    """The jobs that a plan tells, which are those of a dry run."""
    told = jobs(run.done("plan", config=config))
    assert told == run.done("--dry-run", config=config).planned
    return told


@pytest.fixture
def filled(run: Run) -> Run:
    """Five videos of like length in shards of two; one cannot be opened."""
    fill(run)
    return run


def fill(run: Run) -> None:
    run.cores = 1
    run.settings |= {"videos_per_shard": 2}
    for name in VIDEOS[:4]:
        run.video(name, seconds=SECONDS)
    whole = run.video(VIDEOS[4], seconds=SECONDS)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    run = Run(tmp_path_factory.mktemp("plan") / "run")
    fill(run)
    run.done()
    return Saved(run)


@pytest.fixture
def finished(once: Saved) -> Run:
    """The same, after a run."""
    return once.fresh()


def test_a_plan_needs_videos(run):
    outcome = run.run("plan", config={"videos": None})
    assert explain(outcome, "config: `videos` is not set", "--config videos=")


def test_a_plan_of_nothing_done_counts_all(filled):
    dry = filled.done("--dry-run")
    before = files(filled.outdir)
    outcome = filled.done("plan")
    assert outcome.jobs == {}
    assert jobs(outcome) == dry.planned == whole_plan(3)
    size = sum(path.stat().st_size for path in filled.folder.iterdir())
    said(
        outcome,
        "5 in 3 shards: 5 to decode, 0 decoded",
        f"{size / 1000:.3g} kB, {size / 1000:.3g} kB of them to decode (counted)",
        f"length   {duration(4 * SECONDS)} to decode",
        "1 video cannot be read and counts as 0 hours: 'e.mp4'",
        "an hour (assumed)",
        "time     about ",
        " on 1 core\n",
        "the start of jobs takes ",
    )
    assert "measured here" not in outcome.output
    assert max(map(len, outcome.output[outcome.output.index("videos   ") :].split("[")[0].splitlines())) <= 100
    assert files(filled.outdir) - before == {"logs/plan/plan.log"}
    assert "e.mp4: not a readable video" in filled.log("plan")
    assert jobs(filled.done("plan")) == whole_plan(3)


def test_after_a_run_nothing_is_left_and_what_is_added_goes_by_its_rates(finished):
    outcome = finished.done("plan")
    assert jobs(outcome) == {}
    counted = finished.summary()["clips"]
    said(
        outcome,
        "5 in 3 shards: 0 to decode, 5 decoded",
        "1 of the decoded ones failed",
        f"length   {duration(4 * SECONDS)} decoded (measured here), 0 s to decode",
        f"clips    {counted['found']} found (counted)",
        f"kept     {counted['kept']} (counted)",
        "nothing is left to do",
    )
    assert "time     " not in outcome.output, "nothing is left to do"
    rates = dict(re.findall(r"^  (\w+_\w+) .*  (\S.*)$", outcome.output, re.MULTILINE))
    assert rates["decode_videos"] == rates["score_clips"] == rates["cut_clips"] == "here, 3 jobs"
    assert rates["export_dataset"] == "here, 1 job"

    for name in ("f.mp4", "g.mp4"):
        finished.video(name, seconds=SECONDS)
    outcome = finished.done("plan")
    assert jobs(outcome) == finished.done("--dry-run").planned == all_of(1)
    said(outcome, "7 in 4 shards: 2 to decode, 5 decoded", f", {duration(2 * SECONDS)} to decode")
    an_hour = counted["found"] / (4 * SECONDS) * 3600
    said(outcome, f"{counted['found'] / 2:.3g} fit ones to be found at {an_hour:,.0f} an hour (measured here)")


def test_what_happens_to_videos_and_files_is_planned_as_a_dry_run_has_it(finished):
    export = LAST
    video, away = finished.folder / VIDEOS[0], finished.place / "away.mp4"
    video.rename(away)
    assert as_planned(finished) == export
    finished.done()
    away.rename(video)
    assert as_planned(finished) == all_of(1), "it is back"
    video.unlink()
    finished.video(VIDEOS[0], seconds=2 * SECONDS)
    assert as_planned(finished) == all_of(1), "it has changed"
    said(finished.done("plan"), "1 to decode")
    finished.done()
    train = finished.outdir / "dataset" / "train.json"
    train.rename(finished.place / "train.json")
    assert as_planned(finished) == export
    (finished.place / "train.json").rename(train)
    assert as_planned(finished) == {}
    (finished.folder / "nowhere.mp4").symlink_to("/nowhere/a.mp4")
    assert as_planned(finished) == export, "an entry that cannot be used"
    (finished.outdir / "work" / "cuts" / "000001.parquet").unlink()
    assert as_planned(finished) == {**export, "cut_clips": 1}


def test_quantiles_are_of_all_clips_so_that_all_shards_wait_for_new_ones(finished):
    config = {"filters": {"motion": {"min": "q0.3"}}}
    finished.done(config=config)
    assert as_planned(finished, config) == {}
    finished.video("h.mp4", seconds=SECONDS)
    planned = as_planned(finished, config)
    assert (planned["resolve_thresholds"], planned["decode_videos"], planned["filter_clips"]) == (4, 1, 4)
    finished.done(config=config)
    (finished.folder / "h.mp4").unlink()
    assert as_planned(finished, config)["resolve_thresholds"] == 4
