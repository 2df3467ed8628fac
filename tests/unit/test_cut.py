"""Cutting clips: exact frames by copying and by encoding, checked by a number drawn into every frame."""

from __future__ import annotations

from functools import cache

import av
import numpy as np
import pyarrow as pa
import pytest
from cut_sources import COPIED, FPS, KINDS, Source, check, draw, h264, make, read, read_number, run, sources_in
from films import REAL

import rate_films
from clipmill.base.opencv import cv2
from clipmill.cut import clip as cut
from clipmill.cut.clip import CopyPlan, CutSettings, grey_levels, plan_copy
from clipmill.cut.verify import SourceFrames
from clipmill.decode.pictures import orientation
from clipmill.demo import render
from default_config import CUT_SETTINGS


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return sources_in(tmp_path_factory.mktemp("sources"))


# --- exact frames ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("start,end", [(0, 40), (59, 86), (85, 120)])
@pytest.mark.parametrize("kind", KINDS)
def test_encoding_gives_exactly_the_frames(source, tmp_path, kind, start, end):
    video = source(kind)
    row = video.cut(tmp_path / "clip.mp4", start, end, mode="reencode")
    check(row, tmp_path / "clip.mp4", video, start, end)
    assert (row["cut_method"], row["cut_start"], row["copy_failed"]) == ("reencode", 0, None)
    assert row["cut_width"] == video.video["width"] // 2 * 2 and row["cut_height"] == video.video["height"] // 2 * 2


@pytest.mark.parametrize("seeks", [True, False])
def test_a_frame_that_comes_soon_after_another_is_told_from_it(tmp_path, monkeypatch, seeks):
    """Frame 10 lasts long, and frame 9 hardly: half of its own length before frame 10 begins, frame 9 has not."""
    if not seeks:  # then the frames are decoded here
        monkeypatch.setattr(cut, "SEEK_AHEAD", ())
    path, times = tmp_path / "soon.mp4", [number / 25 for number in range(20)]
    times[10:] = [time - 0.03 for time in times[10:]]
    frames = rate_films.numbered(render.still(render.photograph("coffee.png"), (320, 240), 0.8, 25))
    render.encode(path, frames, (320, 240), 25, times=times, b_frames=0)
    for end in (11, 14):
        row = Source(path).cut(tmp_path / "clip.mp4", 10, end, mode="reencode", min_seconds=0)
        assert row["frames_exact"]
        shown, _ = rate_films.read(tmp_path / "clip.mp4")
        assert [number for _, number in shown] == list(range(10, end))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["open.mp4", "open_hevc.mkv", "h264.ts", "long_gop.ts", "h264.flv", "mpeg2.mpg"])
def test_seeking_finds_the_frames_where_ffmpeg_seeks_badly(source, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(cut, "COUNT_FROM_START", -1)
    for start in (19, 59, 99):  # before a key frame, where a seek by decoding time goes one group too far
        row = source(kind).cut(tmp_path / "clip.mp4", start, 115, mode="reencode", min_seconds=0)
        check(row, tmp_path / "clip.mp4", source(kind), start, 115)


@pytest.mark.slow
@pytest.mark.parametrize("start,end", [(0, 40), (40, 80), (39, 85), (95, 120)])
@pytest.mark.parametrize("kind", sorted(COPIED))
def test_copying_gives_exactly_the_frames(source, tmp_path, kind, start, end):
    video = source(kind)
    row = video.cut(tmp_path / "clip.mp4", start, end, min_seconds=0.5)
    assert (row["cut_method"], row["copy_failed"]) == ("copy", None)
    first = start + int(np.argmin(np.abs(video.frames.time[start:end] - video.frames.time[start] - row["cut_start"])))
    last = first + row["cut_frames"]
    check(row, tmp_path / "clip.mp4", video, first, last)
    assert first == start if kind == "all_key.mp4" else first % 20 == 0 or kind == "av1.mkv"
    assert video.frames.time[first] - video.frames.time[start] <= 0.5 and start <= first
    assert video.frames.time[end] - video.frames.time[last] <= 0.5 and last <= end


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS.keys() - COPIED))
def test_auto_is_right_wherever_copying_is_not(source, tmp_path, kind):
    video = source(kind)
    row = video.cut(tmp_path / "clip.mp4", 38, 85)
    first = 38 + round(row["cut_start"] * FPS)
    check(row, tmp_path / "clip.mp4", video, first, first + row["cut_frames"])


