"""EasyAnimate's score of motion: the lengths that its own script gives, measured only where a bound asks for them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from films import REAL, SETTINGS, Film, decoded, entry, panned

from clipmill.decode.easyanimate import CUT, Pairs
from clipmill.decode.reading import read_signals
from clipmill.decode.shard import decode_settings, decode_shard
from clipmill.decode.video import EASYANIMATE
from clipmill.filters.verdict import first_failure
from clipmill.split.measured import motion_score
from clipmill.split.settings import SplitSettings
from clipmill.split.shard import split_shard
from clipmill.store import tables
from clipmill.store.layout import Paths
from default_config import CONFIG, SPLIT_SETTINGS

SHARD = "000000"
PRESET = yaml.safe_load((REAL.parents[2] / "config" / "presets" / "easyanimate.yaml").read_text(encoding="utf-8"))

# Video, and its frames of which EasyAnimate made a clip file -> the file's motion_score. Of aigc-apps/EasyAnimate at
# commit c2a70d1, easyanimate/video_caption, on the videos of tests/data/videos, with scenedetect 0.6.5 and OpenCV 5.0:
#   python cutscene_detect.py …
#   MIN_SECONDS=1 MAX_SECONDS=10 python video_splitting.py …
#   python compute_motion_score.py …
ORIGINAL = {
    ("big-buck-bunny", 0, 23): 3.88172,
    ("big-buck-bunny", 35, 116): 1.43491,
    ("big-buck-bunny", 128, 292): 1.36040,
    ("big-buck-bunny", 303, 317): 4.58418,
    ("bottle-detection", 0, 299): 0.19508,
    ("bottle-detection", 299, 501): 0.62893,
    ("car-detection", 0, 120): 1.01385,
}
CODED_AGAIN = 0.04  # EasyAnimate measures files that it has coded again, at a CRF of 22: by so much their scores differ


@pytest.fixture(scope="module")
def outdir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("easyanimate")


@pytest.fixture(scope="module")
def shard(outdir):
    """VIDEOS and PARTS rows of the real videos."""
    videos = [entry(REAL / f"{name}.mp4", name) for name in sorted({name for name, _, _ in ORIGINAL})]
    rows, parts = decode_shard(videos, outdir, SHARD, SETTINGS, 2, 0.0, {EASYANIMATE})
    return [{"error_kind": None, **row} for row in rows], parts


@pytest.mark.slow
def test_the_same_frames_have_the_scores_of_the_original(shard, outdir):
    found = {}
    for name, start, end in ORIGINAL:
        video = next(row for row in shard[0] if row["video_id"] == name)
        clip = {"clip_id": "c", "start_frame": start, "end_frame": end, "seconds": (end - start) / video["fps"]}
        found[name, start, end] = motion_score(clip, video, read_signals(outdir, SHARD, name))[EASYANIMATE]
    assert found == pytest.approx(ORIGINAL, rel=CODED_AGAIN)


@pytest.mark.slow
def test_its_preset_keeps_the_clips_that_easyanimate_keeps(shard, outdir):
    """By motion alone. EasyAnimate cuts half a second off a scene of less than 10 s; clipmill does not."""
    bounds = {EASYANIMATE: PRESET["filters"][EASYANIMATE]}
    assert bounds == {EASYANIMATE: {"min": 2, "max": 20}}
    settings = SplitSettings(**{**SPLIT_SETTINGS, **PRESET["split"], "min_seconds": 1})
    split = split_shard(*shard, outdir, SHARD, settings)
    rows = [{**clip, **motion} for clip, motion in zip(split.clips, split.motion, strict=True)]
    assert len(rows) == len(ORIGINAL)
    kept = [(row["video_id"], row["start_frame"]) for row in rows if first_failure(row, bounds) is None]
    theirs = [(name, start) for (name, start, _), score in ORIGINAL.items() if 2 <= score <= 20]
    assert kept == theirs == [("big-buck-bunny", 0), ("big-buck-bunny", 303)]


@pytest.mark.parametrize(("rate", "step"), [(24, 12), (12.5, 6), (30000 / 1001, 14), (60, 30), (3, 1), (0.5, 1)])
def test_frames_are_counted_as_the_original_counts_them(rate, step):
    assert pairs_of(Pairs(rate), [0.0] * 100)[:2] == [(0, step), (step, 2 * step)]


def test_frames_are_counted_anew_from_a_cut():
    content = [0.0] * 20
    content[7] = CUT
    assert pairs_of(Pairs(8), content) == [(0, 4), (7, 11), (11, 15), (15, 19)]
    assert pairs_of(Pairs(8), [CUT] * 12) == [(0, 4), (5, 9)], "where every frame looks like a cut there are pairs too"


def pairs_of(pairs: Pairs, content: list[float]) -> list[tuple[int, int]]:
    found = [pairs.put(frame, value, lambda: None) for frame, value in enumerate(content)]
    return [(before.frame, after.frame) for before, after in filter(None, found)]


def test_a_score_is_the_mean_over_the_pairs_inside_the_clip():
    pairs = {12: (0, 1.0), 24: (12, 2.0), 36: (24, 6.0), 48: (36, 9.0)}
    rows = [{"frame": frame, "time": frame / 24} for frame in range(60)]
    for frame, (since, length) in pairs.items():
        rows[frame] |= {"easyanimate_since": since, "easyanimate_flow": length}
    signals = tables.SIGNALS.from_rows(rows)
    for span, score in {(0, 60): 4.5, (12, 37): 4.0, (5, 25): 2.0, (13, 36): None, (24, 36): None}.items():
        clip = {"clip_id": "c", "start_frame": span[0], "end_frame": span[1], "seconds": 1.0}
        assert motion_score(clip, {}, signals)[EASYANIMATE] == score


def test_it_is_measured_where_it_is_asked_for_and_nothing_else_depends_on_it(tmp_path):
    """Runs without it keep their keys, and what is decoded; a bound has videos decoded once more, its end does not."""
    videos = [entry(Film(panned("gravel.png", 30), seconds=2).render(tmp_path / "a.mp4"), "a")]
    paths = Paths(tmp_path / "out")

    def decode(*extras: str):
        done = decode_shard(videos, tmp_path / "out", SHARD, SETTINGS, 2, 0.0, extras)
        signals = paths.signals(SHARD, "a")
        return done, paths.frames(SHARD, "a").read_bytes(), signals.stat().st_mtime_ns, tables.SIGNALS.read(signals)

    rows, frames, _, plain = decode()
    assert plain["easyanimate_flow"].null_count == plain["easyanimate_since"].null_count == len(plain)
    again, frames_again, written, asked = decode(EASYANIMATE)
    assert (again, frames_again) == (rows, frames)
    assert asked["easyanimate_since"].drop_null().to_pylist() == [0, 12, 24]
    others = [name for name in plain.column_names if not name.startswith("easyanimate")]
    assert asked.select(others).replace_schema_metadata() == plain.select(others).replace_schema_metadata()
    for extras in ((), (EASYANIMATE,)):
        assert decode(*extras)[2] == written, "nothing is decoded again"


def test_the_settings_say_whether_it_is_wanted():
    assert decode_settings({**CONFIG["decode"], EASYANIMATE: True}) == (SETTINGS, {EASYANIMATE})


def test_a_pan_has_its_length_in_pixels_of_the_full_frame(tmp_path):
    """10 % of 180 lines per second are 9 pixels in half a second. Less is seen at the side that comes into view."""
    path = Film(panned("gravel.png", 10), 1.6, (320, 180), 10).render(tmp_path / "v.mp4")
    result = decoded(path, easyanimate=True)
    score = motion_score(result.clip(), result.row, result.signals)[EASYANIMATE]
    assert score == pytest.approx(9, rel=0.15)
