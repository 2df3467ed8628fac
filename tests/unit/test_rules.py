"""The rewrite by rules: what goes, what stays, and that it ends in good time."""

from __future__ import annotations

import re
import time
from collections import Counter

import pytest

from clipmill.captions import Caption
from clipmill.captions.rules import MAX_PASSES, Rules, rewrite
from clipmill.texts.sentences import sentences

OPENINGS = [
    ("The video shows a dog running across a field.", "A dog running across a field."),
    ("In this clip, we see a woman pouring tea into two cups.", "A woman pouring tea into two cups."),
    ("This is a video of a red car on a coast road.", "A red car on a coast road."),
    ("The video begins with a close-up of a watch. Then it ticks.", "A close-up of a watch. Then it ticks."),
    ("The scene opens with a wide shot of a harbour.", "A wide shot of a harbour."),
    ("The footage captures two boys flying a kite.", "Two boys flying a kite."),
    ("The short clip first shows that a lamp is burning.", "A lamp is burning."),
    ("A video of a beach at sunset.", "A beach at sunset."),
    ("As the video progresses, the man picks up a hammer.", "The man picks up a hammer."),
    ("Throughout the video, the camera stays on her.", "Throughout, the camera stays on her."),
    ("In the video, a goat climbs a wall.", "A goat climbs a wall."),
    ("The clip shows how a potter shapes a bowl.", "A potter shapes a bowl."),
]
OPENINGS_THAT_STAY = [
    "The video shows a man at a desk and then cuts to a harbour.",
    "The video shows how to fold a crane out of paper.",
    "The video shows them as they leave the house.",
    "The animation shows a robot in a hall.",
    "The camera focuses on the hand of the robot.",
    "The scene is set in a kitchen.",
    "A video of a beach is projected on the wall.",
]
HEDGES = [
    ("A man appears to be fixing a bicycle.", "A man is fixing a bicycle."),
    ("Two women seem to be dancing.", "Two women are dancing."),
    ("The roof seems to have been painted.", "The roof has been painted."),
    ("She carries what looks like a harp.", "She carries a harp."),
    ("A girl, possibly a pupil, reads.", "A girl, a pupil, reads."),
    ("A seemingly endless road leads to an apparently small house.", "An endless road leads to a small house."),
    ("She is likely a nurse.", "She is a nurse."),
    ("It can be inferred that the shop is closed.", "The shop is closed."),
    ("Lamps line the street, suggesting that night falls.", "Lamps line the street."),
    ("Lamps burn, indicating that night falls, and a tram passes.", "Lamps burn, and a tram passes."),
    ("He wears an apron, which suggests that he is a cook.", "He wears an apron."),
]
HEDGES_THAT_STAY = [
    "Rain is likely to fall on the likely winner.",
    "The dog does not appear to be wet.",
    "A sign indicating the way out hangs over the door.",
]
JUDGEMENTS = [
    ("A cat sleeps. The overall atmosphere is calm and cosy.", "A cat sleeps."),
    ("Candles burn, creating a warm, inviting atmosphere.", "Candles burn."),
    ("Light falls in, adding to the sense of peace, while a cat sleeps.", "Light falls in, while a cat sleeps."),
    ("He lifts the cup, conveying pride.", "He lifts the cup."),
    ("Waves roll in. The video conveys a sense of freedom.", "Waves roll in."),
    ("A red lamp that adds to the mystery of the place.", "A red lamp."),
    ("The mood is gloomy, and the camera pans left.", "The camera pans left."),
]
JUDGEMENTS_THAT_STAY = [
    "A motorcycle turns, creating a trail of dust.",
    "He stands at the pot, adding salt to the water.",
    "The style is that of a watercolour, with soft light from the left.",
]
ABSENCES = [
    ("There is no text visible. A crane lifts a pipe.", "A crane lifts a pipe."),
    ("No people are in the scene. A lamp burns.", "A lamp burns."),
    ("There are no people, and the camera stays still.", "The camera stays still."),
    ("A street without any visible signs or cars.", "A street."),
    ("Fog drifts over a field, with no other objects in view.", "Fog drifts over a field."),
    ("The video does not contain any text. Waves break.", "Waves break."),
    ("It is unclear whether the door is open. A boy waits.", "A boy waits."),
]
ABSENCES_THAT_STAY = [
    "There is no one but a guard at the gate.",
    "A man with no shirt digs a hole.",
    "A tunnel without any visible lamp in which a train stands leads on.",
]
MARKUP = [
    ('**Caption:** "A goat climbs a wall."', "A goat climbs a wall."),
    ("- A dog barks\n- A cat *runs*", "A dog barks. A cat runs"),
    ("## A hall\n\n1. A man [sits](http://a.b/c).\n2. He `waves`.", "A hall. A man sits. He waves."),
    ("Sure! Here is a description of the video: A goat climbs.", "A goat climbs."),
    ("  A   dog\t barks\u00a0at \u2003 a cat. \n", "A dog barks at a cat."),
    ("```\nA dog barks.\n```", "A dog barks."),
]
FOREIGN = [
    "La vidéo montre un chien qui court. **Il est** heureux.",
    "Das Video zeigt einen Hund, der mit dem Ball spielt.",
    "视频显示一只狗在跑。",
    "В видео показана собака.",
]
CHANGED = [*OPENINGS, *HEDGES, *JUDGEMENTS, *ABSENCES, *MARKUP]
KEPT = [*OPENINGS_THAT_STAY, *HEDGES_THAT_STAY, *JUDGEMENTS_THAT_STAY, *ABSENCES_THAT_STAY, *FOREIGN]
INFLECTIONS = set("a an is are has have".split())  # noqa: SIM905


