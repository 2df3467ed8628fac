"""Looking through a folder or a sheet for videos: those that can be used, and what is wrong with the others."""

from __future__ import annotations

import errno
import fnmatch
import logging
import os
import stat
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from clipmill.base.errors import SetupError
from clipmill.base.files import clean_text
from clipmill.base.human import counted, listed
from clipmill.inputs.endings import PREVIEWS, SUFFIXES, USUAL, counted_endings, ending, recordings_of
from clipmill.inputs.sheets import SHEETS, read_sheet
from clipmill.store.layout import Paths

log = logging.getLogger("clipmill")

FolderIdentity = tuple[int, int]
"""Device and inode: the same for a folder and for all links to it."""


class Found:
    """The usable videos of the input as columns, and the problems of the other entries."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.paths: list[str] = []
        self.ids: list[str | None] = []
        self.sizes: list[int] = []
        self.times: list[int] = []
        self.problems: list[dict[str, str]] = []
        self.outdirs: list[str] = []  # of other runs

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


def find_videos(videos: Path, outdir: Path, exclude: list[str]) -> Found:
    """Look through a folder or a sheet. `outdir` is never searched."""
    found = Found()
    if videos.is_dir():
        _search_folder(videos, outdir, exclude, found)
    elif videos.suffix.lower() in SHEETS and videos.is_file():
        _read_sheet(videos, exclude, found)
    elif videos.exists():
        raise SetupError(f"videos: {videos} is neither a folder nor a sheet ({', '.join(sorted(SHEETS))})")
    else:
        raise SetupError(f"videos: {videos} does not exist; name a folder of videos or a sheet")
    return found


def _search_folder(folder: Path, outdir: Path, exclude: list[str], found: Found) -> None:
    root = str(folder.absolute())
    ours: set[FolderIdentity | None] = {_directory_identity(outdir)} - {None}
    if _directory_identity(root) in ours:
        raise SetupError(f"videos: {folder} is the outdir too; name another outdir (one inside the folder will do)")
    if Paths(folder).is_outdir:
        clips = Paths(folder).dataset / "clips"
        raise SetupError(f"videos: {folder} is the outdir of a run; name another folder, or {clips} for its clips")
    seen = set(ours)
    others: Counter[str] = Counter()
    previews = []
    for entry in _walk(root, "", seen, found, is_root=True):
        name = os.path.relpath(entry.path, root)
        if ending(entry.name) not in SUFFIXES:
            others[ending(entry.name)] += 1
        elif ending(entry.name) in PREVIEWS:
            previews.append((name, entry))
        else:
            _add_file(name, entry, exclude, found)
    whole = recordings_of(found.names) if previews else set()
    alone = [(name, entry) for name, entry in previews if not recordings_of([name]) & whole]
    for name, entry in alone:
        _add_file(name, entry, exclude, found)
    if len(alone) < len(previews):
        count = counted(len(previews) - len(alone), "preview")
        log.info("%s: %s of recordings that lie beside them are ignored", folder, count)
    if others:
        count = counted(others.total(), "file")
        log.info("%s: %s with other endings are ignored: %s", folder, count, counted_endings(others))
    if found.outdirs:
        log.info("%s: outdirs of other runs are left out: %s", folder, ", ".join(listed(found.outdirs)))


def _add_file(name: str, entry: os.DirEntry[str], exclude: list[str], found: Found) -> None:
    if not _excluded(name, exclude):
        try:
            found.add(name, entry.path, entry.stat())
        except OSError as error:
            found.problem(name, "missing", f"cannot be read ({error.strerror}); repair the link or remove it")


def _walk(
    directory: str, below: str, seen: set[FolderIdentity | None], found: Found, is_root: bool = False
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
        elif _directory_identity(entry.path) in seen:
            continue
        elif Paths(Path(entry.path)).is_outdir:
            found.outdirs.append(os.path.join(below, entry.name))
        else:
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


def _read_sheet(sheet: Path, exclude: list[str], found: Found) -> None:
    read = read_sheet(sheet)
    names, ids = read.paths, read.ids
    base = str(sheet.absolute().parent)
    paths = [os.path.join(base, name) if name else "" for name in names]
    seen_names: set[str | None] = set()
    seen_ids: set[str | None] = set()
    for row, (name, path, given_id, status) in enumerate(zip(names, paths, ids, _stats(paths), strict=True), 1):
        if name is None or status is None:
            what = f"{sheet.name} row {row}: the column `{read.column}` is empty"
            found.problem(f"row {row}", "no_path", f"{what}{read.remedy}")
        elif _excluded(name, exclude):
            continue
        elif given_id in seen_ids or (given_id is None and name in seen_names):
            what = f"the id `{given_id}`" if given_id else "the path"
            found.problem(name, "listed_twice", f"{sheet.name} row {row}: {what} stands in an earlier row already")
        elif isinstance(status, OSError):
            what = f"{sheet.name} row {row}: {path} cannot be read ({status.strerror})"
            found.problem(name, "missing", f"{what}{read.remedy}")
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


def nothing_found(videos: Path, problems: list[dict[str, str]]) -> str:
    """The message for an input that holds no video."""
    hint = f"; the first of {len(problems)} problems: {problems[0]['message']}" if problems else ""
    what = "a row with a readable file" if videos.suffix.lower() in SHEETS else f"a file ending in {USUAL} or the like"
    return f"videos: {videos} holds no video ({what} was expected){hint}"
