"""What is measured of frames, against videos of which it is known."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from films import REAL, SETTINGS, Decoded, Film, cinema, decoded, grey, panned, standing
from moving_scenes import Camera, Scene, Thing

from clipmill.base.opencv import cv2
from clipmill.decode.signals import DETAIL_SCALE, DETAIL_WIDTHS, black_borders, colourfulness, sharpness
from clipmill.demo import render
from clipmill.split.measured import motion_score, technical_score
from clipmill.store import tables

LOSSLESS = {"options": {"qp": "0"}}
LEVELS = (0, 16, 90, 200, 255)
FORMATS = ("yuv420p", "yuvj420p", "yuv420p10le", "yuv444p")  # limited range, full range, 10 bits, full colour
SPEEDS = (2, 10, 30, 60)  # percent of the short side a second
SIZES = {"180p": (320, 180), "360p": (640, 360), "720p": (1280, 720), "upright": (360, 640)}


def halves(size):
    """Black on the left, light grey on the right: mean 100, spread 100."""
    picture = render.flat(size)
    picture[:, size[0] // 2 :] = 200
    return picture


def steps(size, seconds, fps):
    """Three levels of grey, then red, each for three frames."""
    colours = ((50, 50, 50), (80, 80, 80), (60, 60, 60), (0, 0, 200))
    return (render.flat(size, colour) for colour in colours for _ in range(3))


def pausing(size, seconds, fps):
    """A pan, its last frame for as long again, and the pan once more."""
    third = list(panned(speed=20)(size, seconds / 3, fps))
    return itertools.chain(third, [third[-1]] * len(third), third)


def bars(left: int, top: int, right: int, bottom: int):
    """A pan with black bars of so many pixels."""

    def frames(size, seconds, fps):
        for frame in panned()(size, seconds, fps):
            inner = frame[top : size[1] - bottom, left : size[0] - right]
            yield cv2.copyMakeBorder(inner, top, bottom, left, right, cv2.BORDER_CONSTANT)

    return frames


def fading_in(size, seconds, fps):
    """Black, then a picture with bars of 36 rows above and below."""
    yield from render.still(render.flat(size), size, seconds / 2, fps)
    yield from bars(0, 36, 0, 36)(size, seconds / 2, fps)


def widening(size, seconds, fps):
    """Bars of 36 rows above and below, then none."""
    yield from bars(0, 36, 0, 36)(size, seconds / 2, fps)
    yield from panned()(size, seconds / 2, fps)


BARS = {"none": (0, 0, 0, 0), "wide": (0, 36, 0, 36), "pillars": (40, 0, 40, 0), "window": (16, 24, 48, 12)}
FILMS = {
    **{
        f"{form} {level}.mp4": Film(standing(grey(level)), 0.3, (512, 288), 10, {"pixel_format": form, **LOSSLESS})
        for form in FORMATS
        for level in LEVELS
    },
    "halves.mp4": Film(standing(halves), 0.3, (512, 288), 10, LOSSLESS),
    "steps.mp4": Film(steps, 1.2, (256, 144), 10, {"pixel_format": "yuv444p", **LOSSLESS}),
    "pausing.mp4": Film(pausing, 3),
    **{f"{name} bars.mp4": Film(bars(*widths), 0.6, (320, 180), 10) for name, widths in BARS.items()},
    "fading in.mp4": Film(fading_in, 2, (320, 180), 10),
    "widening.mp4": Film(widening, 2, (320, 180), 10),
    "black.mp4": Film(standing(grey(0)), 1, (320, 180), 10),
    **{
        f"{picture} {shape} {speed}.mp4": Film(panned(f"{picture}.png", speed, 30), 1.75, SIZES[shape], 4)
        for picture, shape, speed in itertools.product(("gravel", "coffee"), SIZES, SPEEDS)
    },
}


@pytest.fixture(scope="session")
def show(tmp_path_factory):
    return cinema(tmp_path_factory.mktemp("signals"), FILMS)


def technical(result: Decoded) -> dict:
    return technical_score(result.clip(), result.signals)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("level", LEVELS)
def test_brightness(show, form, level):
    """Within 2 levels: the renderer's way to 4:2:0 loses up to one code (1.2 levels), scaling down one more."""
    result = show(f"{form} {level}.mp4")
    assert result["luma_mean"] == pytest.approx(level, abs=2)
    assert result["luma_spread"] == pytest.approx(0, abs=0.5)
    assert technical(result)["brightness"] == pytest.approx(level, abs=2)


