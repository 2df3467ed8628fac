"""The embedded rewrite backend: removes from a caption what says nothing about the picture. It needs no model.

It removes openings ("The video shows"), hedges ("possibly"), closing judgements ("The overall mood is …"), statements
of what is absent ("no text is visible") and mark-up. Statements about subject, action, setting, camera and style stay.
No word is added, except an inflection or article that a removal requires ("appears to be" becomes "is").

Every pattern reads at most a few dozen words from where it starts, and no loop goes over a text twice, so the time
grows linearly with the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from clipmill.captions import Answers, Caption
from clipmill.texts.sentences import sentences

MAX_PASSES = 5


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


# Words for the patterns below. The patterns are tried on texts with single spaces.
W = r"[\w'’/-]{1,40}+"
VIDEO = r"(?:video|clip|video clip|footage|video footage|scene|sequence|recording|frames?|images?|film clip)"
THE_VIDEO = rf"(?:the|this|these|our) (?:(?:short|brief|given|provided|entire|whole) )?{VIDEO}"
OF = r"(?:of|showing|featuring|depicting|capturing)"
MOOD = (
    r"(?:atmosphere|ambian?ce|ambience|mood|vibe|feel|feeling|sense|tone|charm|allure|appeal|beauty|drama|tension|"
    r"intensity|excitement|warmth|depth|aesthetic|impression|realism|serenity|tranquill?ity|elegance|dynamism|"
    r"liveliness|authenticity|mystery|nostalgia|immersion|visual interest|experience)"
)
SHOWS = (
    r"(?:shows?|depicts?|features?|captures?|presents?|displays?|showcases?|portrays?|illustrates?|documents?|"
    r"(?:begins?|starts?|opens?)(?: off)? (?:with|by showing|on)|focuses on|consists of|is about|is of)"
)
SEE = r"(?:we|you|one|viewers|the viewer)(?: can)?(?: also| then)? sees?"
INFERRED = r"it (?:can be (?:inferred|assumed)|is (?:likely|possible|probable)|seems|appears) that"
BACKDROP = r"the (?:background|foreground|shot|picture)"

# Beginnings of a sentence, each followed by what it announces. They are tried again until none matches.
OPENINGS = [
    _pattern(
        rf"(?:overall, )?(?:in {THE_VIDEO},? )?{THE_VIDEO} (?:first |also |mainly |primarily |prominently )?{SHOWS}"
        r"(?: us)?(?: that| how(?! to\b))? (?!to\b|how\b)"
    ),
    _pattern(rf"(?:(?:in|throughout) {THE_VIDEO},? |here,? )?{SEE}(?: that| how(?! to\b))? (?!to\b|how\b)"),
    _pattern(rf"in {THE_VIDEO}, "),
    _pattern(rf"as {THE_VIDEO} (?:progresses|continues|unfolds|goes on), "),
    _pattern(rf"this is (?:an?|the) (?:short |brief )?{VIDEO} {OF} "),
    _pattern(rf"(?:{INFERRED}|it (?:can be (?:seen|observed)) that|it (?:seems|looks) like) "),
]
A_VIDEO_OF = _pattern(rf"an? (?:short |brief )?{VIDEO} {OF} ")
FINITE = _pattern(r"\b(?:is|are|was|were)\b")
THROUGHOUT = _pattern(rf"(throughout) {THE_VIDEO}(?=,)")

# An opening stays if the rest would be no sentence without it.
SECOND_VERB = _pattern(
    r"(?:\b(?:and|then|before|also|later)|,) (?:(?:then|also|later|finally) )?(?:cuts?|transitions?|ends|ending|"
    r"concludes|shows|features|captures|showcases|depicts|highlights|presents|displays|shifts|switches|follows|"
    r"continues|moves on|zooms|pans)\b"
)
OBJECT_FORM = _pattern(r"(?:him|them|us|me)\b")

# Sentences that are removed up to their next clause, unless EXCEPTION is in them.
SAYS_NOTHING = [
    _pattern(
        r"(?:the|this|its) (?:overall |general |emotional )?(?:atmosphere|mood|ambian?ce|ambience|vibe|feel|feeling|"
        rf"impression)(?: (?:of|in) {THE_VIDEO})? "
        r"(?:is|are|feels?|seems?|appears?|conveys?|evokes?|remains?|suggests?|exudes?|becomes?)\b"
    ),
    _pattern(r"(?:the|its) (?:overall|general|emotional) tone "),
    _pattern(
        rf"(?:overall, )?(?:{THE_VIDEO}|it|this) (?:conveys|evokes|exudes|radiates|creates|gives|adds|lends|"
        rf"contributes) (?:to |off )?(?:{W},? ){{0,7}}?{MOOD}\b"
    ),
    _pattern(r"this (?:suggests|implies|indicates|hints)\b"),
    _pattern(rf"(?:in {THE_VIDEO},? )?there(?: is| are| was| were|'s|’s) (?:no|not any)\b"),
    _pattern(
        rf"no (?:{W},? ){{1,12}}?(?:is|are|was|were|can be) (?:clearly |directly )?(?:visible|present|shown|seen|"
        rf"depicted|featured|displayed|discernible|in (?:{THE_VIDEO}|{BACKDROP}))"
    ),
    _pattern(rf"no (?:{W},? ){{1,12}}?appears? in (?:{THE_VIDEO}|{BACKDROP})"),
    _pattern(
        rf"{THE_VIDEO} (?:(?:does not|doesn['’]t|do not|don['’]t) (?:contain|feature|include|show|have|display|"
        r"depict|provide|reveal)|(?:shows?|contains?|features?|includes?|has|have) no)\b"
    ),
    _pattern(r"it is (?:unclear|not clear|not possible to|impossible to|difficult to (?:tell|say|determine))\b"),
]
EXCEPTION = _pattern(r"\b(?:but|except|other than|besides|apart from|however|although|only|just|aside from|until)\b")
JOINED = _pattern(r"(?:, (?:and|while)|;(?: (?:and|while))?) ")

# Parts of a sentence that are removed, from their first word to the next clause or the end.
ASIDES = [
    _pattern(r", (?:(?:which|likely|possibly|perhaps) )?(?:suggesting|implying|hinting|indicating|conveying|evoking|"
             r"exuding)\b"),
    _pattern(r", which (?:suggests|implies|hints|indicates)\b"),
    _pattern(r",? (?:thus |thereby |further )?(?:creating|giving|adding|lending|contributing|enhancing|emphasi[sz]ing|"
             rf"imparting|instilling|setting|providing|evoking|conveying) (?:{W},? ){{0,7}}?{MOOD}\b"),
    _pattern(r",? (?:which|that) (?:creates?|gives?|adds?|lends?|contributes?|enhances?|conveys?|evokes?) "
             rf"(?:{W},? ){{0,7}}?{MOOD}\b"),
    _pattern(r", (?:and )?(?:without any|with no) (?:visible|discernible|noticeable|apparent|text|people|other)\b"),
]  # fmt: skip
NEXT_CLAUSE = _pattern(
    r"(?:, (?:and|while|as|but|before|with|then)|;) (?:the|a|an|he|she|they|it|his|her|their|its|two|three|another)\b"
)
MOOD_AHEAD = _pattern(rf"[,;] (?:{W} ){{1,5}}{MOOD}\b")
WITHOUT = _pattern(
    rf" (?:without any|with no) (?:visible|discernible|noticeable|apparent) (?:{W} ){{0,2}}?{W}"
    rf"(?:(?:,|,? or|,? and) {W}){{0,4}}(?: (?:in|on|within) (?:{THE_VIDEO}|{BACKDROP}))?(?=[.,;!?]|$)"
)

# Words that are removed, each with its replacement.
ADVERB = "possibly|probably|perhaps|presumably|seemingly|apparently|supposedly"
NO_ADJECTIVE = "".join(rf"(?<!\b{word} )" for word in ("a", "an", "the", "any", "as", "more", "less", "most", "very"))
AUXILIARIES = ("to", "not", "n't", "n’t", "may", "will", "would", "could", "might")
NO_INFINITIVE = "".join(rf"(?<!{word} )" for word in AUXILIARIES)
HEDGES: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (_pattern(r"\bwhat (?:(?:appears?|seems?) to be|looks? like|(?:could|may|might) be) "), ""),
    (_pattern(rf"\b{INFERRED} "), ""),
    (_pattern(r"\b(?:appears|seems) to have been\b"), "has been"),
    (_pattern(rf"{NO_INFINITIVE}\b(?:appear|seem) to have been\b"), "have been"),
    (_pattern(r"\b(?:appears|seems) to have\b"), "has"),
    (_pattern(rf"{NO_INFINITIVE}\b(?:appear|seem) to have\b"), "have"),
    (_pattern(r"\b(?:appears|seems) to be\b"), "is"),
    (_pattern(rf"{NO_INFINITIVE}\b(?:appear|seem) to be\b"), "are"),
    (_pattern(rf"\b(an?) (?:{ADVERB}) (?=(\w{{1,6}}))"), lambda match: _article(match[1], match[2])),
    (_pattern(rf"{NO_ADJECTIVE}\b(?:{ADVERB}|(?:most |very )?likely) (?!to\b|than\b|that\b|as\b)(?=\w)"), ""),
]

# Mark-up, and text before the caption itself.
FENCE = re.compile(r"^[ \t]*(?:```|~~~)[^\n]*$", re.MULTILINE)
LINE_MARK = re.compile(r"[ \t]*+(?:(?:#{1,6}|[-*+•>]|\d{1,3}[.)])[ \t]++)+|>")
LINK = re.compile(r"!?\[([^\[\]\n]{1,300})\]\([^()\s]{1,500}\)")
EMPHASIS = re.compile(
    r"\*{2,3}|(?<!\w)__+(?=[^\W_])|(?<=[^\W_])__+(?!\w)|`|(?<![\w*])\*(?=\w)|(?<=[\w.!?,])\*(?![\w*])"
)
PREFACE = _pattern(
    r"(?:(?:sure|certainly|of course|okay)[,!.] ?)?(?:here(?: is|'s|’s) (?:an?|the|your) [^:.\n]{1,80}:|"
    r"(?:(?:video |rewritten |detailed |short )?(?:caption|description|answer|summary))[:.]) ?"
)
WRAPPED = 40  # characters: a line this long without an end mark continues in the next line
QUOTES = {'"': '"', "“": "”", "'": "'", "‘": "’", "«": "»"}

# Small words that distinguish English from other languages in Latin letters; words of both are in neither set.
ENGLISH = frozenset(
    re.findall(r"\w+", "the of and with is are to on this that there by from it its at an while he she")
)
FOREIGN = frozenset(
    re.findall(
        r"\w+",
        "le la les des une est dans et un du der das ein eine und ist mit dem den el los las una y que para por il di "
        "che è nel della um uma não os het een en op met med och som på jest na w z",
    )
)


class Rules:
    """Rewrites captions by fixed rules. The same caption gives the same text; a rewritten text is not changed again."""

    model = "clipmill rules 1"
    about = {"backend": "rules", "model": model}

    def rewrite(self, captions: list[Caption]) -> Answers:
        """See `RewriteBackend`. No text is empty unless its caption is."""
        for caption in captions:
            yield caption.clip_id, {"text": rewrite(caption.text), "rewrite_model": self.model, "rewritten": True}


def rewrite(caption: str) -> str:
    """The caption without what says nothing. If no text would be left, only its white space is tidied."""
    tidy = " ".join(caption.split())
    if not is_english(tidy):
        return tidy
    return _until_stable(caption) or (_until_stable(tidy) if tidy != caption else tidy) or tidy


def is_english(text: str) -> bool:
    """Whether the rules apply: mostly Latin letters, and no more foreign than English small words."""
    letters = sum(map(str.isalpha, text))
    latin = sum(character.isascii() and character.isalpha() for character in text)
    words = [word.strip(".,;:!?\"'()").lower() for word in text.split()]
    return latin >= 0.8 * letters and sum(word in FOREIGN for word in words) <= sum(word in ENGLISH for word in words)


def plain(caption: str) -> str:
    """`caption` on one line, without mark-up, preface and the quotes around it."""
    paragraphs: list[list[str]] = [[]]
    wrapped = False
    for line in FENCE.sub("", caption).splitlines():
        mark = LINE_MARK.match(line)
        bare = line[mark.end() :] if mark else line
        if mark or not (wrapped or bare.lstrip()[:1].islower()):
            paragraphs.append([])
        paragraphs[-1].append(EMPHASIS.sub("", LINK.sub(r"\1", bare)))
        wrapped = len(line) >= WRAPPED and not line.rstrip().endswith((".", "!", "?", ":"))
    joined = [text for text in (" ".join(" ".join(lines).split()) for lines in paragraphs) if text]
    text = " ".join([_ended(text) for text in joined[:-1]] + joined[-1:])
    text = PREFACE.sub("", text, count=1) if PREFACE.match(text) else text
    if len(text) > 2 and QUOTES.get(text[0]) == text[-1] and not set(text[0] + text[-1]) & set(text[1:-1]):
        text = text[1:-1].strip()
    return text


def without_nothings(sentence: str) -> str:
    """`sentence` without a first clause that says what is absent, or gives a judgement; a clause after it stays."""
    if not any(pattern.match(sentence) for pattern in SAYS_NOTHING) or EXCEPTION.search(sentence):
        return sentence
    rest = sentence[clause_end(sentence, 0) :]
    if not _has_words(rest):
        return ""
    joined = JOINED.match(rest)
    return rest[joined.end() :] if joined else sentence


def without_opening(sentence: str) -> str:
    """`sentence` from the place where it begins to describe the picture."""
    openings = OPENINGS if FINITE.search(sentence) else [*OPENINGS, A_VIDEO_OF]
    position = 0
    while match := next((match for pattern in openings if (match := pattern.match(sentence, position))), None):
        position = match.end()
    if position and (SECOND_VERB.search(sentence, position) or OBJECT_FORM.match(sentence, position)):
        return sentence
    return THROUGHOUT.sub(r"\1", sentence[position:], count=1)


def without_asides(sentence: str, pattern: re.Pattern[str]) -> str:
    """`sentence` without the clauses that begin with `pattern`, each up to the next clause or the end."""
    parts, position = [], 0
    while match := pattern.search(sentence, position):
        parts.append(sentence[position : match.start()])
        position = clause_end(sentence, match.end())
    return "".join([*parts, sentence[position:]]) if parts else sentence


def clause_end(sentence: str, position: int) -> int:
    """Where the clause around `position` ends: before `, and the …`, or before the sentence's end mark."""
    for match in NEXT_CLAUSE.finditer(sentence, position):
        if not MOOD_AHEAD.match(sentence, match.start()):
            return match.start()
    return len(sentence) - (sentence[-1:] in {".", "!", "?"})


