"""Looking through a folder or a sheet for videos: those that can be used, and what is wrong with the others."""

from __future__ import annotations

import errno
import fnmatch
import logging
import os
import stat
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, lru_cache
from itertools import islice, tee
from pathlib import Path
from typing import NamedTuple

from clipmill.base.errors import SetupError
from clipmill.base.files import clean_text
from clipmill.base.human import counted, listed
from clipmill.inputs.archives import KINDS, Archives, Held, Kind, kind_of
from clipmill.inputs.endings import PREVIEWS, SUFFIXES, USUAL, counted_endings, ending, recordings_of
from clipmill.inputs.entries import given_by
from clipmill.inputs.given import CAPTION, GivenRow, Reader
from clipmill.inputs.published import Cells
from clipmill.inputs.sheets import SHEETS, Sheet, is_sheet, read_sheet
from clipmill.store.layout import Paths

log = logging.getLogger("clipmill")

THREADS, BLOCK = 8, 1024  # threads that ask for the status of files, each for so many at once
CAPTION_ENDING = ".txt"
LONGEST_CAPTION = 100_000  # characters that are read of a caption's file

FolderIdentity = tuple[int, int]
"""Device and inode: the same for a folder and for all links to it."""


class Found:
    """The usable videos of the input as columns, and the problems of the other entries."""

    def __init__(self, archives: Archives) -> None:
        self.names: list[str] = []
        self.paths: list[str] = []
        self.ids: list[str | None] = []
        self.sizes: list[int] = []
        self.times: list[int] = []
        self.origins: list[str | None] = []
        self.members: list[str | None] = []
        self.offsets: list[int | None] = []
        self.devices: list[int] = []
        self.inodes: list[int] = []
        self.problems: list[dict[str, str]] = []
        self.outdirs: list[str] = []  # of other runs
        self.given: list[GivenRow] | None = None  # what is given of the videos; None if nothing is asked for
        self.archives = archives

    def add(
        self, name: str, path: str, status: os.stat_result, given_id: str | None = None, held: Held | None = None
    ) -> bool:
        """Add a video, unless its name cannot be used. `path` and `status` are those of the archive that has `held`."""
        try:
            f"{name}{path}{given_id}".encode()
        except UnicodeEncodeError:
            self.problem(name, "bad_name", "the file's name, its folder's or its id is not valid UTF-8; rename it")
            return False
        self.names.append(name)
        self.paths.append(path)
        self.ids.append(given_id)
        self.sizes.append(status.st_size if held is None else held.size)
        self.times.append(status.st_mtime_ns)
        self.origins.append(held and held.origin)
        self.members.append(held and held.member)
        self.offsets.append(held and held.offset)
        self.devices.append(status.st_dev)
        self.inodes.append(status.st_ino if held is None else 0)  # an archive is not the file of its videos
        return True

    def problem(self, name: str, kind: str, message: str) -> None:
        self.problems.append({"video": clean_text(name), "kind": kind, "message": clean_text(message)})


def find_videos(videos: Path, outdir: Path, exclude: list[str], captions: bool = False) -> Found:
    """Look through a folder or a sheet, or take a single video as a folder with nothing else would give it.

    `outdir` is never searched. `captions`: whether given captions are wanted.
    """
    found = Found(Archives(outdir, captions))
    if captions:
        found.given = []
    if is_sheet(videos):
        _read_sheet(videos, exclude, captions, found)
        return found
    if videos.is_dir():
        _search_folder(videos, outdir, exclude, found)
    elif videos.is_file() and (kind := kind_of(videos)):
        _add_archive(videos.name, videos.absolute(), kind, exclude, found)
    elif ending(videos.name) in SUFFIXES and videos.is_file():
        _add_file(videos.name, videos.absolute(), exclude, found)
    elif videos.exists():
        sheets, archives = ", ".join(sorted(SHEETS)), ", ".join(KINDS)
        raise SetupError(
            f"videos: {videos} is neither a folder nor a sheet ({sheets}), nor an archive ({archives}), and no video "
            f"({USUAL} or the like)"
        )
    else:
        place = "" if videos.is_absolute() else f" in {Path.cwd()}"
        raise SetupError(f"videos: {videos} does not exist{place}; name a folder of videos, a sheet or a single video")
    if found.given is not None:
        found.given += _captions_beside(found)
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
        if (kind := kind_of(entry.path)) and _add_archive(name, entry, kind, exclude, found):
            pass
        elif ending(entry.name) not in SUFFIXES:
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


def _add_file(name: str, file: os.DirEntry[str] | Path, exclude: list[str], found: Found) -> None:
    if not _excluded(name, exclude):
        try:
            found.add(name, os.fspath(file), file.stat())
        except OSError as error:
            found.problem(name, "missing", f"cannot be read ({error.strerror}); repair the link or remove it")