@pytest.mark.slow
def test_leading_frames_of_an_open_group_are_not_begun_with(source, tmp_path):
    video = source("open.mp4")
    unclean = int(np.flatnonzero(video.frames.is_key & ~video.frames.is_clean[:-1])[0])
    row = video.cut(tmp_path / "clip.mp4", unclean, 120, max_trim_seconds=0.2)
    assert row["cut_method"] == "reencode"
    check(row, tmp_path / "clip.mp4", video, unclean, 120)


# --- the picture ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags,turn",
    [(("-display_rotation", "90"), 3), (("-display_rotation", "180"), 2), (("-display_rotation", "270"), 1)],
)
def test_turned_videos_are_stored_upright(source, tmp_path, flags, turn):
    run("-y", *flags, "-i", str(source("closed.mp4").path), "-c", "copy", str(tmp_path / "turned.mp4"))
    video = Source(tmp_path / "turned.mp4")
    row = video.cut(tmp_path / "clip.mp4", 40, 80)
    assert row["cut_method"] == "reencode"
    numbers, _, first = read(tmp_path / "clip.mp4", turn)
    assert numbers == list(range(40, 80))
    assert orientation(first) == (False, False, False)
    assert (row["cut_width"], row["cut_height"]) == ((96, 160) if turn % 2 else (160, 96))


@pytest.mark.slow
def test_mirrored_videos_are_stored_as_shown(source, tmp_path):
    original = source("closed.mp4")
    for flag, flip in (("-display_hflip", 1), ("-display_vflip", 0)):
        run("-y", flag, "-i", str(original.path), "-c", "copy", str(tmp_path / "mirrored.mp4"))
        video = Source(tmp_path / "mirrored.mp4")
        row = video.cut(tmp_path / "clip.mp4", 40, 80)
        assert row["cut_method"] == "reencode"
        with av.open(str(tmp_path / "clip.mp4")) as container:
            frame = next(container.decode(video=0))
        assert orientation(frame) == (False, False, False)
        assert read_number(cv2.flip(frame.to_ndarray(format="rgb24"), flip)) == 40
        assert row["copy_failed"] is None, "not even tried"


@pytest.mark.slow
@pytest.mark.parametrize("kind,size", [("wide_pixels.mp4", (212, 96)), ("tall_pixels.mp4", (160, 128))])
def test_pixels_become_square(source, tmp_path, kind, size):
    row = source(kind).cut(tmp_path / "clip.mp4", 40, 80)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio in (None, 1)
    assert (row["cut_method"], row["cut_width"], row["cut_height"]) == ("reencode", *size)


@pytest.mark.slow
@pytest.mark.parametrize(
    "tags", [("bt709", "tv"), ("bt709", "pc"), ("smpte170m", "tv"), ("bt2020nc", "tv"), (None, "tv")]
)
def test_colours_are_those_of_the_source(tmp_path, tags):
    matrix, span = tags
    convert = f"scale=out_color_matrix={(matrix or 'bt601').replace('nc', '')}:out_range={span}"
    named = ("-colorspace", matrix, "-color_range", span) if matrix else ()
    make(tmp_path / "source.mp4", ("-vf", convert, *named, *h264(20, "", "-qp", "0")))
    video = Source(tmp_path / "source.mp4")
    video.cut(tmp_path / "clip.mp4", 50, 80, mode="reencode", crf=5)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        frame = next(container.decode(video=0))
    off = np.abs(frame.to_ndarray(format="rgb24").astype(int) - draw(1, 50, 160, 96))
    assert off[:70].mean() < 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "mode", "progressive"),
    [
        ("interlaced.ts", "copy", False),
        ("interlaced.ts", "reencode", True),
        ("h264.ts", "copy", True),
        ("h264.ts", "reencode", True),
    ],
)
def test_a_copy_keeps_the_mark_of_interlaced_frames(source, tmp_path, mode, kind, progressive):
    """Of frames that are marked so, but hold one picture each, as decoding has found by looking."""
    row = source(kind).cut(tmp_path / "clip.mp4", 40, 80, mode=mode)
    assert (row["cut_method"], row["progressive"]) == (mode, progressive)


# --- the plan -------------------------------------------------------------------------------------------------------

VIDEO = {"codec": "h264", "rotation": 0, "pixel_aspect": 1.0, "repaired_times": 0, "changes": None}
VIDEO |= {"mirrored": False, "cropped": False, "field_order": "progressive"}
VIDEO |= {"transfer": "sdr", "primaries": "bt709"}


