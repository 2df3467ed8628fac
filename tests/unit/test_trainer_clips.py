"""Clips as a trainer wants them: the frames nearest in time, at a constant rate, of an exact number and size."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from cut_sources import UNEVEN, Source, cut_settings, h264, make, read, run

from clipmill.base.errors import ItemError
from clipmill.base.journal import fingerprint
from clipmill.cut.clip import cut_clip
from clipmill.cut.shard import VERSION, _key
from clipmill.decode.mp4 import edits
from clipmill.shapes.rates import exact_rate
from clipmill.store.tables import PROMISES

VARIABLE = (*UNEVEN, "-enc_time_base", "1/90000", *h264(20))
SOURCES = {
    name: {"arguments": h264(24, ":bframes=3"), "fps": rate}
    for name, rate in {
        "12.5.mp4": "25/2",
        "23.976.mp4": "24000/1001",
        "24.mkv": "24",
        "25.mp4": "25",
        "29.97.mkv": "30000/1001",
        "30.mp4": "30",
        "50.mkv": "50",
        "59.94.mp4": "60000/1001",
    }.items()
}
SOURCES |= {"variable.mp4": {"arguments": VARIABLE}, "variable.mkv": {"arguments": VARIABLE}}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("rates"), {}

    def of(name: str) -> Source:
        if name not in made:
            made[name] = Source(make(folder / name, **SOURCES[name]))
        return made[name]

    return of


def stamps(path) -> tuple[list[Fraction], Fraction, Fraction]:
    """The exact times of a file's frames, its length and its rate."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = [frame.pts * stream.time_base for frame in container.decode(stream)]
        return times, stream.duration * stream.time_base, stream.average_rate


def check_rate(path, rate: Fraction, count: int) -> None:
    """The file has `count` frames of one length, and every reader sees their rate."""
    times, seconds, average = stamps(path)
    assert times == [number / rate for number in range(count)]
    assert seconds == count / rate and average == rate


# --- the rate ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [16, 24, 29.97])
@pytest.mark.parametrize("name", SOURCES)
def test_every_frame_is_the_nearest_one_in_time(source, tmp_path, name, fps):
    video, rate = source(name), exact_rate(fps)
    for start, end in ((0, 120), (24, 110), (31, 119)):
        row = video.cut(tmp_path / "clip.mp4", start, end, fps=fps, min_seconds=0.2, max_trim_seconds=0)
        numbers, *_ = read(tmp_path / "clip.mp4")
        check_rate(tmp_path / "clip.mp4", rate, row["cut_frames"])
        clip = video.frames.part(start, end)
        assert abs(row["cut_frames"] - clip.seconds * rate) <= 1
        for number, shown in enumerate(numbers):
            away = np.abs(clip.time[:-1] - clip.time[0] - number / float(rate))
            assert away[shown - start] <= away.min() + 3e-5, (start, number)
        assert row["cut_fps"] == pytest.approx(float(rate)) and row["cut_codec"] == "h264"
        assert all(row[promise.name] for promise in PROMISES), row


@pytest.mark.parametrize(
    ("name", "fps"),
    [("24.mkv", 24), ("29.97.mkv", 29.97), ("30.mp4", 30), ("23.976.mp4", 24), ("30.mp4", 29.97), ("29.97.mkv", 30)],
)
def test_packets_are_copied_onto_the_grid_of_the_rate(source, tmp_path, name, fps):
    """Times of milliseconds become exact, and rates that are nearly the same need no encoding."""
    row = source(name).cut(tmp_path / "clip.mp4", 24, 120, fps=fps)
    assert (row["cut_method"], row["copy_failed"]) == ("copy", None)
    check_rate(tmp_path / "clip.mp4", exact_rate(fps), 96)
    assert read(tmp_path / "clip.mp4")[0] == list(range(24, 120))
    assert edits(tmp_path / "clip.mp4") == []


def test_a_video_without_time_stamps_gets_a_rate_too(tmp_path):
    video = Source(make(tmp_path / "raw.h264", h264(20)))
    row = video.cut(tmp_path / "clip.mp4", 30, 110, fps=16)
    check_rate(tmp_path / "clip.mp4", Fraction(16), row["cut_frames"])


# --- the number of frames ---------------------------------------------------------------------------------------------


