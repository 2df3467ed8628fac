"""Finding the videos and keeping the index of them up to date.

The main process calls `update_index` once, before the jobs are planned. Jobs read their own shard file and never walk
the input again. A video's shard never changes; new videos fill new shards; a video that has gone keeps its place.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clipmill.base.errors import SetupError
from clipmill.base.files import atomic, date_back, newer, write_text
from clipmill.base.human import counted
from clipmill.base.locks import one_at_a_time
from clipmill.fetch.files import FetchSettings
from clipmill.inputs.archives import make_folder, path_of
from clipmill.inputs.finding import Found, find_videos, no_captions, nothing_found
from clipmill.inputs.given import given_table
from clipmill.inputs.identities import identity
from clipmill.inputs.recheck import rechecked
from clipmill.inputs.same_files import found_twice, names_in_index, spelled_otherwise
from clipmill.inputs.sharding import UNKNOWN_BYTES, Workers, shards_of
from clipmill.store import tables
from clipmill.store.index import NOT_OF_FILES, is_remote, noted_again, shard_sizes
from clipmill.store.layout import Paths
from clipmill.store.run_lock import RunLock
from clipmill.store.spelling import remember_spelling
from clipmill.store.tables import REMOTE

log = logging.getLogger("clipmill")

COLUMNS = [column.name for column in tables.INDEX.columns]
SHARD_COLUMNS = [name for name in COLUMNS if name not in ("shard", "present")]


def update_index(
    videos: str | Path,
    outdir: Path,
    videos_per_shard: str | int = "auto",
    exclude: list[str] | None = None,
    workers: Workers | None = None,
    captions: bool = False,
    fetch: FetchSettings | None = None,
) -> dict[str, int]:
    """Find the videos, bring the index up to date, and return all shards: name -> number of videos.

    `workers`: what the jobs will run on, by which `auto` chooses the shards of new videos; None is one core.
    `captions`: whether captions are given; scenes that a sheet gives are taken in any case.
    `fetch`: which addresses may be reached; None is none.
    Writes only what has changed, and nothing while a run is at work on `outdir`. Raises SetupError where the input is
    missing, unreadable or holds no video.
    """
    paths = Paths(outdir)
    if _at_work(outdir):
        return shard_sizes(outdir)
    found = find_videos(videos, outdir, exclude or [], captions, fetch)
    if not found.names:
        raise SetupError(nothing_found(videos, found.problems))
    if captions and not any(row.caption for row in found.given or ()):
        raise SetupError(no_captions(videos))
    make_folder(paths.index, outdir)
    with one_at_a_time(paths.index_lock, "another start on this outdir"):
        if _at_work(outdir):  # a run may have begun while the videos were looked for
            return shard_sizes(outdir)
        if count := date_back(paths.compared()):
            log.warning(
                "%d files in %s had times in the future, as after a clock has jumped back: set to now", count, outdir
            )
        stored = _load(paths)
        identified, ids = _identify(found, stored)
        if fetch and fetch.recheck:
            identified = rechecked(identified, stored, outdir, fetch)
        index = _merge(stored, identified, videos_per_shard, noted_again(outdir), workers or Workers())
        _report(stored, index, found, ids)
        _save(paths, stored, index, found.problems, fetch is not None and fetch.own_jobs)
        found.archives.remove_others()
        if found.given is not None:
            _save_given(outdir, index, given_table(found.given, ids))
        remember_spelling(outdir)
    return shard_sizes(outdir)


def _at_work(outdir: Path) -> bool:
    """Whether a run is at work on the folder; if so, a warning is logged."""
    holder = RunLock(outdir).holder()
    if holder:
        log.warning("a run is at work on %s (%s): planned with the videos that it knows", outdir, holder)
    return holder is not None


def list_videos(
    videos: str | Path, outdir: Path, exclude: list[str], fetch: FetchSettings | None = None
) -> list[dict[str, Any]]:
    """`path`, `id` and `scenes` of each video: the times or frames of each scene that a sheet gives.

    The id is the one that it has in the index, or would get; nothing is written.

    Raises SetupError where the input is missing, unreadable or holds no video.
    """
    found = find_videos(videos, outdir, exclude, fetch=fetch)
    identified, ids = _identify(found, _load(Paths(outdir)))
    if not len(identified):
        raise SetupError(nothing_found(videos, found.problems))
    scenes: dict[str | None, list[dict[str, Any]]] = {}
    for row in found.given or ():
        scenes.setdefault(ids[row.place], []).append(row.times)
    return [
        {"path": path_of(video), "id": video["video_id"], "scenes": scenes.get(video["video_id"], [])}
        for video in identified.to_pylist()
    ]


# --- identities and shards -------------------------------------------------------------------------------------------


def _load(paths: Paths) -> pa.Table:
    """The stored index; empty if there is none, or if no job has used it yet, so that it may be rebuilt."""
    schema = tables.INDEX.schema
    if paths.videos.exists() and paths.started:
        try:
            return tables.INDEX.read(paths.videos).cast(schema)
        except OSError as error:
            raise SetupError(f"{paths.videos}: unreadable ({error}); {tables.INDEX.remedy}") from error
    return schema.empty_table()


def _identify(found: Found, stored: pa.Table) -> tuple[pa.Table, list[str | None]]:
    """Give each found video its identity: from the sheet, the index, or its name. Duplicates become problems.

    Returns the videos, and the id of each place of `found`; None for a duplicate.
    """
    # Members of an archive share its path, by which links are recognized.
    unnamed = [place for place, given in enumerate(found.ids) if given is None and found.origins[place] is None]
    old = names_in_index([found.names[i] for i in unnamed], [found.paths[i] for i in unnamed], stored)
    for place in unnamed:
        found.names[place] = old.get(found.names[place], found.names[place])
    known = dict(zip(stored["name"].to_pylist(), stored["video_id"].to_pylist(), strict=True))
    ids = [identity(name, given, known) for name, given in zip(found.names, found.ids, strict=True)]
    seen: set[str] = set()
    first = []
    for name, video_id in zip(found.names, ids, strict=True):
        first.append(video_id not in seen)
        seen.add(video_id)
        if not first[-1]:
            found.problem(name, "id_taken", f"another video has the id {video_id} already; give it an id of its own")
    columns = {
        "video_id": ids,
        "name": found.names,
        "path": found.paths,
        "size_bytes": found.sizes,
        "mtime_ns": found.times,
        "origin": found.origins,
        "member": found.members,
        "offset": found.offsets,
        "etag": found.etags,
        "checksum": found.checksums,
    }
    schema = pa.schema([tables.INDEX.schema.field(name) for name in columns])
    videos = pa.table(columns, schema=schema).filter(pa.array(first, pa.bool_()))
    return videos, [video_id if is_first else None for video_id, is_first in zip(ids, first, strict=True)]


def _merge(
    stored: pa.Table, found: pa.Table, videos_per_shard: str | int, again: set[str], workers: Workers
) -> pa.Table:
    """Stored videos with their present state, then the new ones in new shards.

    `returns` counts up if a video was gone and is back, and if one of the videos `again` can be read now. That changes
    the list of its shard, so the shard's jobs run.
    """
    where = pc.index_in(stored["video_id"], value_set=found["video_id"])
    here = pc.is_valid(where)
    now = found.take(pc.fill_null(where, 0))
    tried = found.filter(pc.is_in(found["video_id"], value_set=pa.array(sorted(again), pa.string())))
    rows = tried.to_pylist()
    readable = [row["video_id"] for row in rows if is_remote(row) or os.access(row["path"], os.R_OK)]
    back = pc.or_(pc.invert(stored["present"]), pc.is_in(stored["video_id"], value_set=pa.array(readable, pa.string())))
    old = {name: stored[name] for name in COLUMNS}
    moved = pc.and_(here, pc.invert(spelled_otherwise(stored, now)))
    for name in ("name", "path", "size_bytes", "mtime_ns", *NOT_OF_FILES):
        # An address of a sheet is not asked: what is known of it stays.
        known = pc.coalesce(now[name], stored[name]) if name in ("size_bytes", "etag") else now[name]
        old[name] = pc.if_else(moved if name == "path" else here, known, stored[name])
    old["returns"] = pc.add(stored["returns"], pc.and_(here, back).cast(pa.int64()))
    old["present"] = here
    new = found.filter(pc.is_null(pc.index_in(found["video_id"], value_set=stored["video_id"]))).sort_by("name")
    first = pc.max(stored["shard"]).as_py() + 1 if len(stored) else 0
    if isinstance(videos_per_shard, str):
        sizes = pc.fill_null(new["size_bytes"], UNKNOWN_BYTES)
        shard = first + shards_of(sizes.to_numpy(), first, workers)
    else:
        shard = first + np.arange(len(new), dtype="int64") // videos_per_shard
    count = len(new)
    added = {**{name: new[name] for name in new.column_names}, "shard": pa.array(shard, pa.int64())}
    added |= {"present": pa.repeat(True, count), "returns": pa.repeat(pa.scalar(0, pa.int64()), count)}
    schema = tables.INDEX.schema
    return pa.concat_tables([pa.table({name: part[name] for name in COLUMNS}, schema=schema) for part in (old, added)])


def _report(stored: pa.Table, index: pa.Table, found: Found, ids: list[str | None]) -> None:
    gone = index.filter(pc.invert(index["present"]))["name"]
    new = len(index) - len(stored)
    shards = counted(pc.count_distinct(index["shard"]).as_py(), "shard")
    log.info("%s in %s (%s new)", counted(len(index) - len(gone), "video"), shards, f"{new:,}")
    if len(gone):
        have = "has gone and leaves" if len(gone) == 1 else "have gone and leave"
        log.warning("%s %s the dataset: %s", counted(len(gone), "video"), have, _some(gone.slice(0, 4).to_pylist()))
    if found.problems:
        names = [problem["video"] for problem in found.problems]
        entries = counted(len(names), "entry", "entries")
        log.warning("%s cannot be used (errors.csv says why): %s", entries, _some(names))
    if twice := found_twice(found, [video_id is not None for video_id in ids]):
        log.warning(
            "%s under another name too: %s; each name is a video of its own, so the dataset may have its clips twice: "
            "leave a name out by `exclude`, or set duplicates.backend",
            counted(len(twice), "file is there", "files are there"),
            _first([f"{name!r} is {first!r}" for first, name in twice[:4]]),
        )


def _some(names: list[str]) -> str:
    return _first([repr(name) for name in names[:4]])


def _first(texts: list[str]) -> str:
    return ", ".join(texts[:3]) + (", …" if len(texts) > 3 else "")


# --- writing ---------------------------------------------------------------------------------------------------------


def _save(
    paths: Paths, stored: pa.Table, index: pa.Table, problems: list[dict[str, str]], own_jobs: bool = False
) -> None:
    """Write the shard files that have changed, then the index: after a kill in between the next start does it again.

    `own_jobs`: whether videos at addresses are fetched by jobs of their own.
    """
    numbers, counts = (column.to_pylist() for column in pc.value_counts(index["shard"]).flatten())
    stale = _changed_shards(stored, index)
    stale |= {number for number in numbers if not paths.shard(f"{number:06d}").exists()}
    first = 0
    for number, count in zip(numbers, counts, strict=True):  # the videos of a shard follow each other
        if number in stale:
            records = index.slice(first, count).select(SHARD_COLUMNS).to_pylist()
            _write_if_changed(paths.shard(f"{number:06d}"), _json_lines(map(_listed, records)))
        first += count
    names = "".join(f"{number:06d} {count}\n" for number, count in zip(numbers, counts, strict=True))
    gone = index.filter(pc.invert(index["present"])).select(["video_id", "name"]).to_pylist()
    fetched = index.filter(pc.is_valid(index["origin"])).group_by(["shard", "origin"]).aggregate([]).to_pylist()
    to_fetch: dict[str, list[str]] = {}
    for row in sorted(fetched, key=lambda row: (row["shard"], row["origin"])):
        to_fetch.setdefault(f"{row['shard']:06d}", []).append(row["origin"])
    with_job = [name for name, of in to_fetch.items() if of != [REMOTE] or _has_own_job(paths, name, own_jobs)]
    _write_if_changed(paths.shards, names)
    if to_fetch or paths.shards_to_fetch.exists():
        lines = (f"{name} {' '.join(origins)}\n" for name, origins in to_fetch.items())
        _write_if_changed(paths.shards_to_fetch, "".join(lines))
    if with_job or paths.shards_to_fetch_first.exists():
        _write_if_changed(paths.shards_to_fetch_first, "".join(f"{name}\n" for name in with_job))
    _write_if_changed(paths.removed, _json_lines(gone))
    _write_if_changed(paths.problems, _json_lines(sorted(problems, key=lambda problem: problem["video"])))
    if not stored.equals(index) or not paths.videos.exists():
        tables.INDEX.write_parts(paths.videos, [index])


def _has_own_job(paths: Paths, shard: str, wanted: bool) -> bool:
    """Whether a job of its own fetches the videos of a shard, all of which lie at addresses: if that is `wanted` now.

    For a shard that is decoded it counts what was wanted then. Else its jobs would have other inputs, and run again.
    """
    if newer(paths.shard(shard), tables.VIDEOS.of(paths.outdir, shard)):
        return wanted
    return tables.FETCHES.of(paths.outdir, shard).exists()


def _listed(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """A video as the list of its shard has it: that of a file is as older versions wrote it."""
    return {name: value for name, value in record.items() if value is not None or name not in NOT_OF_FILES}


def _save_given(outdir: Path, index: pa.Table, given: pa.Table) -> None:
    """Write what is given of the videos of each shard, where it has changed: only then jobs run again for it."""
    shard_of = dict(zip(index["video_id"].to_pylist(), index["shard"].to_pylist(), strict=True))
    shards = np.array([shard_of[video_id] for video_id in given["video_id"].to_pylist()], np.int64)
    order = np.argsort(shards, kind="stable")
    given, shards = given.take(order), shards[order]
    schema = given.schema.with_metadata(tables.GIVEN.schema_about().metadata)
    for number in sorted(set(shard_of.values())):
        first, end = np.searchsorted(shards, [number, number + 1]).tolist()
        rows = given.slice(first, end - first).replace_schema_metadata(schema.metadata).combine_chunks()
        path = tables.GIVEN.of(outdir, f"{number:06d}")
        if not _is_same(path, rows):
            path.parent.mkdir(exist_ok=True)
            with atomic(path) as temporary:
                pq.write_table(rows, temporary, compression="zstd")


def _is_same(path: Path, rows: pa.Table) -> bool:
    """Whether a file holds these rows with these columns. A damaged one does not."""
    try:
        return pq.read_table(path).equals(rows)
    except (OSError, pa.ArrowException):
        return False


def _changed_shards(stored: pa.Table, index: pa.Table) -> set[int]:
    """Shards whose file must be written: new ones, and those with a changed or returned video."""
    before, same = index.slice(0, len(stored)), pa.repeat(True, len(stored))
    for name in ("name", "path", "size_bytes", "mtime_ns", "returns", *NOT_OF_FILES):
        neither = pc.and_(pc.is_null(stored[name]), pc.is_null(before[name]))
        same = pc.and_(same, pc.or_(neither, pc.fill_null(pc.equal(stored[name], before[name]), False)))
    changed = set(stored["shard"].filter(pc.invert(same)).to_pylist())
    return changed | set(pc.unique(index["shard"].slice(len(stored))).to_pylist())


def _json_lines(records: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def _write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
