"""A finished set of a hundred videos: new ones come, old ones go, return and change; only what must runs again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from runs import LAST, Run, Saved, fill, whole_plan

COSTLY = ("decode", "consistency", "aesthetic", "text", "caption", "cut")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, hundred_videos) -> Saved:
    run = Run(tmp_path_factory.mktemp("growing") / "run")
    run.settings |= {"videos_per_shard": 10}
    shutil.copytree(hundred_videos, run.folder, dirs_exist_ok=True)
    assert run.done().jobs == whole_plan(10)
    return Saved(run)


@pytest.fixture
def run(finished: Saved) -> Iterator[Run]:
    yield finished.fresh()


def moving(numbers: range) -> set[str]:
    """Names of those videos of the set in which something moves."""
    return {f"{number:03d}.mp4" for number in numbers if number % 10 < 3}


def test_nothing_new_is_nothing_to_do(run):
    """Also that a run put back from a copy is still finished: the tests below rest on it."""
    assert run.kept() == moving(range(100))
    assert run.done().nothing_done


def test_ten_new_videos_are_one_new_shard(run):
    before = run.written(*COSTLY)
    for number in range(100, 110):
        fill(run.folder, number)
    outcome = run.done()
    assert "110 videos in 11 shards (10 new)" in outcome.output
    assert outcome.jobs == whole_plan(1)
    assert run.kept() == moving(range(110))
    more = {step: count - before[step] for step, count in run.written(*COSTLY).items()}
    assert more == {"decode": 10, **dict.fromkeys(COSTLY[1:], 3)}


def test_a_video_that_sorts_first_does_not_move_the_others_to_other_shards(run):
    run.video("000 first.mp4", seconds=1)
    outcome = run.done()
    assert outcome.jobs == whole_plan(1)
    assert run.kept() == moving(range(100)) | {"000 first.mp4"}


def test_a_removed_video_leaves_the_dataset_and_returns_without_decoding(run):
    files, before = run.clip_files(), run.written(*COSTLY)
    gone, aside = run.folder / "041.mp4", run.place / "041.mp4"
    gone.rename(aside)

    outcome = run.done()
    assert "1 videos have gone and leave the dataset: '041.mp4'" in outcome.output
    assert "99 decoded, 0 failed, 1 removed since" in outcome.output
    assert outcome.jobs == LAST
    assert run.summary()["videos"] == {"decoded": 99, "failed": 0, "removed": 1}
    assert run.kept() == moving(range(100)) - {"041.mp4"}
    assert "041.mp4" not in {row["name"] for row in run.verdicts()}
    assert len(run.clip_files()) == 29
    assert run.clip_files() == {entry["file_path"] for entry in run.train()}

    aside.rename(gone)
    outcome = run.done()
    assert "gone" not in outcome.output
    assert outcome.jobs == whole_plan(1)
    assert run.kept() == moving(range(100))
    assert run.clip_files() == files
    assert run.written(*COSTLY) == before


def test_a_touched_video_is_decoded_again_and_no_other(run):
    before = {record["item"]: record["key"] for record in run.journal("decode")}
    os.utime(run.folder / "057.mp4")
    outcome = run.done()
    assert outcome.jobs == whole_plan(1)
    assert "videos: 9 of 10 are in the journal already" in run.log("decode")
    (more,) = [record for record in run.journal("decode") if record["key"] != before[record["item"]]]
    assert more["value"]["name"] == "057.mp4"
    assert run.kept() == moving(range(100))


def test_a_changed_video_changes_what_is_known_of_it(run):
    train, before = run.train(), run.written(*COSTLY)
    run.video("058.mp4", seconds=2)  # stood still, now it moves
    outcome = run.done()
    assert outcome.jobs == whole_plan(1)
    assert run.kept() == moving(range(100)) | {"058.mp4"}
    more = {step: count - before[step] for step, count in run.written(*COSTLY).items()}
    assert more == dict.fromkeys(COSTLY, 1)
    assert [entry for entry in run.train() if entry not in train] == [
        entry for entry in run.train() if "058" in entry["file_path"]
    ]