def _until_stable(text: str) -> str:
    """`text` after passes until one changes nothing; empty if MAX_PASSES are too few, or if no word is left."""
    for _ in range(MAX_PASSES):
        before, text = text, _one_pass(text)
        if text == before:
            return text if _has_words(text) else ""
    return ""


def _one_pass(caption: str) -> str:
    kept = []
    for sentence in filter(_has_words, sentences(plain(caption))):
        text = without_nothings(without_opening(without_nothings(sentence)))
        for pattern in ASIDES:
            text = without_asides(text, pattern)
        text = WITHOUT.sub("", text)
        for pattern, replacement in HEDGES:
            text = pattern.sub(replacement, text)
        if text != sentence:
            text = _tidy(text)
        if _has_words(text):
            kept.append(text)
    return " ".join(kept)


def _tidy(text: str) -> str:
    """Correct punctuation and capitals after a removal."""
    text = re.sub(r" {1,9}(?=[,.;!?])", "", " ".join(text.split()))
    text = re.sub(r",(?=[.;!?])", "", text).lstrip(",;:. ")
    return text[:1].upper() + text[1:]


def _has_words(text: str) -> bool:
    return any(map(str.isalnum, text))


def _ended(paragraph: str) -> str:
    return paragraph if paragraph[-1] in ".!?:;,\"”')…" else f"{paragraph}."


def _article(article: str, word: str) -> str:
    """`a ` or `an ` before `word`, capitalised like the article that was there."""
    word = word.lower()
    vowel = word.startswith(("hour", "honest", "heir")) or (
        word[0] in "aeiou" and not word.startswith(("uni", "use", "usu", "one", "eu"))
    )
    return article[0] + ("n " if vowel else " ")