def test_contrast(show):
    result = show("halves.mp4")
    assert result["luma_mean"] == pytest.approx(100, abs=2)
    assert result["luma_spread"] == pytest.approx(100, abs=2)
    assert technical(result)["contrast"] == pytest.approx(100, abs=2)
    assert technical(result)["brightness"] == pytest.approx(100, abs=2)


def test_differences_between_frames(show):
    """In 4:4:4 and lossless, colours come back within a level."""
    result = show("steps.mp4")
    changes = {3: 30, 6: -20}
    for name, share in {"difference": 1, "delta_lum": 1, "content": 1 / 3}.items():
        wanted = [abs(changes.get(number, 0)) * share for number in range(9)]
        assert result[name][:9] == pytest.approx(wanted, abs=1)
    # From grey 60 to red 200: value by 140, saturation from 0 to 255, hue stays 0.
    red = {name: result[name][9] for name in ("delta_lum", "delta_sat", "delta_hue", "content")}
    assert red == pytest.approx({"delta_lum": 140, "delta_sat": 255, "delta_hue": 0, "content": 395 / 3}, abs=2)
    assert result["content"] == pytest.approx((result["delta_hue"] + result["delta_sat"] + result["delta_lum"]) / 3)
    assert result["content"][[0, 10, 11]].tolist() == [0, 0, 0]


def test_frozen_share(show):
    result = show("pausing.mp4")
    # To within three frames: where the picture stops, the encoder still refines it, by up to a tenth of a level.
    assert technical(result)["frozen_share"] == pytest.approx(24 / 71, abs=3 / 71)
    assert technical_score(result.clip(10, 40), result.signals)["frozen_share"] == pytest.approx(16 / 29, abs=3 / 29)
    assert technical_score(result.clip(30, 40), result.signals)["frozen_share"] == 1
    assert technical_score(result.clip(0, 24), result.signals)["frozen_share"] == 0
    assert technical_score(result.clip(30, 31), result.signals)["frozen_share"] == 0


def test_frozen_share_is_one_of_time_not_of_frames():
    """Two repeated frames, of which one stands for long, before and after which the picture moves fast."""
    frames = [(0, 9, 0), (1, 0.1, None), (9, 0.2, 20), (10, 5, None)]  # time, change, motion
    assert frozen_share(frames) == pytest.approx(0.9)


def test_frozen_share_of_drawings_that_are_shown_twice():
    frames = [(k / 24, 8 * (k % 2), 30 if k % 12 == 0 else None) for k in range(49)]
    assert frozen_share(frames) == pytest.approx(0.5)


def test_slow_motion_is_not_frozen_where_a_frame_does_not_change():
    frames = [(k / 24, 0.2, 0.5 if k % 12 == 0 else None) for k in range(49)]
    assert frozen_share(frames) == 0


@pytest.mark.parametrize("is_cycle", [True, False])
def test_a_still_whose_coding_returns_to_itself_is_frozen_and_noise_is_not(is_cycle):
    chance = np.random.default_rng(1)
    cycle = (0.58, 0.58, 0.98, 0.66)
    changes = [cycle[k % 4] if is_cycle else chance.choice(cycle) for k in range(73)]
    frames = [(k / 24, change, 0 if k % 12 == 0 else None) for k, change in enumerate(changes)]
    assert frozen_share(frames) == is_cycle


def frozen_share(frames):
    """Of frames with their time, change and, of kept ones, motion."""
    rows = [
        {"frame": n, "time": t, "change": c, "motion": m, "sample": None if m is None else n, "is_key": False}
        for n, (t, c, m) in enumerate(frames)
    ]
    signals = tables.SIGNALS.from_rows([{**row, "luma_mean": 1, "luma_spread": 1} for row in rows])
    clip = {"clip_id": "c", "start_frame": 0, "end_frame": len(rows), "seconds": 11}
    return technical_score(clip, signals)["frozen_share"]


