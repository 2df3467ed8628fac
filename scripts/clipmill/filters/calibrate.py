"""Proposing thresholds from the scores of a calibration sample: for a wanted share of kept clips, or for quantiles."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from clipmill.base.errors import SetupError
from clipmill.base.human import counted
from clipmill.filters import verdict
from clipmill.filters.columns import FACTS, WORDS, source
from clipmill.filters.quantiles import ConfiguredBounds, Resolved, as_quantile, with_resolved_quantiles
from clipmill.filters.thresholds import at_quantile, counted_clips, read_scores
from clipmill.filters.verdict import Bounds

STEPS = 40  # of the search for a tail: the last step moves it by less than one clip
DIGITS = 17  # enough to tell all floats apart
MIDDLE = 0.5  # the quantile at which the two bounds of a filter meet


@dataclass(frozen=True)
class CalibrationSample:
    """The scores of the sample's clips.

    `values`: by filter, NaN where a clip has none, or words, with None for none. `video`: that of each clip.
    """

    values: dict[str, np.ndarray]
    video: np.ndarray

    @staticmethod
    def read(outdir: Path, shards: Iterable[str], names: list[str], gone: set[str]) -> CalibrationSample:
        """Read the clips of all shards that count. Raises SetupError if there are none, or if no clip has a score."""
        clips = {shard: counted_clips(outdir, shard, gone) for shard in shards}
        video = np.array([video for table in clips.values() for video in table["video_id"].to_pylist()], object)
        if not len(video):
            raise SetupError("calibrate: no clip of the sample is long enough; raise calibrate.videos")
        values = {
            name: np.concatenate([read_scores(outdir, shard, name, table) for shard, table in clips.items()])
            for name in names
        }
        if without := [name for name, scores in values.items() if not known(scores).any()]:
            raise SetupError(
                f"calibrate: no clip of the sample has the score {', '.join(without)}; repair what the logs in "
                f"{outdir / 'logs'} say, or leave it out of filters and calibrate.quantiles"
            )
        return CalibrationSample(values, video)

    def passing(self, name: str, bound: dict[str, Any]) -> np.ndarray:
        """Which clips pass one filter, or one side of it; those without its score do not."""
        values = self.values[name]
        passing = known(values)
        if name in WORDS:
            return passing & np.array([verdict.lets_in(value, bound) for value in values], bool)
        low, high = bound.get("min"), bound.get("max")
        passing &= values >= low if low is not None else True
        return passing & (values <= high if high is not None else True)

    def kept(self, filters: Bounds) -> np.ndarray:
        """Which clips pass all of `filters` that have a bound."""
        active = verdict.active(filters, list(filters))
        parts = [self.passing(name, bound) for name, bound in active.items()]
        return np.logical_and.reduce([np.ones(len(self.video), bool), *parts])

    def at(self, name: str, quantile: Fraction | float, side: str) -> dict[str, Any]:
        """The score at a quantile, with the fewest digits that leave out the same clips."""
        values = self.values[name][np.isfinite(self.values[name])]
        found = at_quantile(values, quantile, side)
        return {**found, "value": shortest(values, found["value"], side)}

    def differs(self, name: str, side: str, value: float, own: float | str | None) -> bool:
        """Whether `value` lets other clips pass than `own`, the bound of the config. True if `own` is a quantile."""
        return isinstance(own, str) or (self.passing(name, {side: value}) != self.passing(name, {side: own})).any()


@dataclass(frozen=True)
class Proposal:
    """Proposed thresholds. `proposed`: bounds that replace those of `filters`. `kept`: which clips then pass.

    `tail`: the share of the clips that each moved bound cuts off by itself (at most half of them if its filter has two
    bounds); None if no bound was moved.
    """

    sample: CalibrationSample
    filters: ConfiguredBounds
    proposed: Resolved
    tail: float | None

    @property
    def resolved_filters(self) -> Bounds:
        return with_resolved_quantiles(self.filters, self.proposed)

    @property
    def kept(self) -> np.ndarray:
        return self.sample.kept(self.resolved_filters)

    @property
    def error(self) -> float | None:
        """The standard error of the kept share; None for a single video.

        Videos were drawn, and clips of a video are alike. So this is the error of a ratio of two sums over videos
        (Cochran, Sampling Techniques, 1977, 2.11).
        """
        _, owner = np.unique(self.sample.video, return_inverse=True)
        clips, kept = np.bincount(owner), np.bincount(owner, self.kept)
        videos = len(clips)
        if videos < 2:
            return None
        residues = kept - self.kept.mean() * clips
        return math.sqrt(videos / (videos - 1) * float((residues**2).sum())) / int(clips.sum())


def propose(
    sample: CalibrationSample,
    filters: ConfiguredBounds,
    keep: float | None,
    quantiles: dict[str, list[float | None]],
    loosen: bool,
) -> Proposal:
    """Propose thresholds from the clips of `sample`. `filters`: those of the config that are active or in `quantiles`.

    `quantiles`: the lower and upper quantile of some filters; None leaves a bound as it is. `keep`: the share of the
    clips that all filters together should keep. For it all other bounds of scores move. Each of them then cuts off the
    same share of the clips by itself: the largest share with which enough clips are kept. The two bounds of one filter
    stop where they meet.

    A bound that moves for `keep` becomes stricter; only with `loosen` it may let in clips that the config's does not.

    Bounds on a property of the video (its size, rate, length) and filters on words do not move. A bound also stays if
    its new value would let the same clips pass: the extremes of a sample (no text at all) say little about where to cut
    the full set.
    """
    moved: dict[str, list[str]] = {}
    fixed: Resolved = {}
    for name, bounds in filters.items():
        wanted: dict[str, Fraction | float | None] = {side: as_quantile(bound) for side, bound in bounds.items()}
        if name in quantiles:
            wanted |= {side: q for side, q in zip(("min", "max"), quantiles[name], strict=True) if q is not None}
        elif keep is not None and source(name) != FACTS and name not in WORDS:
            moved[name] = [side for side, bound in bounds.items() if bound is not None]
            continue
        fixed[name] = {side: sample.at(name, q, side) for side, q in wanted.items() if q is not None}

    own_bounds = {
        name: {side: _own(sample, name, filters[name][side], side) for side in sides} for name, sides in moved.items()
    }

    def at(tail: float) -> Resolved:
        found = dict(fixed)
        for name, sides in moved.items():
            own = min(tail, MIDDLE) if len(sides) == 2 else tail
            quantile = {"min": own, "max": 1 - own}
            there = {side: sample.at(name, quantile[side], side) for side in sides}
            if not loosen:
                there = {side: _stricter(side, new, own_bounds[name][side]) for side, new in there.items()}
            differs = {side: sample.differs(name, side, there[side]["value"], filters[name][side]) for side in sides}
            found[name] = {side: there[side] for side in sides if differs[side]}
        return found

    def enough(tail: float) -> bool:
        return sample.kept(with_resolved_quantiles(filters, at(tail))).mean() >= keep

    if not any(moved.values()):
        return Proposal(sample, filters, fixed, None)
    low, high = 0.0, 1.0
    if enough(high):
        return Proposal(sample, filters, at(high), high)
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if enough(middle) else (low, middle)
    return Proposal(sample, filters, at(low), low)


def _own(sample: CalibrationSample, name: str, bound: float | str | None, side: str) -> dict[str, Any]:
    """The bound of the config, which may be a quantile, as one of `Resolved`."""
    return sample.at(name, as_quantile(bound), side) if isinstance(bound, str) else {"quantile": None, "value": bound}


def _stricter(side: str, one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The bound that lets fewer clips pass."""
    choose = max if side == "min" else min
    return choose(other, one, key=lambda bound: bound["value"])


