"""What is cut away around a picture: bars of any kind, text and logos; and what only looks like a bar and stays."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import count, islice
from pathlib import Path
from typing import Any

import bar_films as films
import numpy as np
import pyarrow as pa
import pytest
from bar_films import KEPT, SIZE, BarFilm, Widths, barred, blurred, grey, logo, overlaid, words
from cut_sources import cut_settings, run
from films import REAL, SETTINGS, entry

from clipmill.base.opencv import cv2
from clipmill.cut.clip import cut_clip
from clipmill.cut.verify import SourceFrames
from clipmill.decode.bars import COLUMNS
from clipmill.decode.frames import as_jpeg, jpeg_quality
from clipmill.decode.media import open_video
from clipmill.decode.parts import as_of_part
from clipmill.decode.reading import FrameChoice, KeptFrames, frame_times, read_signals
from clipmill.decode.video import DecodePaths, decode_video
from clipmill.demo import render
from clipmill.demo.render import Frame
from clipmill.shapes.sizes import Crop
from clipmill.split.crop.overlays import find_overlays
from clipmill.split.crop.rectangle import Box, Rectangle, around, even_inside, largest_between
from clipmill.split.crop.scene import CropSettings, SceneCrop, Scenes
from clipmill.split.settings import SplitSettings
from clipmill.split.shard import Split, split_shard
from clipmill.store.table import Row
from default_config import CONFIG, SPLIT_SETTINGS
from overlay_films import PLAIN, OverlayFilm, PlainFilm

pytestmark = pytest.mark.slow

SIDES = {"sides": (81, 0, 80, 0), "ends": (0, 45, 0, 47), "all": (50, 31, 52, 30)}
COLOURS = {"black": grey(0), "20": grey(20), "30": grey(30), "40": grey(40), "grey": grey(128), "white": grey(255)}
COLOURS |= {"blue": (180, 60, 20), "red": (20, 20, 180)}

BARRED = {
    f"{colour} {side}": BarFilm(lambda s=s, c=c: barred(s, c), s)
    for side, s in SIDES.items()
    for colour, c in COLOURS.items()
}
BARRED |= {
    "one side": BarFilm(lambda: barred((33, 0, 0, 0), grey(0)), (33, 0, 0, 0)),
    "one end": BarFilm(lambda: barred((0, 0, 0, 21), grey(20)), (0, 0, 0, 21)),
    "two columns": BarFilm(lambda: barred((2, 0, 2, 0), grey(0)), (2, 0, 2, 0)),
    "odd frame": BarFilm(lambda: barred((61, 0, 62, 0), grey(20), (641, 359)), (61, 0, 62, 0), (641, 359)),
    "noise": BarFilm(lambda: barred((81, 0, 80, 0), grey(20)), (81, 0, 80, 0), sigma=3),
    "white noise": BarFilm(lambda: barred((0, 45, 0, 45), grey(235)), (0, 45, 0, 45), sigma=2),
    "fading in": BarFilm(lambda: films.fading_in((0, 45, 0, 45)), (0, 45, 0, 45)),
    "light late": BarFilm(lambda: films.dark_then_light((0, 45, 0, 45)), (0, 45, 0, 45)),
    "text in a bar": BarFilm(lambda: films.subtitled((0, 50, 0, 50)), (0, 50, 0, 50)),
    "blurred sides": BarFilm(lambda: blurred((101, 0, 101, 0)), (101, 0, 101, 0)),
    "blurred and dim": BarFilm(lambda: blurred((101, 0, 101, 0), dim=0.6), (101, 0, 101, 0)),
    "blurred ends": BarFilm(lambda: blurred((0, 60, 0, 60), picture="astronaut.png"), (0, 60, 0, 60)),
    "hardly blurred": BarFilm(lambda: blurred((101, 0, 101, 0), sigma=6), (101, 0, 101, 0)),
}
SKIES = {"white": grey(255), "blue": (200, 150, 100), "black": grey(10)}
WITHOUT = {
    "no bar": BarFilm(lambda: films.moving(SIZE)),
    "night sky": BarFilm(films.night_sky),
    "lamp": BarFilm(films.lamp),
    "cartoon": BarFilm(films.cartoon),
    "framed slide": BarFilm(films.framed_slide),
    "white slides": BarFilm(lambda: films.slides(grey(255), 0)),
    "black slides": BarFilm(lambda: films.slides(grey(0), 230)),
    **{
        f"{colour} {share} {edge}": BarFilm(lambda c=c, s=share, e=edge: films.under_a_sky(c, s, e))
        for colour, c in SKIES.items()
        for share, edge in ((0.15, "wavy"), (0.3, "straight"), (-0.3, "straight"), (0.5, "wavy"))
    },
    **{
        f"{colour} wall {share}": BarFilm(lambda c=c, s=share: films.before_a_wall(c, s))
        for colour, c in SKIES.items()
        for share in (0.15, 0.3)
    },
}  # fmt: skip


def settings(**changes: Any) -> CropSettings:
    return CropSettings(**{**CONFIG["crop"], **changes})


def crop_of(film: BarFilm, **changes: Any) -> SceneCrop:
    """What is cut away from a film of one scene, no codec between."""
    pictures = film.pictures()
    kept = pictures[::KEPT]
    scenes = Scenes(films.signals_of(pictures), 0, film.size, lambda *_: kept, settings(**changes))
    return scenes.crop(0, len(pictures))


def is_exact(found: Rectangle, bars: Widths, size: tuple[int, int]) -> bool:
    """Whether a rectangle is what bars leave: even, nothing of them in it, and no more lost than evenness demands."""
    left, top, right, bottom = bars
    edges = found.x, found.y, size[0] - found.x - found.width, size[1] - found.y - found.height
    off = [edge - bar for edge, bar in zip(edges, (left, top, right, bottom), strict=True)]
    return all(0 <= one <= 1 for one in off) and all(number % 2 == 0 for number in found)


@pytest.mark.parametrize("name", BARRED)
def test_bars(name):
    film = BARRED[name]
    crop = crop_of(film, min_area=0.3)
    assert crop.rectangle is not None and is_exact(crop.rectangle, film.bars, film.size)
    assert crop.borders == (0, 0, 0, 0) and not crop.too_much


@pytest.mark.parametrize("name", WITHOUT)
def test_no_bars(name):
    assert crop_of(WITHOUT[name], min_area=0) == SceneCrop()


def test_too_much():
    """What would leave too little is not cropped. The borders are known to the filter border_area."""
    film = BARRED["grey sides"]
    crop = crop_of(film, min_area=0.8)
    assert crop.rectangle is None
    assert crop.borders == pytest.approx([81 / 640, 0, 80 / 640, 0])
    assert crop_of(film, borders=False) == crop


def test_signals_of_an_older_version():
    """Nothing is known of bars, so nothing is cropped."""
    pictures = BARRED["black sides"].pictures()
    known = films.signals_of(pictures)
    lacking = {name: pa.nulls(len(known), known.schema.field(name).type) for name in COLUMNS}
    table = pa.table({**lacking, "difference": known["difference"]})
    assert Scenes(table, 0, SIZE, lambda *_: [], settings()).crop(0, len(pictures)) == SceneCrop()


def test_a_dark_scene_of_a_film_in_bars():
    """Nothing in it contradicts the bars of the other scenes; where a picture is seen in them, they are not there."""
    dark, light, whole = list(films.lamp()), list(barred((0, 45, 0, 45), grey(10))), list(films.moving(SIZE))[:12]
    frames = [*dark, *light, *light, *light, *whole]
    scenes = Scenes(films.signals_of(frames), 0, SIZE, lambda *_: [], settings())
    found = [scenes.crop(start, end).rectangle for start, end in ((0, 36), (36, 72), (144, 156))]
    assert found == [(0, 46, 640, 268), (0, 46, 640, 268), None]


# --- overlays ---------------------------------------------------------------------------------------------------------
MARKS = {"logo": logo((600, 35)), "low logo": logo((590, 320)), "text": words("CHANNEL NEWS", (220, 340))}
MARKS["short text"] = words("LIVE", (20, 35))
LARGE = {
    name: cv2.resize(mark, (1920, 1080), interpolation=cv2.INTER_NEAREST)
    for name, mark in (*MARKS.items(), ("red text", MARKS["text"] // np.array([10, 10, 1], np.uint8)))
}


@pytest.mark.parametrize("picture, alpha", [("coffee.png", 1.0), ("coffee.png", 0.4), ("motorcycle_left.png", 1.0)])
@pytest.mark.parametrize("name", MARKS)
def test_overlays(name, picture, alpha):
    mark = MARKS[name]
    frames = list(overlaid(mark, alpha, picture=picture))[::3]
    found = find_overlays(frames)
    left, top, width, height = cv2.boundingRect(mark[..., 0])
    assert _around_all(found) == pytest.approx((left, top, left + width, top + height), abs=2)


@pytest.mark.parametrize("alpha", [1.0, 0.5])
@pytest.mark.parametrize("name", ["logo", "low logo", "text", "red text"])
def test_overlays_of_a_large_video(name, alpha):
    """Kept frames have less than half of its lines, and the crop is exact to two pixels of the video."""
    mark = LARGE[name]
    kept = [cv2.resize(frame, (910, 512), interpolation=cv2.INTER_AREA) for frame in large(mark, alpha)]
    scenes = Scenes(films.signals_of(kept), 0, (1920, 1080), lambda *_: kept, settings(overlays=True))
    crop = scenes.crop(0, len(kept)).rectangle
    assert crop is not None and crop.area > 0.8 * 1920 * 1080
    left, top, width, height = cv2.boundingRect(mark.max(axis=2))
    beyond = crop.x - left - width, left - crop.x - crop.width, crop.y - top - height, top - crop.y - crop.height
    assert -2 <= max(beyond) <= 3  # even numbers cost one


def large(mark: np.ndarray, alpha: float) -> Iterator[np.ndarray]:
    """Few frames of a moving picture of 1080 lines with a mark."""
    ink = (mark.max(axis=2, keepdims=True) > 0) * np.float32(alpha)
    for frame in render.pan(render.photograph("coffee.png"), (1920, 1080), 5, 2, 270, 20):
        yield (frame * (1 - ink) + mark * ink).astype(np.uint8)


@pytest.mark.parametrize("centre", [(0.5, 0.9), (0.1, 0.2), (0.9, 0.5)])
@pytest.mark.parametrize("picture", ["chelsea.png", "coffee.png"])
def test_what_a_camera_zooms_at_is_no_overlay(picture, centre):
    """It hardly moves, but it does."""
    photo = render.cover(render.photograph(picture), SIZE)
    middle = centre[0] * SIZE[0], centre[1] * SIZE[1]
    zoomed = [cv2.warpAffine(photo, cv2.getRotationMatrix2D(middle, 0, 1 + 0.03 * step), SIZE) for step in range(10)]
    assert find_overlays(zoomed) == []


@pytest.mark.parametrize("direction", [0, 70, 180])
@pytest.mark.parametrize("alpha", [1.0, 0.5])
@pytest.mark.parametrize("name", ["logo", "short text"])
def test_overlays_before_an_even_sky(name, alpha, direction):
    """Nothing moves behind them. But the camera moves, and they are not where it would have put them."""
    mark = MARKS[name]
    ink = (mark.max(axis=2, keepdims=True) > 0) * np.float32(alpha)
    frames = []
    for frame in films.moving(SIZE, "gravel.png", direction=direction):
        frame[:120] = SKIES["blue"]
        frames.append((frame * (1 - ink) + mark * ink).astype(np.uint8))
    left, top, width, height = cv2.boundingRect(mark[..., 0])
    (box,) = find_overlays(frames[::KEPT])
    assert box == pytest.approx((left, top, left + width, top + height), abs=1)


def test_overlays_of_made_films():
    """Of all kinds, over photographs and moments of films, by all moves of a camera: all but one are found, exactly."""
    small = (film for film in (OverlayFilm(f"test {number}") for number in count()) if film.size[1] <= 480)
    exact = []
    for film in islice(small, 12):
        found = find_overlays(list(film.frames(every=2)))  # two frames per second
        exact.append(bool(found) and np.abs(np.subtract(_around_all(found), film.mark.box)).max() <= 2)
    assert sum(exact) >= 11


@pytest.mark.parametrize("name", ["overlay fit 30", "overlay fit 31", "overlay fit 51"])
def test_overlays_of_large_films(name):
    """Of 1440 and 2160 lines, exact to 2 pixels of the film, of which a pixel of a kept frame holds 3 to 4.

    Edges that coding has left rings beside, edges in colour that grey hides, and a round logo behind which a black coat
    passes.
    """
    film = OverlayFilm(name)
    scale = 512 / film.size[1]
    kept = [
        _stored(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        for frame in film.frames(every=2)
    ]
    found = np.array(_around_all(find_overlays(kept)))
    across, down = (side / kept_side for side, kept_side in zip(film.size, kept[0].shape[1::-1], strict=True))
    assert found * (across, down, across, down) == pytest.approx(film.mark.box, abs=2)


def _stored(picture: Frame) -> Frame:
    """A picture as kept frames are stored: its colour at half the size."""
    return cv2.imdecode(np.frombuffer(as_jpeg(picture, SETTINGS.sample_quality), np.uint8), cv2.IMREAD_COLOR)


def _around_all(boxes: list[Box]) -> Box:
    return Box(*np.array(boxes)[:, :2].min(0), *np.array(boxes)[:, 2:].max(0))


@pytest.mark.parametrize("kind", PLAIN)
def test_no_overlays_in_made_films(kind):
    """Among them: water before which a sign stands, a thing that a camera follows, far hills, a window's frame."""
    film = PlainFilm(f"{kind} test", kind)
    scale = min(1.0, 512 / film.size[1])
    kept = list(islice(film.frames(), None, None, 2))
    assert (
        find_overlays([cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for frame in kept])
        == []
    )