MOVING = {
    "noise": Scene("coffee.png", noise=5),
    "noise of a phone": Scene("chelsea.png", noise=3),
    "slow": Scene("coffee.png", Camera(0.6, 0.3)),
    "small thing": Scene("coffee.png", things=(Thing("gravel.png", 12, (0, 40), 12, 5),)),
}
ENCODINGS = {
    "usual": {"options": {"crf": "23"}},
    "coarse": {"options": {"crf": "30"}},
    "many key frames": {"options": {"crf": "23"}, "keyframe_interval": 24},
    "hevc": {"codec": "libx265", "options": {"crf": "26"}},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MOVING)
def test_what_moves_is_not_frozen(tmp_path, name):
    frames = MOVING[name].film(2, 24)
    render.encode(tmp_path / "v.mp4", frames, (640, 360), 24, options={"crf": "23"})
    assert technical(decoded(tmp_path / "v.mp4"))["frozen_share"] <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODINGS)
def test_repeated_pictures_are_frozen(tmp_path, name):
    """Though compression changes them, most at key frames. Also a picture with noise, which is repeated with it."""
    for noise in (0, 5):
        path = tmp_path / f"{noise}.mp4"
        frames = [Scene("coffee.png", noise=noise).frame(0)] * 72
        render.encode(path, frames, (640, 360), 24, **ENCODINGS[name])
        assert technical(decoded(path))["frozen_share"] >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize(
    ("picture", "rate", "options"), [("rocket.jpg", 30, "veryfast 20"), ("camera.png", 60, "medium 23")]
)
def test_a_small_still_is_frozen_though_frames_between_others_differ(tmp_path, picture, rate, options):
    """In colour alone in the one film, and in a spot of the other."""
    preset, crf = options.split()
    size = (426, 240)
    frames = [Scene(picture, size=size).frame(0)] * (2 * rate)
    render.encode(tmp_path / "v.mp4", frames, size, rate, options={"preset": preset, "crf": crf})
    assert technical(decoded(tmp_path / "v.mp4"))["frozen_share"] >= 0.95


PAUSING = {  # scene, encoding, first and last frame of the pause
    "slow pan": (Scene("coffee.png", Camera(3, 1)), "hevc", (29, 72)),
    "pan": (Scene("chelsea.png", Camera(15, 4)), "coarse", (20, 43)),
    "thing": (Scene("rocket.jpg", things=(Thing("gravel.png", 20, (0, 40), 12, 5),)), "usual", (20, 56)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAUSING)
def test_pauses_are_frozen_from_their_first_frame_to_their_last(tmp_path, name):
    scene, encoding, (first, end) = PAUSING[name]
    frames = list(scene.film(3, 24))
    frames[first:end] = [frames[first]] * (end - first)
    render.encode(tmp_path / "v.mp4", frames, (640, 360), 24, **ENCODINGS[encoding])
    assert technical(decoded(tmp_path / "v.mp4"))["frozen_share"] == pytest.approx((end - first - 1) / 71, abs=0.05)


@pytest.mark.slow
def test_frames_that_are_shown_twice_are_frozen_though_little_moves(tmp_path):
    scene = Scene("coffee.png", noise=3, things=(Thing("gravel.png", 60, (0, 40), 30, 5),))
    frames = [frame for frame in scene.film(3, 12) for _ in range(2)]
    render.encode(tmp_path / "v.mp4", frames, (640, 360), 24, **ENCODINGS["usual"])
    assert technical(decoded(tmp_path / "v.mp4"))["frozen_share"] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("name", "widths"), BARS.items())
def test_borders(show, name, widths):
    """To within the line of the small picture in which bar and picture meet."""
    result = show(f"{name} bars.mp4")
    line = {"left": 1 / 256, "right": 1 / 256, "top": 1 / 144, "bottom": 1 / 144}
    true = dict(zip(("left", "top", "right", "bottom"), np.array(widths) / [320, 180, 320, 180], strict=True))
    for side, share in true.items():
        found = result[f"border_{side}"][0]
        assert share - 1.5 * line[side] <= found <= share + line[side] * (share > 0)
    area = 1 - (1 - true["left"] - true["right"]) * (1 - true["top"] - true["bottom"])
    assert technical(result)["border_area"] == pytest.approx(area, abs=0.025 * (area > 0))


def test_black_frames_do_not_hide_borders(show):
    result = show("fading in.mp4")
    assert np.isnan(result["border_top"][0])
    assert technical(result)["border_area"] == pytest.approx(0.4, abs=0.015)
    assert technical(show("black.mp4"))["border_area"] is None  # missing: such a clip is not kept


