"""Decoding videos of known content: times, shapes, packets and samples are the truth's."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from films import SETTINGS, Film, cinema, decoded, grey, panned, standing

from clipmill.decode.frames import FrameArchive, archive_key
from clipmill.decode.video import _CleanBoundaries
from clipmill.demo import render
from clipmill.store import tables

NTSC = Fraction(30000, 1001)
SQUARES = [Fraction(number * number, 1000) for number in range(40)]  # each frame lasts longer than the one before
LATE = [Fraction(1, 2) + Fraction(number, 24) for number in range(24)]


def corner(size):
    """Dark, with a bright upper left quarter and a half-bright upper right one."""
    width, height = size
    picture = render.flat(size, (30, 30, 30))
    picture[: height // 2, : width // 2] = 220
    picture[: height // 2, width // 2 :] = 120
    return picture


def film(frames=None, **settings):
    shape = {name: settings.pop(name) for name in ("seconds", "size", "fps") if name in settings}
    return Film(frames or panned(), settings=settings, **shape)


GOP = {"seconds": 1.5, "keyframe_interval": 12}
ALWAYS_B = {"options": {"x264-params": "b-adapt=0"}}  # not only where it pays
FILMS = {
    "b0.mp4": film(b_frames=0, **GOP),
    "b2.mp4": film(b_frames=2, **ALWAYS_B, **GOP),
    "b3.mp4": film(b_frames=3, fps=NTSC, **ALWAYS_B, **GOP),
    "pyramid.mp4": film(b_frames=7, options={"x264-params": "b-pyramid=2:b-adapt=0"}, **GOP),
    "open.mp4": film(b_frames=3, options={"x264-params": "open-gop=1:b-adapt=0"}, **GOP),
    "hevc.mp4": film(codec="libx265", **GOP),
    "plain.mkv": film(fps=NTSC, **GOP),
    "plain.ts": film(**GOP),
    "plain.webm": film(codec="libvpx-vp9", **GOP),
    "plain.avi": film(codec="mpeg4", b_frames=0, **GOP),
    "uneven.mp4": film(times=SQUARES, seconds=40 / 24, b_frames=0),
    "uneven_b.mp4": film(times=SQUARES, seconds=40 / 24, b_frames=3),
    "uneven.mkv": film(times=SQUARES, seconds=40 / 24),
    "late.mp4": film(times=LATE, audio=True),
    "late.mkv": film(times=LATE, audio=True, b_frames=0),
    "late_alone.mp4": film(times=LATE),
    **{f"turned{angle}.mp4": film(standing(corner), rotation=angle, seconds=0.3) for angle in (0, 90, 180, 270)},
    "wide.mp4": film(standing(corner), pixel_aspect=(4, 3), seconds=0.3),
    "tall.mp4": film(standing(corner), pixel_aspect=(3, 4), seconds=0.3),
    "wide_turned.mp4": film(standing(corner), pixel_aspect=(3, 2), rotation=90, seconds=0.3),
    "odd.mp4": film(standing(corner), size=(161, 91), pixel_format="yuv444p", seconds=0.3),
    "tiny.mp4": film(standing(corner), size=(16, 16), pixel_format="yuv444p", seconds=0.3),
    "strip.mp4": film(standing(corner), size=(640, 16), seconds=0.3),
    "ten.mp4": film(standing(corner), pixel_format="yuv420p10le", seconds=0.3),
    "large.mp4": film(standing(corner), size=(1280, 720), seconds=0.1, fps=10),
    "upright.mp4": film(standing(corner), size=(600, 1024), seconds=0.1, fps=10),
}
REGULAR = ("b0.mp4", "b2.mp4", "b3.mp4", "pyramid.mp4", "open.mp4", "hevc.mp4", "plain.mkv", "plain.ts", "plain.webm")


@pytest.fixture(scope="session")
def show(tmp_path_factory):
    return cinema(tmp_path_factory.mktemp("decode"), FILMS)


# --- times ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", [*REGULAR, "plain.avi"])
def test_times_of_a_constant_frame_rate(show, name):
    result, fps = show(name), FILMS[name].fps
    count = round(FILMS[name].seconds * fps)
    # Matroska and WebM round to a millisecond, MPEG-TS to 1/90000 s; the tables to a microsecond.
    allowed = 0.00051 if name.endswith(("mkv", "webm")) else 0.00001
    assert result["frame"].tolist() == list(range(count))
    assert result["time"] == pytest.approx([float(number / fps) for number in range(count)], abs=allowed)
    assert result.row["seconds"] == pytest.approx(float(count / fps), abs=0.0011)
    assert result.row["fps"] == pytest.approx(float(fps), rel=0.001)
    assert (result.row["frames"], result.row["repaired_times"]) == (count, 0)
    assert json.loads(result.signals.schema.metadata[b"clipmill"])["source_key"] == result.row["decode_key"]


@pytest.mark.parametrize("name", ["uneven.mp4", "uneven_b.mp4", "uneven.mkv"])
def test_times_of_a_variable_frame_rate_are_exact(show, name):
    result = show(name)
    assert result["time"] == pytest.approx([float(time) for time in SQUARES], abs=1e-6)
    # The last frame lasts as long as the one before; only MP4 without B-frames can say so.
    allowed = 1e-6 if name == "uneven.mp4" else 0.08
    assert result.row["seconds"] == pytest.approx(float(2 * SQUARES[-1] - SQUARES[-2]), abs=allowed)
    assert result.row["fps"] == pytest.approx(40 / result.row["seconds"])


@pytest.mark.parametrize(
    ("name", "offset"), [("late.mp4", 0.5), ("late.mkv", 0.5), ("late_alone.mp4", 0), ("b3.mp4", 0)]
)
def test_the_clock_starts_with_the_first_frame(show, name, offset):
    result = show(name)
    assert result["time"][0] == 0
    assert result["time"][-1] == pytest.approx((len(result["time"]) - 1) / FILMS[name].fps, abs=0.0011)
    assert result.row["offset"] == pytest.approx(offset, abs=0.0011)
    assert result.row["has_audio"] == (name in ("late.mp4", "late.mkv"))


# --- shapes -----------------------------------------------------------------------------------------------------------


def quarters(picture):
    """Mean grey level of the four quarters: upper left and right, lower left and right."""
    height, width = picture.shape[:2]
    rows, columns = (slice(2, height // 2 - 2), slice(height // 2 + 2, height - 2)), (
        slice(2, width // 2 - 2), slice(width // 2 + 2, width - 2))  # fmt: skip
    return [float(picture[row, column].mean()) for row in rows for column in columns]


@pytest.mark.parametrize(
    ("name", "coded", "shown"),
    [
        ("turned0.mp4", (192, 108), (192, 108)),
        ("turned90.mp4", (108, 192), (192, 108)),
        ("turned180.mp4", (192, 108), (192, 108)),
        ("turned270.mp4", (108, 192), (192, 108)),
        ("wide.mp4", (192, 108), (256, 108)),
        ("tall.mp4", (192, 108), (192, 144)),
        ("wide_turned.mp4", (108, 192), (192, 162)),
        ("odd.mp4", (161, 91), (161, 91)),
        ("tiny.mp4", (16, 16), (16, 16)),
        ("strip.mp4", (640, 16), (640, 16)),
        ("ten.mp4", (192, 108), (192, 108)),
        ("upright.mp4", (600, 1024), (600, 1024)),
    ],
)
def test_frames_are_upright_and_have_the_size_shown(show, name, coded, shown):
    result = show(name)
    row = result.row
    assert (row["coded_width"], row["coded_height"]) == coded
    assert (row["width"], row["height"]) == shown
    assert row["rotation"] == (FILMS[name].settings.get("rotation", 0))
    aspect = FILMS[name].settings.get("pixel_aspect", (1, 1))
    assert row["pixel_aspect"] == pytest.approx(aspect[0] / aspect[1])
    picture = result.picture()
    scale = min(1, SETTINGS.sample_short_side / min(shown))
    assert picture.shape == (round(shown[1] * scale), round(shown[0] * scale), 3)
    assert quarters(picture) == pytest.approx([220, 120, 30, 30], abs=4)  # JPEG and codec: a few levels
    thumbnail = np.frombuffer(result["thumbnail"][0], np.uint8).reshape(8, 8)
    inner = [thumbnail[:3, :3].mean(), thumbnail[:3, 5:].mean(), thumbnail[5:, :3].mean(), thumbnail[5:, 5:].mean()]
    assert inner == pytest.approx([220, 120, 30, 30], abs=6)  # in a strip of 16 rows the edge bleeds further


def test_facts_of_a_file(show):
    result = show("late.mkv")
    row = result.row
    assert (row["container"], row["codec"], row["pixel_format"]) == ("matroska,webm", "h264", "yuv420p")
    assert row["bits_per_pixel"] == pytest.approx(result.source.stat().st_size * 8 / (192 * 108 * 24))
    assert row["size_bytes"] == result.source.stat().st_size
    assert set(row) <= {column.name for column in tables.VIDEOS.columns}
    assert (show("ten.mp4").row["pixel_format"], show("hevc.mp4").row["codec"]) == ("yuv420p10le", "hevc")


# --- packets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in REGULAR if name != "open.mp4"])
def test_key_frames_lie_at_their_interval(show, name):
    keys = np.flatnonzero(show(name)["is_key"]).tolist()
    assert keys == list(range(0, show(name).row["frames"], 12))


@pytest.mark.parametrize("name", [*REGULAR, "uneven_b.mp4"])
def test_clean_boundaries_are_those_of_the_packets(show, name):
    """By definition: in decode order, every packet before the boundary comes before every packet after it."""
    with av.open(str(show(name).source)) as container:
        packets = [packet.pts for packet in container.demux(video=0) if packet.size]
    wanted = [_sorted_by_side(packets, boundary) for boundary in sorted(packets)]
    assert show(name)["is_clean"].tolist() == wanted


@pytest.mark.parametrize("seed", range(20))
def test_clean_boundaries_of_any_order_of_packets(seed):
    """Packets up to six places from their order; frames come out when all before them are in, or later."""
    chance = random.Random(seed)
    packets = [10 * number for _, number in sorted((number + chance.uniform(0, 6), number) for number in range(200))]
    boundaries, delay, found = _CleanBoundaries(), chance.randrange(4), []
    for count, pts in enumerate(packets, 1):
        boundaries.packet(pts)
        heard = sorted(packets[: max(0, count - delay)]) if count < len(packets) else sorted(packets)
        complete = itertools.takewhile(lambda pair: pair[1] == 10 * pair[0], enumerate(heard))
        for number, frame in list(complete)[len(found) :]:
            found.append(boundaries.before(frame, frame - 10 if number else None))
    assert found == [_sorted_by_side(packets, boundary) for boundary in sorted(packets)]
    assert 0.1 < sum(found) / len(found) < 0.9


def _sorted_by_side(packets, boundary):
    sides = [pts >= boundary for pts in packets]
    return sides == sorted(sides)


def test_clean_boundaries_are_told_apart(show):
    """The films above are no trivial cases."""
    assert show("b0.mp4")["is_clean"].all()
    for name in ("b2.mp4", "b3.mp4", "pyramid.mp4", "open.mp4"):
        assert 0.1 < show(name)["is_clean"].mean() < 0.8
    closed, opened = (show(name)["is_clean"] for name in ("b3.mp4", "open.mp4"))
    assert closed[::12].all()
    assert not opened[12::12].all()


# --- samples ----------------------------------------------------------------------------------------------------------


def expected_samples(times, rate):
    """The first frame in each interval of 1/rate seconds, and the interval's number."""
    groups = itertools.groupby(times, key=lambda time: int(time * rate + 1e-6))
    return [(number, next(group)) for number, group in groups]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["b3.mp4", "uneven.mp4", "plain.mkv"])
