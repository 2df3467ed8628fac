"""The dataset: clip files, metadata, formats and card, and beside it the verdicts, the errors and the summary.

Shards are read one after the other, so memory grows only with the names of the kept clips.
"""

from __future__ import annotations

import csv
import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clipmill.base.errors import SetupError
from clipmill.base.files import atomic, open_text, write_json, write_text
from clipmill.base.human import counted
from clipmill.dataset import formats
from clipmill.dataset.formats.assign import NO_BUCKET, USUAL_RATES, Buckets, split_of
from clipmill.dataset.formats.card import Numbers, write_card
from clipmill.dataset.formats.layout import CARD, Layout
from clipmill.dataset.formats.masks import Masks
from clipmill.dataset.formats.tree import Tree
from clipmill.dataset.reviewed import Review, source_of_text, with_text
from clipmill.dataset.summary import Summary
from clipmill.duplicates.dropped import rows_by_clip, split_keys
from clipmill.filters import reasons, verdict
from clipmill.filters.reasons import Reason
from clipmill.steps import FETCH, OPTIONAL, PARTS, after_filter, by_name, found_by, of_run
from clipmill.store import tables
from clipmill.store.clip_files import is_intact
from clipmill.store.given import OfClips, further_columns, scene_errors
from clipmill.store.index import read_json_lines, removed_videos
from clipmill.store.layout import CLIPS_FOLDER, Paths, clip_file
from clipmill.store.table import Column, Row, Table
from clipmill.texts.checks import same

log = logging.getLogger("clipmill")

ROWS_TOGETHER = 8192  # rows in a row group of the verdicts and the metadata

NOT_ALIKE: Row = dict.fromkeys(("duplicate_of", "duplicate_group", "reason"))

Rows = dict[str, list[Row]]
"""Rows of tables, by the name of the table."""


@dataclass(frozen=True)
class Tables:
    """The tables of a run. `steps`: names of its steps that not every run has; others among them do not matter.

    `judgement`: what the answers to its questions do, if it has any. `given`: the further columns of the sheet, which
    the metadata has too.
    """

    steps: Collection[str]
    judgement: verdict.Judgement | None = None
    given: tuple[Column, ...] = ()

    @property
    def answers(self) -> list[str]:
        """The columns of the answers."""
        return self.judgement.columns if self.judgement else []

    @cached_property
    def of_groups(self) -> dict[str, Table[Any]]:
        """Tables of clips with one file per group of shards, by name."""
        found = (table for step in of_run(self.steps) if step.grouped for table in step.tables)
        asking = (tables.CAPTIONS if self.judgement and self.judgement.with_caption else tables.JUDGEMENTS).name
        return {table.name: tables.with_answers(table, self.answers if table.name == asking else ()) for table in found}

    @cached_property
    def of_shards(self) -> dict[str, Table[Any]]:
        """Tables of videos and clips with one file per shard, by name."""
        found = (table for step in of_run(self.steps) if not step.grouped for table in step.tables)
        left_out = (tables.TRANSITIONS, tables.PARTS, *tables.OPTIONAL)
        return {table.name: table for table in found if table not in left_out} | {
            tables.VERDICTS.name: tables.with_classifiers(tables.VERDICTS, self.steps)
        }

    @cached_property
    def after_filter(self) -> dict[str, Table[Any]]:
        """Those of the steps after the filters, by name, in the order of the data. Not every clip has a row in them."""
        found = self.of_shards | self.of_groups
        return {table.name: found[table.name] for step in after_filter(self.steps) for table in step.tables}

    @cached_property
    def final_verdicts(self) -> Table[Row]:
        return self._with_own_columns(tables.FINAL_VERDICTS)

    @cached_property
    def metadata(self) -> Table[Row]:
        table = self._with_own_columns(tables.METADATA)
        return replace(table, columns=(*table.columns, *self.given))

    def _with_own_columns(self, table: Table[Row]) -> Table[Row]:
        own = tables.scores(self.of_groups[tables.JUDGEMENTS.name]) if "judge" in self.steps else ()
        own = own or tuple(map(tables.answer, self.answers))
        table = tables.with_classifiers(table, self.steps)
        return replace(table, columns=(*table.columns, *own))