def test_no_overlays():
    assert find_overlays(list(films.moving(SIZE))[::KEPT]) == []
    still = [render.cover(render.photograph("coffee.png"), SIZE)] * 8
    assert find_overlays(still) == []
    walking = list(films.before_a_wall(grey(200), 0.2))[::KEPT]  # all but a person stands still
    assert find_overlays(walking) == []
    pan = render.pan(render.photograph("brick.png"), SIZE, 3.0, 2, 90, 0)  # along its rows
    assert find_overlays(list(pan)) == []


def test_crop_of_overlays():
    film = BarFilm(lambda: overlaid(MARKS["text"]))
    crop = crop_of(film, overlays=True)
    text_top = cv2.boundingRect(MARKS["text"][..., 0])[1]
    assert crop.rectangle is not None
    assert crop.rectangle[:3] == (0, 0, 640) and text_top - 4 <= crop.rectangle.height <= text_top
    assert crop_of(film).rectangle is None
    assert crop_of(film, overlays=True, min_area=0.95) == SceneCrop(too_much=True)


def test_masks():
    """Masks hide what would be cut away, and the picture stays whole."""
    film = BarFilm(lambda: overlaid(MARKS["logo"]))
    overlay = crop_of(film, overlays=True, masks=True)
    left, top, width, height = cv2.boundingRect(MARKS["logo"][..., 0])
    assert overlay.rectangle is None
    assert overlay.masked == (pytest.approx((left, top, left + width, top + height), abs=2),)
    crop = crop_of(BARRED["black ends"], masks=True)
    assert crop.rectangle is None and crop.borders == (0, 0, 0, 0)
    assert crop.masked == (Box(0, 0, 640, 45), Box(0, 313, 640, 360))
    assert crop_of(BARRED["black ends"], masks=True, min_area=0.9).masked == ()