@pytest.mark.parametrize("rate", [2, 0.7, 10, 60])
def test_samples_are_taken_at_their_times(show, tmp_path, name, rate):
    result = decoded(
        show(name).source, tmp_path, replace(SETTINGS, samples_per_second=rate, sample_short_side=64, sample_quality=80)
    )
    assert result.sampled == expected_samples(result["time"], rate)
    assert result.row["samples"] == len(result.sampled)
    assert result.signals["sharpness"].is_valid().to_pylist() == result.signals["sample"].is_valid().to_pylist()
    with FrameArchive(result.paths.frames) as archive:
        numbers = [number for number, _ in result.sampled]
        for number in random.Random(0).sample(numbers, len(numbers)):
            assert archive.read(number).shape == (64, 114, 3)


def test_a_sample_shows_its_frame(tmp_path):
    """Frame n is of grey level 20 + 5 n, so a sample tells which frame it is."""

    def levels(size, seconds, fps):
        return (grey(20 + 5 * number)(size) for number in range(40))

    result = decoded(film(levels, fps=10, pixel_format="yuv444p").render(tmp_path / "levels.mp4"))
    for number, time in result.sampled:
        assert result.picture(number).mean() == pytest.approx(20 + 5 * round(10 * time), abs=2.4)  # half a step
    assert [time for _, time in result.sampled] == pytest.approx([0.5 * number for number in range(8)])


@pytest.mark.parametrize(("name", "side", "shape"), [("large.mp4", 512, (512, 910)), ("large.mp4", 720, (720, 1280)),
                                                    ("large.mp4", 2000, (720, 1280)), ("upright.mp4", 300, (512, 300)),
                                                    ("strip.mp4", 64, (16, 640))])  # fmt: skip
def test_samples_have_the_side_asked_for_and_are_never_enlarged(show, tmp_path, name, side, shape):
    result = decoded(show(name).source, tmp_path, replace(SETTINGS, sample_short_side=side))
    assert result.picture().shape == (*shape, 3)


@pytest.mark.parametrize("name", ["b3.mp4", "uneven.mkv"])
def test_the_same_file_gives_the_same_bytes_with_any_number_of_threads(show, tmp_path, name):
    first = show(name)
    for threads in (1, 2, 3):
        again = decoded(first.source, tmp_path / str(threads), threads=threads)
        assert again.row == first.row
        assert again.paths.frames.read_bytes() == first.paths.frames.read_bytes()
        assert again.paths.signals.read_bytes() == first.paths.signals.read_bytes()
    assert archive_key(first.paths.frames) == first.row["decode_key"]
