"""Two finished runs side by side: which clips only one has, which verdicts differ, and which captions."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from clipmill.base.errors import SetupError
from clipmill.base.human import counted
from clipmill.filters import reasons
from clipmill.filters.columns import COLUMNS
from clipmill.store import tables
from clipmill.store.layout import Paths, is_classifier
from clipmill.store.table import Row
from clipmill.texts.checks import same

KEPT = "kept"  # stands for the reason of a kept clip
# What is shown of a clip; and where it lies in its picture, which its kept frames need.
ABOUT = [
    *("clip_id", "video_id", "name", "start", "end", "seconds", "start_frame", "end_frame", "kept", "reason"),
    *("crop_x", "crop_y", "crop_width", "crop_height", "whole_width", "whole_height", "text", "caption"),
]
EXAMPLES = 3  # clips of each change of a verdict


def check_finished(key: str, outdir: Path) -> None:
    """Raise SetupError if `outdir` has no finished run. `key`: as of FinishedRun."""
    paths = Paths(outdir)
    if not paths.final_verdicts.is_file() or not paths.summary.is_file():
        raise SetupError(
            f"run_{key}: {outdir} has no verdicts.parquet and summary.json; name the outdir of a finished run"
        )


@dataclass(frozen=True)
class FinishedRun:
    """A run to compare. `key`: its key in the config. `rows`: of FINAL_VERDICTS by clip. `summary`: summary.json."""

    key: str
    outdir: Path
    rows: Mapping[str, Row]
    summary: Mapping[str, Any]

    @staticmethod
    def read(key: str, outdir: Path) -> FinishedRun:
        """Raises SetupError if there is no finished run."""
        check_finished(key, outdir)
        paths = Paths(outdir)
        there = pq.read_schema(paths.final_verdicts).names
        names = [*ABOUT, *(name for name in there if name in COLUMNS or is_classifier(name))]
        table = tables.with_classifiers(tables.FINAL_VERDICTS, there)
        rows = table.read(paths.final_verdicts, list(dict.fromkeys(names))).to_pylist()
        summary = json.loads(paths.summary.read_text(encoding="utf-8"))
        return FinishedRun(key, outdir, {row["clip_id"]: row for row in rows}, summary)

    @property
    def kept(self) -> int:
        return sum(bool(row["kept"]) for row in self.rows.values())


@dataclass(frozen=True)
class Change:
    """Clips whose verdict went from one reason to another. `examples`: some of them, as clip, name and score."""

    before: str
    after: str
    clips: int
    examples: list[dict[str, Any]]


@dataclass(frozen=True)
class Pair:
    """The captions of a clip in both runs. `left`: the key of the run whose caption stands at the left."""

    row: Row
    texts: Mapping[str, str]
    left: str


@dataclass(frozen=True)
class Comparison:
    """Two runs that have clips in common."""

    a: FinishedRun
    b: FinishedRun

    @staticmethod
    def of(a: FinishedRun, b: FinishedRun) -> Comparison:
        """Raises SetupError if the runs have no clip in common."""
        if not a.rows.keys() & b.rows.keys():
            clips = " and ".join(f"{counted(len(run.rows), 'clip')} in {run.outdir}" for run in (a, b))
            raise SetupError(
                f"compare: the runs have no clip in common ({clips}); compare runs of the same videos that are split "
                "in the same way"
            )
        return Comparison(a, b)

    def only_in(self, run: FinishedRun) -> dict[str, list[Row]]:
        """The clips that the other run does not have, by the name of the video."""
        other = self.b if run is self.a else self.a
        found: defaultdict[str, list[Row]] = defaultdict(list)
        for clip_id in sorted(run.rows.keys() - other.rows.keys()):
            found[run.rows[clip_id]["name"]].append(run.rows[clip_id])
        return dict(sorted(found.items()))

    @property
    def common(self) -> list[str]:
        return sorted(self.a.rows.keys() & self.b.rows.keys())

    def changes(self) -> list[Change]:
        """The verdicts that differ, the commonest change first."""
        counts: Counter[tuple[str, str]] = Counter()
        examples: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for clip_id in self.common:
            rows = self.a.rows[clip_id], self.b.rows[clip_id]
            before, after = (row["reason"] or KEPT for row in rows)
            if before == after:
                continue
            counts[before, after] += 1
            if len(examples[before, after]) < EXAMPLES:
                examples[before, after].append({**rows[0], "values": list(_values(*rows))})
        order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return [Change(*change, count, examples[change]) for change, count in order]

    def with_two_texts(self) -> tuple[list[str], int]:
        """The clips whose texts differ, and how many clips have the same text in both runs."""
        differing, equal = [], 0
        for clip_id in self.common:
            one, other = (text_of(run.rows[clip_id]) for run in (self.a, self.b))
            if one and other:
                if same(one) == same(other):
                    equal += 1
                else:
                    differing.append(clip_id)
        return differing, equal

    def pairs(self, clips: list[str], most: int, seed: int) -> list[Pair]:
        """At most `most` of `clips`, drawn by the seed, each with its captions left or right by the seed."""
        lots = {clip_id: hashlib.sha256(f"{seed} {clip_id}".encode()).digest() for clip_id in clips}
        drawn = sorted(clips, key=lambda clip_id: lots[clip_id])[:most]
        return [
            Pair(
                self.a.rows[clip_id],
                {run.key: str(text_of(run.rows[clip_id])) for run in (self.a, self.b)},
                (self.a, self.b)[lots[clip_id][-1] % 2].key,
            )
            for clip_id in drawn
        ]


def text_of(row: Row) -> str | None:
    """The text of a clip; the caption if it was not rewritten."""
    return row["text"] or row["caption"]


def _values(one: Row, other: Row) -> Iterator[dict[str, Any]]:
    """The scores that the reasons of two verdicts name, in both runs."""
    found = [reasons.from_words(row["reason"]) for row in (one, other) if row["reason"]]
    for stage in dict.fromkeys(reason.stage for reason in found if reason):
        if stage in one or stage in other:
            yield {"name": stage, "a": one.get(stage), "b": other.get(stage)}