def _add_archive(name: str, file: os.DirEntry[str] | Path, kind: Kind, exclude: list[str], found: Found) -> bool:
    """Add the videos of an archive, and what it says of them if captions are wanted; its faults become problems.

    Returns False for a file that is no archive of videos.
    """
    if _excluded(name, exclude):
        return True
    path = os.fspath(file)
    try:
        status = file.stat()
        entries = found.archives.listing(path, kind, status)
    except OSError as error:
        found.problem(name, "unreadable", f"the archive cannot be read ({error.strerror}); check its mode")
        return True
    for entry in entries:
        video = f"{name}/{entry['name']}" if entry["name"] else name
        if _excluded(video, exclude):
            continue
        if entry["error_kind"]:
            found.problem(video, entry["error_kind"], str(entry["error"]))
            continue
        if found.add(video, path, status, held=Held.of(kind, entry)) and found.given is not None:
            found.given.append(given_by(entry, len(found.names) - 1))
    return bool(entries)


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


def _captions_beside(found: Found) -> Iterator[GivenRow]:
    """The captions in the `.txt` files beside the videos; an empty file is none. Archives have their own."""
    places = [place for place, origin in enumerate(found.origins) if origin is None]
    texts = [os.path.splitext(found.paths[place])[0] + CAPTION_ENDING for place in places]
    with ThreadPoolExecutor(THREADS) as pool:
        for place, text in zip(places, pool.map(_caption_file, texts), strict=True):
            if isinstance(text, OSError | ValueError):
                name = os.path.splitext(found.names[place])[0] + CAPTION_ENDING
                what = text.strerror if isinstance(text, OSError) else "it is not UTF-8"
                found.problem(name, "bad_caption", f"the caption cannot be read ({what}); write it anew or remove it")
            elif text:
                yield GivenRow(None, place, caption=text)


def _caption_file(path: str) -> str | None | OSError | ValueError:
    """The text of a caption file; None if there is no such file."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read(LONGEST_CAPTION).strip()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return error


def _read_sheet(sheet: Path, exclude: list[str], captions: bool, found: Found) -> None:
    read = read_sheet(sheet, captions)
    if read.cells is not None:
        found.given = []
    rows = _rows_of_videos(sheet, read, found)
    _add_rows(sheet, read, rows, exclude, found)


class _SheetRow(NamedTuple):
    """A row of a sheet, or one scene of it. `number`: of the row, from 1. `cells`: of the scene, if they are read."""

    number: int
    name: str | None
    given_id: str | None
    cells: Cells | None


def _rows_of_videos(sheet: Path, read: Sheet, found: Found) -> Iterator[_SheetRow]:
    """The rows of a sheet, and of a row with several scenes each of them. Rows that cannot be read become problems."""
    if read.cells is None:
        yield from (
            _SheetRow(number, name, given_id, None)
            for number, (name, given_id) in enumerate(zip(read.paths, read.ids, strict=True), 1)
        )
        return
    files = _Files(sheet.absolute().parent, found.archives)
    for number, (name, given_id, cells) in enumerate(zip(read.paths, read.ids, read.cells, strict=True), 1):
        try:
            for scene in read.reader.rows(cells):
                file = files.name(scene) if read.reader.layout else name
                yield _SheetRow(number, _plain(file) if file and read.has_scenes else file, given_id, scene)
        except ValueError as error:
            found.problem(name or f"row {number}", "bad_row", f"{sheet.name} row {number}: {error}; correct the row")


@lru_cache(4096)  # rows of one video mostly follow each other
def _plain(path: str) -> str:
    """The same path without `./` and the like, so that a video has one name however rows spell it."""
    return path if ".." in path.split(os.sep) else os.path.normpath(path)  # `..` after a link is another folder


class _Files:
    """Finds the files that rows of published sheets name: in a folder, or in those below it."""

    def __init__(self, folder: Path, archives: Archives):
        self._folder, self._archives = str(folder), archives

    @cached_property
    def _by_stem(self) -> dict[str, str]:
        walked = _walk(self._folder, "", set(), Found(self._archives), True)
        files = (os.path.relpath(entry.path, self._folder) for entry in walked)
        return {Path(name).stem: name for name in files if ending(name) in SUFFIXES}

    def name(self, scene: Cells) -> str:
        """The file's path below the folder. If there is none, what the row says, which is then reported as missing."""
        path = scene.get("path")
        if path is not None and os.path.exists(os.path.join(self._folder, path)):
            return path
        stem = scene["stem"] if path is None else Path(path).stem
        return self._by_stem.get(stem, path or stem)