# --- rectangles -------------------------------------------------------------------------------------------------------
def test_rectangles():
    assert even_inside(Box(12.8, 0, 639, 101.0004)) == (14, 0, 624, 100)
    picture = Box(0, 0, 100, 60)
    assert largest_between(picture, []) == picture
    assert largest_between(picture, [Box(80, 0, 95, 10)]) == Box(0, 10, 100, 60)
    assert largest_between(picture, [Box(80, 0, 95, 40)]) == Box(0, 0, 80, 60)
    assert largest_between(picture, [Box(-5, 50, 200, 90), Box(0, 0, 10, 30)]) == Box(10, 0, 100, 50)
    assert largest_between(picture, [Box(-5, -5, 200, 90)]).area == 0
    assert sum(box.area for box in around(picture, Box(5, 6, 90, 50))) == 6000 - 85 * 44
    assert around(picture, picture) == []


def test_largest_between_by_trying_all():
    chance = np.random.default_rng(0)
    picture = Box(0, 0, 12, 9)
    for _ in range(30):
        corners = [sorted(chance.choice(length + 1, 2, replace=False)) for length in (12, 9) for _ in range(3)]
        boxes = [
            Box(*(float(n) for n in (x[0], y[0], x[1], y[1]))) for x, y in zip(corners[:3], corners[3:], strict=True)
        ]
        blocked = np.zeros((9, 12), bool)
        for box in boxes:
            blocked[int(box.top) : int(box.bottom), int(box.left) : int(box.right)] = True
        best = max(
            (right - left) * (bottom - top)
            for left in range(12) for right in range(left + 1, 13) for top in range(9) for bottom in range(top + 1, 10)
            if not blocked[top:bottom, left:right].any()
        ) if not blocked.all() else 0  # fmt: skip
        assert largest_between(picture, boxes).area == best


