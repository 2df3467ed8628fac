"""Texts are cleaned as the tokenizers cleaned them with which CLIP and VideoCLIP-XL were trained."""

import json
import sys

import pytest

from clipmill.base.errors import SetupError
from clipmill.models.clip_texts import cleaned

pytestmark = pytest.mark.torch  # ftfy comes with the models' packages

# Of aigc-apps/EasyAnimate at commit c2a70d1, with ftfy 6.3.1: whitespace_clean(basic_clean(text)) of
# easyanimate/video_caption/utils/longclip/simple_tokenizer.py.
ORIGINAL = {
    "A man’s “red” car – it’s fast…": "A man's \"red\" car – it's fast…",
    "Salt &amp;amp; pepper &lt;b&gt;": "Salt & pepper <b>",
    "Salt &amp; pepper": "Salt & pepper",
    "The cafÃ© in MontrÃ©al": "The café in Montréal",
    "â€œquotedâ€\x9d": '"quoted"',
    "Ａ ＲＥＤ ｃａｒ": "A RED car",
    "An oﬃce with a ﬁre": "An office with a fire",
    "  two\n\n lines\tof text ": "two lines of text",
    "x\x1b[31m red \x00 zero": "x red zero",
    "It’s 5 &nbsp; o’clock": "It's 5 o'clock",
    "e\u0301clair": "\xe9clair",
    "&amp;amp;amp;lt;": "<",
    "Zürich £5 ½, plain text: nothing to do.": "Zürich £5 ½, plain text: nothing to do.",
}


@pytest.mark.parametrize("text", ORIGINAL, ids=json.dumps)
def test_a_text_is_cleaned_as_the_original_does(text):
    assert cleaned(text) == ORIGINAL[text]


def test_a_missing_package_is_named_with_its_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "ftfy", None)
    with pytest.raises(SetupError, match="^the package `ftfy` is not installed; run `make models`"):
        cleaned("A red car.")
