"""Checks of captions: each fault is found, and what models and the embedded captioner really say is not."""

from __future__ import annotations

import pytest

from clipmill.texts import checks as text_checks
from clipmill.texts.checks import fault_of_caption, fault_of_text
from default_config import CONFIG

CHECKS = CONFIG["text_checks"]
FINE = [
    "A red car drives along a wet road at night, its headlights on, while rain falls.",
    "A woman in a grey coat walks past a shop; the sign over the door reads “Sorry, we are closed”.",
    "A 4.9-second horizontal clip in which the camera pans to the right by about 28% of the frame's width, with "
    "strong movement overall. The picture is medium-bright with moderate contrast. The most frequent colour is dark "
    "red (about 27%), followed by red (14%) and orange (13%, mostly in the upper half). Colours are vivid, and there "
    "is little fine detail.",
    "Two men in white aprons cut bread, then butter it, then lay slices of cheese on it; the camera stays still.",
    "On the left, a girl in red shoes jumps; on the right, a girl in blue shoes jumps; behind them, a dog sleeps.",
    "The user of a phone scrolls through a list of videos; the thumb moves upwards, and the list follows it.",
    "A caption at the bottom says “as requested by viewers” over a shot of a harbour.",
]


@pytest.mark.parametrize("text", FINE[:-1])
def test_ordinary_captions_pass(text):
    assert fault_of_caption(text, True, CHECKS) is None
    assert fault_of_caption(text, None, CHECKS) is None
    assert fault_of_text(text, CHECKS) is None


TEXTS = [
    ("too short", "A red car."),
    ("too long", " ".join(f"word{number}" for number in range(401))),
    ("thoughts", "<think> The user wants a caption of a red car that drives along a road."),
    ("thoughts", "A red car drives along a wet road. </think> A red car on a road."),
    ("thoughts", "Okay, the user wants a caption of these frames, so a red car comes first."),
    ("thoughts", "Got it, let's look at the frames: a red car drives along a wet road."),
    ("refusal", "I'm sorry, but I can't help with describing this particular video clip."),
    ("refusal", "As an AI language model, I am not able to watch videos of any kind."),
    ("refusal", "No video was provided, so that nothing can be said of it here."),
    ("refusal", "Unfortunately I cannot see any of the frames that you speak of."),
    ("in another script", "Красная машина едет по мокрой дороге ночью под дождём."),
    ("in another script", "一辆红色的汽车在雨夜里沿着潮湿的公路行驶。"),
    ("repeats words", "A car drives along the the the the the road at night."),
    ("repeats itself", "A car drives by and then " * 6),
    ("about the task", "Here is the rewritten caption: a red car drives along a wet road."),
    ("about the task", "Sure, a red car drives along a wet road at night in rain."),
    ("about the task", "The provided frames show a red car that drives along a wet road."),
    ("about the task", "A red car drives along a wet road. Let me know if you need more."),
]


@pytest.mark.parametrize(("fault", "text"), TEXTS)
def test_faults_of_texts(fault, text):
    assert fault_of_text(text, CHECKS) == fault


@pytest.mark.parametrize(("fault", "text"), TEXTS)
def test_each_check_can_be_left_out(fault, text):
    none = {name: False if isinstance(value, bool) else None for name, value in CHECKS.items()}
    assert fault_of_text(text, none) is None
    assert fault_of_caption(text, False, none) is None


def test_captions_are_judged_before_they_are_rewritten():
    assert fault_of_caption("A red car", False, CHECKS) == "cut off"
    assert fault_of_caption("A red car.", True, CHECKS) is None  # its length is the text's
    assert fault_of_caption("Here is the caption: a red car.", True, CHECKS) is None  # that may be rewritten
    assert fault_of_caption("I cannot see the video.", True, CHECKS) == "refusal"
    assert fault_of_caption("<think>A red car", True, CHECKS) == "thoughts"


@pytest.mark.parametrize(
    ("text", "run", "share"),
    [
        ("", 0, 0),
        ("one", 1, 0),
        ("a b c a b c", 1, 0.25),
        ("no no NO yes no", 3, 0),
        ("ha " * 5, 5, 2 / 3),
        ("红红红", 3, 0),
    ],
)
def test_measures_of_repetition(text, run, share):
    assert text_checks.longest_run(text) == run
    assert text_checks.repeated_trigrams(text) == pytest.approx(share)


@pytest.mark.parametrize(
    ("text", "script", "share"),
    [
        ("abc", "latin", 1),
        ("ab дв", "latin", 0.5),
        ("ab дв", "cyrillic", 0.5),
        ("猫がねる", "japanese", 1),
        ("猫がねる", "han", 0.25),
        ("123 …", "latin", 1),
        ("고양이", "hangul", 1),
        ("éàü ﬁ", "latin", 1),
    ],
)
def test_scripts(text, script, share):
    assert text_checks.share_in_script(text, script) == pytest.approx(share)


def test_texts_that_count_as_the_same():
    assert text_checks.same("A  dog\nsleeps.") == text_checks.same("a dog SLEEPS.") != text_checks.same("a dog sleeps")