def plan(keys=(0,), unclean=(), video=None, frames=100, rate=10, **settings):
    times = np.arange(frames + 1) / rate
    is_key, is_clean = np.zeros(frames, bool), np.ones(frames + 1, bool)
    is_key[list(keys)] = True
    is_clean[list(unclean)] = False
    source = SourceFrames(times, is_key, is_clean, np.zeros((frames, 64), np.uint8))
    return plan_copy({**VIDEO, **(video or {})}, source, CutSettings(**{**CUT_SETTINGS, "min_seconds": 3, **settings}))


def test_a_clip_from_key_frame_to_clean_end_is_copied_whole():
    assert plan() == CopyPlan(0, 100)


def test_the_ends_move_by_as_little_as_needed():
    assert plan(keys=(3, 4), unclean=(100, 99)) == CopyPlan(3, 98)
    assert plan(keys=(5,), unclean=range(96, 101)) == CopyPlan(5, 95)
    assert plan(keys=(3, 4), unclean=(3,)) == CopyPlan(4, 100)


def test_the_ends_move_no_further_than_allowed():
    assert "no key frame" in plan(keys=(6,))
    assert "no key frame" in plan(keys=(1,), max_trim_seconds=0.0)
    assert "no place to end" in plan(unclean=range(95, 101))
    assert plan(keys=(6,), max_trim_seconds=0.6) == CopyPlan(6, 100)


def test_what_is_left_is_long_enough():
    assert plan(keys=(4,), frames=34, min_seconds=3.0) == CopyPlan(4, 34)
    assert "shorter than 3 s" in plan(keys=(4,), frames=33, min_seconds=3.0)
    assert plan(keys=(0,), frames=30, min_seconds=3.0) == CopyPlan(0, 30)
    assert isinstance(plan(frames=4, unclean=range(1, 5)), str)


@pytest.mark.parametrize(
    "fault",
    [
        {"codec": "mpeg2video"},
        {"codec": "vp8"},
        {"rotation": 90},
        {"mirrored": True},
        {"cropped": True},
        {"pixel_aspect": 1.333},
        {"repaired_times": 1},
        {"changes": "size at 2.000 s"},
        {"transfer": "hlg"},
        {"transfer": "pq"},
    ],
)
def test_some_videos_are_never_copied(fault):
    assert isinstance(plan(video=fault), str)


def test_frames_come_from_the_tables():
    table = pa.table(
        {
            "thumbnail": pa.array([bytes([i]) * 64 for i in range(5)], pa.binary(64)),
            "is_key": [True, False, True, False, True],
            "is_clean": [True, False, True, False, False],
        }
    )
    times = np.array([0, 1, 2, 3, 4, 5.0])
    part = SourceFrames.of(table, times, 2, 5)
    assert part.time.tolist() == [2, 3, 4, 5] and part.is_key.tolist() == [True, False, True]
    assert part.is_clean.tolist() == [True, False, False, True] and part.thumbnail[:, 0].tolist() == [2, 3, 4]
    assert SourceFrames.of(table, times, 0, 3).is_clean.tolist() == [True, False, True, False]


# --- real videos ----------------------------------------------------------------------------------------------------


@cache
def real(name: str) -> Source:
    return Source(REAL / name)


@pytest.mark.slow
@pytest.mark.parametrize("name,start,end", [("big-buck-bunny.mp4", 35, 128), ("car-detection.mp4", 60, 110)])
def test_real_videos(tmp_path, name, start, end):
    video = real(name)
    copied = video.cut(tmp_path / "copy.mp4", start, end)
    encoded = video.cut(tmp_path / "encoded.mp4", start, end, mode="reencode")
    assert (copied["cut_method"], encoded["cut_method"]) == ("copy", "reencode")
    assert copied["cut_frames"] == encoded["cut_frames"] == end - start
    with av.open(str(video.path)) as container:
        wanted = [f.to_ndarray(format="rgb24") for i, f in enumerate(container.decode(video=0)) if start <= i < end]
    for file, allowed in (("copy.mp4", 0), ("encoded.mp4", 4)):
        with av.open(str(tmp_path / file)) as container:
            for ours, theirs in zip(container.decode(video=0), wanted, strict=True):
                assert np.abs(ours.to_ndarray(format="rgb24").astype(int) - theirs).mean() <= allowed


def test_tolerance_grows_with_the_loss():
    assert [round(grey_levels(crf), 1) for crf in (0, 18, 28, 40, 51)] == [4.0, 4.3, 5.0, 8.0, 18.1]
