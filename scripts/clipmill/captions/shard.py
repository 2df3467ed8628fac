"""Captions and their rewriting for the clips of one or more shards. Each is made only once for the same inputs.

A job may serve several shards, so that a model that takes minutes to start serves thousands of clips. Each shard has
its own journal, so that other groups of shards find it too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import fields
from pathlib import Path

from clipmill.base.clip_rows import SYNC_SECONDS, ClipRows
from clipmill.base.journal import Journal, fingerprint
from clipmill.captions import Answers, Caption, CaptionBackend, Clip, ClipFacts, RewriteBackend
from clipmill.captions.camera import camera_phrase
from clipmill.captions.given import GIVEN_CAPTION
from clipmill.decode.reading import KeptFrames
from clipmill.store import tables
from clipmill.store.given import OfClips
from clipmill.store.layout import Paths
from clipmill.store.table import Row
from clipmill.texts.thoughts import without_thoughts

Rows = dict[str, list[Row]]
"""Rows of tables, by the shard that they belong to."""


def kept_clips(outdir: Path, shards: Iterable[str], dropped: Collection[str]) -> Rows:
    """The clips of some shards that the filters kept: VERDICTS rows, with the `source_key` of their video.

    `dropped`: ids of clips that are left out, as duplicates or beyond a limit.
    """
    clips: Rows = {}
    for shard in shards:
        keys = {clip["clip_id"]: clip["source_key"] for clip in tables.CLIPS.rows(tables.CLIPS.of(outdir, shard))}
        verdicts = tables.VERDICTS.rows(tables.VERDICTS.of(outdir, shard))
        clips[shard] = [
            {**row, "source_key": keys[row["clip_id"]]}
            for row in verdicts
            if row["kept"] and row["clip_id"] not in dropped
        ]
    return clips


def with_given_captions(clips: Rows, outdir: Path) -> Rows:
    """The same clips with the caption that their scene, or else their video, is given; None if it is given none."""
    found: Rows = {}
    for shard, rows in clips.items():
        given = OfClips(outdir, shard)
        found[shard] = [{**row, GIVEN_CAPTION: given.caption(row)} for row in rows]
    return found


def caption_shards(
    backend: CaptionBackend, clips: Rows, outdir: Path, max_error_rate: float, step: str = "caption"
) -> list[Row]:
    """CAPTIONS rows of the kept clips. `clips` are rows with everything that is known of each, and `source_key`.

    `step` names the journals; for the step `judge` the rows are those of JUDGEMENTS.
    """

    def key(row: Row) -> str:
        facts = {name: row[name] for name in backend.reads}
        return fingerprint(about, row["source_key"], row["start_frame"], row["end_frame"], facts)

    def to_read(todo: Rows) -> Iterator[Clip]:
        for shard, rows in todo.items():
            with KeptFrames(outdir, shard) as kept_frames:
                for row in rows:
                    yield Clip(_facts(row), row, kept_frames)

    about = backend.about
    rows = _finish(step, clips, key, lambda todo: backend.caption(to_read(todo)), outdir, max_error_rate)
    known = {row["clip_id"]: row for mine in clips.values() for row in mine}
    return [_with_measured_camera(row, known[row["clip_id"]]) for row in rows]


def _facts(row: Row) -> ClipFacts:
    """The facts of a clip from all that is known of it."""
    return ClipFacts(**{field.name: row[field.name] for field in fields(ClipFacts) if field.name != "frames"})


def _with_measured_camera(row: Row, known: Row) -> Row:
    """A CAPTIONS row whose structured field says what the camera was measured to do, if that is known of the clip.

    The journal keeps the model's own words.
    """
    phrase = row.get("caption_camera") and camera_phrase(_facts(known))
    return {**row, "caption_camera": f"The camera {phrase}."} if phrase else row


def rewrite_shards(
    backend: RewriteBackend, captions: Rows, outdir: Path, max_error_rate: float, step: str = "rewrite"
) -> list[Row]:
    """REWRITES rows of `captions`, which are CAPTIONS rows that have a caption. `step` names the journals."""

    def key(row: Row) -> str:
        return fingerprint(about, row["caption"])

    def rewritten(todo: Rows) -> Answers:
        return backend.rewrite([Caption(row["clip_id"], row["caption"]) for rows in todo.values() for row in rows])

    about = backend.about
    return _finish(step, captions, key, rewritten, outdir, max_error_rate)


def answers_are_clean(row: Row) -> bool:
    """Whether a row's texts have no thoughts before them. Those of older versions may: then the clip is asked again."""
    texts = [text for name in ("caption", "text") if (text := row.get(name))]
    return all(without_thoughts(text) == text.strip() for text in texts)


def _finish(
    step: str,
    rows: Rows,
    key: Callable[[Row], str],
    work: Callable[[Rows], Answers],
    outdir: Path,
    max_error_rate: float,
) -> list[Row]:
    """One row for each of `rows`: from its shard's journal, or from `work`, which gets the rows that no journal has."""
    with ExitStack() as stack:
        owner: dict[str, Journal] = {}
        keys: dict[str, str] = {}
        for shard, mine in rows.items():
            journal = stack.enter_context(Journal(Paths(outdir).journal(step, shard)))
            owner |= {row["clip_id"]: journal for row in mine}
            keys |= {row["clip_id"]: key(row) for row in mine}
        results = stack.enter_context(ClipRows(owner, keys, max_error_rate, answers_are_clean))
        todo = {shard: [row for row in mine if row["clip_id"] not in results.rows] for shard, mine in rows.items()}
        if any(todo.values()):
            with closing(work(todo)) as answers:  # the threads of a backend end before an error leaves this function
                for answered in answers:
                    if answered is not None:
                        results.add(*answered)
                    results.sync(older_than=SYNC_SECONDS)
    return [
        {"clip_id": row["clip_id"], "shard": shard, **results.rows[row["clip_id"]]}
        for shard, mine in rows.items()
        for row in mine
    ]
