"""What is rendered is what it claims to be: read back with PyAV and measured."""

from __future__ import annotations

import importlib.util
import itertools
import math
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import render_demo as command
from clipmill.base.errors import ItemError, SetupError
from clipmill.base.opencv import cv2
from clipmill.decode.media import file_url, open_video
from clipmill.demo import render
from clipmill.demo import videos as demo

SIZE = (320, 180)


def decode(path: Path) -> list[av.VideoFrame]:
    with av.open(file_url(path)) as container:
        return list(container.decode(video=0))


def pixels(frame: av.VideoFrame) -> np.ndarray:
    return frame.to_ndarray(format="bgr24")


def coffee(seconds: float, speed: float = 48, direction: float = 0, fps: int = 24, **more):
    return render.pan(render.photograph("coffee.png"), SIZE, seconds, fps, speed, direction, **more)


def shift(earlier: np.ndarray, later: np.ndarray) -> np.ndarray:
    """How far the content moved, in pixels right and down."""
    grey = [np.float32(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)) for picture in (earlier, later)]
    window = cv2.createHanningWindow((earlier.shape[1], earlier.shape[0]), cv2.CV_32F)
    return np.array(cv2.phaseCorrelate(*grey, window)[0])


@pytest.mark.slow
@pytest.mark.parametrize(("speed", "direction"), [(48, 0), (30, 180), (17, 90), (60, 225), (0, 0)])
def test_pan_moves_at_the_speed_it_names(tmp_path, speed, direction):
    render.encode(tmp_path / "pan.mp4", coffee(1, speed, direction), SIZE, 24)
    decoded = [pixels(frame) for frame in decode(tmp_path / "pan.mp4")]
    assert len(decoded) == 24
    camera = np.array([math.cos(math.radians(direction)), math.sin(math.radians(direction))]) * speed
    # Phase correlation itself is out by up to a third of a pixel between whole pixels.
    assert shift(decoded[0], decoded[20]) == pytest.approx(-camera * 20 / 24, abs=0.4)


def test_pan_is_exact_to_the_pixel():
    frames = [frame.astype(int) for frame in coffee(2, 48)]
    for number, frame in enumerate(frames):
        gone = 2 * number
        assert np.abs(frames[0][:, gone:] - frame[:, : SIZE[0] - gone]).max() <= 1


def test_zoom_magnifies_and_wobble_shakes():
    first, *_, last = coffee(1, 0, zoom=0.2)
    grown = cv2.resize(first, None, fx=1 + 0.2 * 23 / 24, fy=1 + 0.2 * 23 / 24)
    top, left = (grown.shape[0] - 180) // 2, (grown.shape[1] - 320) // 2
    assert np.abs(grown[top : top + 180, left : left + 320].astype(int) - last).mean() < 4
    away = list(coffee(1, 0, zoom=-0.2))
    assert np.abs(away[-1].astype(int) - first).mean() < np.abs(away[0].astype(int) - first).mean()
    shaken = list(coffee(1, 0, wobble=5, name="hand"))
    assert max(np.linalg.norm(shift(shaken[0], frame)) for frame in shaken) > 1
    assert all(np.array_equal(*pair) for pair in zip(shaken, coffee(1, 0, wobble=5, name="hand"), strict=True))
    assert not np.array_equal(shaken[3], list(coffee(1, 0, wobble=5, name="other hand"))[3])


@pytest.mark.slow
def test_cut_lies_at_the_frame_it_names(tmp_path):
    def shots():
        return itertools.chain(coffee(1.25), render.pan(render.photograph("rocket.jpg"), SIZE, 0.75, 24, 40))

    render.encode(tmp_path / "free.mp4", shots(), SIZE, 24)
    render.encode(tmp_path / "fixed.mp4", shots(), SIZE, 24, keyframe_interval=20)
    keys = {}
    for path in tmp_path.iterdir():
        frames = decode(path)
        changes = [cv2.absdiff(pixels(earlier), pixels(later)).mean() for earlier, later in itertools.pairwise(frames)]
        assert len(frames) == 48
        assert int(np.argmax(changes)) + 1 == 30
        assert max(changes) > 4 * sorted(changes)[-2]
        keys[path.stem] = [number for number, frame in enumerate(frames) if frame.key_frame]
    assert keys == {"free": [0, 30], "fixed": [0, 20, 40]}


def test_fade_mixes_the_two_shots():
    black, white = render.flat(SIZE), render.flat(SIZE, (255, 255, 255))
    shots = render.still(black, SIZE, 1, 24), render.still(white, SIZE, 1, 24)
    levels = [float(frame.mean()) for frame in render.fade(*shots, 0.5, 24)]
    assert len(levels) == 24 + 24 - 12
    assert levels[:12] == [0] * 12
    assert levels[24:] == [255] * 12
    assert np.diff(levels[11:25]) == pytest.approx(255 / 13, abs=1)
    with pytest.raises(ValueError, match="at least as many"):
        list(render.fade(render.still(black, SIZE, 0.2, 24), render.still(white, SIZE, 1, 24), 0.5, 24))