def known(values: np.ndarray) -> np.ndarray:
    """Which of the values of a filter, numbers or words, are not missing."""
    return np.isfinite(values) if values.dtype == float else np.array([value is not None for value in values], bool)


def shortest(values: np.ndarray, value: float, side: str) -> float:
    """`value` rounded outwards to the fewest digits that let the same of `values` pass."""
    passing = (lambda at: (values >= at).sum()) if side == "min" else (lambda at: (values <= at).sum())
    away = math.floor if side == "min" else math.ceil
    for digits in range(1, DIGITS):
        unit = digits - 1 - math.floor(math.log10(abs(value))) if value else 0
        rounded = round(away(value * 10.0**unit) / 10.0**unit, max(unit, 0))
        if passing(rounded) == passing(value):
            return float(rounded)
    return value


def as_yaml(proposal: Proposal, wishes: dict[str, Any], file: Path) -> str:
    """The proposal as the text of the config `file`, which says where its numbers are from.

    `wishes`: the section `calibrate` of the config.
    """
    sample, kept, error = proposal.sample, proposal.kept, proposal.error
    give = "" if error is None else f", give or take {error:.1%} (one standard error, of videos drawn as these)"
    lines = [
        f"Proposed by `snakemake calibrate` from {counted(len(kept), 'clip')} of "
        f"{counted(len(set(sample.video)), 'video')}, drawn with seed {wishes['seed']}.",
        f"All filters together keep {int(kept.sum())} of them: {kept.mean():.1%}{give}.",
        "Captioning and alignment will drop more clips; that is not counted here.",
    ]
    if wishes["keep"] is not None:
        lines += [f"Wanted: {wishes['keep']:.1%}.{_short_of(proposal, wishes['keep'], wishes['loosen'])}"]
    if proposal.tail is not None:
        lines += [f"Each bound without a quantile of its own cuts off up to {proposal.tail:.2%} of the clips."]
        lines += [] if wishes["loosen"] else ["Where your own bound cuts off more, it stays (calibrate.loosen)."]
    lines += ["report.html beside this file shows the clips. Give the file after your own:"]
    lines += [f"  snakemake --profile profiles/local --configfile my.yaml {shlex.quote(str(file))}"]
    rows = [_line(proposal, name) for name in proposal.filters if proposal.proposed.get(name)]
    width = max((len(setting) for setting, _ in rows), default=0)
    return "\n".join(
        [
            *(f"# {line}" for line in lines),
            "filters:" if rows else "filters: {}",
            *(f"  {setting:{width}}  # {comment}" for setting, comment in rows),
            "",
        ]
    )


