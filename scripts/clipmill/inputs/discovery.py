"""Finding the videos and keeping the index of them up to date.

The main process calls `update_index` once, before the jobs are planned. Jobs read their own shard file and never walk
the input again. A video's shard never changes; new videos fill new shards; a video that has gone keeps its place.
"""

from __future__ import annotations

import errno
import fnmatch
import json
import logging
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from clipmill.base.errors import SetupError
from clipmill.base.files import clean_text, date_back, write_text
from clipmill.base.locks import one_at_a_time
from clipmill.inputs.identities import identity
from clipmill.inputs.sheets import SHEETS, read_sheet
from clipmill.store import tables
from clipmill.store.index import noted_again, shard_sizes
from clipmill.store.layout import Paths
from clipmill.store.run_lock import RunLock

log = logging.getLogger("clipmill")

SUFFIXES = {".mp4", ".webm", ".mkv", ".avi", ".mov", ".flv", ".m4v", ".ts", ".mpg", ".rmvb", ".wmv"}
AUTO_SHARDS = 1000
COLUMNS = [column.name for column in tables.INDEX.columns]
SHARD_COLUMNS = [name for name in COLUMNS if name not in ("shard", "present")]

FolderIdentity = tuple[int, int]
"""Device and inode: the same for a folder and for all links to it."""


