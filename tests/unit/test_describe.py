"""The measured descriptions, against pictures whose camera, light and colours are known because code made them."""

from __future__ import annotations

import importlib.util
import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from clipmill.base.opencv import cv2
from clipmill.captions import ClipFacts
from clipmill.captions.camera import CAMERA_WORDS, camera_phrase
from clipmill.captions.describe import MAX_WORDS, MIN_WORDS, PALETTE, describe, place_of
from clipmill.captions.rules import rewrite
from clipmill.store import tables

pytestmark = pytest.mark.slow

WIDTH, HEIGHT, COUNT = 320, 180, 8
FULL = {
    "brightness": 120.0,
    "contrast": 50.0,
    "colourfulness": 40.0,
    "sharpness": 20.0,
    "motion": 3.0,
    "consistency": 0.9,
    "text_area": 0.0,
    "frozen_share": 0.0,
}


@cache
def noise(seed: int = 0) -> np.ndarray:
    """A large picture with texture of several sizes."""
    random = np.random.default_rng(seed)
    picture = np.full((720, 1280, 3), 128, np.float32)
    for size in (2, 5, 12, 40):
        layer = random.normal(0, 1, picture.shape).astype(np.float32)
        layer = cv2.GaussianBlur(layer, (0, 0), size)
        picture += 28 * layer / layer.std()
    return picture.clip(0, 255).astype(np.uint8)


@cache
def photograph(name: str) -> np.ndarray:
    """A photograph out of scikit-image's package folder, or a skipped test."""
    found = importlib.util.find_spec("skimage")
    path = Path(found.origin).parent / "data" / name if found else Path(name)
    if not path.exists():
        pytest.skip(f"no {name}: scikit-image is not installed")
    return cv2.resize(cv2.imread(str(path)), (1280, 720), interpolation=cv2.INTER_CUBIC)


def shot(picture: np.ndarray, x: float, y: float, scale: float = 1.0) -> np.ndarray:
    """What a camera sees whose frame is centred on (x, y); `scale` above 1 sees less, larger."""
    size = (round(WIDTH / scale), round(HEIGHT / scale))
    return cv2.resize(cv2.getRectSubPix(picture, size, (x, y)), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def path(picture, right=0.0, down=0.0, zoom=1.0) -> list[np.ndarray]:
    """Frames of a camera that goes `right` and `down` pixels in all and zooms by the factor `zoom`."""
    steps = np.linspace(-0.5, 0.5, COUNT)
    return [shot(picture, 640 + right * step, 360 + down * step, zoom**step) for step in steps]


def clip(frames=(), seconds=6.4, **facts) -> ClipFacts:
    return ClipFacts("a", seconds, WIDTH, HEIGHT, 24.0, **{**FULL, **facts}, frames=list(frames))


def flat(colour: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), (colour & 255, colour >> 8 & 255, colour >> 16), np.uint8)


# --- camera ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "speed", "phrase"),
    [
        ("pan_right", 3, "pans slowly to the right"),
        ("pan_left", 10, "pans to the left"),
        ("tilt_up", 40, "tilts quickly up"),
        ("tilt_down", 10, "tilts down"),
        ("zoom_in", 10, "zooms in"),
        ("zoom_out", None, "zooms out"),
        ("roll_cw", 10, "turns clockwise"),
        ("roll_ccw", 10, "turns counter-clockwise"),
        ("mixed", 10, "moves in several directions"),
    ],
)
def test_camera(word, speed, phrase):
    text = describe(clip(path(noise()), camera=word, camera_speed=speed))
    assert f"clip in which the camera {phrase}, with moderate movement overall." in text


@pytest.mark.parametrize(("word", "speed"), [("mixed", 0.32), ("mixed", 0.5), ("pan_left", 0.14), ("zoom_in", 0.4)])
def test_no_word_on_a_move_that_is_too_slow_to_be_seen(word, speed):
    """A fixed camera is measured to move by up to 0.5 % of the short side per second, in any direction."""
    facts = clip(path(noise()), camera=word, camera_speed=speed)
    assert "camera" not in describe(facts)
    assert camera_phrase(facts) == "hardly moves"
    assert camera_phrase(replace(facts, camera="tilt_down", camera_speed=1.08)) == "tilts slowly down"
    assert camera_phrase(replace(facts, camera="static", camera_speed=0.06)) == "is still"


def test_every_camera_has_words():
    assert CAMERA_WORDS.keys() == {*tables.CAMERAS} - {tables.UNKNOWN}


def test_still_camera():
    assert "from a still camera, with hardly any movement." in describe(
        clip(path(noise()), camera="static", motion=0.1)
    )


