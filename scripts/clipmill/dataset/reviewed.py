"""What a person's decisions do to the clips of a run, and which decisions cannot be followed.

A decision changes the verdict of its own clip alone. Nothing that was captioned, scored or chosen among duplicates
depends on one.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from clipmill.dataset.summary import not_followed
from clipmill.filters import reasons
from clipmill.filters.reasons import Reason
from clipmill.store import tables
from clipmill.store.review import DROP, Decision, decision_about, video_of
from clipmill.store.table import Row
from clipmill.store.tables import REVIEWED

log = logging.getLogger("clipmill")

STEP = "review"  # in errors.csv
CHANGED, UNKNOWN = "clip_changed", "unknown_clip"
STAR = "star"  # the value of `review.require`

# Columns that say how a model's text was made and how well it fits: a person's text has none of them.
OF_THE_MODELS_TEXT = tuple(
    column.name
    for column in (*tables.scores(tables.REWRITES), *tables.scores(tables.ALIGNMENT))
    if column.name != "text"
)


@dataclass
class Review:
    """The decisions of a run by clip. `require`: STAR if only clips with a star are kept; None keeps the others too.

    It counts what it does, clip by clip. `in_use` is False if the run has no file of decisions.
    """

    decisions: Mapping[str, Decision] = field(default_factory=dict)
    require: str | None = None
    in_use: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    _seen: set[str] = field(default_factory=set)

    def of(self, clip: Mapping[str, Any]) -> Decision | None:
        """The decision about a clip, if there is one about its pictures. `clip`: its row of CLIPS."""
        return decision_about(clip, self.decisions)

    def changed(self, clips: list[Row], names: Mapping[str, str]) -> Iterator[Row]:
        """Note `clips`, rows of CLIPS, as there. Yields ERRORS rows of decisions about other pictures of a clip.

        `names`: of the videos, by id.
        """
        for clip in clips:
            if clip["clip_id"] not in self.decisions:
                continue
            self._seen.add(clip["clip_id"])
            if self.of(clip) is None:
                self.counts["changed"] += 1
                message = (
                    "the decision about it is about other pictures, since the video, the crop or the frames of the "
                    "clip have changed; it does not count: look at the clip again"
                )
                yield _error(clip["clip_id"], names[clip["video_id"]], CHANGED, message)

    def unknown(self) -> Iterator[Row]:
        """ERRORS rows of decisions about clips that were not there. To be called after all clips were noted."""
        for clip_id in sorted(self.decisions.keys() - self._seen):
            self.counts["unknown"] += 1
            message = (
                "there is no clip of this id any more, since its video has gone or is split in another way; look at "
                "the clips that are there now"
            )
            yield _error(clip_id, video_of(clip_id), UNKNOWN, message)

    def failure(self, decision: Decision | None) -> Reason | None:
        """The reason against a clip that everything else keeps; None keeps it."""
        if decision and decision.decision == DROP:
            return reasons.REVIEWED_OUT
        if self.require == STAR and not (decision and decision.star):
            return reasons.NOT_STARRED
        return None

    def count(self, row: Row, decision: Decision | None) -> None:
        """Count what was decided about a clip. `row`: its row of FINAL_VERDICTS."""
        if decision is None:
            return
        self.counts["looked_at"] += 1
        self.counts["starred"] += decision.star
        self.counts["texts"] += row["kept"] and row["text_source"] == REVIEWED
        self.counts["kept"] += row["kept"]
        self.counts["reviewed_out"] += row["reason"] == str(reasons.REVIEWED_OUT)

    def as_dict(self) -> dict[str, int]:
        """The section `review` of the summary."""
        names = ("looked_at", "kept", "reviewed_out", "starred", "texts", "changed", "unknown")
        return {name: self.counts[name] for name in names}

    def warn(self) -> None:
        """Log the decisions that were not followed."""
        for decisions in not_followed(self.counts):
            log.warning("%s: see errors.csv", decisions)


def with_text(decision: Decision | None) -> Row:
    """What a person's text changes of a clip that has been rewritten; empty if the person has not edited the text."""
    if decision is None or decision.text is None:
        return {}
    return {**dict.fromkeys(OF_THE_MODELS_TEXT), "text": decision.text, "text_source": REVIEWED}


def source_of_text(row: Mapping[str, Any], backends: Mapping[str, str]) -> str | None:
    """Who wrote the text of a clip that no person has edited, as in the column `text_source`; None without a text.

    `backends`: of the steps. Rules tidy a caption and leave it what it was.
    """
    if row.get("text") is None:
        return None
    if backends["rewrite"] != "rules" and row["rewritten"]:
        return tables.REWRITTEN
    return tables.SOURCES_OF_CAPTIONS.get(backends["caption"], tables.BY_MODEL)


def _error(clip_id: str, video: str, kind: str, message: str) -> Row:
    return {
        "video": video,
        "video_id": video_of(clip_id),
        "clip_id": clip_id,
        "step": STEP,
        "kind": kind,
        "message": message,
    }