# --- whole clips ------------------------------------------------------------------------------------------------------
FILES = {
    "white.mp4": (BarFilm(lambda: barred((81, 0, 80, 0), grey(255)), (82, 0, 478, 360)), {}),
    "strong compression.mp4": (BarFilm(lambda: barred((81, 0, 80, 0), grey(16)), (80, 0, 480, 360), crf=38), {}),
    "mpeg2.mpg": (
        BarFilm(lambda: barred((61, 0, 62, 0), grey(0)), (62, 0, 516, 360)),
        {"codec": "mpeg2video", "options": {"qscale": "4"}},
    ),
    "blurred.mp4": (BarFilm(lambda: blurred((101, 0, 101, 0)), (102, 0, 436, 360)), {}),
    "turned.mp4": (BarFilm(lambda: barred((61, 20, 30, 0), grey(20)), (62, 20, 548, 340)), {"rotation": 90}),
    "wide pixels.mp4": (
        BarFilm(lambda: barred((61, 0, 61, 0), grey(20), (720, 576)), (88, 0, 848, 576), (720, 576)),
        {"pixel_aspect": (64, 45)},
    ),
    "ten bit.mkv": (
        BarFilm(lambda: barred((61, 0, 62, 0), grey(20)), (62, 0, 516, 360)),
        {"pixel_format": "yuv420p10le"},
    ),
    "without.mp4": (BarFilm(lambda: films.moving(SIZE)), {}),
}


