"""What a run will do, before it runs: videos, hours, jobs, core-hours and disk, each number with its source.

Counted numbers are exact. Estimates follow from the work that is already done, else from `rates`; without either there
is no number. Nothing is written and no picture is read.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from clipmill.base.files import newer
from clipmill.base.human import counted
from clipmill.decode.part_pictures import has_large
from clipmill.decode.video import EASYANIMATE, EXTRAS, LARGE_FRAMES, MINIATURES, SOUND, SPEECH, DecodePaths
from clipmill.models import backends
from clipmill.plan import rates
from clipmill.plan.headers import Estimate, carried_over, estimate
from clipmill.plan.progress_of_run import Shard, Work, steps_of_run, survey
from clipmill.plan.rates import HOUR_SECONDS
from clipmill.plan.wall_time import wall_time
from clipmill.shapes.counts import between
from clipmill.shapes.rates import exact_rate
from clipmill.steps import BYTES, CLIP, FETCH, HOUR, KEPT, Step, by_name, of_run
from clipmill.store import benchmarks, table, tables
from clipmill.store.index import removed_videos
from clipmill.store.layout import WORK, Paths

HERE, COUNTED, ASSUMED, NOT_MEASURED = "measured here", "counted", "assumed", "not measured"


# Settings that change how long a unit of work takes. Jobs that differ in one of them do not count for the rate.
ALIKE = {
    "backend",
    "model",
    "frames",
    "frames_per_second",
    "max_side",
    "max_tokens",
    "structured",
    "max_tries",
    "where",
}
ONE_CORE = {"threads": 1, "gpu": 0}
ERROR_OF_ONE = 0.5  # of a rate that a single job gave, as a share


def make_plan(outdir: Path, settings: Mapping[str, Any], sample: int) -> dict[str, Any]:
    """The plan as JSON can hold it. `settings`: from the rule `plan`; `sample`: headers to read at most.

    Raises SetupError if the index or a table is not readable.
    """
    work = survey(outdir, settings, sample)
    decoded = work.total("bytes_decoded")
    hours = estimate(work.waiting, work.total("seconds") / decoded if decoded else None)
    amounts = Amounts(work, hours, settings)
    rules = list(_rules(work, amounts, settings))
    return _without_nan(
        {
            "outdir": str(outdir),
            "videos": _videos(work, len(removed_videos(outdir))),
            "hours": _hours(work, hours),
            "clips": amounts.as_dict(),
            "footage": _footage(work, settings["split"]),
            "rules": rules,
            "jobs": sum(rule["jobs"] for rule in rules),
            "totals": {
                name: math.fsum(rule[name] for rule in rules if not math.isnan(rule[name] or 0))
                for name in ("core_hours", "gpu_hours", "start_hours")
            },
            "time": wall_time(work, amounts.to_come, rules, settings["workers"], hours.error),
            "videos_per_shard": settings["videos_per_shard"],
            "not_measured": [rule["rule"] for rule in rules if rule["jobs"] and math.isnan(rule["core_hours"])],
            "servers": [step for step, made in settings["steps"].items() if made["backend"] == "openai"],
            "disk": list(_disk(work, amounts, hours, settings)),
            "free_bytes": shutil.disk_usage(outdir).free,
        }
    )


# --- how much there will be -------------------------------------------------------------------------------------------


class Amounts:
    """Hours, clips and kept clips of each shard: counted if the run has come that far, else estimated."""

    def __init__(self, work: Work, hours: Estimate, settings: Mapping[str, Any]):
        self._work = work
        waiting = work.waiting.bytes
        self._seconds_a_byte = hours.seconds / waiting if waiting else 0.0
        split = [shard for shard in work.shards.values() if shard.clips is not None]
        judged = [shard for shard in split if shard.kept is not None]
        self.seconds_a_clip = _assumed_seconds(settings["split"])
        self.clips_an_hour, self.clips_from = HOUR_SECONDS / self.seconds_a_clip, ASSUMED
        if scenes := work.total("scenes"):  # which may be of frames, of which nobody knows yet how long they are
            self.clips_from = COUNTED
            self.seconds_a_clip = work.total("scene_seconds") / scenes or self.seconds_a_clip
        elif seconds := work.total("seconds", split):
            self.clips_an_hour, self.clips_from = work.total("clips", split) / seconds * HOUR_SECONDS, HERE
        self.kept_share, self.kept_from = 1.0, ASSUMED
        if clips := work.total("clips", judged):
            self.kept_share, self.kept_from = work.total("kept", judged) / clips, HERE
        if kept := work.total("kept", judged):
            self.seconds_a_clip = work.total("clip_seconds", judged) / kept

    def of(self, shard: Shard, unit: str) -> float:
        """How much of `unit` a shard has."""
        if unit == BYTES:
            return (shard.bytes_to_fetch + shard.bytes_fetched) / 1e9
        if unit == KEPT and shard.kept is not None:
            return shard.kept
        if unit == KEPT:
            return self.of(shard, CLIP) * self.kept_share
        if unit == CLIP and shard.clips is not None:
            return shard.clips
        if unit == CLIP and shard.scenes is not None:
            return shard.scenes
        hours = (shard.seconds + shard.bytes_to_decode * self._seconds_a_byte) / HOUR_SECONDS
        return hours if unit == HOUR else hours * self.clips_an_hour

    def waiting(self, step: Step) -> float:
        """The units of work for the jobs of a step that are to come."""
        jobs = self._work.missing[step.name].values()
        return sum(self.to_come(step, self._work.shards[shard]) for group in jobs for shard in group)

    def to_come(self, step: Step, shard: Shard) -> float:
        """A shard's units of work for a step that is to come. Decoded videos are neither fetched nor decoded again."""
        if step.name == FETCH:
            return shard.bytes_to_fetch / 1e9
        if step.name == "decode":
            return shard.bytes_to_decode * self._seconds_a_byte / HOUR_SECONDS
        return self.of(shard, step.unit)

    def as_dict(self) -> dict[str, Any]:
        shards = self._work.shards.values()
        return {
            "found": int(self._work.total("clips") + self._work.total("unfit")),
            "unfit": int(self._work.total("unfit")),
            "kept": int(self._work.total("kept")),
            "expected": sum(self.of(shard, CLIP) for shard in shards if shard.clips is None),
            "expected_kept": sum(self.of(shard, KEPT) for shard in shards if shard.kept is None),
            "an_hour": self.clips_an_hour,
            "an_hour_from": self.clips_from,
            "kept_share": self.kept_share,
            "kept_share_from": self.kept_from,
        }


