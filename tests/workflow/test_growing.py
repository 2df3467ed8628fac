"""A finished set of a hundred videos: new ones come, old ones go, return and change; only what must runs again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from runs import LAST, Run, Saved, all_of, fill, whole_plan

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


def test_ten_new_videos_are_one_new_shard_wherever_their_names_sort(run):
    before = run.written(*COSTLY)
    for number in range(100, 109):
        fill(run.folder, number)
    run.video("000 sorts first.mp4", speed=0)
    outcome = run.done()
    assert "110 videos in 11 shards (10 new)" in outcome.output
    assert outcome.jobs == all_of(1)
    assert run.kept() == moving(range(109))
    assert run.more(before) == {"decode": 10, **dict.fromkeys(COSTLY[1:], 3)}


def test_removed_videos_leave_the_dataset_and_return_without_decoding(run):
    files, before = run.clip_files(), run.written(*COSTLY)
    gone = ("041.mp4", "045.mp4")
    for name in gone:
        (run.folder / name).rename(run.place / name)

    outcome = run.done()
    assert "2 videos have gone and leave the dataset: '041.mp4', '045.mp4'" in outcome.output
    assert "98 decoded, 0 failed, 2 removed since" in outcome.output
    assert outcome.jobs == LAST
    assert run.summary()["videos"] == {"decoded": 98, "failed": 0, "removed": 2}
    assert run.kept() == moving(range(100)) - {"041.mp4"}
    assert not set(gone) & {row["name"] for row in run.verdicts()}
    assert len(run.clip_files()) == 29
    assert run.clip_files() == {entry["file_path"] for entry in run.train()}

    for name in gone:
        (run.place / name).rename(run.folder / name)
    outcome = run.done()
    assert "gone" not in outcome.output
    assert outcome.jobs == all_of(1)
    assert run.kept() == moving(range(100))
    assert run.clip_files() == files
    assert run.written(*COSTLY) == before


def test_touched_and_changed_videos_are_decoded_again_and_no_others(run):
    before, train = run.written(*COSTLY), run.train()
    keys = {record["item"]: record["key"] for record in run.journal("decode")}
    os.utime(run.folder / "051.mp4")
    run.video("058.mp4", seconds=2)  # stood still, now it moves

    outcome = run.done()
    assert outcome.jobs == all_of(1)
    assert "videos: 8 of 10 are in the journal already" in run.log("decode")
    again = [record["value"]["name"] for record in run.journal("decode") if record["key"] != keys[record["item"]]]
    assert again == ["051.mp4", "058.mp4"]
    assert run.more(before) == dict.fromkeys(COSTLY, 2)
    assert run.kept() == moving(range(100)) | {"058.mp4"}
    # The touched video's content, and so all that is said of it, is the same.
    assert [entry for entry in run.train() if "058-" not in entry["file_path"]] == train