USUAL = Tables(())  # those of every run


@dataclass
class Shard:
    """The rows of all tables of one shard, without the videos that have gone."""

    name: str
    rows: Rows
    tables: Tables

    @staticmethod
    def read(outdir: Path, name: str, texts: Rows, removed: set[str], known: Tables, fingerprints: bool) -> Shard:
        """`texts`: the shard's rows of the tables of groups.

        `fingerprints`: whether the run has them; only their errors are read.
        """
        rows = {table.name: table.rows(table.of(outdir, name)) for table in known.of_shards.values()} | texts
        if fingerprints:
            path = tables.FINGERPRINTS.of(outdir, name)
            columns = [column.name for column in (tables.CLIP_ID, *tables.ERROR)]
            rows[tables.FINGERPRINTS.name] = tables.FINGERPRINTS.read(path, columns).to_pylist()
        for table in (tables.VIDEOS, tables.CLIPS, tables.VERDICTS):
            rows[table.name] = [row for row in rows[table.name] if row["video_id"] not in removed]
        clip_ids = {row["clip_id"] for row in rows["clips"]}
        for table_name in rows.keys() - {tables.VIDEOS.name}:
            rows[table_name] = [row for row in rows[table_name] if row["clip_id"] in clip_ids]
        return Shard(name, rows, known)

    def verdicts(
        self,
        late: verdict.Late,
        common: set[bytes],
        duplicates: Mapping[str, Row],
        review: Review,
        backends: Mapping[str, str],
    ) -> Iterator[Row]:
        """FINAL_VERDICTS rows: the verdicts of the filters, of duplicates and limits, of all later steps, of a person.

        `common`: digests of the texts that too many clips have. `duplicates`: DUPLICATES rows by clip. `backends`: of
        the steps. Each row has all columns of the later steps, whichever of them its clip came to.
        """
        later = {name: {row["clip_id"]: row for row in self.rows[name]} for name in self.tables.after_filter}
        missing = {column.name: None for table in self.tables.after_filter.values() for column in tables.scores(table)}
        clips = {clip["clip_id"]: clip for clip in self.rows["clips"]}
        for early in self.rows["verdicts"]:
            decision = review.of(clips[early["clip_id"]])
            alike = duplicates.get(early["clip_id"], NOT_ALIKE) if early["kept"] else NOT_ALIKE
            row = {**missing, **early, **{name: alike[name] for name in ("duplicate_of", "duplicate_group")}}
            for table in later.values():
                row.update(tables.without_error(table.get(early["clip_id"], {})))
            row["text_source"] = source_of_text(row, backends)
            if early["clip_id"] in later[tables.REWRITES.name]:
                row |= with_text(decision)
            if row["kept"]:
                failure = _late_failure(row, late, common, self.tables.judgement) or review.failure(decision)
                reason = alike["reason"] or reasons.words(failure)
                row |= {"kept": reason is None, "reason": reason}
            review.count(row, decision)
            yield row

    def errors(self, of_scenes: Iterable[Row] = ()) -> Iterator[Row]:
        """ERRORS rows, in the order of the videos, and of the steps for each: no matter which videos share a shard.

        `of_scenes`: those of scenes that make no clips.
        """
        names = {video["video_id"]: video["name"] for video in self.rows["videos"]}
        place = {video_id: number for number, video_id in enumerate(names)}
        yield from sorted([*of_scenes, *self._errors_by_step(names)], key=lambda error: place[error["video_id"]])

    def _errors_by_step(self, names: dict[str, str]) -> Iterator[Row]:
        owner = {clip["clip_id"]: clip["video_id"] for clip in self.rows["clips"]}
        for table in (*self.tables.of_shards.values(), tables.FINGERPRINTS, *self.tables.of_groups.values()):
            step = found_by(table)
            for row in self.rows.get(table.name, []):
                if row.get("error_kind"):
                    video_id = row.get("video_id") or owner[row["clip_id"]]
                    yield {
                        "video": names[video_id],
                        "video_id": video_id,
                        "clip_id": row.get("clip_id"),
                        "step": FETCH if row.get("not_fetched") else step,
                        "kind": row["error_kind"],
                        "message": row["error"],
                    }