def _short_of(proposal: Proposal, keep: float, loosen: bool) -> str:
    """Why the kept share is not the wanted one; empty if it is close to it."""
    share, clips = proposal.kept.mean(), len(proposal.kept)
    if proposal.tail is None:
        return " Nothing to move for it: set a bound of a score under filters that calibrate.quantiles does not name."
    if share < keep:
        more = "" if loosen else "; `calibrate: {loosen: true}` may loosen your bounds"
        return f" More cannot be kept: the other clips lack a score, or fail a bound that is not moved for it{more}."
    if share - keep <= max(0.01, 1 / clips):
        return ""
    if proposal.tail == 1:
        return " Fewer cannot be kept: the clips left have the same score wherever a bound may move."
    finer = "a larger sample (calibrate.videos) has finer steps"
    return f" The next step drops several of the {clips} clips at once; {finer}."


def _line(proposal: Proposal, name: str) -> tuple[str, str]:
    """A filter's line of the config, and what it does."""
    bound, at = proposal.resolved_filters[name], proposal.proposed[name]
    texts = [f"{side}: {said(bound[side])}" for side in ("min", "max")]
    sides = [side for side in ("min", "max") if side in at]
    quantiles = ", ".join(f"{side} q{at[side]['quantile']:.4g}" for side in sides)
    own = ", ".join(f"{side} {said(proposal.filters[name].get(side))}" for side in sides)
    values = proposal.sample.values[name]
    missing = int((~np.isfinite(values)).sum())
    out = int((~proposal.sample.passing(name, bound)).sum()) - missing
    lack = f", {missing} have no score" if missing else ""
    return f"{name}: {{{', '.join(texts)}}}", f"{quantiles}; was {own}; drops {out} by itself{lack}"


def said(bound: float | str | None) -> str:
    """A bound as YAML reads it: a quantile, none or a number. YAML would take 1e-05 for a word."""
    if isinstance(bound, str):
        return bound
    return "null" if bound is None else np.format_float_positional(bound, trim="-")
