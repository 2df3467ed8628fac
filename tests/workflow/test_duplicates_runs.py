"""Copies among the videos: one of each stays, none is captioned twice, and new videos are compared with all others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from runs import AFTER_FILTER, LAST, NO_TEXT_CHECKS, SIZE, Run, Saved, same, whole_plan

from chat_server import ChatServer, is_check, said_to_check
from clipmill.base.opencv import cv2
from clipmill.demo import render
from clipmill.store import tables

FPS = 10
ON = {"backend": "pictures"}
STEPS = ("decode", "fingerprints", "caption", "cut")


def frames(picture: str, speed: float) -> Iterator[np.ndarray]:
    return render.pan(render.photograph(picture), SIZE, 3, FPS, speed, 0.5)


def original(path: Path, picture: str, speed: float) -> None:
    render.encode(path, frames(picture, speed), SIZE, FPS)


def copy(path: Path, picture: str, speed: float) -> None:
    """Smaller, brighter, compressed, and without its first two frames."""
    size = (128, 96)
    changed = [
        np.clip(cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(int) + 15, 0, 255).astype(np.uint8)
        for frame in list(frames(picture, speed))[2:]
    ]
    render.encode(path, changed, size, FPS, options={"crf": "30"})


def compared(run: Run, clips: int, others: int) -> bool:
    """Whether the last job compared so many clips with so many others."""
    return f"{clips} clip{'' if clips == 1 else 's'} to compare with {others} others" in run.log("duplicates")


def reasons(run: Run) -> dict[str, str | None]:
    return {row["name"].removesuffix(".mp4"): row["reason"] for row in run.verdicts()}


def of_duplicates(run: Run) -> dict[str, str]:
    """Names of the dropped duplicates, and of the videos whose clip stays in their place."""
    rows = {row["clip_id"]: row for row in run.verdicts()}
    names = {clip_id: row["name"].removesuffix(".mp4") for clip_id, row in rows.items()}
    return {names[clip]: names[row["duplicate_of"]] for clip, row in rows.items() if row["duplicate_of"]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Five videos in three shards, two of which are copies of others."""
    run = Run(tmp_path_factory.mktemp("duplicates") / "run")
    run.settings |= {"videos_per_shard": 2, "duplicates": ON}
    for name, picture, speed in (("cat", "chelsea.png", 30), ("cup", "coffee.png", 25), ("eye", "astronaut.png", 20)):
        original(run.folder / f"{name}.mp4", picture, speed)
    copy(run.folder / "cat again.mp4", "chelsea.png", 30)
    copy(run.folder / "cup again.mp4", "coffee.png", 25)
    planned = {**whole_plan(3), "fingerprint_clips": 3, "find_duplicates": 1}
    assert run.done("--dry-run").planned == planned
    assert run.done().jobs == planned
    return Saved(run)


@pytest.fixture
def run(finished: Saved) -> Run:
    return finished.fresh()


def test_one_of_each_stays_and_only_those_are_captioned(run):
    found = of_duplicates(run)
    assert {frozenset(pair) for pair in found.items()} == {
        frozenset({"cat", "cat again"}),
        frozenset({"cup", "cup again"}),
    }
    aesthetic = {row["name"].removesuffix(".mp4"): row["aesthetic"] for row in run.verdicts()}
    assert all(aesthetic[stays] >= aesthetic[dropped] for dropped, stays in found.items())
    assert reasons(run) == {name: "duplicate" if name in found else None for name in aesthetic}
    assert run.written(*STEPS) == {"decode": 5, "fingerprints": 5, "caption": 3, "cut": 3}
    assert run.summary()["dropped"] == {"duplicate": 2}
    groups = tables.DUPLICATES.rows(run.outdir / "work" / "duplicates.parquet")
    assert [row["group_size"] for row in groups] == [2] * 4
    card = (run.outdir / "dataset" / "README.md").read_text(encoding="utf-8")
    assert "| clips that are alike by pictures" in card
    assert run.done().nothing_done
    assert "5 decoded" in run.done("plan").output


def test_new_videos_are_compared_with_all_and_the_order_leaves_no_trace(run, tmp_path):
    before = run.written(*STEPS)
    copy(run.folder / "eye again.mp4", "astronaut.png", 20)
    outcome = run.done()
    assert outcome.jobs["fingerprint_clips"] == outcome.jobs["find_duplicates"] == 1
    assert compared(run, 1, 5)
    assert len(of_duplicates(run)) == 3
    more = run.more(before)
    assert (more["decode"], more["fingerprints"]) == (1, 1)
    assert more["caption"] <= 1, "only if the new copy is the better one"

    at_once = Run(tmp_path / "run", {**run.settings, "videos_per_shard": 4})
    for path in run.folder.iterdir():
        (at_once.folder / path.name).write_bytes(path.read_bytes())
    at_once.done()
    assert compared(at_once, 6, 0)
    assert of_duplicates(at_once) == of_duplicates(run)
    table = "work/duplicates.parquet"
    # The ids of videos depend on where they lie.
    assert [row["group_size"] for row in tables.DUPLICATES.rows(at_once.outdir / table)] == [2] * 6