def export_dataset(
    outdir: Path, groups: Mapping[str, list[str]], settings: dict[str, Any], checks: list[dict[str, Any]]
) -> dict[str, Any]:
    """Write the dataset folder, verdicts.parquet, errors.csv, summary.json and models.json; return the summary.

    `groups`: all shards, as `index.shard_groups` returns them. `settings`: the steps' `backends`, the arguments of
    `verdict.Late` as `late`, the values of quantiles as `thresholds`, the config's sections `export` and `filters`, and
    `cut.fps` as `fps`; if the run drops duplicates, their table as `duplicates` (a list of one) and the config's
    sections `duplicates` and `limits` as `drops`; if the run has a file of decisions, `review` with the `decisions` and
    what it may `require`; `has_target` if clips are cut for a trainer; the arguments of `Masks`
    as `masks` if masks are wanted; `given` if a sheet or files beside the videos give scenes or captions. `checks`: the
    results of `checks.check_backend`.

    At any moment a list of clips names only files that are there: a file is removed only after no list names it.
    Raises SetupError if a clip file is missing or has changed.
    """
    paths = Paths(outdir)
    gone, problems = removed_videos(outdir), read_json_lines(paths.problems)
    dataset, export = paths.dataset, settings["export"]
    judgement = verdict.Judgement(**settings["judgement"]) if "judgement" in settings else None
    given = further_columns(outdir, next(iter(groups))) if settings.get("given") else ()
    clips, known = Tree(paths.dataset_clips), Tables(settings["backends"], judgement, given)
    summary = Summary(settings["backends"], settings["thresholds"], judgement)
    late = verdict.Late(**settings["late"])
    review = Review(**settings["review"], in_use=True) if "review" in settings else Review()
    duplicates = rows_by_clip(settings.get("duplicates", []))
    with_fingerprints = "drops" in settings and settings["drops"]["duplicates"]["backend"] != "none"
    together = split_keys(duplicates.values())
    common = common_texts(outdir, groups, late.checks["same_text"], gone)
    with ExitStack() as stack:
        out = _Files(stack, outdir, known)
        layout = _layout(outdir, export, stack, settings.get("masks"))
        rate_is_known = settings["fps"] is not None or layout.buckets.fps is not None
        numbers = Numbers(layout.splits, () if rate_is_known else USUAL_RATES)
        chosen = {name: formats.FORMATS[name](layout) for name in export["formats"]}
        for problem in problems:
            out.error({"step": "index", **problem})
            summary.error("index", problem["kind"])
        for name, texts in _texts(outdir, groups, known):
            shard = Shard.read(outdir, name, texts, gone, known, with_fingerprints)
            of_clips = OfClips(outdir, name) if settings.get("given") else None
            verdicts = list(shard.verdicts(late, common, duplicates, review, settings["backends"]))
            further = of_clips.further if of_clips else lambda clip: {}
            metadata = _metadata(verdicts, clips, paths.clip_files, layout, export, known.metadata, together, further)
            out.verdicts(verdicts)
            out.clips(metadata)
            rows = metadata.to_pylist()
            for row in rows:
                for output in chosen.values():
                    output.clip(row)
            wrong: Iterable[Row] = ()
            if of_clips:
                parts = tables.PARTS.rows(tables.PARTS.of(outdir, name))
                wrong = scene_errors(of_clips.scenes, shard.rows["videos"], parts, shard.rows["clips"])
            changed = review.changed(
                shard.rows["clips"], {one["video_id"]: one["name"] for one in shard.rows["videos"]}
            )
            for error in shard.errors([*wrong, *changed]):
                out.error(error)
                summary.error(error["step"], error["kind"])
            summary.shard(shard.rows["videos"], verdicts)
            numbers.shard(rows)
        for error in review.unknown():
            out.error(error)
            summary.error(error["step"], error["kind"])
        for output in chosen.values():
            output.finish()
    formats.remove_unwanted(dataset, export["formats"], layout.splits)
    for output in chosen.values():
        output.clean()
    clips.remove_others()
    if clips.copied:
        log.warning("the file system has no hard links: %s copied", counted(clips.copied, "clip"))
    if layout.buckets != Buckets() and numbers.without_bucket:
        log.warning(
            "%d of %d clips fit no bucket, and are in no folder of a format that has a folder per bucket: their "
            "pictures are smaller than every size of export.buckets, or they have too few frames",
            *(numbers.without_bucket, numbers.clips.total()),
        )
    for rate, count in numbers.short_at.items():
        if count:
            log.warning(
                "at %d frames per second %d of %d clips have fewer frames than their bucket: a trainer that counts at "
                "this rate skips or shortens them; set cut.fps or export.buckets.fps",
                *(rate, count, numbers.clips.total()),
            )
    if settings.get("has_target") and numbers.broken:
        broken = ", ".join(f"{name} of {count}" for name, count in numbers.broken.items())
        log.warning("not all clips are as docs/promise.md says; these columns are false: %s", broken)
    summary.removed(len(gone))
    summary.divide(numbers.clips)
    summary.review = review.as_dict() if review.in_use else {}
    review.warn()
    models = list_models(checks, known)
    write_json(paths.summary, summary.as_dict())
    write_json(paths.models, models)
    write_text(dataset / CARD, write_card(numbers, chosen, settings, models, summary.review))
    return summary.as_dict()