class _Found:
    """The usable videos of the input as columns, and the problems of the other entries."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.paths: list[str] = []
        self.ids: list[str | None] = []
        self.sizes: list[int] = []
        self.times: list[int] = []
        self.problems: list[dict[str, str]] = []

    def add(self, name: str, path: str, status: os.stat_result, given_id: str | None = None) -> None:
        try:
            f"{name}{path}{given_id}".encode()
        except UnicodeEncodeError:
            self.problem(name, "bad_name", "the file's name, its folder's or its id is not valid UTF-8; rename it")
            return
        self.names.append(name)
        self.paths.append(path)
        self.ids.append(given_id)
        self.sizes.append(status.st_size)
        self.times.append(status.st_mtime_ns)

    def problem(self, name: str, kind: str, message: str) -> None:
        self.problems.append({"video": clean_text(name), "kind": kind, "message": clean_text(message)})


def update_index(
    videos: str | Path, outdir: Path, videos_per_shard: str | int = "auto", exclude: list[str] | None = None
) -> dict[str, int]:
    """Find the videos, bring the index up to date, and return all shards: name -> number of videos.

    Writes only what has changed, and nothing while a run is at work on `outdir`. Raises SetupError where the input is
    missing, unreadable or holds no video.
    """
    paths = Paths(outdir)
    if _at_work(outdir):
        return shard_sizes(outdir)
    found = find_videos(Path(videos), outdir, exclude or [])
    if not found.names:
        raise SetupError(_nothing_found(Path(videos), found.problems))
    try:
        paths.index.mkdir(parents=True, exist_ok=True)
    except (FileNotFoundError, FileExistsError, NotADirectoryError) as error:
        raise SetupError(
            f"outdir: {outdir} cannot be a folder ({error.strerror}: {error.filename}); name another"
        ) from error
    with one_at_a_time(paths.index_lock, "another start on this outdir"):
        if _at_work(outdir):  # a run may have begun while the videos were looked for
            return shard_sizes(outdir)
        if count := date_back(paths.compared()):
            log.warning(
                "%d files in %s had times in the future, as after a clock has jumped back: set to now", count, outdir
            )
        stored = _load(paths)
        index = _merge(stored, _identify(found, stored), videos_per_shard, noted_again(outdir))
        _report(stored, index, found)
        _save(paths, stored, index, found.problems)
    return shard_sizes(outdir)


def _at_work(outdir: Path) -> bool:
    """Whether a run is at work on the folder; if so, a warning is logged."""
    holder = RunLock(outdir).holder()
    if holder:
        log.warning("a run is at work on %s (%s): planned with the videos that it knows", outdir, holder)
    return holder is not None


def list_videos(videos: str | Path, outdir: Path, exclude: list[str]) -> list[dict[str, str]]:
    """`path` and `id` of each video. The id is the one that it has in the index, or would get; nothing is written.

    Raises SetupError where the input is missing, unreadable or holds no video.
    """
    found = find_videos(Path(videos), outdir, exclude)
    frame = _identify(found, _load(Paths(outdir)))
    if frame.empty:
        raise SetupError(_nothing_found(Path(videos), found.problems))
    return frame[["path", "video_id"]].rename(columns={"video_id": "id"}).to_dict("records")


# --- finding ---------------------------------------------------------------------------------------------------------


def find_videos(videos: Path, outdir: Path, exclude: list[str]) -> _Found:
    """Look through a folder or a sheet. `outdir` is never searched."""
    found = _Found()
    if videos.is_dir():
        _search_folder(videos, outdir, exclude, found)
    elif videos.suffix.lower() in SHEETS and videos.is_file():
        _read_sheet(videos, exclude, found)
    elif videos.exists():
        raise SetupError(f"videos: {videos} is neither a folder nor a sheet ({', '.join(sorted(SHEETS))})")
    else:
        raise SetupError(f"videos: {videos} does not exist; name a folder of videos or a sheet")
    return found


def _search_folder(folder: Path, outdir: Path, exclude: list[str], found: _Found) -> None:
    root = str(folder.absolute())
    ours: set[FolderIdentity | None] = {_directory_identity(outdir)} - {None}
    if _directory_identity(root) in ours:
        raise SetupError(f"videos: {folder} is the outdir too; name another outdir (one inside the folder will do)")
    seen = set(ours)
    others = 0
    for entry in _walk(root, "", seen, found, is_root=True):
        name = os.path.relpath(entry.path, root)
        if os.path.splitext(entry.name)[1].lower() not in SUFFIXES:
            others += 1
        elif not _excluded(name, exclude):
            try:
                found.add(name, entry.path, entry.stat())
            except OSError as error:
                found.problem(name, "missing", f"cannot be read ({error.strerror}); repair the link or remove it")
    if others:
        log.info("%s: %d files with other endings are ignored", folder, others)


def _walk(
    directory: str, below: str, seen: set[FolderIdentity | None], found: _Found, is_root: bool = False
) -> Iterator[os.DirEntry[str]]:
    """Files below `directory`; follows links to folders, each real folder once; hidden names are left out."""
    try:
        seen.add(_directory_identity(directory))
        with os.scandir(directory) as unsorted:
            entries = sorted(unsorted, key=lambda entry: entry.name)
    except OSError as error:
        if is_root:
            raise SetupError(f"videos: {directory} cannot be read ({error.strerror}); check its mode") from error
        found.problem(below, "unreadable_folder", f"the folder cannot be read ({error.strerror}); check its mode")
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if not _is_folder(entry):
            yield entry
        elif _directory_identity(entry.path) not in seen:
            yield from _walk(entry.path, os.path.join(below, entry.name), seen, found)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle, or into a closed folder
        return False


def _directory_identity(path: str | Path) -> FolderIdentity | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino)


def _excluded(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _read_sheet(sheet: Path, exclude: list[str], found: _Found) -> None:
    names, ids = read_sheet(sheet)
    base = str(sheet.absolute().parent)
    paths = [os.path.join(base, name) if name else "" for name in names]
    seen_names: set[str | None] = set()
    seen_ids: set[str | None] = set()
    for row, (name, path, given_id, status) in enumerate(zip(names, paths, ids, _stats(paths), strict=True), 1):
        if name is None or status is None:
            found.problem(f"row {row}", "no_path", f"{sheet.name} row {row}: the column `path` is empty")
        elif _excluded(name, exclude):
            continue
        elif given_id in seen_ids or (given_id is None and name in seen_names):
            what = f"the id `{given_id}`" if given_id else "the path"
            found.problem(name, "listed_twice", f"{sheet.name} row {row}: {what} stands in an earlier row already")
        elif isinstance(status, OSError):
            found.problem(name, "missing", f"{sheet.name} row {row}: {path} cannot be read ({status.strerror})")
        elif not stat.S_ISREG(status.st_mode):
            found.problem(name, "not_a_file", f"{sheet.name} row {row}: {path} is not a file")
        else:
            found.add(name, path, status, given_id)
        seen_names.add(name)
        seen_ids.add(given_id)
        seen_ids.discard(None)


def _stats(paths: list[str]) -> Iterator[os.stat_result | OSError | None]:
    """The status of each path, None for an empty path. Several threads ask, since a network file system is slow."""
    size = 4096
    blocks = (paths[start : start + size] for start in range(0, len(paths), size))
    with ThreadPoolExecutor(8) as pool:
        for block in pool.map(_stat_block, blocks):
            yield from block


def _stat_block(paths: list[str]) -> list[os.stat_result | OSError | None]:
    results: list[os.stat_result | OSError | None] = []
    for path in paths:
        try:
            results.append(os.stat(path) if path else None)
        except OSError as error:
            results.append(error)
        except ValueError:  # a NUL or half a surrogate pair: no file can have this name
            results.append(OSError(errno.EINVAL, os.strerror(errno.EINVAL)))
    return results


def _nothing_found(videos: Path, problems: list[dict[str, str]]) -> str:
    endings = " ".join(sorted(suffix[1:] for suffix in SUFFIXES))
    hint = f"; the first of {len(problems)} problems: {problems[0]['message']}" if problems else ""
    what = "a row with a readable file" if videos.suffix.lower() in SHEETS else f"a file ending in {endings}"
    return f"videos: {videos} holds no video ({what} was expected){hint}"


# --- identities and shards -------------------------------------------------------------------------------------------


def _load(paths: Paths) -> pd.DataFrame:
    """The stored index; empty if there is none, or if no job has used it yet, so that it may be rebuilt."""
    if paths.videos.exists() and paths.started:
        try:
            return tables.INDEX.read(paths.videos).to_pandas()[COLUMNS]
        except OSError as error:
            raise SetupError(f"{paths.videos}: unreadable ({error}); {tables.INDEX.remedy}") from error
    empty = {name: pd.Series(dtype="str") for name in COLUMNS}
    frame = pd.DataFrame(empty)
    return frame.astype({"size_bytes": "int64", "mtime_ns": "int64", "shard": "int64", "returns": "int64"}).astype(
        {"present": "bool"}
    )


def _identify(found: _Found, stored: pd.DataFrame) -> pd.DataFrame:
    """Give each found video its identity: from the sheet, the index, or its name. Duplicates become problems."""
    known = dict(zip(stored["name"].tolist(), stored["video_id"].tolist(), strict=True))
    ids = [identity(name, given, known) for name, given in zip(found.names, found.ids, strict=True)]
    frame = pd.DataFrame(
        {
            "video_id": pd.Series(ids, dtype="str"),
            "name": pd.Series(found.names, dtype="str"),
            "path": pd.Series(found.paths, dtype="str"),
            "size_bytes": pd.Series(found.sizes, dtype="int64"),
            "mtime_ns": pd.Series(found.times, dtype="int64"),
        }
    )
    doubles = frame["video_id"].duplicated()
    for name, video_id in frame.loc[doubles, ["name", "video_id"]].itertuples(index=False):
        found.problem(name, "id_taken", f"another video has the id {video_id} already; give it an id of its own")
    return frame.loc[~doubles]


def _merge(stored: pd.DataFrame, found: pd.DataFrame, videos_per_shard: str | int, again: set[str]) -> pd.DataFrame:
    """Stored videos with their present state, then the new ones in new shards.

    `returns` counts up if a video was gone and is back, and if one of the videos `again` can be read now. That changes
    the list of its shard, so the shard's jobs run.
    """
    old = stored.copy()
    where = pd.Index(found["video_id"]).get_indexer(old["video_id"])
    here = where >= 0
    now = found.iloc[where[here]]
    names = zip(now["video_id"], now["path"], strict=True)
    readable = [video_id for video_id, path in names if video_id in again and os.access(path, os.R_OK)]
    old.loc[here & (~old["present"] | old["video_id"].isin(readable)), "returns"] += 1
    for column in ("name", "path", "size_bytes", "mtime_ns"):
        old.loc[here, column] = now[column].to_numpy()
    old["present"] = here
    is_new = np.ones(len(found), bool)
    is_new[where[here]] = False
    new = found[is_new]
    new = new.iloc[pc.sort_indices(pa.array(new["name"])).to_numpy()]
    size = videos_per_shard
    if size == "auto":
        size = max(1, -(-(len(old) + len(new)) // AUTO_SHARDS))
    first = int(old["shard"].max()) + 1 if len(old) else 0
    shard = first + np.arange(len(new), dtype="int64") // int(size)
    new = new.assign(shard=shard, present=True, returns=0).astype({"present": "bool", "returns": "int64"})
    return pd.concat([old[COLUMNS], new[COLUMNS]], ignore_index=True)


def _report(stored: pd.DataFrame, index: pd.DataFrame, found: _Found) -> None:
    gone = index.loc[~index["present"], "name"]
    new = len(index) - len(stored)
    log.info("%d videos in %d shards (%d new)", int(index["present"].sum()), index["shard"].nunique(), new)
    if len(gone):
        log.warning("%d videos have gone and leave the dataset: %s", len(gone), _some(gone.tolist()))
    if found.problems:
        names = [problem["video"] for problem in found.problems]
        log.warning("%d entries cannot be used (errors.csv says why): %s", len(names), _some(names))


def _some(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:3]) + (", …" if len(names) > 3 else "")


# --- writing ---------------------------------------------------------------------------------------------------------


def _save(paths: Paths, stored: pd.DataFrame, index: pd.DataFrame, problems: list[dict[str, str]]) -> None:
    """Write the shard files that have changed, then the index: after a kill in between the next start does it again."""
    numbers = sorted(index["shard"].unique().tolist())
    stale = _changed_shards(stored, index)
    stale |= {number for number in numbers if not paths.shard(f"{number:06d}").exists()}
    for number, videos in index[index["shard"].isin(stale)].groupby("shard"):
        columns = [videos[column].tolist() for column in SHARD_COLUMNS]
        records = [dict(zip(SHARD_COLUMNS, row, strict=True)) for row in zip(*columns, strict=True)]
        _write_if_changed(paths.shard(f"{number:06d}"), _json_lines(records))
    sizes = index["shard"].value_counts().to_dict()
    names = "".join(f"{number:06d} {sizes[number]}\n" for number in numbers)
    gone = index.loc[~index["present"], ["video_id", "name"]].to_dict("records")
    _write_if_changed(paths.shards, names)
    _write_if_changed(paths.removed, _json_lines(gone))
    _write_if_changed(paths.problems, _json_lines(sorted(problems, key=lambda problem: problem["video"])))
    if not stored.equals(index) or not paths.videos.exists():
        tables.INDEX.write_parts(paths.videos, [pa.Table.from_pandas(index, preserve_index=False)])


def _changed_shards(stored: pd.DataFrame, index: pd.DataFrame) -> set[int]:
    """Shards whose file must be written: new ones, and those with a changed or returned video."""
    same = pd.Series(True, index=stored.index)
    for column in ("name", "path", "size_bytes", "mtime_ns", "returns"):
        same &= stored[column].reset_index(drop=True) == index[column].iloc[: len(stored)]
    changed = set(stored.loc[~same, "shard"].tolist())
    return changed | set(index["shard"].iloc[len(stored) :].unique().tolist())


def _json_lines(records: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def _write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