def test_what_moves_before_a_still_camera():
    things, frames = noise(5)[:110, :110], []
    for step in range(COUNT):
        frame = shot(noise(), 640, 360)
        frame[40:150, 10 + 8 * step : 120 + 8 * step] = things
        frames.append(frame)
    assert "from a still camera, with moderate movement, mostly on the left." in describe(clip(frames, camera="static"))


@pytest.mark.parametrize("word", [None, "unknown"])
@pytest.mark.parametrize("frames", [[], [flat(0x808080)] * COUNT])
def test_no_word_on_a_camera_that_is_not_known(word, frames):
    assert "camera" not in describe(clip(frames, camera=word))


# --- light ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"brightness": 20, "contrast": 10}, "The picture is very dark with low contrast."),
        ({"brightness": 45, "contrast": 40}, "The picture is dark with moderate contrast."),
        ({"brightness": 180, "contrast": 80}, "The picture is bright with strong contrast."),
        ({"brightness": None, "contrast": 80}, "The picture has strong contrast."),
        ({"brightness": 230, "contrast": None}, "The picture is very bright."),
    ],
)
def test_light(facts, words):
    assert words in describe(clip(**facts))


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        (np.linspace(0.4, 1, COUNT), "it grows brighter towards the end"),
        (np.linspace(1, 0.4, COUNT), "it grows darker towards the end"),
        ([0.05, 0.5, 1, 1, 1, 1, 1, 1], "it starts dark and then brightens"),
        ([1, 1, 1, 1, 1, 1, 0.5, 0.05], "it goes dark at the end"),
    ],
)
def test_light_that_changes(levels, words):
    picture = shot(noise(), 640, 360)
    assert words in describe(clip([(picture * level).astype(np.uint8) for level in levels]))


def test_light_that_flickers_has_no_trend():
    picture = shot(noise(), 640, 360)
    assert "; it" not in describe(clip([(picture * level).astype(np.uint8) for level in [1, 0.8] * 4]))


# --- colours --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PALETTE)
def test_flat_colours(name):
    assert f"Nearly all of the picture is {name} (about 100%)." in describe(clip([flat(PALETTE[name])] * COUNT))


@pytest.mark.parametrize(
    ("colour", "name"),
    [(0xFF0000, "red"), (0x0000FF, "blue"), (0xFFFF00, "yellow"), (0x87CEEB, "light blue"), (0x228B22, "green")]
    + [(0xFFFFFF, "white"), (0x000000, "black"), (0xFFA500, "orange"), (0x000080, "dark blue"), (0x8B4513, "brown")],
)
def test_colours_as_others_name_them(colour, name):
    assert f"is {name} (about 100%)" in describe(clip([flat(colour)] * COUNT))