def _add_rows(sheet: Path, read: Sheet, rows: Iterable[_SheetRow], exclude: list[str], found: Found) -> None:
    base = str(sheet.absolute().parent)
    seen_names: dict[str | None, int | None] = {}  # each with the place of its video; None for one that is not used
    seen_ids: set[str | None] = set()
    for row, path, status in _with_stats(rows, base, read.has_scenes):
        number, name, given_id, _ = row
        where, place, held = f"{sheet.name} row {number}", None, None
        spelling = path if read.has_scenes else name
        if isinstance(status, NotADirectoryError) and (in_archive := found.archives.member(path)):
            path, status, held = in_archive
        if name is None or status is None:
            found.problem(f"row {number}", "no_path", f"{where}: the column `{read.column}` is empty{read.remedy}")
        elif _excluded(name, exclude):
            continue
        elif not read.has_scenes and (given_id in seen_ids or (given_id is None and name in seen_names)):
            what = f"the id `{given_id}`" if given_id else "the path"
            found.problem(name, "listed_twice", f"{where}: {what} stands in an earlier row already")
        elif isinstance(status, NotADirectoryError):
            found.problem(name, "missing", f"{where}: {path} is no video of an archive{read.remedy}")
        elif isinstance(status, OSError):
            found.problem(name, "missing", f"{where}: {path} cannot be read ({status.strerror}){read.remedy}")
        elif not stat.S_ISREG(status.st_mode):
            found.problem(name, "not_a_file", f"{where}: {path} is not a file")
        else:
            known = seen_names.get(spelling) if read.has_scenes else None
            place = _add_row(where, read.reader, row, path, status, held, known, found)
        seen_names[spelling] = place
        seen_ids.add(given_id)
        seen_ids.discard(None)


def _add_row(
    where: str,
    reader: Reader,
    row: _SheetRow,
    path: str,
    status: os.stat_result,
    held: Held | None,
    place: int | None,
    found: Found,
) -> int | None:
    """Add the video of a row, unless it has a `place` already, and what the row gives of it. Returns its place.

    A row whose times are none becomes a problem, and adds no video.
    """
    assert row.name is not None
    given = None
    if row.cells is not None:
        try:
            given = reader.given(row.cells)
        except ValueError as error:
            found.problem(row.name, "bad_times", f"{where}: {error}; correct the row")
            return place
    if place is None and found.add(row.name, path, status, row.given_id, held):
        place = len(found.names) - 1
    if place is not None and given is not None:
        assert found.given is not None  # since cells are read
        found.given.append(GivenRow(row.number, place, *given))
    return place


def _with_stats(
    rows: Iterable[_SheetRow], base: str, many: bool
) -> Iterator[tuple[_SheetRow, str, os.stat_result | OSError | None]]:
    """The rows with the paths of their files, and the status of these, None for an empty path.

    `many`: whether many rows may be of one file, which is asked about once then.
    """
    with_paths = ((row, os.path.join(base, row.name) if row.name else "") for row in rows)
    ahead, behind = tee(with_paths)
    known: dict[str, os.stat_result | OSError | None] = {}
    asked: set[str] = set()

    def paths() -> Iterator[str]:
        for _, path in ahead:
            yield "" if path in asked else path
            if many:
                asked.add(path)

    for (row, path), status in zip(behind, _stats(paths()), strict=True):
        yield row, path, known.setdefault(path, status) if many else status


def _stats(paths: Iterable[str]) -> Iterator[os.stat_result | OSError | None]:
    """The status of each path, None for an empty path. Several threads ask, since a network file system is slow.

    They are a few blocks ahead, no more: the rows of a large sheet need not all be in memory at once.
    """
    left = iter(paths)
    waiting: deque[Future[list[os.stat_result | OSError | None]]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for block in iter(lambda: list(islice(left, BLOCK)), []):
            waiting.append(pool.submit(_stat_block, block))
            if len(waiting) > THREADS:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _stat_block(paths: Sequence[str]) -> list[os.stat_result | OSError | None]:
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
    if ending(videos.name) in SUFFIXES and videos.is_file() and not problems:
        return f"videos: {videos} is left out by `exclude`; name another video, or take the pattern out"
    first = f"the first of {len(problems)} problems" if len(problems) > 1 else "the problem"
    hint = f"; {first}: {problems[0]['message']}" if problems else ""
    what = f"a {'member' if videos.is_file() else 'file'} ending in {USUAL} or the like"
    what = "a row with a readable file" if is_sheet(videos) else what
    return f"videos: {videos} holds no video ({what} was expected){hint}"


def no_captions(videos: Path) -> str:
    """The message for an input of which captions are wanted, and that gives none."""
    what = f"has no {CAPTION_ENDING} file beside any video"
    if is_sheet(videos):
        what = f"has no filled column `{CAPTION}`"
    elif videos.is_file() and kind_of(videos):
        what = f"has no {CAPTION_ENDING} nor `{CAPTION}` with any video"
    return f"caption.backend: `given` takes captions that you have, and {videos} {what}; add them, or choose another"