def test_a_changed_threshold_chooses_again_among_the_clips_that_pass(run):
    found = of_duplicates(run)
    area = {row["name"].removesuffix(".mp4"): row["area"] for row in run.verdicts()}
    before = run.written(*STEPS)
    least = {"filters": {"area": {"min": SIZE[0] * SIZE[1]}}}
    outcome = run.done(config=least)
    assert "fingerprint_clips" not in outcome.jobs and outcome.jobs["find_duplicates"] == 1
    assert compared(run, 0, 5)
    assert run.kept() == {"cat.mp4", "cup.mp4", "eye.mp4"}
    assert of_duplicates(run) == {}
    assert run.more(before)["fingerprints"] == 0
    run.done()
    assert of_duplicates(run) == found and set(area) == {"cat", "cup", "eye", "cat again", "cup again"}


def test_turning_it_off_and_on_and_limits(run):
    found, left = of_duplicates(run), run.left()
    outcome = run.done(config={"duplicates": {"backend": "none"}})
    assert outcome.jobs == {**dict.fromkeys(AFTER_FILTER, 3), **LAST}
    assert len(run.kept()) == 5
    outcome = run.done(config={"limits": {"per_group": 2}})
    assert outcome.jobs["find_duplicates"] == 1 and not of_duplicates(run) and len(run.kept()) == 5
    run.done()
    assert of_duplicates(run) == found and same(run.left(), left)


def test_a_limit_alone_needs_no_fingerprints(tmp_path):
    run = Run(tmp_path / "run")
    run.settings |= {"limits": {"per_video": 2}, "split": {"min_seconds": 0.5, "max_seconds": 1, "pieces": "equal"}}
    original(run.folder / "cat.mp4", "chelsea.png", 30)
    outcome = run.done()
    assert outcome.jobs == {**whole_plan(1), "find_duplicates": 1}
    assert sorted(map(str, (row["reason"] for row in run.verdicts()))) == ["None", "None", "limit per video"]
    assert len(run.train()) == 2


def test_a_lost_table_of_duplicates_is_made_again(run):
    left = run.left()
    (run.outdir / "work" / "duplicates.parquet").unlink()
    assert run.done().jobs["find_duplicates"] == 1
    assert same(run.left(), left)


@pytest.mark.torch
@pytest.mark.parametrize("model", ["clip", "dinov2"])
def test_a_copy_is_found_by_embeddings_that_scoring_kept_and_is_not_captioned(tmp_path, model):
    """With small random checkpoints, by which only what is nearly the same is alike."""
    import checkpoints

    run = Run(tmp_path / "run")
    original(run.folder / "cat.mp4", "chelsea.png", 30)
    original(run.folder / "eye.mp4", "astronaut.png", 20)
    render.encode(run.folder / "eye again.mp4", frames("astronaut.png", 20), SIZE, FPS, options={"crf": "26"})
    with ChatServer(lambda asked: said_to_check(asked) if is_check(asked) else "A still photograph.") as server:
        run.settings |= {
            "videos_per_shard": 2,
            "consistency": {
                "backend": model,
                "keep_embeddings": True,
                model: {"model": str(checkpoints.MAKERS[model](run.place / model))},
            },
            "resources": {"consistency": {"gpu": 0}},
            "duplicates": {"backend": "embeddings", "eps": 0.002},
            "caption": {"backend": "openai", "openai": {"base_urls": [server.url], "model": "m", "tries": 1}},
            "text_checks": NO_TEXT_CHECKS,
        }
        outcome = run.done()
        server.check()
        asked = [one for one in server.asked if one.images and not is_check(one)]
    assert outcome.jobs["fingerprint_clips"] == 2 and outcome.jobs["find_duplicates"] == 1
    assert compared(run, 3, 0)
    ((dropped, stays),) = of_duplicates(run).items()
    assert {dropped, stays} == {"eye", "eye again"}
    assert reasons(run) == {"cat": None, stays: None, dropped: "duplicate"}
    assert len(asked) == 2
    rows = {row["name"].removesuffix(".mp4"): row for row in run.verdicts()}
    assert rows[dropped]["caption"] is None and rows[stays]["caption"] == "A still photograph."
    found = tables.DUPLICATES.rows(run.outdir / "work" / "duplicates.parquet")
    assert len(found) == 2 and all(0.998 <= row["similarity"] <= 1 for row in found)