def test_shares_and_places_of_colours():
    frame = flat(PALETTE["blue"])
    frame[HEIGHT * 6 // 10 :] = flat(PALETTE["green"])[0, 0]
    frame[: HEIGHT // 2, : WIDTH // 5] = flat(PALETTE["white"])[0, 0]
    text = describe(clip([frame] * COUNT))
    assert "Blue dominates, covering about 50% of the picture, mostly in the upper half; next come green" in text
    assert "green (40%, mostly in the lower half) and white (10%, mostly in the upper left)." in text


def test_strength_of_colours_and_detail():
    assert "The picture is all but colourless, and there is little fine detail." in describe(
        clip(colourfulness=1.0, sharpness=10.0)
    )
    assert "Colours are vivid, and there is plenty of fine detail." in describe(clip(colourfulness=70, sharpness=40))
    assert "There is very little fine detail." in describe(clip(colourfulness=None, sharpness=2))


@pytest.mark.parametrize(
    ("rows", "columns", "place"),
    [
        (slice(0, 5), slice(0, 20), "in the upper half"),
        (slice(15, 20), slice(0, 20), "in the lower half"),
        (slice(0, 20), slice(0, 4), "on the left"),
        (slice(0, 20), slice(16, 20), "on the right"),
        (slice(15, 20), slice(15, 20), "in the lower right"),
        (slice(7, 13), slice(7, 13), "in the centre"),
        (slice(0, 20), slice(0, 20), ""),
        (slice(0, 0), slice(0, 0), ""),
    ],
)
def test_places(rows, columns, place):
    weight = np.zeros((20, 20))
    weight[rows, columns] = 1
    assert place_of(weight) == place


# --- the other facts, and the text as a whole -----------------------------------------------------------------------


def test_text_and_changes():
    assert "On-screen text covers about 3.4% of the picture." in describe(clip(text_area=0.034))
    assert "text" not in describe(clip(text_area=0.0))
    assert "The view changes greatly between one moment and the next." in describe(clip(consistency=0.2))


def compressed(frame: np.ndarray, quality: int) -> np.ndarray:
    jpeg = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(jpeg, cv2.IMREAD_COLOR)


def test_a_picture_that_stands_is_frozen():
    moving = path(noise(), right=200)
    standing = [compressed(moving[3], quality) for quality in (95, 80, 90, 85)]
    some = "The picture is frozen for a part of the time."
    assert some in describe(clip([*moving[:4], *standing], frozen_share=0.4))
    assert "The picture is frozen throughout." in describe(clip(standing * 2, frozen_share=1.0))
    assert "frozen" not in describe(clip(standing * 2, frozen_share=0.1)), "what moves is too small for these frames"


@pytest.mark.parametrize("share", [0.2, 0.37, 0.6, 0.8, 1.0])
def test_frames_that_a_conversion_repeats_are_not_frozen(share):
    """Of 24 frames per second at 30 and 60, and of 12 at 60: kept frames, half a second apart, differ."""
    assert "frozen" not in describe(clip(path(noise(), right=20), frozen_share=share))


@pytest.mark.parametrize(
    ("seconds", "start"),
    [(6.44, "A 6.4-second"), (8.0, "An 8.0-second"), (11.5, "An 11.5-second"), (18.2, "An 18.2-second")]
    + [(80.0, "An 80.0-second"), (10.0, "A 10.0-second"), (1.8, "A 1.8-second"), (110.0, "A 110.0-second")],
)
def test_length_and_its_article(seconds, start):
    assert describe(clip(seconds=seconds)).startswith(f"{start} horizontal clip")


@pytest.mark.parametrize(
    ("width", "height", "word"),
    [(320, 180, "horizontal"), (180, 320, "vertical"), (200, 200, "square"), (480, 200, "very wide")],
)
def test_orientation(width, height, word):
    assert f"-second {word} clip" in describe(replace(clip(), width=width, height=height))


@pytest.mark.parametrize("missing", FULL)
def test_nothing_is_said_of_what_is_missing(missing):
    rich = clip([*path(noise(), right=200)[1:], path(noise(), right=200)[-1]], text_area=0.03, frozen_share=0.3)
    words = {
        "brightness": "medium-bright",
        "contrast": "contrast",
        "colourfulness": "Colours are",
        "sharpness": "detail",
        "motion": "movement",
        "consistency": "view",
        "text_area": "text",
        "frozen_share": "frozen",
    }
    text = describe(replace(rich, **{missing: None}))
    assert words[missing] not in text
    assert "None" not in text and "nan" not in text


def test_little_known_is_filled_up_with_the_size():
    bare = ClipFacts("a", 6.4, WIDTH, HEIGHT, 23.976, frames=[flat(0)] * COUNT)
    assert describe(bare) == (
        "A 6.4-second horizontal clip. Nearly all of the picture is black (about 100%). "
        "The frame is 320 by 180 pixels, shown at 23.98 frames a second."
    )
    assert describe(ClipFacts("a", 6.4)) == "A 6.4-second clip."


RICH = {"text_area": 0.123, "frozen_share": 0.31, "consistency": 0.1}


@pytest.mark.parametrize("facts", [{}, RICH, {**RICH, "brightness": 20.0}, {"motion": None}])
@pytest.mark.parametrize("move", [{}, {"right": 300, "down": 250, "zoom": 1.4}, {"zoom": 0.7}])
def test_number_of_words_and_form(facts, move):
    frames = path(noise(), **move)
    for number, frame in enumerate(frames):
        frame[:80, :120] = flat(PALETTE["red"])[0, 0]
        frame[:] = (frame * (1 - 0.07 * number)).astype(np.uint8)
    text = describe(clip(frames, **facts))
    assert MIN_WORDS <= len(text.split()) <= MAX_WORDS
    assert text.endswith(".") and "  " not in text and " ." not in text and ".." not in text
    assert all(sentence[0].isupper() for sentence in text.split(". "))


def test_same_facts_same_text_and_other_facts_another():
    moves = ("static", None), ("pan_right", 3), ("pan_right", 10)
    clips = [clip(path(noise(seed)), camera=word, camera_speed=speed) for seed in range(2) for word, speed in moves]
    texts = [describe(facts) for facts in clips]
    assert texts == [describe(facts) for facts in clips]
    assert len(set(texts)) == len(texts)
    assert describe(clip(seconds=6.3)) != describe(clip(seconds=6.4))


def test_the_rules_leave_a_description_as_it_is():
    for word, speed in itertools.product(tables.CAMERAS, (1, 10, 50)):
        text = describe(clip(path(noise()), camera=word, camera_speed=speed, **RICH))
        assert rewrite(text) == text
