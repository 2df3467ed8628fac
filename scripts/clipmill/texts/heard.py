"""What a caption says of the sound of a clip. It is kept apart from what it says of the picture.

So a text can be compared with the pictures alone, and rewriting changes no word that is quoted. Both are put together
when the dataset is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

COLUMNS = ("caption_speech", "caption_music", "caption_sounds")  # in the order in which they are said
NONE = "none"  # the value of a column where nothing of its kind is heard
# Other words by which models say so. Strings: `re` compiles them when they are first used.
_KIND = r"(?:\w+ )?(?:speech|dialogue?|voices?|words|talking|singing|music|sounds?|noises?|audio)"
NOTHING = (
    r"(?i)(?:there(?: is| are|'s) |the (?:clip|video) has )?"
    rf"(?:none|no one speaks|nobody speaks|silence|silent|n/?a|null|no {_KIND}(?:,? (?:or|and|nor) {_KIND})*)"
    r"(?: (?:is |are |can be )?(?:heard|audible|present|detected|spoken))?"
    r"(?: in (?:the|this) (?:clip|video|audio|recording|scene))?\.?"
)
ENDS = ".!?…。！？"  # of a sentence, maybe followed by a closing mark
CLOSING = "\"'”’»」』)"


def said(text: str) -> str:
    """A field about the sound as the table has it: NONE if the model says in any words that there is nothing."""
    text = text.strip()
    return text if text and not re.fullmatch(NOTHING, text) else NONE


def heard(row: Mapping[str, Any]) -> str:
    """Sentences on the sound of a clip, from the columns of its row; empty if there is nothing to say."""
    found = (row.get(column) for column in COLUMNS)
    return " ".join(_sentence(text) for text in found if text and text != NONE)


def with_heard(text: str, row: Mapping[str, Any]) -> str:
    """A text on the picture of a clip, and after it what is heard."""
    return " ".join(filter(None, (text, heard(row))))


def _sentence(text: str) -> str:
    ended = text.rstrip(CLOSING)[-1:] in ENDS
    return f"{text[0].upper()}{text[1:]}{'' if ended else '.'}"