def split_settings(**crop: Any) -> SplitSettings:
    return SplitSettings(**{**SPLIT_SETTINGS, "min_seconds": 1.0, "crop": {**CONFIG["crop"], **crop}})


class Decoded:
    """A file, decoded into an outdir of its own."""

    def __init__(self, path: Path, outdir: Path):
        self.path, self.outdir = path, outdir
        paths = DecodePaths.of(outdir, "000000", "v")
        for file in (paths.frames, paths.signals):
            file.parent.mkdir(parents=True, exist_ok=True)
        self.video, self.parts = decode_video(entry(path), paths, SETTINGS, 1)

    def split(self, **crop: Any) -> Split:
        video: Any = {**self.video, "error_kind": None, "error": None}
        return split_shard([video], self.parts, self.outdir, "000000", split_settings(**crop))

    def cut(self, clip: Row, target: Path, **settings: Any) -> Row:
        signals = read_signals(self.outdir, "000000", "v")
        video = as_of_part(self.video, self.parts[clip["part"]])
        frames = SourceFrames.of(signals, frame_times(video, signals), clip["start_frame"], clip["end_frame"])
        return cut_clip(self.path, target, video, clip, frames, cut_settings(**settings))


@pytest.fixture(scope="module")
def decoded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bars")

    @cache
    def by_name(name: str) -> Decoded:
        film, options = FILES[name]
        return Decoded(film.render(folder / name, **options), folder / f"{name}.out")

    return by_name


@pytest.mark.parametrize("name", FILES)
def test_files(decoded, name):
    """From the file to the table: exact to two pixels, and no border is left."""
    split = decoded(name).split()
    wanted = FILES[name][0].bars
    for clip, technical in zip(split.clips, split.technical, strict=True):
        found = [clip[f"crop_{part}"] for part in ("x", "y", "width", "height")]
        if name == "without.mp4":
            assert found == [None] * 4 and clip["whole_width"] is None
        else:
            assert found == list(wanted)
            assert [clip["width"], clip["height"]] == found[2:]
        assert technical["border_area"] == 0


def test_measured_again(decoded):
    """A cropped clip is measured as the same picture without bars is."""
    split = decoded("white.mp4").split()
    bars, row = split.clips[0], split.technical[0]
    inner = [frame[:, 81:-80] for frame in FILES["white.mp4"][0].pictures()]
    greys = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in inner]
    assert row["brightness"] == pytest.approx(np.mean(greys), abs=2)
    assert row["contrast"] == pytest.approx(np.mean([one.std() for one in greys]), abs=2)
    assert split.motion[0]["motion"] == pytest.approx(25, rel=0.15)  # the films' speed
    apart = decoded("white.mp4").split(borders=False)
    assert apart.clips[0]["source_key"] != bars["source_key"]
    assert apart.technical[0]["border_area"] == pytest.approx(161 / 640, abs=1e-4)
    assert split.clips[0]["source_key"] == decoded("white.mp4").split().clips[0]["source_key"]


