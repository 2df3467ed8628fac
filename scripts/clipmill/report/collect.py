"""One pass over the verdicts of all clips, in batches: it counts all clips, and keeps numbers of a random sample."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clipmill.filters.columns import WORDS
from clipmill.report.judge import GONE_ON, SHORT, SILENT, SMALL, Amount, Judge, Looked, Tally, Values, is_judged
from clipmill.store import tables
from clipmill.texts import checks as text_checks
from clipmill.texts.template import CAPTIONER

SEED = 6
BATCH = 65_536
MOST_ROWS = 1_000_000  # clips in the page's table at most; of more clips it has a random sample
MOST_TEXTS = 20_000  # texts in which words are counted; of more texts a random sample
MOST_SHOWN = 300  # a run with as many clips, or fewer, shows all of them
KEPT, NEAR, DROPPED = 24, 6, 12  # clips of a larger run that are shown: kept ones, per side of a threshold, per stage
CANDIDATES = 200  # for each of these; clips of different videos are chosen from them
LETTERS = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")  # the part of a word that is listed: without digits

COLUMNS = (
    "video_id", "seconds", "width", "height", "fps", "kept", "reason", "text", "text_source", "caption_model",
    "cut_seconds",
)  # fmt: skip


@dataclass
class Nearest:
    """The `most` clips with the smallest distances; ties go to the smallest random number, `lot`.

    Of each clip: distance, lot, row number, number of its video, value.
    """

    most: int
    _rows: np.ndarray = field(default_factory=lambda: np.empty((0, 5)))

    def add(self, distance: np.ndarray, lot: np.ndarray, row: np.ndarray, video: np.ndarray, value: np.ndarray) -> None:
        if len(distance) > self.most:
            near = np.lexsort((lot, distance))[: self.most]
            distance, lot, row, video, value = distance[near], lot[near], row[near], video[near], value[near]
        rows = np.concatenate([self._rows, np.column_stack([distance, lot, row, video, value])])
        self._rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))][: self.most]

    def take(self, count: int) -> list[int]:
        """Numbers of the nearest rows, at most `count`, from different videos if there are enough; by rising value."""
        seen: set[float] = set()
        first: list[bool] = []
        for video in self._rows[:, 3].tolist():
            first.append(video not in seen)
            seen.add(video)
        order = [*np.flatnonzero(first), *np.flatnonzero(~np.array(first, bool))][:count]
        return [int(row) for row in self._rows[sorted(order, key=lambda at: (self._rows[at, 4], at)), 2]]


@dataclass
class Collected:
    """The numbers from the verdicts. Arrays have an entry per clip that thresholds decide about, at most MOST_ROWS."""

    judge: Judge
    tally: Tally
    found: Amount = field(default_factory=Amount)
    short: Amount = field(default_factory=Amount)
    small: Amount = field(default_factory=Amount)  # clips whose pictures are too small for cut.size
    silent: Amount = field(default_factory=Amount)  # clips without the sound that cut.audio requires
    kept: Amount = field(default_factory=Amount)  # `seconds` are those of the files
    kept_footage: float = 0.0  # seconds of the kept clips in their videos
    sizes: dict[tuple[int, int], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    rates: dict[float, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    lengths: list[int] = field(default_factory=list)  # of texts, in words
    worded: int = 0  # texts in which words are counted: those that no template wrote
    words: Counter[str] = field(default_factory=Counter)  # in how many of these each occurs
    values: Values = field(default_factory=dict)
    unknown: dict[str, np.ndarray] = field(default_factory=dict)
    fate: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))
    exempt: np.ndarray = field(default_factory=lambda: np.empty(0, bool))
    seconds: np.ndarray = field(default_factory=lambda: np.empty(0))
    trimmed: np.ndarray = field(default_factory=lambda: np.empty(0))  # seconds that the file of a kept clip is shorter
    sheet: Nearest = field(default_factory=lambda: Nearest(CANDIDATES))
    near: dict[tuple[str, str, str], Nearest] = field(default_factory=dict)  # by filter, end and side of the threshold
    dropped: dict[str, Nearest] = field(default_factory=dict)  # by stage, some of the clips that fail it

    @property
    def judged(self) -> int:
        """The number of clips that thresholds decide about."""
        return self.found.clips - self.short.clips - self.small.clips - self.silent.clips

    @property
    def shows_all(self) -> bool:
        """Whether the page shows all clips of the run."""
        return self.found.clips <= MOST_SHOWN

    def shown(self) -> list[int]:
        """Numbers of the rows whose clips the page shows, in order."""
        if self.shows_all:
            return list(range(self.found.clips))
        chosen = set(self.sheet.take(KEPT))
        chosen.update(*(nearest.take(NEAR) for nearest in self.near.values()))
        return sorted(chosen.union(*(nearest.take(DROPPED) for nearest in self.dropped.values())))


def collect(path: Path, judge: Judge, most_rows: int = MOST_ROWS) -> Collected:
    """Read the table of final verdicts at `path`. Random draws have a fixed seed: equal tables give equal results."""
    collected = Collected(judge, Tally(judge))
    chance = np.random.default_rng(SEED)
    for name, bound in judge.active.items():
        for end in ["words"] if name in WORDS else [end for end in ("min", "max") if bound.get(end) is not None]:
            collected.near |= {(name, end, side): Nearest(CANDIDATES) for side in ("out", "in")}
    collected.dropped = {stage: Nearest(CANDIDATES) for stage in judge.stages}
    total = tables.FINAL_VERDICTS.count(path)
    share = min(1.0, MOST_TEXTS / max(1, _kept(path)))
    rows = _Rows(judge, min(total, most_rows))
    taken = np.sort(chance.choice(total, most_rows, replace=False)) if total > most_rows else None
    at, video, last = 0, 0, None
    for batch in judge.table.batches(path, columns(judge), BATCH):
        looked, seconds = look(batch, judge), _numbers(batch, "seconds")
        video_numbers = video + np.cumsum(_begins(batch.column("video_id"), last))
        lot = chance.random(len(seconds))
        _count(collected, looked, seconds, batch, chance.random(len(seconds)) < share)
        _draw(collected, looked, lot, at + np.arange(len(seconds)), video_numbers)
        chosen = np.ones(len(seconds), bool)
        if taken is not None:
            chosen = np.zeros(len(seconds), bool)
            chosen[taken[np.searchsorted(taken, at) : np.searchsorted(taken, at + len(seconds))] - at] = True
        rows.add(looked, seconds, _numbers(batch, "cut_seconds"), chosen & is_judged(looked.fate))
        at, video = at + len(seconds), int(video_numbers[-1]) if len(video_numbers) else video
        last = batch.column("video_id")[-1].as_py() if len(seconds) else last
    rows.give(collected)
    return collected


def columns(judge: Judge) -> list[str]:
    """The columns of the final verdicts that are read."""
    return list(dict.fromkeys([*COLUMNS, *(name for name in judge.filters if name != "aspect_ratio")]))


class _Rows:
    """Arrays that are filled batch by batch."""

    def __init__(self, judge: Judge, most: int):
        self._used = 0
        self._values = {name: np.empty(most) for name in judge.filters}
        self._unknown = {name: np.empty(most, bool) for name in judge.filters}
        self._fate = np.empty(most, np.uint8)
        self._exempt = np.empty(most, bool)
        self._seconds, self._trimmed = np.empty(most), np.empty(most)

    def add(self, looked: Looked, seconds: np.ndarray, file_seconds: np.ndarray, chosen: np.ndarray) -> None:
        here = slice(self._used, self._used + int(chosen.sum()))
        for name in self._values:
            self._values[name][here] = looked.values[name][chosen]
            self._unknown[name][here] = looked.unknown[name][chosen]
        self._fate[here] = looked.fate[chosen]
        self._exempt[here] = looked.exempt[chosen]
        self._seconds[here] = seconds[chosen]
        self._trimmed[here] = np.nan_to_num(seconds - file_seconds)[chosen]
        self._used = here.stop

    def give(self, to: Collected) -> None:
        here = slice(0, self._used)
        to.values = {name: values[here] for name, values in self._values.items()}
        to.unknown = {name: unknown[here] for name, unknown in self._unknown.items()}
        to.fate, to.exempt = self._fate[here], self._exempt[here]
        to.seconds, to.trimmed = self._seconds[here], self._trimmed[here]


def with_originals(path: Path, rows: list[int]) -> list[int]:
    """`rows` of the final verdicts, and those of the clips of which some of them are copies; in order."""
    copies = tables.FINAL_VERDICTS.take(path, rows, ["duplicate_of"])["duplicate_of"].drop_null()
    if not len(copies):
        return rows
    found, at = set(rows), 0
    for batch in tables.FINAL_VERDICTS.batches(path, ["clip_id"], BATCH):
        is_original = pc.is_in(batch.column("clip_id"), value_set=copies.combine_chunks())
        found.update((at + np.flatnonzero(is_original.to_numpy(zero_copy_only=False))).tolist())
        at += len(batch)
    return sorted(found)


def _kept(path: Path) -> int:
    return sum(pc.sum(batch.column(0)).as_py() or 0 for batch in tables.FINAL_VERDICTS.batches(path, ["kept"], BATCH))


def _numbers(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """A column as numbers, NaN where they are missing."""
    return pc.cast(batch.column(name), pa.float64()).to_numpy(zero_copy_only=False)


def look(batch: pa.RecordBatch, judge: Judge) -> Looked:
    """Judge the clips of a batch of the final verdicts."""
    values = {
        name: judge.numbers(name, batch.column(name)) if name in WORDS else _numbers(batch, name)
        for name in judge.filters
        if name != "aspect_ratio"
    }
    values["aspect_ratio"] = _numbers(batch, "width") / _numbers(batch, "height")  # the table's is rounded
    has_text = batch.column("text").is_valid().to_numpy(zero_copy_only=False)
    by_person = pc.fill_null(pc.equal(batch.column("text_source"), tables.REVIEWED), False)
    return judge.look(values, batch.column("reason"), has_text, by_person.to_numpy(zero_copy_only=False))


def _begins(videos: pa.Array, last: str | None) -> np.ndarray:
    """Which rows are of another video than the row before; `last`: the video before the first row."""
    if not len(videos):
        return np.empty(0, bool)
    rest = pc.not_equal(videos.slice(1), videos.slice(0, len(videos) - 1)).to_numpy(zero_copy_only=False)
    return np.concatenate([[videos[0].as_py() != last], rest.astype(bool)])


def _count(collected: Collected, looked: Looked, seconds: np.ndarray, batch: pa.RecordBatch, drawn: np.ndarray) -> None:
    """Count a batch. `drawn`: the clips whose words are counted."""
    kept = pc.fill_null(batch.column("kept"), False).to_numpy(zero_copy_only=False)
    collected.found.add(len(seconds), float(seconds.sum()))
    for fate, amount in ((SHORT, collected.short), (SMALL, collected.small), (SILENT, collected.silent)):
        amount.add(int((looked.fate == fate).sum()), float(seconds[looked.fate == fate].sum()))
    collected.kept.add(int(kept.sum()), float(np.nansum(_numbers(batch, "cut_seconds")[kept])))
    collected.kept_footage += float(seconds[kept].sum())
    rest = is_judged(looked.fate)
    collected.tally.add(looked.fails[rest], looked.unsure[rest], seconds[rest])
    widths, heights = (np.nan_to_num(_numbers(batch, name)).astype(np.int64) for name in ("width", "height"))
    sizes, which = np.unique(widths << 32 | heights, return_inverse=True)
    counts = np.column_stack([np.bincount(which), np.bincount(which, kept)]).astype(int)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        _add(collected.sizes[size >> 32, size & 0xFFFFFFFF], count)
    rates, which = np.unique(np.round(_numbers(batch, "fps"), 2), return_inverse=True)
    counts = np.column_stack([np.bincount(which), np.bincount(which, kept)]).astype(int)
    for rate, count in zip(rates.tolist(), counts.tolist(), strict=True):
        _add(collected.rates[rate], count)
    texts = batch.select(["text", "caption_model"]).filter(pa.array(kept & drawn))
    for text, model in zip(*(column.to_pylist() for column in texts.columns), strict=True):
        words = text_checks.words_of(text or "")
        collected.lengths.append(len(words))
        if not (model or "").startswith(CAPTIONER):
            collected.worded += 1
            collected.words.update({part.lower() for word in words for part in LETTERS.findall(word)})


def _add(to: list[int], counts: list[int]) -> None:
    for place, count in enumerate(counts):
        to[place] += count


def _draw(collected: Collected, looked: Looked, lot: np.ndarray, row: np.ndarray, video: np.ndarray) -> None:
    """Choose clips that are shown: some of those kept and of those that fail each stage, at random.

    Also those nearest to each threshold. Of a filter on words: some of those on either side of it, at random.
    """
    whole = ~(looked.fails | looked.unsure).any(1)
    kept = np.flatnonzero(whole & (looked.fate == GONE_ON))
    nothing = np.zeros(len(kept))
    collected.sheet.add(nothing, lot[kept], row[kept], video[kept], row[kept])
    for (name, end, side), nearest in collected.near.items():
        values, judge = looked.values[name], collected.judge
        bound = None if end == "words" else judge.bounds[name][end]
        outside = judge.out_of(name, values) if bound is None else values < bound if end == "min" else values > bound
        chosen = np.flatnonzero(np.isfinite(values) & (outside == (side == "out")) & is_judged(looked.fate))
        distance = np.zeros(len(chosen)) if bound is None else np.abs(values[chosen] - bound)
        nearest.add(distance, lot[chosen], row[chosen], video[chosen], values[chosen])
    for stage, some in collected.dropped.items():
        failed = np.flatnonzero(looked.fails[:, collected.judge.place[stage]] & is_judged(looked.fate))
        some.add(np.zeros(len(failed)), lot[failed], row[failed], video[failed], row[failed])
