"""Splits a text into its sentences."""

from __future__ import annotations

import re

SENTENCE_END = re.compile(r"(?<![.!?])[.!?]{1,8}[\"”’')\]]{0,3} ")
NO_END = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|vs|no|e\.g|i\.e|approx|etc|jr|sr|fig)|(?<![\w.])[a-z]|\b[a-z]\.[a-z])$",
    re.IGNORECASE,
)


def sentences(text: str) -> list[str]:
    """The sentences of a text on one line, each with its end mark."""
    found, start = [], 0
    for match in SENTENCE_END.finditer(text):
        if text[match.start()] == "." and NO_END.search(text[max(start, match.start() - 8) : match.start()]):
            continue
        found.append(text[start : match.end() - 1])
        start = match.end()
    return [*found, text[start:]] if start < len(text) else found
