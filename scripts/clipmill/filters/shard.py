"""Judging the clips of a shard: which are kept, and which need a costly score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from clipmill.filters import verdict
from clipmill.filters.reasons import Reason, words
from clipmill.filters.verdict import Bounds
from clipmill.store import tables
from clipmill.store.review import Decision, decision_about
from clipmill.store.table import Row
from clipmill.store.tables import Clip, Video
from clipmill.texts.checks import Checks

Scores = Mapping[str, Iterable[Mapping[str, Any]]]
"""Rows of score tables, by the name of the table."""


def judge_shard(
    videos: Iterable[Video],
    clips: Iterable[Clip],
    scores: Scores,
    filters: Bounds,
    order: list[str],
    wanted: verdict.WantedSize | None = None,
    needs_sound: bool = False,
) -> list[Row]:
    """VERDICTS rows, one per clip: kept, or the first reason why not in `order`, with every score beside it.

    `wanted`: the size of clip files, if the config has one; clips of smaller videos are dropped before any filter.
    `needs_sound`: clips that are known to have no sound are dropped, too.
    """
    columns = {column.name for column in tables.with_classifiers(tables.VERDICTS, scores).columns}
    rows = []
    for known, reason in _judged(videos, clips, scores, filters, order, wanted, needs_sound):
        row = {name: value for name, value in known.items() if name in columns}
        rows.append({**row, "kept": reason is None, "reason": words(reason)})
    return rows


def passing(
    videos: Iterable[Video], clips: Iterable[Clip], scores: Scores, filters: Bounds, order: list[str]
) -> set[str]:
    """Ids of the clips that pass all `filters`: a costly score is computed only for these."""
    judged = _judged(videos, clips, scores, filters, order)
    return {known["clip_id"] for known, reason in judged if reason is None}


def _judged(
    videos: Iterable[Video],
    clips: Iterable[Clip],
    scores: Scores,
    filters: Bounds,
    order: list[str],
    wanted: verdict.WantedSize | None = None,
    needs_sound: bool = False,
) -> Iterator[tuple[Row, Reason | None]]:
    """All that is known about each clip, and the first reason against it."""
    bounds = verdict.active(filters, order)
    for known in verdict.gather(videos, clips, scores, wanted, needs_sound):
        yield known, verdict.first_failure(known, bounds)


def with_good_answers(
    clips: dict[str, list[Row]], answers: Iterable[Row], judgement: verdict.Judgement
) -> dict[str, list[Row]]:
    """The clips that no answer drops, by shard: these are captioned. `answers`: JUDGEMENTS rows."""
    good = {row["clip_id"] for row in answers if judgement.failure(row) is None}
    return {shard: [row for row in mine if row["clip_id"] in good] for shard, mine in clips.items()}


def with_good_caption(
    captions: Iterable[Row], checks: Checks, judgement: verdict.Judgement | None = None
) -> dict[str, list[Row]]:
    """The CAPTIONS rows whose caption passes `checks`, by shard: these are rewritten.

    `judgement`: of answers that came with the captions, if any did.
    """
    found: dict[str, list[Row]] = {}
    for row in captions:
        failure = verdict.caption_failure(row["caption"], row["caption_whole"], checks)
        if failure is None and (judgement is None or judgement.failure(row) is None):
            found.setdefault(row["shard"], []).append(row)
    return found


def with_good_text(
    clips: Iterable[Clip],
    rewrites: Iterable[Row],
    alignment: Iterable[Row],
    late: verdict.Late,
    decisions: Mapping[str, Decision],
) -> list[Clip]:
    """The clips whose text passes the last verdict: these are cut.

    `decisions`: a person's, by clip. Where one has a text, that of the model does not matter. What a person drops is
    cut all the same: then it costs nothing to take that back.
    """
    rewrites, scores = list(rewrites), {row["clip_id"]: row for row in alignment}
    known = [{"text": row["text"], **scores[row["clip_id"]]} for row in rewrites if row["clip_id"] in scores]
    kept = {values["clip_id"] for values in known if late.first_failure(values) is None}
    captioned = {row["clip_id"] for row in rewrites}

    def has_text(clip: Clip) -> bool:
        decision = decision_about(clip, decisions)
        return decision is not None and decision.text is not None and clip["clip_id"] in captioned

    return [clip for clip in clips if clip["clip_id"] in kept or has_text(clip)]
