"""Checks of captions that need no model and look at the text alone. The config says which of them are made.

Repetition is measured as by Rae and others (2021, Gopher, table A1), on words.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from clipmill.texts.thoughts import has_thoughts

# Patterns are strings here. `re` compiles each when it is first used: WORD takes 10 ms, and all jobs and the parsing of
# the rules import this module.
# A word; a character of Chinese, Japanese or Korean counts as one.
_WIDE = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
WORD = rf"[{_WIDE}]|[^\W_{_WIDE}]+(?:['’\-][^\W_{_WIDE}]+)*"

# What models say instead of a caption.
REFUSAL = (
    r"(?i)\b(?:i(?:'|’)?m sorry|i am sorry|i apologi[sz]e|as an ai\b|as a (?:large )?language model"
    r"|i(?: can(?:not|'t|’t)| am unable| am not able|(?:'|’)m (?:unable|not able)| do not have| don(?:'|’)t have)"
    r"|(?:cannot|can't|unable to) (?:assist|help|comply|fulfil|process|view|watch|see)"
    r"|no (?:video|image|frame|caption)s? (?:was|were|has been|have been|is|are) (?:provided|given|attached))\b"
)
# Talk about the task instead of the picture.
META = (
    r"(?i)^(?:sure|certainly|of course|okay|here(?:'|’)?s|here is|here are)\b[^.]{0,40}[,!:]"
    r"|\b(?:the|these|those) (?:provided|given|supplied|uploaded) (?:video|image|frame|picture|clip|caption|text)s?\b"
    r"|\b(?:rewritten|revised|final) (?:caption|version|text|description)\b|\bas (?:you )?requested\b"
    r"|\blet me know if\b|\bbased on (?:the|these) (?:image|frame|picture)s\b"
)
# Script -> beginnings of its letters' names in Unicode.
SCRIPTS = {
    "latin": ("LATIN",),
    "cyrillic": ("CYRILLIC",),
    "greek": ("GREEK",),
    "arabic": ("ARABIC",),
    "hebrew": ("HEBREW",),
    "devanagari": ("DEVANAGARI",),
    "thai": ("THAI",),
    "han": ("CJK",),
    "japanese": ("CJK", "HIRAGANA", "KATAKANA"),
    "hangul": ("HANGUL",),
}
LEAST_SHARE = 0.8  # of letters in the script that is asked for: names and signs may be in another

Checks = dict[str, Any]

# Kinds of fault.
CUT_OFF, TOO_SHORT, TOO_LONG = "cut off", "too short", "too long"
REFUSES, OTHER_SCRIPT, REPEATS_WORDS, REPEATS_ITSELF = "refusal", "in another script", "repeats words", "repeats itself"
THOUGHTS, ABOUT_THE_TASK = "thoughts", "about the task"
OF_WORDS = (THOUGHTS, REFUSES, OTHER_SCRIPT, REPEATS_WORDS, REPEATS_ITSELF)
CAPTION_FAULTS = (CUT_OFF, *OF_WORDS)
TEXT_FAULTS = (TOO_SHORT, TOO_LONG, *OF_WORDS, ABOUT_THE_TASK)


def words_of(text: str) -> list[str]:
    """The words of a text."""
    return re.findall(WORD, text)


def is_refusal(text: str) -> bool:
    """Whether a text holds words with which a model refuses to answer."""
    return re.search(REFUSAL, text) is not None


def fault_of_caption(text: str, whole: bool | None, checks: Checks) -> str | None:
    """The fault of a caption before it is rewritten, one of CAPTION_FAULTS; None if it has none.

    Its length and its way of speaking are not judged yet, since rewriting may change them. `whole`: None if unknown.
    """
    if checks["cut_off"] and whole is False:
        return CUT_OFF
    return _fault_of_words(text, checks)


def fault_of_text(text: str, checks: Checks) -> str | None:
    """The fault of a text to train on, one of TEXT_FAULTS; None if it has none."""
    count = len(words_of(text))
    if checks["min_words"] is not None and count < checks["min_words"]:
        return TOO_SHORT
    if checks["max_words"] is not None and count > checks["max_words"]:
        return TOO_LONG
    fault = _fault_of_words(text, checks)
    if fault is None and checks["meta_phrases"] and re.search(META, text):
        return ABOUT_THE_TASK
    return fault


def _fault_of_words(text: str, checks: Checks) -> str | None:
    if checks["thoughts"] and has_thoughts(text):
        return THOUGHTS
    if checks["refusals"] and is_refusal(text):
        return REFUSES
    if checks["script"] and share_in_script(text, checks["script"]) < LEAST_SHARE:
        return OTHER_SCRIPT
    if checks["repeated_words"] is not None and longest_run(text) > checks["repeated_words"]:
        return REPEATS_WORDS
    if checks["repeated_trigrams"] is not None and repeated_trigrams(text) > checks["repeated_trigrams"]:
        return REPEATS_ITSELF
    return None


def longest_run(text: str) -> int:
    """The most times that one word stands in a row."""
    longest, run, before = 0, 0, None
    for word in map(str.lower, words_of(text)):
        run = run + 1 if word == before else 1
        longest, before = max(longest, run), word
    return longest


def repeated_trigrams(text: str) -> float:
    """The share of sequences of three words that are in the text before already, 0 to 1."""
    words = [word.lower() for word in words_of(text)]
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(trigrams)) / len(trigrams) if trigrams else 0.0


def share_in_script(text: str, script: str) -> float:
    """The share of letters that belong to a script, 0 to 1; 1 if there are no letters."""
    letters = [character for character in text if character.isalpha()]
    inside = sum(unicodedata.name(letter, "").startswith(SCRIPTS[script]) for letter in letters)
    return inside / len(letters) if letters else 1.0


def same(text: str) -> str:
    """A form that is equal for texts that count as the same: neither case nor white space matters."""
    return " ".join(text.lower().split())
