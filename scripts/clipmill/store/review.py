"""What a person decided about clips: `review.jsonl`, one JSON line per decision. The last line of a clip counts.

`review.html` and `snakemake browse` write the file, a run with `review` in its config reads it. A line is
{"clip_id": …, "decision": "drop" | "keep" | null, "star": true | false, "text": "edited text" | null, "clip": "<key>",
"at": "2026-11-30T22:30:00Z"}: all that is decided about a clip at that time. A line without any decision takes the
earlier ones back. Fields that this version does not know are ignored.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from clipmill.base.errors import SetupError
from clipmill.base.files import naming_full_disk, write_text
from clipmill.base.journal import fingerprint

DROP, KEEP = "drop", "keep"
MOST_NAMED = 5  # bad lines in one message
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")


@dataclass(frozen=True)
class Decision:
    """All that a person has decided about one clip.

    `decision`: DROP, KEEP or None. `text`: the caption to train on, None if the person did not edit it. `clip`: the
    key of the clip that the person saw, see `clip_key`. `at`: when, in UTC.
    """

    clip_id: str
    decision: str | None
    star: bool
    text: str | None
    clip: str
    at: str

    @property
    def is_empty(self) -> bool:
        """Whether it takes back what was decided before: then it is as if nobody had looked at the clip."""
        return self.decision is None and not self.star and self.text is None

    def as_line(self) -> str:
        """The line of the file, with its end."""
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"


def clip_key(clip: Mapping[str, Any]) -> str:
    """The key of a clip: it changes when the clip's pictures do, and not with its caption or its scores.

    `clip`: its row of CLIPS, or at least the columns `source_key`, `start_frame` and `end_frame`.
    """
    return fingerprint(clip["source_key"], clip["start_frame"], clip["end_frame"])


def decision_about(clip: Mapping[str, Any], decisions: Mapping[str, Decision]) -> Decision | None:
    """The decision about a clip, a row of CLIPS; None if there is none, or if it is about other pictures."""
    decision = decisions.get(clip["clip_id"])
    return decision if decision and decision.clip == clip_key(clip) else None


def video_of(clip_id: str) -> str:
    """The id of the video of a clip."""
    return clip_id.rpartition("_")[0]


def state_of(decisions: Mapping[str, Decision]) -> str:
    """A short hash of decisions: it changes when a run has to follow others, and not with their times."""
    found = (asdict(decision) | {"at": None} for decision in decisions.values())
    return fingerprint(*sorted(found, key=lambda one: one["clip_id"]))


def parse_decision(line: str | bytes) -> Decision:
    """The decision of one line. The white space of its text becomes single spaces.

    Raises ValueError, which says what is wrong with the line, if it is no decision.
    """
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):  # also bytes that are no UTF-8
        raise ValueError("it is not JSON") from None
    if not isinstance(values, dict):
        raise ValueError("it is no object, as {…}")
    found = {}
    for name, (is_good, wanted) in _FIELDS.items():
        if name not in values:
            raise ValueError(f"it has no field `{name}`")
        if not is_good(values[name]):
            raise ValueError(f"`{name}` is {json.dumps(values[name])[:80]}, and must be {wanted}")
        found[name] = values[name]
    text = found["text"]
    return Decision(**{**found, "text": text and " ".join(text.split())})


def read_review(path: Path) -> dict[str, Decision]:
    """The decisions in a file by clip, each the last one of its clip; without those that were taken back.

    Raises SetupError, which names the file and the first bad lines, if a line is no decision.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except (FileNotFoundError, IsADirectoryError):
        raise SetupError(
            f"{path}: there is no such file; save the decisions of review.html there, or correct `review` in the config"
        ) from None
    found: dict[str, Decision] = {}
    faults = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            decision = parse_decision(line)
        except ValueError as error:
            faults.append(f"{path}, line {number}: {error}; correct or remove the line")
            continue
        found[decision.clip_id] = decision
    if faults:
        rest = [f"{path}: {len(faults) - MOST_NAMED} more bad lines"] if len(faults) > MOST_NAMED else []
        raise SetupError("\n".join([*faults[:MOST_NAMED], *rest]))
    return {clip_id: decision for clip_id, decision in found.items() if not decision.is_empty}


def append_decisions(path: Path, decisions: Iterable[Decision]) -> None:
    """Add decisions to the end of a file, and sync it to disk. The file is made if it is not there.

    Raises ValueError, and writes nothing, if `read_review` would refuse one of them.
    """
    lines = [parse_decision(decision.as_line()).as_line() for decision in decisions]
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming_full_disk(path), open(path, "a+b") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a line written by hand, or cut off when a process died
                lines.insert(0, "\n")
        file.write("".join(lines).encode())
        file.flush()
        os.fsync(file.fileno())


def write_review(path: Path, decisions: Mapping[str, Decision]) -> None:
    """Write decisions as a file of their own, sorted by clip, unless it is there already."""
    text = "".join(decisions[clip_id].as_line() for clip_id in sorted(decisions))
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and _is_unicode(value)


def _is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold a text: JSON can also name halves of characters."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _is_time(value: Any) -> bool:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


# Field -> whether a value is good, and what it must be.
_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "clip_id": (_is_word, "the id of a clip"),
    "decision": (lambda value: value in (DROP, KEEP, None), "`drop`, `keep` or null"),
    "star": (lambda value: isinstance(value, bool), "true or false"),
    "text": (lambda value: value is None or _is_word(value), "a text that is not empty, or null for the model's"),
    "clip": (_is_word, "the key of the clip that was seen"),
    "at": (_is_time, "a time in UTC, as 2026-11-30T22:30:00Z"),
}