def test_borders_stand_through_the_whole_clip(show):
    result = show("widening.mp4")
    assert technical(result)["border_area"] == 0
    assert technical_score(result.clip(0, 10), result.signals)["border_area"] == pytest.approx(0.4, abs=0.015)


def test_dark_pictures_are_no_borders():
    night = np.full((144, 256), 18, np.uint8)
    assert black_borders(night) == (0, 0, 0, 0)
    night[:30] = 10
    assert black_borders(night) == (0, 30 / 144, 0, 0)
    night[5, 200] = 60  # a star: what is above it is black, what is below it is not a border
    assert black_borders(night) == (0, 5 / 144, 0, 0)
    assert black_borders(np.full((144, 256), 10, np.uint8)) == (None,) * 4


# --- motion -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("picture", ["gravel", "coffee"])
def test_motion_is_the_speed_of_the_pan(show, picture, shape, speed):
    """Gravel is texture all over; the plain parts of the coffee move with all others."""
    result = show(f"{picture} {shape} {speed}.mp4")
    row = motion_score(result.clip(), result.row, result.signals)
    assert row["motion"] == pytest.approx(speed, rel=0.04)
    assert row["motion_pairs"] == 3
    # EasyAnimate's unit: pixels of the full frame in half a second
    assert row["motion_pixels"] == pytest.approx(row["motion"] / 100 * min(SIZES[shape]) / 2)


@pytest.mark.slow
@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("picture", ["gravel", "coffee"])
def test_motion_is_the_same_at_any_resolution(show, picture, speed):
    found = []
    for shape in ("180p", "360p", "720p"):
        result = show(f"{picture} {shape} {speed}.mp4")
        found.append(motion_score(result.clip(), result.row, result.signals)["motion"])
    assert max(found) / min(found) < 1.04


def test_motion_is_in_seconds_whatever_the_sampling(tmp_path):
    path = Film(panned("gravel.png", 20), 2, (320, 180), 12).render(tmp_path / "v.mp4")
    for rate in (1, 2, 4):
        result = decoded(path, tmp_path / str(rate), replace(SETTINGS, samples_per_second=rate))
        row = motion_score(result.clip(), result.row, result.signals)
        assert row["motion"] == pytest.approx(20, rel=0.04)
        assert row["motion_pixels"] == pytest.approx(0.2 * 180 / 2, rel=0.04)
        assert row["motion_pairs"] == 2 * rate - 1


def test_what_does_not_move_has_no_motion(show):
    result = show("halves.mp4")
    assert np.isnan(result["motion"]).all()  # one sample
    result = show("black.mp4")
    assert motion_score(result.clip(), result.row, result.signals)["motion"] == 0