def test_a_file_has_exactly_the_frames_of_its_clip(source, tmp_path):
    video = source("30.mp4")
    row = video.cut(tmp_path / "clip.mp4", 24, 105, target_frames=43, fps=16, frames=[43])
    check_rate(tmp_path / "clip.mp4", Fraction(16), 43)
    assert row["cut_frames"] == 43 and row["frames_exact"]
    row = video.cut(tmp_path / "clip.mp4", 24, 105, target_frames=81, frames=[81])
    assert row["cut_frames"] == 81
    assert read(tmp_path / "clip.mp4")[0] == list(range(24, 105))


def test_a_copy_loses_no_frame_if_their_number_is_given(source, tmp_path):
    video = source("30.mp4")
    clean = next(stop for stop in range(105, 120) if video.frames.is_clean[stop])
    row = video.cut(tmp_path / "clip.mp4", 24, clean, target_frames=clean - 24, frames=[clean - 24])
    assert (row["cut_method"], row["cut_frames"], row["frames_exact"]) == ("copy", clean - 24, True)
    unclean = next(stop for stop in range(105, 120) if not video.frames.is_clean[stop])
    row = video.cut(tmp_path / "clip.mp4", 24, unclean, target_frames=unclean - 24, frames=[unclean - 24])
    assert (row["cut_method"], row["cut_frames"], row["copy_failed"]) == ("reencode", unclean - 24, None)


# --- the size, the pixels and the sound -------------------------------------------------------------------------------

LARGE = (640, 360)


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Source:
    """A video with a sound track that is a second shorter."""
    folder = tmp_path_factory.mktemp("large")
    make(folder / "silent.mp4", h264(24), size=LARGE)
    sound = ("-f", "lavfi", "-i", "sine=440:duration=4")
    run("-y", "-i", str(folder / "silent.mp4"), *sound, "-c:v", "copy", "-c:a", "aac", str(folder / "large.mp4"))
    return Source(folder / "large.mp4")


BUCKETS = [[480, 272], [272, 480], [320, 320]]


@pytest.mark.parametrize(
    ("size", "found"),
    [
        ({"short_side": 240, "multiple_of": 16}, (432, 240)),
        ({"short_side": 240, "multiple_of": 16, "fit": "crop"}, (416, 240)),
        ("bucket", (480, 272)),
    ],
)
def test_pictures_get_the_size(large, tmp_path, size, found):
    row = large.cut(tmp_path / "clip.mp4", 30, 110, size=size, resolutions=BUCKETS)
    assert (row["cut_width"], row["cut_height"], row["cut_method"]) == (*found, "reencode")
    numbers, _, first = read(tmp_path / "clip.mp4")
    assert (first.width, first.height) == found
    assert row["copy_failed"] is None and row["even_size"]
    if size != "bucket":  # whose sides are cut off, with parts of the number
        assert numbers == list(range(30, 110))


def test_cropping_takes_the_middle(tmp_path):
    """A bright column in the middle of a wide picture is in the middle of a square one."""
    column = "color=black:s=640x320:r=24:d=4,drawbox=x=310:y=0:w=20:h=320:color=white:t=fill,noise=alls=4"
    run("-y", "-f", "lavfi", "-i", column, "-c:v", "libx264", str(tmp_path / "wide.mp4"))
    Source(tmp_path / "wide.mp4").cut(tmp_path / "clip.mp4", 0, 60, size="bucket", resolutions=[[256, 256]])
    with av.open(str(tmp_path / "clip.mp4")) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="gray")
    bright = np.flatnonzero(picture.mean(0) > 128)
    assert picture.shape == (256, 256) and abs(bright.mean() - 127.5) <= 1 and len(bright) == pytest.approx(16, abs=2)


def test_wrong_frames_are_seen_in_a_cropped_clip_too(large, tmp_path):
    clip, frames = large.clip(30, 110)
    wrong = frames.showing(large.frames.thumbnail[33:113])
    with pytest.raises(ItemError, match="does not show what the source does|frames are one too"):
        settings = cut_settings(size="bucket", resolutions=[[320, 320]])
        cut_clip(large.path, tmp_path / "clip.mp4", large.video, clip, wrong, settings)


