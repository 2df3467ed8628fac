"""Scene cuts are PySceneDetect's own, to the frame."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clip_films import CONTENT, DEFAULT, FILMS
from films import REAL, cinema, decoded
from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode, detect
from whole import find_transitions

from clipmill.split.pyscenedetect import find_cuts


@pytest.fixture(scope="session")
def show(tmp_path_factory):
    return cinema(tmp_path_factory.mktemp("cuts"), {name: film for name, (film, _) in FILMS.items()})


DETECTORS = {"content": ContentDetector, "adaptive": AdaptiveDetector}


def theirs(path: Path, detector: str, **options) -> list[int]:
    """What PySceneDetect itself finds."""
    return [start.frame_num for start, _ in detect(str(path), DETECTORS[detector](), **options)][1:]


@pytest.fixture(scope="session")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    known = {}

    def get(name: str):
        if name not in known:
            known[name] = decoded(REAL / name, folder / name)
        return known[name]

    return get


@pytest.mark.slow
@pytest.mark.parametrize("name", ["big-buck-bunny.mp4", "car-detection.mp4", "bottle-detection.mp4"])
def test_cuts_of_real_videos_are_pyscenedetects(real, tmp_path, name):
    """The content values to within 1.5: pictures are made small by like, not by equal, means; the cuts to the frame."""
    content = real(name)["content"]
    cuts = theirs(REAL / name, "content", stats_file_path=str(tmp_path / "stats.csv"))
    assert find_cuts(content, CONTENT) == cuts
    assert len(cuts) == (3 if name.startswith("big") else 0)
    with open(tmp_path / "stats.csv", newline="") as handle:
        stats = {int(row["Frame Number"]) - 1: float(row["content_val"] or 0) for row in csv.DictReader(handle)}
    off = [abs(content[frame] - value) for frame, value in stats.items()]
    assert len(off) >= len(content) - 1
    assert max(off) < 1.5
    assert sum(off) / len(off) < 0.3


@pytest.mark.slow
def test_adaptive_cuts_of_a_real_video_are_pyscenedetects(real):
    name = "big-buck-bunny.mp4"
    found = find_cuts(real(name)["content"], replace(CONTENT, detector="adaptive"))
    assert found == theirs(REAL / name, "adaptive")
    assert len(found) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize("detector", DETECTORS)
def test_cuts_of_rendered_videos_are_the_truth(show, name, detector):
    found = find_cuts(show(name)["content"], replace(CONTENT, detector=detector))
    if name != "dissolve.mp4":  # which these two do not see
        assert found == FILMS[name][1]
    if name != "uneven.mp4":  # there PySceneDetect may measure the least distance of two cuts in seconds
        assert found == theirs(show(name).source, detector)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILMS)
def test_combined_finds_the_truth(show, name):
    found = find_transitions(show(name).signals, show(name).row["fps"], DEFAULT)
    if name == "dissolve.mp4":  # both pictures are seen in frames 24 to 47
        ((start, end, kind, _),) = found
        assert kind == "dissolve" and 18 <= start <= 26 and 46 <= end <= 54
    else:
        assert [(one.start, one.end) for one in found] == [(cut, cut) for cut in FILMS[name][1]]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("gap", [0, 1, 2, 15, 40])
@pytest.mark.parametrize("detector", DETECTORS)
def test_cuts_by_stored_values_are_those_by_pictures(seed, gap, detector):
    """Grey pictures whose level jumps by d have the content value d / 3: many cuts, flashes and near misses."""
    chance = np.random.default_rng(seed)
    levels = [128]
    for _ in range(400):
        small = chance.integers(-6, 7)
        jump = chance.choice((-1, 1)) * chance.integers(30, 128) if chance.random() < 0.08 else small
        levels.append(int(np.clip(levels[-1] + jump, 0, 255)))
    content = np.abs(np.diff(levels, prepend=levels[0])) / 3
    options = {
        "content": {"threshold": 20, "min_scene_len": gap},
        "adaptive": {"adaptive_threshold": 2, "min_scene_len": gap, "window_width": 3, "min_content_val": 12},
    }
    real_detector = DETECTORS[detector](**options[detector])
    cuts = []
    for number, level in enumerate(levels):
        picture = np.full((8, 8, 3), level, np.uint8)
        cuts += real_detector.process_frame(timecode := FrameTimecode(number, 24.0), picture)
    cuts += real_detector.post_process(timecode)
    settings = replace(CONTENT, detector=detector, min_frames=gap, content_threshold=20, adaptive_threshold=2)
    settings = replace(settings, adaptive_window=3, adaptive_min_content=12)
    found = find_cuts(content, settings)
    assert found == sorted({cut.frame_num for cut in cuts} - {0})
    assert found


def test_thresholds_are_used():
    content = np.zeros(200)
    content[[50, 60, 100, 150]] = [30, 90, 20, 27]
    assert find_cuts(content, CONTENT) == [50, 150]  # 60 is too near, and 27 reaches 27
    assert find_cuts(content, replace(CONTENT, min_frames=10)) == [50, 60, 150]
    assert find_cuts(content, replace(CONTENT, content_threshold=15)) == [50, 100, 150]
    assert find_cuts(content, replace(CONTENT, content_threshold=31)) == [60]
    assert find_cuts(np.zeros(1), CONTENT) == find_cuts(np.full(1, 99.0), CONTENT) == []
