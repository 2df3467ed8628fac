"""Datasets made for a trainer, from films of all frame rates: each trainer takes every clip and sees the right frames.

The frames carry numbers. What a trainer would see follows from its own arithmetic, and is read from the files.
"""

from __future__ import annotations

from fractions import Fraction

import pyarrow.parquet as pq
import pytest
from runs import Run, merged

import rate_films
from by_trainer import BY_BUCKET, with_frames
from clipmill.store.tables import PROMISES
from trainers import File

SIZE = (384, 224)
FORMATS = [*BY_BUCKET, *with_frames(81, SIZE), "jsonl"]
SECONDS = (5.6, 8.3)  # one whole piece; one and one of 49 frames
RATE, COUNTS = 16, [33, 49, 81]
EVERYTHING = {"min": None, "max": None}
TARGET = {
    "cut": {"fps": RATE, "frames": COUNTS, "size": "bucket", "codec": "h264"},
    "split": {"pieces": "exact", "detector": "combined"},
    "export": {"formats": FORMATS, "buckets": {"resolutions": [[*SIZE]], "frames": COUNTS}},
    "filters": {"area": EVERYTHING, "motion": EVERYTHING, "consistency": EVERYTHING, "text_area": EVERYTHING},
    "videos_per_shard": 4,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict]:
    run = Run(tmp_path_factory.mktemp("trainers") / "run")
    run.settings = merged(run.settings, TARGET)
    films = dict(rate_films.film(run.folder, number, SECONDS, (400, 240)) for number in range(len(rate_films.RATES)))
    run.done()
    return run, films


@pytest.fixture(scope="module")
def clips(made) -> dict[str, dict]:
    run, _ = made
    rows = pq.read_table(run.outdir / "dataset" / "metadata.parquet").to_pylist()
    return {row["clip_id"]: row for row in rows}


@pytest.fixture(scope="module")
def shown(made, clips) -> dict[str, list[tuple[Fraction, int]]]:
    """Of each clip's file, the times and numbers of its frames."""
    run, _ = made
    found = {}
    for clip_id, row in clips.items():
        found[clip_id], average = rate_films.read(run.outdir / "dataset" / row["file_path"])
        assert average == RATE
    return found


def test_every_file_is_as_promised(clips, shown):
    assert len(clips) == 3 * len(rate_films.RATES)
    for clip_id, row in clips.items():
        assert all(row[promise.name] for promise in PROMISES), row
        assert (row["cut_width"], row["cut_height"], row["cut_codec"]) == (*SIZE, "h264")
        assert row["target_frames"] == row["cut_frames"] == row["bucket_frames"] == len(shown[clip_id])
        assert [time for time, _ in shown[clip_id]] == [Fraction(place, RATE) for place in range(len(shown[clip_id]))]
    assert sorted(row["cut_frames"] for row in clips.values()) == [49] * 8 + [81] * 16


def test_every_frame_is_the_nearest_one_in_time(made, clips, shown):
    _, films = made
    for clip_id, row in clips.items():
        times, first = films[row["name"]], row["start_frame"]
        assert rate_films.not_nearest(shown[clip_id], times, first, row["end_frame"], times[first]) == 0


@pytest.mark.parametrize("name", [*BY_BUCKET, *with_frames(81, SIZE)])
def test_every_clip_is_taken_whole_at_its_speed(made, clips, shown, name):
    """Trainers with one number of frames are told 81, and a clip of 49 is of no use to them."""
    run, films = made
    by_count = with_frames(81, SIZE)
    files = {
        clip_id: File(row["cut_frames"], Fraction(RATE), (row["cut_width"], row["cut_height"]), row["cut_codec"])
        for clip_id, row in clips.items()
    }
    wanted = {clip for clip in clips if name in BY_BUCKET or files[clip].frames == 81}
    seen = (BY_BUCKET | by_count)[name](run.outdir / "dataset", files, Fraction(RATE))
    assert wanted <= seen.keys()
    for clip_id in wanted:
        trained, row = seen[clip_id], clips[clip_id]
        assert trained is not None, f"{name} skips {row['name']}"
        numbers = [shown[clip_id][index][1] for index in trained.indices]
        assert numbers == [number for _, number in shown[clip_id]], "the trainer sees the whole clip, frame by frame"
        assert trained.speed(files[clip_id]) == 1
        played, times = (len(numbers) - 1) / RATE, films[row["name"]]
        assert times[numbers[-1]] - times[numbers[0]] == pytest.approx(played, abs=0.6 / 12.5)
        assert trained.size in (SIZE, None), "it is neither scaled nor cropped"
