"""The verdicts of many clips at once: which stages of the funnel a clip fails, and which are unknown.

The page's script (`page.js`) computes the same for other thresholds: a change here needs the same change there.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from clipmill.filters import reasons, verdict
from clipmill.filters.columns import COLUMNS, FILTERS, LATE_FILTERS, WORDS, source
from clipmill.steps import metrics_of
from clipmill.store import tables
from clipmill.store.layout import is_classifier
from clipmill.store.table import FLAG
from clipmill.texts.questions import JUDGE

# Stages besides the filters: no threshold changes them.
DUPLICATES, ANSWERS, TEXTS, FILES = "duplicates", "answers", "texts", "files"

# The fate of a clip in the run, as far as its scores do not say it.
GONE_ON, NOT_CAPTIONED, BAD_TEXT, NOT_CUT, BAD_FILE, DUPLICATE, BAD_ANSWER, SHORT, SMALL, SILENT = range(10)

OTHERS = {DUPLICATE: DUPLICATES, BAD_ANSWER: ANSWERS, BAD_TEXT: TEXTS, BAD_FILE: FILES}

Values = dict[str, np.ndarray]
"""By filter, a number per clip: its score, or of a filter on words the number of its word; NaN where it is missing."""


@dataclass(frozen=True)
class Looked:
    """A judged batch of clips. `unknown`: where the score was never computed.

    `exempt`: clips that the late filters do not judge, since a person wrote their texts. `fails`, `unsure`: clips ×
    stages: those that a clip fails, and those for which that is unknown.
    """

    values: Values
    unknown: dict[str, np.ndarray]
    fate: np.ndarray
    exempt: np.ndarray
    fails: np.ndarray
    unsure: np.ndarray


class Judge:
    """Gives verdicts with the bounds of a run. `cascade`: whether costly scores were skipped for dropped clips.

    `beside`: which of DUPLICATES (or limits) and ANSWERS drop clips in this run. `words`: by filter on words, the words
    that were seen so far. A word's number is its place.
    """

    def __init__(self, filters: verdict.Bounds, order: list[str], cascade: bool, beside: Collection[str] = ()):
        self.filters = [*order, *LATE_FILTERS]
        self.table = tables.with_classifiers(tables.FINAL_VERDICTS, order)
        self.stages = [*order, *(name for name in (DUPLICATES, ANSWERS) if name in beside), TEXTS, *LATE_FILTERS, FILES]
        self.place = {name: place for place, name in enumerate(self.stages)}
        self.words: dict[str, list[str]] = {name: [] for name in self.filters if name in WORDS}
        self.active = verdict.active(filters, self.filters)
        self.bounds = {name: filters[name] for name in self.filters}
        self.cascade = cascade
        self._order = order
        self._before = {metric: verdict.before(metric, order) for metric in metrics_of(order)} if cascade else {}

    def decides(self, name: str) -> list[str]:
        """The stages that decide which clips have the score `name`. A quantile of it changes with them."""
        late = name in LATE_FILTERS  # only clips with a text have those
        return self._order if late else self._before.get(source(name), [])

    def numbers(self, name: str, words: pa.Array) -> np.ndarray:
        """The numbers of the words of a filter; NaN where there is none."""
        encoded, known = words.cast(pa.string()).dictionary_encode(), self.words[name]
        known += [word for word in encoded.dictionary.to_pylist() if word not in known]
        places = [known.index(word) for word in encoded.dictionary.to_pylist()]
        return np.array([*places, np.nan])[encoded.indices.fill_null(len(places)).to_numpy(zero_copy_only=False)]

    def said(self, name: str, values: np.ndarray) -> list[float | str | None]:
        """Values of a filter as people read them: of a filter on words the words. None where there is none."""
        if name not in WORDS:
            return [value if math.isfinite(value) else None for value in values.tolist()]
        return [None if np.isnan(value) else self.words[name][int(value)] for value in values]

    def lets_in(self, name: str) -> list[bool]:
        """Whether each word of a filter on words passes it."""
        is_flag = COLUMNS[name].type == FLAG
        return [
            verdict.lets_in(word == verdict.word(True) if is_flag else word, self.bounds[name])
            for word in self.words[name]
        ]

    def out_of(self, name: str, values: np.ndarray) -> np.ndarray:
        """Which values do not pass a filter, as in `verdict.out_of`: those that are missing or not finite do not."""
        if name not in WORDS:
            return out_of(values, self.bounds[name])
        passes = np.array([*self.lets_in(name), False])
        return ~passes[np.where(np.isnan(values), -1, values).astype(int)]

    def look(self, values: Values, reasons: pa.Array, has_text: np.ndarray, exempt: np.ndarray) -> Looked:
        """Judge a batch. `values`: each filter's score, NaN where missing; all else: from the run, see `Looked`."""
        failed = {name: self.out_of(name, values[name]) for name in self.active}
        failed |= {name: failed[name] & ~exempt for name in LATE_FILTERS if name in failed}
        nobody = np.zeros(len(has_text), bool)
        spared = {
            metric: np.logical_or.reduce([failed[name] for name in before if name in failed], initial=False) | nobody
            for metric, before in self._before.items()
        }
        unknown = {}
        for name in self.filters:
            not_made = ~has_text if name in LATE_FILTERS else spared.get(source(name), nobody)
            unknown[name] = not_made & np.isnan(values[name])
        fate = fates(reasons)
        fails, unsure = np.zeros((2, len(has_text), len(self.stages)), bool)
        for bad, stage in OTHERS.items():
            if stage in self.place:
                fails[:, self.place[stage]] = fate == bad
        for name, out in failed.items():
            fails[:, self.place[name]] = out & ~unknown[name]
            unsure[:, self.place[name]] = unknown[name]
        return Looked(values, unknown, fate, exempt, fails, unsure)