def _videos(work: Work, removed: int) -> dict[str, Any]:
    waiting, decoded = work.waiting, work.total("decoded")
    return {
        "count": int(waiting.videos + decoded),
        "to_decode": waiting.videos,
        "decoded": int(decoded),
        "failed": int(work.total("failed")),
        "removed": removed,
        "bytes": int(waiting.bytes + work.total("bytes_decoded")),
        "bytes_to_decode": waiting.bytes,
        "bytes_to_fetch": sum(work.shards[name].bytes_to_fetch for name in work.missing.get(FETCH, ())),
        "elsewhere": int(work.total("elsewhere")),
        "bytes_elsewhere": int(work.total("bytes_elsewhere")),
        "elsewhere_of_unknown_size": int(work.total("unknown_sizes")),
        "shards": len(work.shards),
    }


def _assumed_seconds(split: Mapping[str, Any]) -> float:
    """The length of a clip before the run has any: of pieces with exact numbers of frames that of the greatest one."""
    shortest, longest = split["min_seconds"], split["max_seconds"]
    if split["pieces"] == "exact" and split["fps"] is not None:
        rate = float(exact_rate(split["fps"]))
        return max(between(split["frames"], shortest * rate, longest * rate), default=longest * rate) / rate
    return (shortest + longest) / 2


def _footage(work: Work, split: Mapping[str, Any]) -> dict[str, Any] | None:
    """How much of the footage is in clips, before any filter; None without exact numbers of frames."""
    if split["frames"] is None:
        return None
    done = [shard for shard in work.shards.values() if shard.clips is not None]
    return {
        "frames": split["frames"],
        "fps": split["fps"],
        "seconds": work.total("seconds", done),
        "in_clips": work.total("in_clips", done),
        "in_unfit_clips": work.total("in_unfit_clips", done),
    }