def _layout(outdir: Path, export: dict[str, Any], stack: ExitStack, masks: dict[str, Any] | None) -> Layout:
    return Layout(
        dataset=Paths(outdir).dataset,
        state=Paths(outdir).export_state,
        splits=formats.splits(export["validation_share"]),
        captions=tuple(export["captions"]),
        buckets=Buckets(**export["buckets"]),
        tar_bytes=export["tar_megabytes"] * 10**6,
        stack=stack,
        text_prefix=export["text_prefix"],
        text_suffix=export["text_suffix"],
        masks=Masks(**masks) if masks else None,
    )


def _metadata(
    verdicts: list[Row],
    clips: Tree,
    store: Path,
    layout: Layout,
    export: dict[str, Any],
    table: Table[Row],
    together: Mapping[str, str],
    further: Callable[[Row], Row],
) -> pa.Table:
    """The metadata `table` of the kept clips. Their files are linked into the dataset.

    `together`: as `split_keys` returns it. `further`: what the sheet's further columns say of a clip. They may have
    names of the verdicts, which the metadata has not.
    """
    rows, names = [], table.schema.names
    for row in verdicts:
        if not row["kept"]:
            continue
        source = store / row["file"]
        below = clip_file(row["video_id"], row["clip_id"])
        if is_intact(source, row):
            clips.link(source, below)
        elif row["cut_time"] is not None and is_intact(clips.root / below, row):
            Tree(store).link(clips.want(below), row["file"])
        else:
            raise SetupError(
                f"{source}: the clip file is missing or has changed; run again with `--forcerun cut_clips`, "
                "which cuts the missing clips again"
            )
        row["cut_fps"] = row["cut_fps"] or row["cut_frames"] / row["cut_seconds"]  # files of 0.2 lack it
        bucket = layout.buckets.of(row["cut_width"], row["cut_height"], row["cut_frames"], row["cut_fps"])
        split = split_of(together.get(row["video_id"], row["video_id"]), export["validation_share"], export["seed"])
        known = row | dict.fromkeys(("file_path", "file_name"), f"{CLIPS_FOLDER}/{below}")
        known |= {"split": split, "text": layout.whole_text(row["text"], row)}
        known |= vars(bucket or NO_BUCKET) | further(row)
        rows.append({name: known.get(name) for name in names})
    return table.from_rows(rows)


def common_texts(outdir: Path, groups: Iterable[str], most: int | None, gone: set[str]) -> set[bytes]:
    """Digests of the texts that more than `most` clips have. Clips of videos that have `gone` do not count."""
    if most is None:
        return set()
    counts: Counter[bytes] = Counter()
    for group in groups:
        for row in tables.REWRITES.rows(tables.REWRITES.of(outdir, group)):
            if row["text"] is not None and row["clip_id"].rpartition("_")[0] not in gone:
                counts[_digest(row["text"])] += 1
    return {digest for digest, count in counts.items() if count > most}


def _digest(text: str) -> bytes:
    return hashlib.sha256(same(text).encode()).digest()[:12]