@pytest.mark.parametrize(("caption", "text"), CHANGED)
def test_takes_out_what_says_nothing(caption, text):
    assert rewrite(caption) == text


@pytest.mark.parametrize("caption", KEPT)
def test_keeps_what_says_something(caption):
    assert rewrite(caption) == caption


@pytest.mark.parametrize("caption", [*(caption for caption, _ in CHANGED), *KEPT])
def test_a_rewritten_caption_stays_as_it_is(caption):
    assert rewrite(rewrite(caption)) == rewrite(caption)


@pytest.mark.parametrize("caption", [caption for caption, _ in CHANGED])
def test_adds_no_word(caption):
    before, after = (Counter(re.findall(r"\w+", text.lower())) for text in (caption, rewrite(caption)))
    assert {word for word in after - before} <= INFLECTIONS


@pytest.mark.parametrize(
    "caption",
    [
        "There is no text visible.",
        "The  overall mood\nis calm.",
        "No people are in the scene.",
        "***",
        "",
        "🐕",
        "The video shows",
    ],
)
def test_is_never_empty_where_the_caption_is_not(caption):
    assert rewrite(caption) == " ".join(caption.split())


def test_white_space_is_tidied_in_any_language():
    assert rewrite(" Un chien\n\n court  dans le\u3000pré. ") == "Un chien court dans le pré."


def test_a_long_caption_as_models_write_them():
    caption = (
        "The video begins with a man standing at a bench in what appears to be a workshop. He is holding a chisel, "
        "which suggests that he is a carver. As the video progresses, he shapes a spoon. The light is warm, coming "
        "from a lamp on the left, creating a cosy and intimate atmosphere. The camera slowly zooms in. There is no "
        "dialogue or text in the video. The overall mood is quiet, evoking a sense of patience."
    )
    assert rewrite(caption) == (
        "A man standing at a bench in a workshop. He is holding a chisel. He shapes a spoon. The light is warm, "
        "coming from a lamp on the left. The camera slowly zooms in."
    )


def test_sentences_do_not_end_at_abbreviations():
    assert sentences("Mr. Smith, e.g. the man in grey, waves. He smiles! Why?") == [
        "Mr. Smith, e.g. the man in grey, waves.",
        "He smiles!",
        "Why?",
    ]


def test_one_text_for_each_caption_in_order():
    captions = [Caption("a", "The video shows a dog."), Caption("b", ""), Caption("c", "A cat.")]
    made = {"rewrite_model": "clipmill rules 1", "rewritten": True}
    assert list(Rules().rewrite(captions)) == [
        ("a", {"text": "A dog.", **made}),
        ("b", {"text": "", **made}),
        ("c", {"text": "A cat.", **made}),
    ]


HOSTILE = [
    "a", ".", "! ", ".a. ", "*", "_", "[", "[a](b", "1. ", "\n", "- a\n", "creating a, ", "no a ", "the video shows ",
    "a video of ", "appears to be ", "a possibly ", "without any visible a or ", ", suggesting x, and the ",
    "creating a warm sense of calm, and the dog runs, ", "there is no a, and the ", "and shows ", "’",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("piece", HOSTILE)
def test_time_grows_with_the_length_and_no_faster(piece):
    # One text of n and one of 16 n: quadratic time would make the second take 256 times as long as the first.
    short, long = (f"The dog is {piece * (length // len(piece))}" for length in (8_000, 128_000))
    times = []
    for text in (short, long):
        start = time.process_time()
        rewrite(text)
        times.append(time.process_time() - start)
    assert times[1] < 80 * max(times[0], 0.005)


@pytest.mark.slow
def test_a_megabyte_of_repeated_openings_ends():
    text = "In the video, " * 75_000 + "a dog barks."
    assert rewrite(text) == "A dog barks."
    assert MAX_PASSES < 10