def test_letterbox_blackens_its_share():
    frame = next(render.letterbox(coffee(0.1), 0.2))
    black = (frame == 0).all(axis=(1, 2))
    assert black.mean() == pytest.approx(0.2)
    assert black[:18].all()
    assert black[-18:].all()


def test_text_share_is_that_of_the_letters_boxes():
    page, share = render.text_page(["Four score and seven", "years ago"], SIZE)
    dark = page.max(axis=2) < 190
    rows = np.flatnonzero(dark.any(axis=1))
    lines = np.split(rows, np.flatnonzero(np.diff(rows) > 5) + 1)
    columns = [np.flatnonzero(dark[line].any(axis=0)) for line in lines]
    area = sum(len(line) * (across[-1] - across[0] + 1) for line, across in zip(lines, columns, strict=True))
    assert len(lines) == 2
    assert share == pytest.approx(area / (SIZE[0] * SIZE[1]), rel=0.1)

    titled, share = render.subtitle(coffee(0.1), "Four score", SIZE)
    changed = np.abs(next(titled).astype(int) - next(coffee(0.1))).max(axis=2) > 0
    assert not changed[: int(0.8 * SIZE[1])].any()
    assert 0.005 < share < 0.05
    assert changed.mean() < 2 * share


def test_plain_pictures():
    assert len(list(render.noise("n", SIZE, 0.5, 24))) == 12
    assert len(list(render.still(render.flat(SIZE), SIZE, 2, 24))) == 48
    assert np.array_equal(next(render.noise("n", SIZE, 1, 24)), next(render.noise("n", SIZE, 1, 24)))
    assert render.gradient(SIZE).shape == render.cover(render.photograph("coffee.png"), SIZE).shape == (180, 320, 3)


