"""The progress of a run, for its plan: which steps, shards and videos are finished, and which are to come."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clipmill.base.files import newer
from clipmill.decode.shard import decode_settings, extras_of, is_current
from clipmill.plan.headers import HeaderSample, Video
from clipmill.shapes.rates import file_seconds
from clipmill.steps import ALL, FETCH, Step, by_name, of_run
from clipmill.store import table, tables
from clipmill.store.given import GIVEN
from clipmill.store.index import (
    has_own_job,
    is_remote,
    must_be_fetched,
    read_videos,
    removed_videos,
    shard_groups,
    shard_sizes,
    shards_to_fetch_first,
)
from clipmill.store.layout import Paths


@dataclass
class Shard:
    """The progress of one shard. `clips` and `kept` are None until the run has counted them.

    `scenes`: those that the sheet gives, if it gives any, `scene_seconds` long together; those by frames do not count
    in it.
    `unfit`: clips that are dropped before any filter (too short, frozen …); `clips` does not count them.
    `in_clips`, `in_unfit_clips`: seconds of footage in clips, before any filter, and in clips that are unfit.
    `bytes_to_fetch`: of the videos to decode those that a job of its own fetches; `bytes_fetched`: of decoded ones.
    `elsewhere`: of the videos to decode those at addresses; `bytes_elsewhere` lacks those of `unknown_sizes`.
    `whole`: all its videos are decoded with the present config and index; else all its jobs are to come.
    """

    name: str
    to_decode: int = 0
    bytes_to_decode: int = 0
    bytes_to_fetch: int = 0
    bytes_fetched: int = 0
    elsewhere: int = 0
    bytes_elsewhere: int = 0
    unknown_sizes: int = 0
    decoded: int = 0
    failed: int = 0
    seconds: float = 0.0
    bytes_decoded: int = 0
    whole: bool = True
    scenes: int | None = None
    scene_seconds: float = 0.0
    clips: int | None = None
    kept: int | None = None
    clip_seconds: float = 0.0
    in_clips: float = 0.0
    in_unfit_clips: float = 0.0
    unfit: int = 0


@dataclass
class Work:
    """All shards, and two samples of videos: `waiting` for decoding, and `measured`: (shard, id, seconds) of the rest.

    `find_missing` sets the work to come: `missing`, jobs by step, and `unresolved`, stages with quantiles to resolve.
    """

    outdir: Path
    shards: dict[str, Shard]
    groups: dict[str, list[str]]
    waiting: HeaderSample[Video]
    measured: HeaderSample[tuple[str, str, float]]
    stages: tuple[str, ...] = ()  # of `Step.stage`, those at which a threshold is a quantile
    joined: tuple[tuple[str, ...], ...] = ()  # steps that share their jobs
    optional: frozenset[str] = frozenset()  # of the steps that not every run has, those of this one
    to_fetch: frozenset[str] = frozenset()  # shards with videos that a job of its own fetches
    missing: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    unresolved: list[str] = field(default_factory=list)

    def jobs(self, step: Step) -> dict[str, list[str]]:
        """The jobs of a step: name -> the shards that the job serves."""
        if step.of_all:
            return {ALL: list(self.shards)}
        if step.name == FETCH:
            return {name: [name] for name in sorted(self.to_fetch)}
        return self.groups if step.grouped else {name: [name] for name in self.shards}

    def find_missing(self) -> None:
        """Fill `missing`: jobs by step whose tables are not there or are of other videos, and all jobs that follow.

        A quantile is over all clips: if it must be resolved again, so must the steps that need it, for all shards.
        """
        pending: dict[int, set[str]] = {}  # level -> shards with jobs to come
        changed = {name for name, shard in self.shards.items() if not shard.whole}
        for step in of_run(self.optional):
            before = changed.union(*(names for level, names in pending.items() if level < step.level))
            if step.name == FETCH:  # what changes decoding fetches nothing again
                before = {name for name in self.to_fetch if self._listed_since(name, step)}
            if step.stage in self.stages and (before or not self._resolved(step.stage)):
                self.unresolved.append(step.stage)
            together = [by_name(name) for names in self.joined if step.name in names for name in names] or [step]
            jobs = {
                name: shards
                for name, shards in self.jobs(step).items()
                if step.stage in self.unresolved
                or (step.of_all and newer(Paths(self.outdir).removed, step.tables[0].of(self.outdir, name)))
                or not all(one.done(self.outdir, name) for one in together)
                or not before.isdisjoint(shards)
            }
            self.missing[step.name] = jobs
            pending.setdefault(step.level, set()).update(shard for shards in jobs.values() for shard in shards)

    def _listed_since(self, shard: str, step: Step) -> bool:
        """Whether the list of a shard's videos has changed since a step wrote its table."""
        return newer(Paths(self.outdir).shard(shard), step.tables[0].of(self.outdir, shard))

    def _resolved(self, stage: str) -> bool:
        """Whether the quantiles of a stage are known, and no videos have been removed since."""
        return not newer(Paths(self.outdir).removed, Paths(self.outdir).thresholds(stage))

    def total(self, what: str, shards: Iterable[Shard] | None = None) -> float:
        """The sum of the number `what` over shards, all by default; shards where it is None are left out."""
        return sum(getattr(shard, what) or 0 for shard in (self.shards.values() if shards is None else shards))