def test_frames_are_read_cropped(decoded):
    clip = decoded("white.mp4").split().clips[0]
    with KeptFrames(decoded("white.mp4").outdir, "000000") as kept:
        frames = kept.frames(clip, FrameChoice(count=2))
        whole = kept.frames({**clip, "crop_width": None}, FrameChoice(count=2))
        assert frames[0].shape == (360, 478, 3)
        assert np.array_equal(frames[1], whole[1][:, 82:560])
        jpegs, times = kept.jpegs(clip, FrameChoice(count=2))
        assert len(jpegs) == len(times) == 2
        assert jpeg_quality(jpegs[0]) == SETTINGS.sample_quality
        assert np.abs(cv2.imdecode(np.frombuffer(jpegs[0], np.uint8), 1).astype(int) - frames[0]).mean() < 2
        assert jpegs == kept.jpegs(clip, FrameChoice(count=2))[0]


def test_crop_within_a_smaller_picture():
    crop = Crop(82, 0, (478, 360), (640, 360))
    assert crop.within((640, 360)) == (82, 0, 560, 360)
    assert crop.within((320, 180)) == (41, 0, 280, 180)
    assert crop.within((100, 56)) == (13, 0, 87, 56)
    assert Crop.of({"crop_width": None}) is None


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 90, 100])
def test_jpeg_quality(quality):
    picture = render.cover(render.photograph("coffee.png"), (64, 48))
    data = as_jpeg(picture, quality)
    assert as_jpeg(picture, jpeg_quality(data)) == data


@pytest.mark.parametrize("size", [None, {"short_side": 128, "fit": "crop", "multiple_of": 32}])
@pytest.mark.parametrize("name", ["white.mp4", "wide pixels.mp4", "turned.mp4", "without.mp4"])
def test_cut(decoded, tmp_path, name, size):
    """Clip files show the cropped picture, and only those are copied that have all of it."""
    source = decoded(name)
    clip = source.split().clips[0]
    row = source.cut(clip, tmp_path / "clip.mp4", size=size)
    cropped = name != "without.mp4"
    assert row["cut_method"] == ("reencode" if cropped or size else "copy")
    if size is None:
        assert [row["cut_width"], row["cut_height"]] == [clip["width"], clip["height"]]
    with open_video(tmp_path / "clip.mp4") as container:
        first = next(container.decode(video=0)).to_ndarray(format="bgr24")
    with KeptFrames(source.outdir, "000000") as kept:
        shown = kept.frames(clip, FrameChoice(count=None))[0]
    fitting = render.cover(shown, (row["cut_width"], row["cut_height"]))
    assert np.abs(first.astype(int) - fitting).mean() < 12
    for rim in (first[:, :2], first[:, -2:], first[:2], first[-2:]):
        assert rim.std() > 10  # no bar is even


@pytest.mark.parametrize(
    ("name", "filters", "wanted"),
    [
        ("raised", "scale=320:180,pad=428:180:54:0:color=0x1e1e1e", (54, 0, 320, 180)),
        ("green", "scale=320:180,pad=320:240:0:30:color=green", (0, 30, 320, 180)),
        (
            "blurred",
            "split[a][b];[a]scale=428:240,boxblur=12[a];[b]scale=320:240[b];[a][b]overlay=54:0",
            (54, 0, 320, 240),
        ),
    ],
)
def test_a_real_film_in_bars(tmp_path, name, filters, wanted):
    """Smooth pictures and strong compression: in every scene the bars are where they were put."""
    target = tmp_path / f"{name}.mp4"
    source = ("-i", str(REAL / "big-buck-bunny.mp4"), "-filter_complex", f"{filters},setsar=1", "-an")
    run("-y", *source, "-c:v", "libx264", "-preset", "veryfast", "-crf", "28", str(target))
    clips = Decoded(target, tmp_path / "out").split(min_area=0.3).clips
    fit = [clip for clip in clips if clip["unfit"] is None]
    assert fit and all(
        abs(clip[f"crop_{part}"] - right) <= 2
        for clip in fit
        for part, right in zip(("x", "y", "width", "height"), wanted, strict=True)
    )


@pytest.mark.parametrize("name", ["big-buck-bunny.mp4", "bottle-detection.mp4", "car-detection.mp4"])
def test_real_videos_keep_their_picture(tmp_path, name):
    split = Decoded(REAL / name, tmp_path).split(overlays=True)
    assert split.clips and all(clip["crop_width"] is None and clip["unfit"] != "overlays" for clip in split.clips)
