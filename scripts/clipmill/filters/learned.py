"""Thresholds that are learned from a person's decisions: from the tables of a run to a config file."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clipmill.base.errors import SetupError
from clipmill.base.human import counted
from clipmill.filters import verdict
from clipmill.filters.calibrate import said, shortest
from clipmill.filters.columns import FACTS, LATE_FILTERS, WORDS, source
from clipmill.filters.learn import (
    LEAST,
    MAX,
    MIN,
    Decided,
    Estimate,
    ScoreFound,
    Together,
    learn_score,
    learn_together,
    passes,
)
from clipmill.filters.verdict import Bounds
from clipmill.store import tables
from clipmill.store.review import DROP, KEEP, Decision, decision_about

LEAST_VIDEOS = 5  # with fewer, nothing is known of other videos


@dataclass(frozen=True)
class Learned:
    """What is learned from decisions. `filters`: the bounds of the config, as numbers. `order`: of scores.

    `scores`: by score, what decisions say about it alone. `proposed`: bounds that replace those of `filters`.
    """

    decided: Decided
    filters: Bounds
    scores: Mapping[str, ScoreFound]
    together: Together
    proposed: Bounds
    wanted: float
    loosen: bool

    @property
    def informing(self) -> list[str]:
        return [name for name, found in self.scores.items() if found.informs]

    @property
    def kept_back(self) -> dict[str, dict[str, float]]:
        """By score and side: what decisions say by themselves where that is looser than the config, which stays."""
        found: dict[str, dict[str, float]] = {}
        for name in [] if self.loosen else self.informing:
            for side, bound in self.scores[name].bounds.items():
                if looser(side, bound.value, self.filters.get(name, {}).get(side)):
                    found.setdefault(name, {})[side] = bound.value
        return found


def read_decided(
    outdir: Path, shards: Iterable[str], names: list[str], decisions: Mapping[str, Decision], gone: set[str]
) -> Decided:
    """The clips of a run with a decision about their pictures that keeps or drops them, and their scores `names`.

    A star and an edited text keep a clip as `keep` does. Raises SetupError if these are too few to learn from.
    """
    rows: list[Mapping[str, Any]] = []
    for shard in shards:
        found = [
            clip
            for clip in tables.CLIPS.rows(tables.CLIPS.of(outdir, shard))
            if clip["video_id"] not in gone and decision_about(clip, decisions)
        ]
        if not found:
            continue
        table = tables.with_classifiers(tables.VERDICTS, names)
        scores = {row["clip_id"]: row for row in table.rows(table.of(outdir, shard))}
        late = tables.ALIGNMENT.of(outdir, shard)
        aligned = {row["clip_id"]: row for row in tables.ALIGNMENT.rows(late)} if late.exists() else {}
        rows += [{**scores[clip["clip_id"]], **aligned.get(clip["clip_id"], {})} for clip in found]
    rows = [row for row in rows if _keeps(decisions[row["clip_id"]]) is not None]
    kept = np.array([bool(_keeps(decisions[row["clip_id"]])) for row in rows], bool)
    video = np.array([row["video_id"] for row in rows], object)
    if min(kept.sum(), (~kept).sum()) < LEAST or len(set(video)) < LEAST_VIDEOS:
        there = f"{counted(int(kept.sum()), 'clip')} of this run kept (`keep`, a star or an edited text) and "
        there += f"{int((~kept).sum())} dropped, of {counted(len(set(video)), 'video')}"
        raise SetupError(
            f"calibrate: the decisions are too few to learn from: {there}; it needs {LEAST} of each, of {LEAST_VIDEOS} "
            "videos: decide about more clips in review.html"
        )
    values = {name: np.array([row.get(name) for row in rows], float) for name in names}  # None becomes NaN
    return Decided(values, kept, video)


def _keeps(decision: Decision) -> bool | None:
    """Whether a person keeps a clip; None if nothing says so."""
    if decision.decision == DROP:
        return False
    return True if decision.decision == KEEP or decision.star or decision.text is not None else None


def scores_of(order: Iterable[str]) -> list[str]:
    """The scores that may be learned from: as in `calibrate.propose`, neither facts of the video nor words."""
    return [name for name in (*order, *LATE_FILTERS) if name not in WORDS and source(name) != FACTS]


def learn(decided: Decided, filters: Bounds, wanted: float, loosen: bool, seed: int) -> Learned:
    """Learn bounds from decisions. `filters`: those of the config, with numbers for quantiles.

    `wanted`: of the clips that pass all bounds, the share that shall be ones that the person keeps. Bounds become
    stricter than those of the config; with `loosen` those of scores that say something are found anew.
    """
    scores = {name: learn_score(decided, name, seed) for name in decided.values}
    informing = [name for name, found in scores.items() if found.informs]
    own = {name: bound for name, bound in filters.items() if name in decided.values}
    staying = {name: bound for name, bound in own.items() if not (loosen and name in informing)}
    inside = np.ones(len(decided.kept), bool)
    for name, bound in verdict.active(staying, list(staying)).items():
        sides = {side: value for side, value in bound.items() if value is not None}
        inside &= np.isfinite(decided.values[name]) & passes(decided.values, {name: sides})
    together = learn_together(decided, informing, inside, wanted, seed)
    proposed: Bounds = {}
    for name in informing:
        sides = _with_few_digits(decided.values[name], together.cuts.get(name, {}))
        if loosen:
            sides = _loosened(decided, name, own.get(name, {}), together, inside) | sides
        if sides:
            proposed[name] = {MIN: None, MAX: None, **own.get(name, {}), **sides}
    return Learned(decided, filters, scores, together, proposed, wanted, loosen)


def _with_few_digits(values: np.ndarray, sides: Mapping[str, float]) -> dict[str, float]:
    known = values[np.isfinite(values)]
    return {side: shortest(known, value, side) for side, value in sides.items()}


def _loosened(
    decided: Decided, name: str, own: Mapping[str, Any], together: Together, inside: np.ndarray
) -> dict[str, float]:
    """The bounds of a score that cut off kept clips for nothing: as loose as the clips that pass everything else."""
    passing = inside & passes(decided.values, together.cuts)
    values = decided.values[name][passing & np.isfinite(decided.values[name])]
    if not len(values):
        return {}
    ends = {MIN: float(values.min()), MAX: float(values.max())}  # not rounded: nothing is known beyond
    return {side: end for side, end in ends.items() if looser(side, end, own.get(side))}


def looser(side: str, value: float, own: float | None) -> bool:
    """Whether a bound lets in what the bound of the config does not."""
    return own is not None and (value < own if side == MIN else value > own)


# --- in words ---------------------------------------------------------------------------------------------------------


def share(found: Estimate | None) -> str:
    """A share and between which values it lies."""
    return "unknown" if found is None else f"{found.value:.0%} ({found.low:.0%} to {found.high:.0%})"


def bounds_in_words(found: ScoreFound) -> str:
    """The best bounds of a score, and between which values each lies."""

    def end(value: float) -> str:
        return f"{value:.4g}" if np.isfinite(value) else "none"

    return ", ".join(
        f"{side} {bound.value:.4g} ({end(bound.low)} to {end(bound.high)})" for side, bound in found.bounds.items()
    )


def what_is_learned(learned: Learned) -> list[str]:
    """The sentences that head the config file and the page."""
    decided, together = learned.decided, learned.together
    kept, dropped = int(decided.kept.sum()), int((~decided.kept).sum())
    of_passing = together.kept / max(1, together.kept + together.dropped)
    lines = [
        f"Learned by `snakemake calibrate` from the decisions about {counted(kept + dropped, 'clip')} of "
        f"{counted(len(set(decided.video)), 'video')}: {kept:,} kept, {dropped:,} dropped.",
        f"Wanted: {learned.wanted:.0%} of the clips that pass are ones that you keep. Now {together.kept:,} of "
        f"{kept:,} kept ones pass, and {together.dropped:,} of {dropped:,} dropped ones: {of_passing:.0%}.",
    ]
    if not together.reached:
        lines += ["That is less than was wanted: no further bound on a score that says something would help."]
    lines += [
        f"On videos that the bounds were not learned from: {share(together.precision)} of the clips that pass are kept "
        f"ones, and {share(together.recall)} of the kept ones pass.",
        "These shares are of clips such as those that you looked at. Brackets hold 95% of the resamples.",
    ]
    return lines


def as_yaml(learned: Learned, file: Path) -> str:
    """What is learned as the text of the config `file`."""
    kept, dropped = learned.decided.kept, ~learned.decided.kept
    lines = [
        *what_is_learned(learned),
        "",
        "Each score by itself: its best bounds; what passes is kept; what is kept passes.",
    ]
    for name in learned.informing:
        found = learned.scores[name]
        lines += [f"  {name}: {bounds_in_words(found)}; {share(found.precision)}; {share(found.recall)}"]
    if nothing := [name for name, found in learned.scores.items() if not found.informs and found.clips]:
        lines += [f"These scores say nothing about your decisions: {', '.join(nothing)}."]
    if unknown := [name for name, found in learned.scores.items() if not found.clips]:
        lines += [f"No clip has the score: {', '.join(unknown)}."]
    for name, sides in learned.kept_back.items():
        texts = ", ".join(f"{side} {value:.4g}" for side, value in sides.items())
        lines += [f"{name}: {texts} would be looser than your bound, which stays (calibrate.loosen)."]
    lines += ["", f"{file.stem}.html beside this file shows the scores. Give the file after your own:"]
    lines += [f"  snakemake --profile profiles/local --configfile my.yaml {shlex.quote(str(file))}"]
    rows = []
    for name, bound in learned.proposed.items():
        own = learned.filters.get(name, {})
        new = ", ".join(f"{side}: {said(bound[side])}" for side in (MIN, MAX))
        was = ", ".join(f"{side} {said(own.get(side))}" for side in (MIN, MAX) if bound[side] != own.get(side))
        sides = {side: value for side, value in bound.items() if value is not None}
        out = ~passes(learned.decided.values, {name: sides})
        rows.append(
            (
                f"{name}: {{{new}}}",
                f"was {was}; drops {int((out & dropped).sum())} dropped and {int((out & kept).sum())} kept ones",
            )
        )
    width = max((len(setting) for setting, _ in rows), default=0)
    return "\n".join(
        [
            *(f"# {line}".rstrip() for line in lines),
            "filters:" if rows else "filters: {}",
            *(f"  {setting:{width}}  # {comment}" for setting, comment in rows),
            "",
        ]
    )