def steps_of_run(settings: Mapping[str, Any]) -> frozenset[str]:
    """The names of the steps with a backend, of those that look for duplicates, and of fetching, for `of_run`."""
    fetch = [FETCH] if settings.get("fetch") else []
    return frozenset([*settings["steps"], *settings.get("duplicates", ()), *fetch])


def survey(outdir: Path, settings: Mapping[str, Any], sample: int) -> Work:
    """Look through the index and the tables of all shards, one after the other."""
    sizes = shard_sizes(outdir)
    groups = shard_groups(sizes, settings["clips_per_caption_job"])
    shards = {name: Shard(name) for name in sizes}
    joined = tuple(map(tuple, settings["score_jobs"].values()))
    samples = HeaderSample[Video](sample), HeaderSample[tuple[str, str, float]](sample)
    steps, to_fetch = steps_of_run(settings), shards_to_fetch_first(outdir)
    work = Work(outdir, shards, groups, *samples, tuple(settings["quantiles"]), joined, steps, to_fetch)
    gone = removed_videos(outdir)
    for shard in work.shards.values():
        _look_at_videos(work, shard, gone, settings)
        if settings["split"]["detector"] == GIVEN:
            _count_scenes(shard, tables.GIVEN.of(outdir, shard.name), gone)
    work.find_missing()
    dropped = _dropped(work)
    for shard in work.shards.values():
        if shard.name not in work.missing["split"]:
            _count_clips(shard, tables.CLIPS.of(outdir, shard.name), settings["split"]["fps"])
        if shard.name not in work.missing["filter"]:
            columns = ["clip_id", "kept", "seconds"]
            verdicts = tables.VERDICTS.read(tables.VERDICTS.of(outdir, shard.name), columns).to_pylist()
            kept = [row["seconds"] for row in verdicts if row["kept"] and row["clip_id"] not in dropped]
            shard.kept, shard.clip_seconds = len(kept), math.fsum(kept)
    return work


def _dropped(work: Work) -> set[str]:
    """Ids of the clips that were dropped as duplicates or beyond a limit, if the run has come that far."""
    if "duplicates" not in work.optional or work.missing["duplicates"]:
        return set()
    found = tables.DUPLICATES.read(tables.DUPLICATES.of(work.outdir, ALL), ["clip_id", "reason"]).to_pylist()
    return {row["clip_id"] for row in found if row["reason"] is not None}


def _count_scenes(shard: Shard, path: Path, gone: set[str]) -> None:
    shard.scenes = 0
    for scene in tables.GIVEN.read(path, ["video_id", "start", "end"]).to_pylist():
        if scene["video_id"] not in gone:
            shard.scenes += 1
            shard.scene_seconds += (scene["end"] or 0.0) - (scene["start"] or 0.0)


def _count_clips(shard: Shard, path: Path, fps: float | None) -> None:
    """Count the clips of a shard, and the footage in them. `fps`: the rate of clips with exact numbers of frames."""
    shard.clips = 0
    for clip in tables.CLIPS.read(path, ["unfit", "seconds", "target_frames"]).to_pylist():
        if clip["unfit"]:
            shard.unfit += 1
            shard.in_unfit_clips += clip["seconds"]
        else:
            shard.clips += 1
            shard.in_clips += file_seconds(clip, fps)


def _look_at_videos(work: Work, shard: Shard, gone: set[str], settings: Mapping[str, Any]) -> None:
    """Note which videos of a shard are decoded from their present file with the present settings, and their lengths."""
    decode, extras = decode_settings(settings["decode"])
    own_jobs = settings.get("fetch", {}).get("own_jobs", False)
    path, wanted = tables.VIDEOS.of(work.outdir, shard.name), Paths(work.outdir).shard(shard.name)
    shard.whole = not newer(wanted, path)
    known = {}
    if path.exists() and extras <= extras_of(table.about(path)):
        columns = ["video_id", "decode_key", "source_key", "seconds", "size_bytes", "error_kind"]
        known = {row["video_id"]: row for row in tables.VIDEOS.read(path, columns).to_pylist()}
    for video in read_videos(wanted):
        if video["video_id"] in gone:
            continue
        row, size = known.get(video["video_id"]), video["size_bytes"] or 0
        has_job = has_own_job(video, own_jobs)
        if row is None or not is_current(row, video, decode):
            shard.whole = False
            shard.to_decode += 1
            shard.bytes_to_decode += size
            if is_remote(video):
                shard.elsewhere += 1
                shard.bytes_elsewhere += size
                shard.unknown_sizes += video["size_bytes"] is None
            if has_job:
                shard.bytes_to_fetch += size
            held = video if must_be_fetched(video) else None
            work.waiting.add(video["name"], size, Video(video["name"], video["path"], size, held))
            continue
        shard.decoded += 1
        size = video["size_bytes"] or row["size_bytes"] or 0
        shard.bytes_decoded += size
        if has_job:
            shard.bytes_fetched += size
        if row["error_kind"]:
            shard.failed += 1
            continue
        shard.seconds += row["seconds"]
        work.measured.add(video["name"], size, (shard.name, video["video_id"], row["seconds"]))
