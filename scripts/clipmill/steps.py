"""The steps, one row each: whoever goes through all steps reads them here, and nobody lists them again."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipmill.store import layout, tables
from clipmill.store.layout import is_classifier
from clipmill.store.table import Table

# Units of work: of video; found; that the filters keep; 10⁹ bytes of videos that are fetched.
HOUR, CLIP, KEPT, BYTES = "hour", "clip", "kept clip", "GB"
FETCH = "fetch"
ALL = "all"  # the name of a job that serves all shards


@dataclass(frozen=True)
class Step:
    """A rule with one job per shard, per group of shards, or for all shards.

    `name`: its folder in logs/, benchmarks/ and journals/, and its name in errors.csv. `unit`: what its time grows
    with. `tables`: what a job writes. `metric`: whether it scores frames of clips; a cascade may spare clips that
    work. A step needs the tables of all steps of its run with a lower `level`.
    """

    rule: str
    name: str
    level: int
    unit: str
    tables: tuple[Table[Any], ...]
    metric: bool = False

    @property
    def stage(self) -> str:
        """The stage whose quantiles this step needs, if there are any: its own, but `late` for the last verdict."""
        return "late" if self.name == "cut" else self.name

    @property
    def grouped(self) -> bool:
        """Whether a job serves a group of shards."""
        return layout.GROUP in self.tables[0].path

    @property
    def of_all(self) -> bool:
        """Whether one job serves all shards."""
        return not self.grouped and layout.SHARD not in self.tables[0].path

    def done(self, outdir: Path, job: str) -> bool:
        """Whether the tables of a job are there."""
        return all(table.of(outdir, job).exists() for table in self.tables)


def _of_score(table: Table[Any]) -> Step:
    return Step(f"score_{table.name}", table.name, 3, CLIP, (table,), metric=True)


# The steps of every run.
STEPS = (
    Step("decode_videos", "decode", 0, HOUR, (tables.VIDEOS, tables.PARTS)),
    Step("split_videos", "split", 2, HOUR, (tables.TRANSITIONS, tables.CLIPS, *tables.SIGNAL_SCORES)),
    *map(_of_score, tables.FRAME_SCORES),
    Step("filter_clips", "filter", 4, CLIP, (tables.VERDICTS,)),
    Step("caption_clips", "caption", 7, KEPT, (tables.CAPTIONS,)),
    Step("rewrite_captions", "rewrite", 8, KEPT, (tables.REWRITES,)),
    Step("align_captions", "alignment", 9, KEPT, (tables.ALIGNMENT,)),
    Step("cut_clips", "cut", 10, KEPT, (tables.CUTS,)),
)
# Those that a run may have too. Fetching has jobs for shards with videos in archives, and for those with videos at
# addresses if that is wanted.
OPTIONAL = (
    Step("fetch_videos", FETCH, -1, BYTES, (tables.FETCHES,)),
    Step("detect_shots", "shots", 1, HOUR, (tables.SHOTS,)),
    Step("fingerprint_clips", "fingerprints", 4, CLIP, (tables.FINGERPRINTS,)),
    Step("find_duplicates", "duplicates", 5, CLIP, (tables.DUPLICATES,)),
    Step("judge_clips", "judge", 6, KEPT, (tables.JUDGEMENTS,)),
)
BY_NAME = {step.name: step for step in (*STEPS, *OPTIONAL)}

# Parts of steps that have a model of their own, and the columns of clips that it makes.
PARTS = {"speech": tuple(column for column in tables.SOUND.columns if column.name == "speech_share")}


def by_name(name: str) -> Step:
    """The step of that name: one of BY_NAME, or a classifier's."""
    return _of_score(tables.classifier(name)) if is_classifier(name) else BY_NAME[name]


def of_run(names: Collection[str]) -> list[Step]:
    """The steps of a run, in the order of the data: all of STEPS, and those among `names` that not every run has.

    These are the steps of OPTIONAL and of classifiers.
    """
    classifiers = sorted(filter(is_classifier, names))
    chosen = (*STEPS, *(step for step in OPTIONAL if step.name in names), *map(by_name, classifiers))
    return sorted(chosen, key=lambda step: step.level)


# The metrics that look at frames, each a step of its own: they are costly, so a cascade skips them for clips that a
# cheaper filter has dropped. And those that splitting measures from the signals.
METRICS = tuple(step.name for step in STEPS if step.metric)
MEASURED = tuple(table.name for table in tables.SIGNAL_SCORES)

# Every table of scores, by its name, which is that of its folder.
SCORE_TABLES = {table.name: table for step in STEPS for table in step.tables if table.path == layout.scores(table.name)}


def metrics_of(names: Iterable[str]) -> list[str]:
    """METRICS, and the classifiers among `names`, which are those of filters or steps."""
    return [*METRICS, *filter(is_classifier, names)]


def score_table(name: str) -> Table[Any]:
    """The table of scores of that name, which may be a classifier's."""
    return tables.classifier(name) if is_classifier(name) else SCORE_TABLES[name]


def after_filter(names: Collection[str]) -> list[Step]:
    """The steps of a run after the filters, in the order of the data. `names`: as in `of_run`."""
    return [step for step in of_run(names) if step.level > BY_NAME["filter"].level]


def found_by(table: Table[Any]) -> str:
    """What errors.csv calls the step that wrote a table; for a table that is not its step's first, the table's name."""
    if is_classifier(table.name):
        return table.name
    step = next(step for step in BY_NAME.values() if table.name in [one.name for one in step.tables])
    return step.name if table.name == step.tables[0].name else table.name