def _texts(outdir: Path, groups: Mapping[str, list[str]], known: Tables) -> Iterator[tuple[str, Rows]]:
    """Each shard's name with its rows of the tables of groups. Memory holds the rows of one group at a time."""
    for first, shards in groups.items():
        texts: dict[str, Rows] = {name: {table: [] for table in known.of_groups} for name in shards}
        for table in known.of_groups.values():
            for row in table.rows(table.of(outdir, first)):
                texts[row.pop("shard")][table.name].append(row)
        yield from texts.items()


def list_models(checks: list[dict[str, Any]], known: Tables = USUAL) -> list[dict[str, Any]]:
    """One row per model and step: the model's licence, its exact revision, and the dataset's columns that it made."""
    return [
        {
            "step": check["step"],
            "backend": check["backend"],
            **model,
            "columns": [column.name for column in _columns_of(check["step"], known)],
        }
        for check in checks
        for model in check["models"]
    ]


def _columns_of(name: str, known: Tables) -> tuple[Column, ...]:
    """The dataset's columns that a step with a model makes; none if it only helps others, as `shots` helps `split`."""
    if name in PARTS:
        return PARTS[name]
    step = by_name(name)
    table = known.of_groups.get(step.tables[0].name)
    return tables.scores(table) if table else () if step in OPTIONAL else tables.scores(step.tables[0])


class _RowGroups:
    """Writes rows in groups of ROWS_TOGETHER, however many come at a time: shards leave no trace in the file."""

    def __init__(self, file: pq.ParquetWriter):
        self._file = file
        self._waiting: list[pa.Table] = []

    def write(self, rows: pa.Table) -> None:
        self._waiting.append(rows)
        if sum(map(len, self._waiting)) < ROWS_TOGETHER:
            return
        together = pa.concat_tables(self._waiting)
        whole = len(together) // ROWS_TOGETHER * ROWS_TOGETHER
        for first in range(0, whole, ROWS_TOGETHER):
            self._file.write_table(together.slice(first, ROWS_TOGETHER).combine_chunks())
        self._waiting = [together.slice(whole)]

    def close(self) -> None:
        """Write the rest."""
        if any(map(len, self._waiting)):
            self._file.write_table(pa.concat_tables(self._waiting).combine_chunks())
        self._waiting = []


class _Files:
    """The tables that grow shard by shard. They replace the older files only when all of them are complete."""

    def __init__(self, stack: ExitStack, outdir: Path, known: Tables):
        def parquet(path: Path, table: Table[Any]) -> _RowGroups:
            file = stack.enter_context(
                pq.ParquetWriter(stack.enter_context(atomic(path)), table.schema_about(), compression="zstd")
            )
            return stack.enter_context(closing(_RowGroups(file)))

        paths = Paths(outdir)
        self._table = known.final_verdicts
        self._metadata = parquet(paths.metadata, known.metadata)
        self._verdicts = parquet(paths.final_verdicts, self._table)
        self._errors = csv.DictWriter(open_text(stack, paths.errors), tables.ERRORS.schema.names)
        self._errors.writeheader()

    def error(self, row: Row) -> None:
        self._errors.writerow(row)

    def verdicts(self, rows: list[Row]) -> None:
        if rows:
            names = self._table.schema.names
            self._verdicts.write(self._table.from_rows({name: row.get(name) for name in names} for row in rows))

    def clips(self, rows: pa.Table) -> None:
        if len(rows):
            self._metadata.write(rows)


def _late_failure(
    row: Row, late: verdict.Late, common: set[bytes], judgement: verdict.Judgement | None
) -> Reason | None:
    if judgement and (failure := judgement.failure(row)):
        return failure
    if failure := verdict.caption_failure(row.get("caption"), row.get("caption_whole"), late.checks):
        return failure
    if row.get("text") is None:
        return reasons.REWRITE_FAILED
    if row["text_source"] != tables.REVIEWED:  # what a person wrote is not judged
        if failure := late.first_failure(row):
            return failure
        if common and _digest(row["text"]) in common:
            return reasons.COMMON_TEXT
    return reasons.CUT_FAILED if row.get("file") is None else None