def _hours(work: Work, waiting: Estimate) -> dict[str, Any]:
    return {
        "decoded": work.total("seconds") / HOUR_SECONDS,
        "to_decode": waiting.seconds / HOUR_SECONDS,
        "error": waiting.error,
        "headers_asked": len(waiting.headers) + len(waiting.unreadable),
        "headers_unreadable": list(waiting.unreadable),
        "headers_without_length": waiting.silent,
        "headers_not_read": waiting.not_read,
        "from": HERE if work.total("bytes_decoded") else ASSUMED,
        "median_lines": waiting.lines,
    }


# --- what it will cost ------------------------------------------------------------------------------------------------


def _rules(work: Work, amounts: Amounts, settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One row per rule, in the order of the data."""
    paths = Paths(work.outdir)
    row = partial(_row, wait=rates.CLUSTER_START if settings["workers"]["cluster_jobs"] else 0.0)
    checks: dict[bool, list[str]] = {True: [], False: []}  # by whether one job checks them all
    for step, made in settings["steps"].items():
        checks[backends.entry(step, made["backend"]).embedded].append(step)
    unchecked = {step for step in settings["steps"] if not paths.check(step).exists()}
    once = rates.Rate(0.0, rates.SOURCE, rates.START)
    yield row("check_embedded", int(not unchecked.isdisjoint(checks[True])), 1, "", 0.0, ONE_CORE, once)
    if with_models := checks[False]:
        yield row("check_backend", len(unchecked & {*with_models}), len(with_models), "", 0.0, ONE_CORE, None)
    for rule, names in _rules_of_steps(settings):
        if names == ["filter"] and work.stages:
            yield row(*_resolving(work, amounts))
        step, asked = by_name(names[0]), [settings["resources"].get(name, ONE_CORE) for name in names]
        used = {what: max(resources[what] for resources in asked) for what in ONE_CORE}
        found = []
        for name in names:
            rate = _own_rate(work, amounts, by_name(name), settings)
            if rate is None and not used["gpu"]:
                rate = rates.find(name, _backend(name, settings))
            found.append(rate)
        jobs = len(work.missing[step.name])
        amount = amounts.waiting(step) if jobs else 0.0
        made = row(rule, jobs, len(work.jobs(step)), step.unit, amount, used, rates.together(found))
        yield made | {"steps": names}
    pending = unchecked or any(work.missing.values()) or _outdated(work.outdir, settings["dataset"])
    amount = sum(amounts.of(shard, KEPT) for shard in work.shards.values()) if pending else 0.0
    rate = _own_export_rate(work.outdir) or rates.find("export", "")
    yield row("export_dataset", int(bool(pending)), 1, KEPT, amount, ONE_CORE, rate)
    pending = pending or not paths.report.exists()
    amount = sum(amounts.of(shard, CLIP) for shard in work.shards.values()) if pending else 0.0
    yield row("write_report", int(bool(pending)), 1, CLIP, amount, ONE_CORE, rates.find("report", ""))


def _rules_of_steps(settings: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Rules with the steps that their jobs do, in the order of the data."""
    score_jobs: Mapping[str, list[str]] = settings["score_jobs"]  # rule -> metrics of a job
    rules = {names[0]: (rule, names) for rule, names in score_jobs.items()}
    later = {name for names in score_jobs.values() for name in names[1:]}
    for step in of_run(steps_of_run(settings)):
        if step.name not in later:
            yield rules.get(step.name, (step.rule, [step.name]))


def _backend(step: str, settings: Mapping[str, Any]) -> str:
    """The backend of a step, by which its documented rate is known; of decoding, what makes it slow."""
    if step == "decode":
        return EASYANIMATE if EASYANIMATE in settings[step] else ""
    return settings["steps"].get(step, {}).get("backend", "")


def _outdated(outdir: Path, files: Iterable[str]) -> bool:
    """Whether one of the dataset's files is missing, or the set of videos has changed since they were written."""
    index = Paths(outdir)
    return any(newer(change, Path(file)) for change in (index.removed, index.problems) for file in files)


def _resolving(work: Work, amounts: Amounts) -> tuple[Any, ...]:
    """The arguments of `_row` for `resolve_thresholds`, which has one job per stage, over all shards."""
    jobs = len(work.unresolved)
    amount = jobs * sum(amounts.of(shard, CLIP) for shard in work.shards.values())
    return "resolve_thresholds", jobs, len(work.stages), CLIP, amount, ONE_CORE, rates.find("thresholds", "")


def _row(
    rule: str,
    jobs: int,
    of: int,
    unit: str,
    amount: float,
    used: Mapping[str, int],
    rate: rates.Rate | None,
    wait: float,
) -> dict[str, Any]:
    """The row of a rule. Core-hours are those that jobs hold, whether they use them or not; NaN without a rate.

    `wait`: seconds that a job holds its cores before its process starts.
    """
    start = rate.start + wait if rate else math.nan
    starts = start * jobs * used["threads"]
    seconds = rate.seconds * amount + starts if rate else math.nan
    gpu = seconds / used["threads"] * used["gpu"]
    return {
        "rule": rule,
        "jobs": jobs,
        "of": of,
        "unit": unit,
        "amount": amount,
        "core_seconds_a_unit": rate.seconds if rate else math.nan,
        "seconds_a_start": start,
        "error": rate.error if rate else None,
        "core_hours": seconds / HOUR_SECONDS if jobs else 0.0,
        "start_hours": starts / HOUR_SECONDS if jobs else 0.0,
        "threads_a_job": used["threads"],
        "gpu_hours": gpu / HOUR_SECONDS if used["gpu"] and jobs else 0.0,
        "gpus_a_job": used["gpu"],
        "rate_from": rate.source if rate else NOT_MEASURED,
    }


def _own_rate(work: Work, amounts: Amounts, step: Step, settings: Mapping[str, Any]) -> rates.Rate | None:
    """The rate of this run's finished jobs: wall time × the cores of a job, and their start; None without any.

    Left out are jobs that continued the work of an earlier one, and those of another backend or other settings.
    """
    done, starts = [], []  # units and core-seconds of each job; seconds of its start
    for name, shards in work.jobs(step).items():
        if name in work.missing[step.name] or not _alike(step, step.tables[0].of(work.outdir, name), settings):
            continue
        took = _whole_job(work.outdir, step.name, name)
        if took is not None:
            start = took.start_seconds or 0.0
            amount = sum(amounts.of(work.shards[shard], step.unit) for shard in shards)
            done.append((amount, (took.wall_seconds - start) * (took.threads or 1)))
            starts.append(start)
    amount = math.fsum(units for units, _ in done)
    if not amount:
        return None
    seconds = math.fsum(took for _, took in done)
    of_all = math.fsum(amounts.of(shard, step.unit) for shard in work.shards.values())
    _, error = carried_over(done, len(work.jobs(step)), of_all)
    error = ERROR_OF_ONE if math.isnan(error) else error
    return rates.Rate(seconds / amount, _here(len(done)), math.fsum(starts) / len(starts), error)


def _own_export_rate(outdir: Path) -> rates.Rate | None:
    summary, took = Paths(outdir).summary, _whole_job(outdir, "export", "export")
    if took is None or not summary.exists():
        return None
    kept = json.loads(summary.read_text(encoding="utf-8"))["clips"]["kept"]
    start = took.start_seconds or 0.0
    return rates.Rate((took.wall_seconds - start) / kept, _here(1), start, ERROR_OF_ONE) if kept else None


def _here(jobs: int) -> str:
    return f"{HERE}, {counted(jobs, 'job')}"


def _whole_job(outdir: Path, folder: str, name: str) -> benchmarks.Benchmark | None:
    """What a job took that did all its work itself, in one go; None if that is not known."""
    job = benchmarks.read(Paths(outdir).benchmark(folder, name))
    return job if job and job.whole else None


def _alike(step: Step, path: Path, settings: Mapping[str, Any]) -> bool:
    """Whether the job that wrote the table at `path` took as long per unit as the jobs to come: same settings."""
    if step.name not in (*settings["steps"], "decode", "cut"):
        return True
    made = table.about(path)
    if step.name in ("decode", "cut"):
        return made.get("settings") == settings[step.name]
    wanted = settings["steps"][step.name]
    return all(made.get(key) == wanted[key] for key in ALIKE & wanted.keys() & {*made, "backend"})


# --- what it will fill ------------------------------------------------------------------------------------------------


def _disk(work: Work, amounts: Amounts, hours: Estimate, settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One row per folder: how many bytes will be added to it."""
    decode = settings["decode"]
    measured = _bytes_an_hour(work, EXTRAS & decode.keys())
    documented = {
        "frames": _frame_bytes(hours, decode) * decode["samples_per_second"] * HOUR_SECONDS,
        "signals": rates.SIGNAL_BYTES_AN_HOUR,
    }
    if MINIATURES in decode:
        documented["miniatures"] = rates.MINIATURE_BYTES_AN_HOUR
    if {SOUND, SPEECH} & decode.keys():
        documented["sound"] = rates.SOUND_BYTES_AN_HOUR
    for folder, rate in documented.items():
        rate, source = (measured[folder], HERE) if measured else (rate, rates.SOURCE)
        to_come = hours.seconds / HOUR_SECONDS * rate if hours.videos else 0.0
        known = {"bytes_to_come": to_come, "bytes_a_unit": rate, "unit": HOUR, "from": source}
        yield {"folder": f"{WORK}/{folder}", **known}
    rate, source = _bytes_a_clip(work, amounts, hours)
    to_come = sum(amounts.of(work.shards[name], KEPT) for name in work.missing["cut"])
    to_come = to_come * rate if to_come else 0.0
    yield {
        "folder": f"{WORK}/clip_files",
        "bytes_to_come": to_come,
        "bytes_a_unit": rate,
        "unit": KEPT,
        "from": source,
    }


def _frame_bytes(hours: Estimate, decode: Mapping[str, Any]) -> float:
    """Bytes of a kept frame, with its large picture, from the picture sizes in the headers; NaN without headers."""
    side, sizes = decode["sample_short_side"], []
    for header in hours.headers:
        scale = min(1.0, side / max(1, min(header.width, header.height)))
        size = rates.FRAME_BYTES_A_PIXEL * header.width * header.height * scale**2
        with_large = LARGE_FRAMES in decode and has_large((header.width, header.height), side)
        sizes.append(size * (1 + rates.LARGE_TO_KEPT_BYTES) if with_large else size)
    return sum(sizes) / len(sizes) if sizes else math.nan


def _bytes_an_hour(work: Work, extras: Collection[str]) -> dict[str, float] | None:
    """Bytes of each folder of decoding per hour of video, over the sample of decoded videos; None if there are none."""
    wanted = [MINIATURES] if MINIATURES in extras else []
    wanted += ["sound"] if {SOUND, SPEECH} & set(extras) else []
    sizes, seconds = dict.fromkeys(("frames", "signals", *wanted), 0), 0.0
    for shard, video_id, length in work.measured.drawn:
        paths = DecodePaths.of(work.outdir, shard, video_id, extras)
        try:
            found = {name: getattr(paths, name).stat().st_size for name in sizes}
        except FileNotFoundError:
            continue
        seconds += length
        sizes = {name: size + found[name] for name, size in sizes.items()}
    return {name: size / seconds * HOUR_SECONDS for name, size in sizes.items()} if seconds else None


def _bytes_a_clip(work: Work, amounts: Amounts, hours: Estimate) -> tuple[float, str]:
    """Bytes of a clip file, and the source: the run's clip files, else as many bytes per second as the videos have."""
    sizes = []
    for name in work.shards.keys() - work.missing["cut"].keys():
        cuts = tables.CUTS.read(tables.CUTS.of(work.outdir, name), ["cut_bytes"]).column("cut_bytes").to_pylist()
        sizes += [size for size in cuts if size is not None]
    if sizes:
        return sum(sizes) / len(sizes), HERE
    seconds = work.total("seconds") + (hours.seconds if hours.videos else 0.0)
    size = work.total("bytes_decoded") + work.waiting.bytes
    return (size / seconds if seconds else math.nan) * amounts.seconds_a_clip, ASSUMED


def _without_nan(value: Any) -> Any:
    """`value` with None for NaN, and with floats rounded for JSON."""
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_nan(part) for part in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)
    return value
