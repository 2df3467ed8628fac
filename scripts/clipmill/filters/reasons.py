"""Why a clip is not kept: a value of two parts. It is put into words only here."""

from __future__ import annotations

from dataclasses import dataclass

from clipmill.filters.columns import FILTERS, LATE_FILTERS, WORDS
from clipmill.store import tables
from clipmill.store.layout import is_classifier
from clipmill.texts.checks import CAPTION_FAULTS, TEXT_FAULTS
from clipmill.texts.questions import ANSWERS, JUDGE


@dataclass(frozen=True)
class Reason:
    """The `stage` that spoke against a clip, and the `kind`.

    Stages: split, size, sound, a filter, duplicates, limit, judge or the column of a question, caption, rewrite, text,
    cut, review.
    """

    stage: str
    kind: str

    def __str__(self) -> str:
        """The words for it in tables, the summary and the report."""
        alone = ("split", "size", "sound", "duplicates", "review")
        return self.kind if self.stage in alone else f"{self.stage} {self.kind}"


def words(reason: Reason | None) -> str | None:
    """A reason as the column `reason` has it; None is kept."""
    return None if reason is None else str(reason)


MISSING, LOW, HIGH = "missing", "low", "high"  # kinds of fault of a score
DENIED = "not allowed"  # and of a word


def _faults(name: str) -> tuple[str, ...]:
    """The kinds of fault that a filter may find."""
    return (MISSING, DENIED) if name in WORDS else (MISSING, LOW, HIGH)


UNFIT = {kind: Reason("split", kind) for kind in tables.UNFIT}
TOO_SMALL = Reason("size", "too_small")  # for cut.size
NO_SOUND = Reason("sound", "no_sound")  # for cut.audio: require
DUPLICATE = Reason("duplicates", "duplicate")
PER_GROUP, PER_VIDEO = Reason("limit", "per group"), Reason("limit", "per video")
JUDGE_FAILED = Reason("judge", "failed")
CAPTION_FAILED = Reason("caption", "failed")
REWRITE_FAILED = Reason("rewrite", "failed")
COMMON_TEXT = Reason("text", "on many clips")
CUT_FAILED = Reason("cut", "failed")
REVIEWED_OUT, NOT_STARRED = Reason("review", "reviewed out"), Reason("review", "not starred")

# All reasons by their words, but for those of classifiers and answers: see `from_words`.
BY_WORDS = {
    str(reason): reason
    for reason in (
        *UNFIT.values(),
        TOO_SMALL,
        NO_SOUND,
        *(Reason(name, kind) for name in (*FILTERS, *LATE_FILTERS) for kind in _faults(name)),
        DUPLICATE,
        PER_GROUP,
        PER_VIDEO,
        JUDGE_FAILED,
        CAPTION_FAILED,
        *(Reason("caption", fault) for fault in CAPTION_FAULTS),
        REWRITE_FAILED,
        *(Reason("text", fault) for fault in TEXT_FAULTS),
        COMMON_TEXT,
        CUT_FAILED,
        REVIEWED_OUT,
        NOT_STARRED,
    )
}


def from_words(text: str) -> Reason | None:
    """The reason with these words, as a table has them; None where they are no reason."""
    stage, _, kind = text.partition(" ")
    if is_classifier(stage) and kind in (MISSING, LOW, HIGH):
        return Reason(stage, kind)
    if stage.startswith(JUDGE) and kind in ANSWERS:
        return Reason(stage, kind)
    return BY_WORDS.get(text)
