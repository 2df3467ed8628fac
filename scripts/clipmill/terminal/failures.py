"""Why a job failed, in one sentence: from the end of its log, where every tool writes its error."""

from __future__ import annotations

import itertools
import os
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

END = 65536  # bytes of a log that are read
BUG_LINES = 15  # of a log that ends with a traceback
MESSAGE = 500  # characters of a message of the scheduler or of Snakemake
TRACEBACK = "Traceback (most recent call last):"
HALTED = ("stopped by the user", "stopped by SIGTERM")

_LOGGED = re.compile(r"^\d\d:\d\d:\d\d (?P<level>[A-Z]+) (?P<message>.*)$")
_STATUS = re.compile(
    r"(?:returned non-zero exit status (?P<status>\d+)|died with <Signals\.(?P<name>\w+): \d+>)\.?\s*$"
)
_NAMES = {str(128 + number): number.name for number in (signal.SIGINT, signal.SIGKILL, signal.SIGTERM)}
_ASKED = ("SIGINT", "SIGTERM")


@dataclass(frozen=True)
class Ended:
    """How a command ended: by a signal, or with a status. A shell's status says which signal ended its child."""

    status: str | None
    signal: str | None

    @property
    def text(self) -> str:
        if self.signal == "SIGKILL":
            return "it was killed (SIGKILL), as when memory runs out"
        return f"it was ended by {self.signal}" if self.signal else f"it ended with status {self.status}, silently"


@dataclass(frozen=True)
class Failure:
    """`sentence`: what failed, why, and where the log is. `log_end`: the last lines of the log, for a bug only.

    `halted`: the job was asked to end.
    """

    sentence: str
    log_end: tuple[str, ...] = ()
    halted: bool = False

    @property
    def counts_after_stop(self) -> bool:
        """Whether a run that was stopped shows it: a library that is interrupted may raise anything."""
        return not self.halted and not self.log_end

    @property
    def text(self) -> str:
        return "\n".join((self.sentence, *(f"    {line}" for line in self.log_end)))


def how_ended(text: str) -> Ended | None:
    """How a command ended, from the text of Snakemake's CalledProcessError; None if the text is another one."""
    if "CalledProcessError" not in text or (found := _STATUS.search(text)) is None:
        return None
    return Ended(found["status"], found["name"] or _NAMES.get(found["status"]))


def explain(
    what: str, logs: Sequence[str], message: str | None = None, ended: Ended | None = None, silent: bool = False
) -> Failure:
    """`what`: the rule and its shard. `message`: from the scheduler. `ended`: how the command ended.

    `silent`: the job wrote no log; what is there is of an earlier try.
    """
    reason, log_end = _reason(end_of(Path(logs[0]))) if logs and not silent else (None, ())
    halted = bool(reason and reason.startswith(HALTED)) or bool(ended and ended.signal in _ASKED)
    told = in_one_line(message.partition("For further error details see")[0]) if message else None
    parts = [part for part in (reason, told) if part] or [ended.text if ended else "it said nothing"]
    where = f" (log: {', '.join(logs)})" if logs else ""
    by, end = (" by a bug", ", which ends with:") if log_end else ("", "")
    return Failure(f"{what} failed{by}: {'; '.join(parts)}{where}{end}", log_end, halted)


def in_one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MESSAGE else f"{line[:MESSAGE]}…"


def end_of(path: Path, size: int = END) -> str:
    """The end of a file as text; empty if it cannot be read."""
    try:
        with open(path, "rb") as handle:
            handle.seek(0, os.SEEK_END)
            handle.seek(max(0, handle.tell() - size))
            return handle.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def _reason(log: str) -> tuple[str | None, tuple[str, ...]]:
    """The last errors in a log, which came together. For a bug also the last lines."""
    lines = [line for line in log.splitlines() if line.strip()]
    if not lines:
        return None, ()
    logged = [_LOGGED.match(line) for line in lines]
    errors = [place for place, found in enumerate(logged) if _is_error(found)]
    last = errors[-1] if errors else -1
    traces = [place for place in range(last + 1, len(lines)) if lines[place].startswith(TRACEBACK)]
    traces = [place for place in traces if not (place and lines[place - 1].startswith("Exception ignored"))]
    if traces:
        raised = next((line for line in lines[traces[-1] + 1 :] if not line[0].isspace()), lines[-1])
        if raised == "KeyboardInterrupt":
            return HALTED[0], ()
        return in_one_line(raised), tuple(lines[-BUG_LINES:])
    together = [found["message"] for found in itertools.takewhile(_is_error, reversed(logged[: last + 1])) if found]
    return (in_one_line("; ".join(reversed(together))) if together else None), ()


def _is_error(found: re.Match[str] | None) -> bool:
    return found is not None and found["level"] in ("ERROR", "CRITICAL")