def test_photographs_are_found_without_importing_scikit_image(monkeypatch):
    monkeypatch.delitem(sys.modules, "skimage", raising=False)  # another test may have imported it
    render.photograph.cache_clear()
    assert render.photograph("coffee.png").shape == (400, 600, 3)
    assert "skimage" not in sys.modules
    with pytest.raises(SetupError, match="no such picture"):
        render.photograph("tea.png")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match="scikit-image is not installed"):
        render.photograph("rocket.jpg")


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_is_flagged_and_undone_by_the_player(tmp_path, rotation):
    shown = list(coffee(0.25))
    render.encode(tmp_path / "turned.mp4", shown, SIZE, 24, rotation=rotation)
    decoded = decode(tmp_path / "turned.mp4")
    assert decoded[0].rotation % 360 == rotation
    assert (decoded[0].width, decoded[0].height) == (SIZE if rotation == 180 else SIZE[::-1])
    turned = np.rot90(pixels(decoded[0]), rotation // 90)
    assert np.abs(turned.astype(int) - shown[0]).mean() < 6


@pytest.mark.parametrize("name", ["variable.mp4", "variable.mkv"])
@pytest.mark.parametrize(("offset", "b_frames"), [(0, 3), (Fraction(1, 2), 0)])
def test_variable_frame_rate_keeps_the_times(tmp_path, name, offset, b_frames):
    times = [offset + Fraction(number * number, 1000) for number in range(1, 25)]
    times = [time - Fraction(1, 1000) for time in times]
    assert render.encode(tmp_path / name, coffee(1), SIZE, 24, times=times, b_frames=b_frames) == 24
    decoded = decode(tmp_path / name)
    assert [frame.pts * frame.time_base for frame in decoded] == times
    if name.endswith("mp4") and b_frames == 0:
        assert decoded[-1].duration * decoded[-1].time_base == times[-1] - times[-2]


def test_container_says_what_was_asked(tmp_path):
    path = tmp_path / "odd.mov"
    rate = Fraction(24000, 1001)
    render.encode(
        path,
        coffee(1),
        SIZE,
        rate,
        pixel_aspect=(4, 3),
        pixel_format="yuv420p10le",
        keyframe_interval=7,
        b_frames=0,
        audio=True,
    )
    with av.open(str(path)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert (video.sample_aspect_ratio, video.pix_fmt, video.average_rate) == (Fraction(4, 3), "yuv420p10le", rate)
        assert float(sound.duration * sound.time_base) == pytest.approx(24 / rate, abs=0.05)
        frames = list(container.decode(video=0))
    assert [number for number, frame in enumerate(frames) if frame.key_frame] == [0, 7, 14, 21]
    assert not any(frame.pict_type == av.video.frame.PictureType.B for frame in frames)
    assert [frame.pts * frame.time_base for frame in frames] == [number / rate for number in range(24)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.mp4", {"audio": True}),
        ("a.mkv", {"audio": True}),
        ("a.ts", {"audio": True}),
        ("a.avi", {"codec": "mpeg4", "b_frames": 0}),
        ("a.webm", {"codec": "libvpx-vp9", "audio": True}),
        ("a.mp4", {"codec": "libx265", "rotation": 90}),
        ("plain", {"container": "mp4"}),
    ],
)
def test_the_same_call_gives_the_same_bytes(tmp_path, name, settings):
    paths = [tmp_path / "one" / name, tmp_path / "two" / name]
    for path in paths:
        assert render.encode(path, coffee(0.5, wobble=2), SIZE, 24, **settings) == 12
    assert len(decode(paths[0])) == 12
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": (180, 320)}, "does not fit"),
        ({"times": [0, 0.1]}, "more frames than the 2 times"),
        ({"times": range(9)}, "6 frames, but 9 times"),
        ({"frames": []}, "no frames"),
        ({"times": [0, 1, 1, 2, 3, 4]}, "do not rise"),
        ({"rotation": 45}, "rotation 45"),
        ({"path": "film.doc"}, "no container known"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_no_file(tmp_path, settings, message):
    settings = {"frames": coffee(0.25), "size": SIZE, "fps": 24, "path": "film.mp4", **settings}
    with pytest.raises(ValueError, match=message):
        render.encode(tmp_path / settings.pop("path"), **settings)
    assert list(tmp_path.iterdir()) == []


CHOSEN = ("holiday/day 1/upright.mp4", "holiday/day 2/in the dark.mp4", "broken off.mp4", "slow, medium, fast.mkv")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A few of the demo's videos, rendered by the command."""
    path = tmp_path_factory.mktemp("samples")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "DEMO_VIDEOS", tuple(named(name) for name in CHOSEN))
        patch.setattr(sys, "argv", ["render_demo.py", str(path)])
        command.main()
    return path


def named(name: str) -> demo.DemoVideo:
    return next(video for video in demo.DEMO_VIDEOS if video.name == name)


def test_list_of_demo_videos():
    names = [video.name for video in demo.DEMO_VIDEOS]
    assert len(names) == len(set(names)) == 10
    assert set(CHOSEN) < set(names)
    assert all(len(name.rsplit("/", 1)[-1].encode()) < 200 for name in names)
    awkward = next(name for name in names if name.startswith("-"))
    assert set(" '\"{}%$*[];\n\u0301\N{CLAPPER BOARD}") <= set(awkward)
    assert 60 <= sum(video.seconds for video in demo.DEMO_VIDEOS) <= 120
    assert all(4 <= shot.seconds <= 11 for video in demo.DEMO_VIDEOS for shot in video.shots)
    assert [video.name for video in demo.DEMO_VIDEOS if video.broken] == ["broken off.mp4"]
    assert named("four pictures.mp4").cuts == [5, 9, 15]


@pytest.mark.slow
def test_samples_are_what_they_claim(folder):
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == sorted(CHOSEN)

    upright = decode(folder / CHOSEN[0])
    assert (upright[0].rotation % 360, upright[0].width, upright[0].height) == (270, 640, 360)

    dark = [frame.pts * frame.time_base for frame in decode(folder / CHOSEN[1])]
    steps = [later - earlier for earlier, later in itertools.pairwise(dark)]
    assert set(steps[:90]) == {Fraction(1, 30)}
    assert set(steps[90:]) == {Fraction(1, 15)}

    video, frames = named(CHOSEN[3]), decode(folder / CHOSEN[3])
    changes = [cv2.absdiff(pixels(earlier), pixels(later)).mean() for earlier, later in itertools.pairwise(frames)]
    biggest = sorted(sorted(range(len(changes)), key=changes.__getitem__)[-2:])
    assert [frames[number + 1].time for number in biggest] == pytest.approx(video.cuts, abs=0.001)
    assert len(frames) / video.fps == pytest.approx(video.seconds)


@pytest.mark.slow
def test_the_broken_sample_cannot_be_opened(folder):
    with pytest.raises(ItemError) as caught:
        open_video(folder / "broken off.mp4")
    assert caught.value.kind == "not_a_video"


@pytest.mark.slow
def test_samples_that_are_there_are_not_rendered_again(folder, monkeypatch):
    monkeypatch.setattr(demo, "DEMO_VIDEOS", tuple(named(name) for name in CHOSEN))
    monkeypatch.setattr(demo, "render_demo_video", lambda *_: pytest.fail("rendered again"))
    demo.render_demo_videos(folder)


def test_awkward_name_is_written_as_it_is(tmp_path):
    awkward = next(video for video in demo.DEMO_VIDEOS if video.name.startswith("-"))
    short = demo.DemoVideo(awkward.name, (demo.Shot(0.25, awkward.shots[0].look),))
    demo.render_demo_video(short, tmp_path / short.name)
    assert [path.name for path in tmp_path.iterdir()] == [awkward.name]
    assert len(decode(tmp_path / short.name)) == 6
