"""A plan as text for the terminal, at most 100 columns wide."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clipmill.base.human import counted, duration
from clipmill.plan.plan import ASSUMED, COUNTED, HERE, NOT_MEASURED
from clipmill.plan.rates import HOUR_SECONDS, SOURCE
from clipmill.steps import BYTES, CLIP, HOUR, KEPT
from clipmill.store.benchmarks import MUCH_START

WIDTH = 100
# In the words of config.schema.yaml, shortened.
AUTO = (
    "videos_per_shard auto: few new videos, and large ones, get a shard each; the others share shards",
    "  with enough work for their jobs' start not to matter: see docs/configuration.md, Shards",
)
SOME, ROOM = 3, 48  # names that are shown, and characters for them
UNITS = {
    BYTES: ("GB", "GB"),
    HOUR: ("of video", "hour"),
    CLIP: ("clips", "clip"),
    KEPT: ("kept clips", "kept clip"),
    "": ("", ""),
}


def as_text(plan: dict[str, Any]) -> str:
    """The plan for the terminal."""
    parts = [[*_videos(plan), *_run_time(plan)], _rules(plan), _disk(plan), _notes(plan)]
    return "\n\n".join("\n".join(f"  {line}".rstrip() for line in part) for part in parts) + "\n"


def _videos(plan: dict[str, Any]) -> Iterator[str]:
    videos, hours, clips = plan["videos"], plan["hours"], plan["clips"]
    shards = counted(videos["shards"], "shard")
    yield f"videos   {videos['count']:,} in {shards}: {videos['to_decode']:,} to decode, {videos['decoded']:,} decoded"
    if videos["failed"] or videos["removed"]:
        yield f"         {videos['failed']:,} of the decoded ones failed, {videos['removed']:,} have gone ({COUNTED})"
    yield f"bytes    {_size(videos['bytes'])}, {_size(videos['bytes_to_decode'])} of them to decode ({COUNTED})"
    if videos["bytes_to_fetch"]:
        yield f"         {_size(videos['bytes_to_fetch'])} to fetch before that ({COUNTED})"
    if videos["elsewhere"]:
        yield from _elsewhere(videos)
    decoded = f"{_time(hours['decoded'])} decoded ({HERE}), " if hours["decoded"] else ""
    yield f"length   {decoded}{_time(hours['to_decode'])} to decode"
    if hours["headers_not_read"] and not hours["headers_asked"]:
        yield f"         (no header is read of videos at addresses; carried over by bytes, {hours['from']})"
    elif videos["to_decode"]:
        yield f"         {_of_headers(videos, hours)}"
        if lines := hours["median_lines"]:
            yield f"         pictures of {lines:,} lines, the median ({SOURCE} has 360 to 480)"
    if names := hours["headers_unreadable"]:
        unreadable = counted(len(names), "video cannot be read and counts", "videos cannot be read and count")
        yield f"         {unreadable} as 0 hours: {_some(names)}"
    if silent := hours["headers_without_length"]:
        headers = counted(silent, "header states", "headers state")
        yield f"         {headers} no length: such videos count as average ones ({ASSUMED})"
    if clips["expected"] != 0:
        known = f"{clips['found']:,} found ({COUNTED}), and " if clips["found"] else ""
        rate = f"{clips['an_hour']:,.0f} an hour ({clips['an_hour_from']})"
        if clips["an_hour_from"] == COUNTED:
            yield f"clips    {known}{_number(clips['expected'])} that the sheet gives ({COUNTED})"
        else:
            yield f"clips    {known}{_number(clips['expected'])} fit ones to be found at {rate}"
    else:
        yield f"clips    {clips['found']:,} found ({COUNTED})"
    if clips["unfit"]:
        unfit = f"{clips['unfit']:,} of the {clips['found']:,} are unfit (too short, frozen …)"
        yield f"         {unfit}; the summary counts them by reason"
    if clips["expected_kept"] != 0:
        known = f"{clips['kept']:,} ({COUNTED}), and " if clips["kept"] else ""
        share = f"{clips['kept_share']:.0%} of the rest ({clips['kept_share_from']})"
        yield f"kept     {known}{_number(clips['expected_kept'])}: {share}"
    else:
        yield f"kept     {clips['kept']:,} ({COUNTED})"
    if plan["footage"] is not None:
        yield from _footage(plan["footage"])


def _elsewhere(videos: dict[str, Any]) -> Iterator[str]:
    """How much comes from addresses. Videos with kept clips come once more to be cut, unless fetched files stay."""
    unknown = videos["elsewhere_of_unknown_size"]
    size = "" if unknown == videos["elsewhere"] else f"{_size(videos['bytes_elsewhere'])} ({COUNTED})"
    rest = f"{counted(unknown, 'video')} of unknown size, which counts as nothing below" if unknown else ""
    yield f"fetch    {' and '.join(part for part in (size, rest) if part)}, from addresses, to decode"
    yield "         cutting fetches videos with kept clips once more, unless fetch.keep is true"


def _footage(footage: dict[str, Any]) -> Iterator[str]:
    """How much of the footage clips with exact numbers of frames use."""
    rate = "" if footage["fps"] is None else f" at {footage['fps']:g} per second"
    yield f"footage  clips have the numbers of frames {footage['frames']}{rate}"
    if not footage["seconds"]:
        yield "         how much of the footage they use is known when videos are split into scenes"
        return
    used, short, all_of = (footage[name] for name in ("in_clips", "in_unfit_clips", "seconds"))
    share = f"{used / all_of:.0%}, before any filter ({COUNTED})"
    yield f"         {duration(used)} of {duration(all_of)} are in clips, {share}"
    left = max(0.0, all_of - used - short)
    yield f"         {duration(short)} are in clips that are unfit, {duration(left)} in none: see the report"


def _run_time(plan: dict[str, Any]) -> Iterator[str]:
    """How long the run takes, and how much of that is the start of jobs."""
    if not plan["jobs"]:
        return
    time, totals = plan["time"], plan["totals"]
    where = (
        f"with {counted(time['cluster_jobs'], 'job')} at once"
        if time["cluster_jobs"]
        else f"on {counted(time['cores'], 'core')}"
    )
    missing = ", without the rules that are not measured" if plan["not_measured"] else ""
    yield f"time     about {duration(time['seconds'])} {where}{missing}"
    yield f"         (from {duration(time['least'])} to {duration(time['most'])}, by the errors of the rates and hours)"
    if totals["core_hours"]:
        share = totals["start_hours"] / totals["core_hours"]
        much = ": much; see videos_per_shard" if share > MUCH_START else ""
        yield f"         the start of jobs takes {share:.1%} of the time on cores{much}"


def _of_headers(videos: dict[str, Any], hours: dict[str, Any]) -> str:
    read, count = hours["headers_asked"], videos["to_decode"]
    if read == count and not hours["headers_without_length"]:
        return f"(from the {'header' if count == 1 else 'headers of all'}; what decoding finds may differ)"
    error = "error not known" if hours["error"] is None else f"± {hours['error']:.1%}, two standard errors"
    return f"(from the headers of {read:,} of {count:,}, carried over by bytes: {error})"


def _rules(plan: dict[str, Any]) -> Iterator[str]:
    yield _columns("rule", "jobs", "work", "core-s", "per", "start", "cores", "GPUs", "rate from")
    for rule in plan["rules"]:
        many, one = UNITS[rule["unit"]]
        rate = rule["core_seconds_a_unit"]
        yield _columns(
            rule["rule"],
            _number(rule["jobs"]),
            f"{_amount(rule)} {many}" if rule["jobs"] and many else "",
            _number(rate) if rate != 0 and one else "",
            one if rate != 0 else "",
            f"{rule['start_hours'] / rule['core_hours']:.0%}" if rule["core_hours"] and rule["start_hours"] else "",
            _short_time(rule["core_hours"]),
            _short_time(rule["gpu_hours"]) if rule["gpus_a_job"] else "-",
            _short(rule["rate_from"]),
        )
    sums = (_sum(plan, "core_hours"), _sum(plan, "gpu_hours"))
    yield _columns("sum", _number(plan["jobs"]), "", "", "", "", *sums, "")
    if not plan["jobs"]:
        yield "nothing is left to do"


def _amount(rule: dict[str, Any]) -> str:
    return _short_time(rule["amount"]) if rule["unit"] == HOUR else _number(rule["amount"])


def _sum(plan: dict[str, Any], what: str) -> str:
    """The sum of a column over the rules (GPU-hours: those with GPUs); a question mark stands for unmeasured ones."""
    rules = [rule for rule in plan["rules"] if what == "core_hours" or rule["gpus_a_job"]]
    known = any(rule[what] for rule in rules) or not plan["jobs"]
    more = "+?" if any(rule[what] is None for rule in rules) else ""
    if not rules:
        return "-"
    return f"{_short_time(plan['totals'][what])}{more}" if known else "?" if more else "0"


def _disk(plan: dict[str, Any]) -> Iterator[str]:
    yield _columns("disk, to come", "", "", "bytes", "per", "", "", "", "rate from")
    for row in plan["disk"]:
        size, unit = _size(row["bytes_a_unit"]), UNITS[row["unit"]][1]
        yield _columns(row["folder"], "", _size(row["bytes_to_come"]), size, unit, "", "", "", _short(row["from"]))
    yield _columns("free", "", _size(plan["free_bytes"]), "", "", "", "", "", "")


def _columns(name: str, jobs: str, work: str, rate: str, unit: str, start: str, *rest: str) -> str:
    cores, gpus, source = rest
    return f"{name:<18}{jobs:>6}{work:>17} {rate:>7} {unit:<9}{start:>5}{cores:>9}{gpus:>7}  {source}"


def _short(source: str) -> str:
    return source.replace(SOURCE, Path(SOURCE).name).replace(HERE, "here")


def _notes(plan: dict[str, Any]) -> Iterator[str]:
    to_come = [rule for rule in plan["rules"] if rule["jobs"]]
    sources = {rule["rate_from"] for rule in to_come}
    sources |= {row["from"] for row in plan["disk"] if row["bytes_to_come"] != 0}
    sources |= {plan["clips"]["an_hour_from"], plan["clips"]["kept_share_from"]}
    yield "core-s: seconds of a core's time; cores, GPUs: how long all jobs hold them; both are estimates"
    yield "start: the part of them before a job is at work, while Python, its packages and models are loaded"
    if any(rule["rate_from"].startswith(HERE) for rule in plan["rules"]):
        yield "here: by this run's finished jobs of the same kind: wall time x the cores of a job"
    if SOURCE in sources:
        yield f'{Path(SOURCE).name}: {SOURCE}, "Rates of a plan"; larger pictures take'
        yield "  longer to decode and cut; scores are counted for all clips, though filters may drop some before"
    if ASSUMED in sources:
        half_way = "half-way between split.min_seconds and max_seconds"
        length = half_way if plan["footage"] is None else f"{half_way} (exact pieces: the longest)"
        length = "as long as the sheet says" if plan["clips"]["an_hour_from"] == COUNTED else length
        yield f"{ASSUMED}: clips {length}, none of them dropped,"
        yield "  of as many bytes a second as the videos"
    if plan["not_measured"]:
        yield from _wrapped(f"{NOT_MEASURED}, and not in the sums: {', '.join(plan['not_measured'])}")
        yield "  run a few videos with this config, and the next plan goes by them"
    if plan["videos_per_shard"] == "auto":
        yield from AUTO
    if plan["servers"]:
        yield f"the work of servers is not in the sums: {', '.join(plan['servers'])}"
    yield "jobs that run again only because a setting changed are not counted: a dry run (-n) lists them;"
    yield "  work that journals will save is not subtracted"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH - 2, subsequent_indent="  ")


def _number(value: float | None) -> str:
    """Three digits, as many as an estimate is worth; counts below a million stay whole."""
    if value is None or math.isnan(value):
        return "?"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g} M" if abs(value) < 9.995e8 else f"{value / 1e9:,.3g} G"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.1g}"


def _time(hours: float | None) -> str:
    return "?" if hours is None or math.isnan(hours) else duration(hours * HOUR_SECONDS)


def _short_time(hours: float | None) -> str:
    """A time in one unit, as wide as a column."""
    if hours is None or math.isnan(hours):
        return "?"
    seconds = hours * HOUR_SECONDS
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 9.95 or not seconds else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{_number(float(f'{hours:.3g}'))} h"


def _some(names: list[str]) -> str:
    """The first names, as much as fits into the rest of a line."""
    text = ", ".join(map(repr, names[:SOME])) + (", …" if len(names) > SOME else "")
    return text if len(text) <= ROOM else f"{text[: ROOM - 1]}…"


def _size(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "?"
    units = ["B", "kB", "MB", "GB", "TB", "PB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.3g} {units[0]}"
