"""Which jobs there are, which have ended, and how far the others are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clipmill.base.human import counted, duration
from clipmill.base.progress import Reached, last_line
from clipmill.terminal.failures import end_of

TAIL = 4096  # bytes at the end of a log, in which the last progress line is looked for
SURE = 3.0  # seconds before a time left is estimated
NEARLY = 0.95  # the share of a job that says that it has finished all items; its table is yet to be written
LONG = 60.0  # seconds from which on a job is long
MOST_LONG = 4  # long jobs that are noted each time

Stamp = tuple[int, int]
"""Time and size of a log: what it holds when a job starts is of an earlier job."""


@dataclass
class Job:
    """A running job, or on a cluster one that waits there. `item`: the shard, or whatever else its wildcards are."""

    number: int
    rule: str
    item: str
    log: Path | None
    started: float
    stamp: Stamp | None = None
    reached: Reached | None = None

    @classmethod
    def begun(cls, number: int, rule: str, wildcards: Mapping[str, str], logs: Sequence[str], now: float) -> Job:
        log = Path(logs[0]) if logs else None
        return cls(number, rule, item_of(wildcards), log, now, _stamp(log))

    @property
    def wrote(self) -> bool:
        """Whether its log has changed since it began. Else what the log holds is of an earlier try."""
        return self.log is not None and _stamp(self.log) != self.stamp

    def look(self) -> None:
        """Read in its log how far it is."""
        if self.log is not None and self.wrote:
            self.reached = last_line(end_of(self.log, TAIL)) or self.reached

    @property
    def text(self) -> str:
        """How far it is, in words; empty if its log does not say."""
        return f"{self.item} {self.reached.text}".strip() if self.reached else ""


def item_of(wildcards: Mapping[str, str]) -> str:
    return " ".join(wildcards.values())


def named(rule: str, wildcards: Mapping[str, str]) -> str:
    """A job as a sentence names it."""
    words = [f"{name} {value}" if name == "shard" else str(value) for name, value in wildcards.items()]
    return " for ".join((rule, *([", ".join(words)] if words else [])))


def _stamp(log: Path | None) -> Stamp | None:
    try:
        status = log.stat() if log is not None else None
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size) if status else None


@dataclass
class Rule:
    """A rule of this run with its jobs. `started`: when its first job was."""

    name: str
    total: int
    done: int = 0
    started: float | None = None
    running: dict[int, Job] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The part of its work that is done, with what running jobs say of themselves."""
        reached = sum(min(job.reached.share, NEARLY) for job in self.running.values() if job.reached)
        return min(1.0, (self.done + reached) / max(self.total, 1))

    def seconds_left(self, now: float) -> float | None:
        """An estimate, by the share that is done; None as long as nothing is known."""
        elapsed = now - self.started if self.started is not None else 0.0
        return elapsed * (1 - self.share) / self.share if elapsed >= SURE and self.share else None

    def left(self, now: float) -> str:
        """The time left, in words; empty as long as nothing is known."""
        seconds = self.seconds_left(now)
        return "" if seconds is None else f"{duration(seconds)} left"

    def counts(self) -> str:
        return f"{self.done:,} of {self.total:,}"

    def details(self) -> list[str]:
        """What running jobs say of themselves, those first that started first."""
        return [job.text for job in sorted(self.running.values(), key=lambda job: job.started) if job.text]

    def ended(self, now: float) -> str:
        """The line of a rule that is done."""
        seconds = duration(now - self.started) if self.started is not None else "0 s"
        return f"{self.name}: {self.counts()} {'job' if self.total == 1 else 'jobs'} done in {seconds}"


@dataclass
class Jobs:
    """All jobs of a run, by rule, in the order of the plan."""

    rules: dict[str, Rule] = field(default_factory=dict)

    def plan(self, counts: Mapping[str, int]) -> None:
        for name, count in counts.items():
            self.rules[name] = Rule(name, count)

    def begin(self, job: Job) -> Rule:
        rule = self.rules.setdefault(job.rule, Rule(job.rule, 0))
        rule.running[job.number] = job
        rule.total = max(rule.total, rule.done + len(rule.running))
        if rule.started is None:
            rule.started = job.started
        return rule

    def end(self, number: int, done: bool = True) -> Rule | None:
        """Note that a job has ended. Returns its rule; None for a job that is not shown."""
        for rule in self.rules.values():
            if rule.running.pop(number, None):
                rule.done += done
                return rule
        return None

    @property
    def running(self) -> list[Job]:
        return [job for rule in self.rules.values() for job in rule.running.values()]

    @property
    def under_way(self) -> list[Rule]:
        """Rules that have begun and are not done."""
        return [rule for rule in self.rules.values() if rule.started is not None and rule.done < rule.total]

    @property
    def done(self) -> int:
        return sum(rule.done for rule in self.rules.values())

    @property
    def total(self) -> int:
        return sum(rule.total for rule in self.rules.values())

    def notes(self, now: float) -> list[str]:
        """How far the run is, with the rule that has most before it; then how far each long job is."""
        known = [(seconds, rule) for rule in self.under_way if (seconds := rule.seconds_left(now)) is not None]
        _, slowest = max(known, key=lambda one: one[0], default=(0.0, None))
        of_rule = f"; {slowest.name} {slowest.counts()}, {slowest.left(now)}" if slowest and slowest.total > 1 else ""
        long = [job for job in self.running if job.text and now - job.started >= LONG]
        jobs = [f"{job.rule} {job.text}" for job in sorted(long, key=lambda job: job.started)]
        return [f"{self.done:,} of {self.total:,} jobs done{of_rule}", *jobs[:MOST_LONG]]

    def all_done(self, seconds: float) -> str:
        return f"{counted(self.done, 'job')} done in {duration(seconds)}"