def is_judged(fate: np.ndarray) -> np.ndarray:
    """Which clips thresholds decide about: those that are not too short or too small, and have sound if they must."""
    return fate < SHORT


def out_of(values: np.ndarray, bound: Mapping[str, float | None]) -> np.ndarray:
    """Which values do not lie within a bound, as in `verdict.out_of`: values that are missing or not finite do not."""
    out = ~np.isfinite(values)
    if bound.get("min") is not None:
        out |= values < bound["min"]
    if bound.get("max") is not None:
        out |= values > bound["max"]
    return out


def fates(reasons: pa.Array) -> np.ndarray:
    """The fates of clips, by the reasons of their verdicts."""
    encoded = reasons.dictionary_encode()
    of_reason = np.array([_fate(reason) for reason in encoded.dictionary.to_pylist()] + [GONE_ON], np.uint8)
    return of_reason[encoded.indices.fill_null(len(of_reason) - 1).to_numpy(zero_copy_only=False)]


def _fate(words: str) -> int:
    reason = reasons.from_words(words)
    if reason is None:
        return BAD_TEXT
    if reason.stage in FILTERS or is_classifier(reason.stage):
        return NOT_CAPTIONED
    if reason.stage in LATE_FILTERS:
        return NOT_CUT
    if reason == reasons.JUDGE_FAILED or reason.stage.startswith(JUDGE):
        return BAD_ANSWER
    if reason in reasons.UNFIT.values():
        return SHORT
    if reason == reasons.TOO_SMALL:
        return SMALL
    if reason == reasons.NO_SOUND:
        return SILENT
    if reason in (reasons.DUPLICATE, reasons.PER_GROUP, reasons.PER_VIDEO):
        return DUPLICATE
    last = (reasons.COMMON_TEXT, reasons.CUT_FAILED, reasons.REVIEWED_OUT, reasons.NOT_STARRED)
    return BAD_FILE if reason in last else BAD_TEXT


@dataclass
class Amount:
    """A number of clips, and their length in seconds."""

    clips: int = 0
    seconds: float = 0.0

    def add(self, clips: int, seconds: float) -> None:
        self.clips += clips
        self.seconds += seconds


class Tally:
    """Counts clips by their failed and unknown stages. All other counts follow. Memory does not grow with the clips.

    The stages of a clip are the bits of a whole number, the first stage the lowest.
    """

    def __init__(self, judge: Judge):
        self.judge = judge
        self._clips: Counter[tuple[int, int]] = Counter()
        self._seconds: Counter[tuple[int, int]] = Counter()

    def add(self, fails: np.ndarray, unsure: np.ndarray, seconds: np.ndarray) -> None:
        """Count a batch of clips. `fails`, `unsure`: clips × stages."""
        bits = [np.packbits(stages, axis=1, bitorder="little") for stages in (fails, unsure)]
        width = bits[0].shape[1]
        kinds, which = np.unique(np.hstack(bits).view(f"V{2 * width}").ravel(), return_inverse=True)
        amounts = zip(kinds.tolist(), np.bincount(which).tolist(), np.bincount(which, seconds).tolist(), strict=True)
        for kind, clips, length in amounts:
            key = int.from_bytes(kind[:width], "little"), int.from_bytes(kind[width:], "little")
            self._clips[key] += clips
            self._seconds[key] += length

    def _kinds(self) -> Iterator[tuple[int, int, int, float]]:
        for (fails, unsure), clips in sorted(self._clips.items()):
            yield fails, unsure, clips, self._seconds[fails, unsure]

    def funnel(self) -> dict[str, tuple[Amount, Amount]]:
        """By stage, in order: clips that passed it and all stages before it, and clips of which that is unknown."""
        found = {stage: (Amount(), Amount()) for stage in self.judge.stages}
        for fails, unsure, clips, seconds in self._kinds():
            for stage, (passed, unknown) in found.items():
                before = (2 << self.judge.place[stage]) - 1
                if not fails & before:
                    (unknown if unsure & before else passed).add(clips, seconds)
        return found

    def overlap(self) -> dict[str, dict[str, int]]:
        """By filter: how many clips fail both it and each other filter. A filter with itself: all that fail it."""
        names = list(self.judge.active)
        both = {one: dict.fromkeys(names, 0) for one in names}
        for fails, _, clips, _ in self._kinds():
            failed = [name for name in names if fails >> self.judge.place[name] & 1]
            for one in failed:
                for other in failed:
                    both[one][other] += clips
        return both

    def alone(self) -> dict[str, tuple[int, int]]:
        """By filter: clips that fail it and pass all others; and clips that fail it, of which the rest is unknown."""
        found = {}
        for name in self.judge.active:
            alone = 1 << self.judge.place[name]
            own = [(unsure, clips) for fails, unsure, clips, _ in self._kinds() if fails == alone]
            known = sum(clips for unsure, clips in own if not unsure)
            found[name] = known, sum(clips for _, clips in own) - known
        return found

    def unknown(self) -> dict[str, int]:
        """By filter: clips whose score was never computed."""
        return {
            name: sum(clips for _, unsure, clips, _ in self._kinds() if unsure >> self.judge.place[name] & 1)
            for name in self.judge.active
        }