RATES = (12, 25, Fraction(30000, 1001), 60)
THING = Thing("gravel.png", 120, (-60, 20), 50, -30)
SCENES = {
    "pan": Scene("chelsea.png", Camera(40, 15)),
    "zoom": Scene("coffee.png", Camera(zoom=0.15)),
    "thing": Scene("coffee.png", things=(THING,)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_motion_is_the_same_at_any_rate(tmp_path, name):
    """Two frames per second are kept whatever the rate. Of a thing each value is as near to the truth as of any."""
    found, scene = [], SCENES[name].scaled((480, 270))
    for rate in RATES:
        path = tmp_path / f"{float(rate):.0f}.mp4"
        render.encode(path, scene.film(1.1, rate), scene.size, rate, options={"crf": "18"})
        result = decoded(path)
        row = motion_score(result.clip(), result.row, result.signals)
        assert row["motion_pairs"] == 2
        found.append(row["motion"])
    assert found == pytest.approx([scene.speeds(0, 1)[0]] * len(RATES), rel=0.3 if scene.things else 0.1)
    assert scene.things or max(found) < 1.05 * min(found)


# --- single pictures --------------------------------------------------------------------------------------------------


def test_sharpness():
    picture = render.photograph("coffee.png")
    picture = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    blurred = [sharpness(cv2.GaussianBlur(picture, (0, 0), sigma)) for sigma in (1, 2, 4, 8)]
    assert sharpness(picture) > blurred[0] > blurred[1] > blurred[2] > blurred[3] > 0
    assert sharpness(np.full((360, 640), 90, np.uint8)) == 0


@pytest.mark.parametrize("cycles", [20, 60, 80])
@pytest.mark.parametrize("lines", [240, 512, 1080])
def test_sharpness_of_waves(cycles, lines):
    """A Gaussian of width w weakens a wave of f cycles per picture by exp(−2 (π w f)²)."""
    wave = 128 + 80 * np.sin(2 * np.pi * cycles * (np.arange(lines) + 0.5) / lines + 0.3)
    picture = np.rint(np.tile(wave, (lines, 1))).astype(np.uint8)
    fine, coarse = (np.exp(-2 * (np.pi * width * cycles) ** 2) for width in DETAIL_WIDTHS)
    wanted = DETAIL_SCALE * 80 / np.sqrt(2) * (fine - coarse)
    assert sharpness(picture) == pytest.approx(wanted, rel=0.05)


def resized(picture: np.ndarray, lines: int, way: int = cv2.INTER_AREA) -> np.ndarray:
    return cv2.resize(picture, (lines * picture.shape[1] // picture.shape[0], lines), interpolation=way)


@pytest.fixture(scope="module", params=["photograph", "many photographs", "film"])
def detailed(request) -> np.ndarray:
    """A grey picture of 1080 lines: one that was enlarged, two with detail of their own."""
    if request.param == "photograph":
        return photograph("astronaut.png", (1440, 1080))
    if request.param == "film":
        with av.open(REAL / "big-buck-bunny.mp4") as container:
            frame = next(container.decode(video=0)).to_ndarray(format="gray")
        return np.tile(frame, (8, 8))[:1080, :1440]
    names = ["coffee.png", "rocket.jpg", "chelsea.png", "gravel.png"]
    tiles = [photograph(name, (720, 540)) for name in names]
    return np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])


def photograph(name: str, size: tuple[int, int]) -> np.ndarray:
    """A photograph in grey levels, of a size."""
    return cv2.cvtColor(render.cover(render.photograph(name), size), cv2.COLOR_BGR2GRAY)


@pytest.mark.slow
@pytest.mark.parametrize(("kept", "most"), [(240, 1.2), (360, 1.12), (512, 1.12), (1080, 1.12)])
def test_sharpness_is_the_same_at_all_sizes(detailed, kept, most):
    """Of a video of any size, and of kept frames of any size. Frames of 240 lines made from 270 have lost the most."""
    sizes = (240, 270, 360, 432, 480, 540, 720, 1080)
    found = [sharpness(resized(resized(detailed, lines), min(lines, kept))) for lines in sizes]
    assert max(found) < most * min(found)


@pytest.mark.slow
@pytest.mark.parametrize("lines", [240, 480, 720])
def test_sharpness_falls_with_blur_alike_at_all_sizes(detailed, lines):
    """0.3, 0.5 and 1 % of the height; out of focus (a disc); and moved while the shutter was open (a line)."""
    picture = resized(detailed, lines)
    sharp = sharpness(picture)
    blurred = [sharpness(cv2.GaussianBlur(picture, (0, 0), share * lines)) / sharp for share in (0.003, 0.005, 0.01)]
    assert np.array(blurred) == pytest.approx([0.7, 0.45, 0.18], abs=0.08)
    side = round(0.0125 * lines) | 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)).astype(np.float32)
    line = np.ones((1, round(0.03 * lines)), np.float32)
    for kernel in (disc, line):
        assert sharpness(cv2.filter2D(picture, -1, kernel / kernel.sum())) < 0.8 * sharp


@pytest.mark.slow
def test_an_enlarged_picture_is_as_sharp_as_it_was(detailed):
    small = resized(detailed, 240)
    large = resized(small, 1080, cv2.INTER_CUBIC)
    assert sharpness(resized(large, 512)) == pytest.approx(sharpness(small), rel=0.2)


def test_colourfulness():
    size = (64, 64)
    assert colourfulness(render.flat(size, (90, 90, 90))) == pytest.approx(0, abs=1e-4)
    # Red 255 everywhere: red − green 255, yellow − blue 127.5, no spread; 0.3 times the length of the two.
    assert colourfulness(render.flat(size, (0, 0, 255))) == pytest.approx(0.3 * np.hypot(255, 127.5), rel=1e-4)
    picture = render.photograph("coffee.png")
    pale = cv2.addWeighted(picture, 0.3, cv2.merge([cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)] * 3), 0.7, 0)
    assert colourfulness(picture) > 2 * colourfulness(pale) > 0