def test_a_video_that_is_too_small_says_so(large, tmp_path):
    with pytest.raises(ItemError, match="640 × 360 pixels are smaller than any bucket") as error:
        large.cut(tmp_path / "clip.mp4", 0, 60, size="bucket", resolutions=[[832, 480]])
    assert error.value.kind == "too_small"


def test_the_right_size_is_copied_and_another_codec_is_not(large, tmp_path):
    size = {"short_side": 360, "multiple_of": 8}
    assert large.cut(tmp_path / "clip.mp4", 24, 96, size=size, codec="h264")["cut_method"] == "copy"
    video = Source(
        make(tmp_path / "vp9.webm", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "20"))
    )
    assert video.cut(tmp_path / "clip.mp4", 20, 60)["cut_codec"] == "vp9"
    row = video.cut(tmp_path / "clip.mp4", 20, 60, codec="h264")
    assert (row["cut_method"], row["cut_codec"]) == ("reencode", "h264")
    ten_bit = Source(make(tmp_path / "ten.mp4", h264(20), pixels="yuv420p10le"))
    row = ten_bit.cut(tmp_path / "clip.mp4", 20, 60)
    assert row["cut_method"] == "copy" and not row["eight_bit_420"]
    row = ten_bit.cut(tmp_path / "clip.mp4", 20, 60, codec="h264")
    assert row["cut_method"] == "reencode" and row["eight_bit_420"]


@pytest.mark.parametrize("mode", ["auto", "reencode"])
def test_the_sound_is_as_long_as_the_picture(large, tmp_path, mode):
    """Also where the source's sound ends before."""
    for start, end in ((24, 72), (48, 120)):
        row = large.cut(tmp_path / "clip.mp4", start, end, fps=24, audio=True, mode=mode)
        with av.open(str(tmp_path / "clip.mp4")) as container:
            sound, picture = container.streams.audio[0], container.streams.video[0]
            assert picture.start_time == 0 and sound.start_time == 0
            assert float(sound.duration * sound.time_base) == pytest.approx((end - start) / 24, abs=0.01)
        assert row["cut_sound"] and row["starts_at_zero"]
        assert [times for times in edits(tmp_path / "clip.mp4")][0] == [0]
    assert not large.cut(tmp_path / "clip.mp4", 24, 72, fps=24)["cut_sound"]


# --- without the keys -------------------------------------------------------------------------------------------------


def test_columns_say_what_is_not_promised(source, tmp_path):
    row = source("variable.mp4").cut(tmp_path / "clip.mp4", 20, 60)
    assert not row["constant_rate"] and row["rising_times"] and row["starts_at_zero"] is False, "it has an edit list"
    row = source("25.mp4").cut(tmp_path / "clip.mp4", 20, 60)
    assert (row["cut_method"], row["frames_exact"]) == ("copy", False), "frames before the key frame are left out"
    coded = {"interlaced.ts": ("-vf", "setfield=tff", "-flags", "+ildct+ilme", *h264(20))}
    coded["hlg.mp4"] = h264(20, ":transfer=arib-std-b67:colormatrix=bt2020nc")
    for name, promise in (("interlaced.ts", "progressive"), ("hlg.mp4", "sdr")):
        row = Source(make(tmp_path / name, coded[name]), tone_map=False).cut(
            tmp_path / "clip.mp4", 20, 60, tone_map=False
        )
        assert [one.name for one in PROMISES if row[one.name] is False and one.name != "starts_at_zero"] == [promise]


def test_what_was_cut_before_these_keys_were_known_stays_valid():
    clip = {"source_key": "k", "start_frame": 3, "end_frame": 90, "target_frames": None}

    def key(clip, settings):
        return _key(clip, {"has_audio": True}, settings)

    before = {
        "mode": "auto",
        "max_trim_seconds": 0.5,
        "crf": 18,
        "preset": "veryfast",
        "audio": False,
        "min_seconds": 1,
    }
    assert key(clip, cut_settings()) == fingerprint("cut", VERSION, "k", 3, 90, before)
    assert key(clip, cut_settings(frames=[81])) == key(clip, cut_settings())
    changed = [{"fps": 16}, {"size": "bucket"}, {"codec": "h264"}]
    keys = {key(clip, cut_settings(**change)) for change in changed} | {
        key({**clip, "target_frames": 81}, cut_settings())
    }
    assert len(keys | {key(clip, cut_settings())}) == 5
