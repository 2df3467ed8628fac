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
from typing import Any, NamedTuple

from clipmill.base.errors import SetupError
from clipmill.base.files import clean_text
from clipmill.base.human import counted, listed
from clipmill.fetch.files import FetchSettings
from clipmill.inputs.archives import KINDS, Archives, Held, Kind, kind_of
from clipmill.inputs.endings import PREVIEWS, SUFFIXES, USUAL, counted_endings, ending, recordings_of
from clipmill.inputs.entries import given_by
from clipmill.inputs.given import CAPTION, GivenRow, Reader
from clipmill.inputs.places import NOT_ASKED, Places, found_at, joined, parent_of, shown
from clipmill.inputs.published import Cells
from clipmill.inputs.sheets import SHEETS, Sheet, gives_scenes_of, is_sheet, read_sheet
from clipmill.remote.addresses import Address, BadAddress, is_address, parse
from clipmill.remote.entries import Entry
from clipmill.store.layout import Paths
from clipmill.store.tables import REMOTE

log = logging.getLogger("clipmill")

THREADS, BLOCK = 8, 1024  # threads that ask for the status of files, each for so many at once
CAPTION_ENDING = ".txt"
LONGEST_CAPTION = 100_000  # characters that are read of a caption's file

Status = os.stat_result | OSError | Address | BadAddress | None
"""What a path leads to: the status of a file, or why it has none; an address, which is not asked; None is no path."""

FolderIdentity = tuple[int, int]
"""Device and inode: the same for a folder and for all links to it."""


class Found:
    """The usable videos of the input as columns, and the problems of the other entries."""

    def __init__(self, archives: Archives, places: Places) -> None:
        self.names: list[str] = []
        self.paths: list[str] = []
        self.ids: list[str | None] = []
        self.sizes: list[int | None] = []
        self.times: list[int] = []
        self.origins: list[str | None] = []
        self.members: list[str | None] = []
        self.offsets: list[int | None] = []
        self.etags: list[str | None] = []
        self.checksums: list[str | None] = []
        self.devices: list[int] = []
        self.inodes: list[int] = []
        self.problems: list[dict[str, str]] = []
        self.outdirs: list[str] = []  # of other runs
        self.given: list[GivenRow] | None = None  # what is given of the videos; None if nothing is asked for
        self.archives, self.places = archives, places

    def add(
        self, name: str, path: str, status: os.stat_result, given_id: str | None = None, held: Held | None = None
    ) -> bool:
        """Add a video, unless its name cannot be used. `path` and `status` are those of the archive that has `held`."""
        size = status.st_size if held is None else held.size
        place = (held.origin, held.member, held.offset) if held else (None, None, None)
        if not self._add(name, path, given_id, size, status.st_mtime_ns, place):
            return False
        self.etags.append(None)
        self.checksums.append(None)
        self.devices.append(status.st_dev)
        self.inodes.append(status.st_ino if held is None else 0)  # an archive is not the file of its videos
        return True

    def add_remote(
        self, name: str, address: Address, entry: Entry, given_id: str | None = None, checksum: str | None = None
    ) -> bool:
        """Add a video at an address, unless its name cannot be used. `entry`: what is known of it at a start."""
        if not self._add(name, address.full, given_id, entry.size_bytes, entry.modified_ns or 0, (REMOTE, None, None)):
            return False
        self.etags.append(entry.etag)
        self.checksums.append(checksum)
        self.devices.append(0)
        self.inodes.append(0)
        return True

    def _add(
        self, name: str, path: str, given_id: str | None, size: int | None, time: int, of_origin: Sequence[Any]
    ) -> bool:
        """`of_origin`: origin, member and offset."""
        try:
            f"{name}{path}{given_id}".encode()
        except UnicodeEncodeError:
            self.problem(name, "bad_name", "the file's name, its folder's or its id is not valid UTF-8; rename it")
            return False
        self.names.append(name)
        self.paths.append(path)
        self.ids.append(given_id)
        self.sizes.append(size)
        self.times.append(time)
        origin, member, offset = of_origin
        self.origins.append(origin)
        self.members.append(member)
        self.offsets.append(offset)
        return True

    def problem(self, name: str, kind: str, message: str) -> None:
        self.problems.append({"video": clean_text(name), "kind": kind, "message": clean_text(message)})


def find_videos(
    videos: str | Path, outdir: Path, exclude: list[str], captions: bool = False, fetch: FetchSettings | None = None
) -> Found:
    """Look through a folder or a sheet, or take a single video as a folder with nothing else would give it.

    `videos`: a path or an address. `outdir` is never searched. `captions`: whether given captions are wanted. `fetch`:
    what may be reached; None is nothing.
    """
    found = Found(Archives(outdir, captions), Places(fetch))
    if captions:
        found.given = []
    if is_address(str(videos)):
        _find_at_address(str(videos), exclude, captions, found)
        return found
    videos = Path(videos)
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


def _find_at_address(text: str, exclude: list[str], captions: bool, found: Found) -> None:
    """Look through a bucket, a dataset of the hub or a sheet, or take a single video.

    Raises SetupError where nothing can be read there.
    """
    address = found.places.address(text)
    kind = ending(address.path)
    if kind in SHEETS:
        with found.places.sheet(address) as sheet:
            _read_sheet(sheet, exclude, captions, found, base=parent_of(address))
        return
    if kind_of(address.path):
        raise SetupError(f"videos: {address}: an archive is read only from a disk; copy it to one, and name the copy")
    others: Counter[str] = Counter()
    for path, entry in found.places.entries(address):
        name = path or address.path.split("/")[-1]
        if ending(name) not in SUFFIXES:
            others[ending(name)] += 1
        elif not _excluded(name, exclude):
            _add_entry(name, address.below(path) if path else address, entry, found)
    if others:
        _log_others(address, others)


def _log_others(place: Path | Address, others: Counter[str]) -> None:
    """Log how many files were ignored, by ending."""
    files = counted(others.total(), "file with another ending is", "files with other endings are")
    log.info("%s: %s ignored: %s", place, files, counted_endings(others))


def gives_scenes_at(videos: str, fetch: FetchSettings) -> bool:
    """Whether `videos`, a path or an address, is a sheet whose rows are scenes. Raises SetupError as `read_sheet`."""
    if not is_address(videos):
        return gives_scenes_of(Path(videos))
    places = Places(fetch)
    address = places.address(videos)
    if ending(address.path) not in SHEETS:
        return False
    with places.sheet(address) as sheet:
        return gives_scenes_of(sheet)


def _add_entry(name: str, address: Address, entry: Entry, found: Found) -> None:
    if problem := found.places.too_large(entry):
        found.problem(name, "too_large", problem)
    else:
        checksum = f"sha256:{entry.sha256}" if entry.sha256 else None
        found.add_remote(name, address, entry, checksum=checksum)


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
        words = "preview of a recording that lies beside it is", "previews of recordings that lie beside them are"
        log.info("%s: %s ignored", folder, counted(len(previews) - len(alone), *words))
    if others:
        _log_others(folder, others)
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


def _read_sheet(sheet: Path, exclude: list[str], captions: bool, found: Found, base: str | None = None) -> None:
    """Add what a sheet lists. `base`: the address that its paths are below; None is the folder of the sheet."""
    read = read_sheet(sheet, captions)
    if read.cells is not None:
        found.given = []
    rows = _rows_of_videos(sheet, read, found)
    _add_rows(sheet, base or str(sheet.absolute().parent), read, rows, exclude, found)


class _SheetRow(NamedTuple):
    """A row of a sheet, or one scene of it. `number`: of the row, from 1. `cells`: of the scene, if they are read.

    `checksum`: of the file at an address, as in the index.
    """

    number: int
    name: str | None
    given_id: str | None
    cells: Cells | None
    checksum: str | None = None


def _rows_of_videos(sheet: Path, read: Sheet, found: Found) -> Iterator[_SheetRow]:
    """The rows of a sheet, and of a row with several scenes each of them. Rows that cannot be read become problems."""
    if read.cells is None:
        yield from (
            _SheetRow(number, name, given_id, None, checksum)
            for number, (name, given_id, checksum) in enumerate(zip(read.paths, read.ids, read.sums, strict=True), 1)
        )
        return
    files = _Files(sheet.absolute().parent, found)
    columns = zip(read.paths, read.ids, read.sums, read.cells, strict=True)
    for number, (name, given_id, checksum, cells) in enumerate(columns, 1):
        try:
            for scene in read.reader.rows(cells):
                file = files.name(scene) if read.reader.layout else name
                plain = _plain(file) if file and read.has_scenes else file
                yield _SheetRow(number, plain, given_id, scene, checksum)
        except ValueError as error:
            found.problem(shown(name, number), "bad_row", f"{sheet.name} row {number}: {error}; correct the row")


@lru_cache(4096)  # rows of one video mostly follow each other
def _plain(path: str) -> str:
    """The same path without `./` and the like, so that a video has one name however rows spell it."""
    if is_address(path) or ".." in path.split(os.sep):  # `..` after a link is another folder
        return path
    return os.path.normpath(path)


class _Files:
    """Finds the files that rows of published sheets name: in a folder, or in those below it."""

    def __init__(self, folder: Path, found: Found):
        self._folder, self._found = str(folder), found

    @cached_property
    def _by_stem(self) -> dict[str, str]:
        walked = _walk(self._folder, "", set(), Found(self._found.archives, self._found.places), True)
        files = (os.path.relpath(entry.path, self._folder) for entry in walked)
        return {Path(name).stem: name for name in files if ending(name) in SUFFIXES}

    def name(self, scene: Cells) -> str:
        """The file's path below the folder. If there is none, what the row says, which is then reported as missing."""
        path = scene.get("path")
        if path is not None and is_address(path):
            return path
        if path is not None and os.path.exists(os.path.join(self._folder, path)):
            return path
        stem = scene["stem"] if path is None else Path(path).stem
        return self._by_stem.get(stem, path or stem)


def _add_rows(sheet: Path, base: str, read: Sheet, rows: Iterable[_SheetRow], exclude: list[str], found: Found) -> None:
    seen_names: dict[str | None, int | None] = {}  # each with the place of its video; None for one that is not used
    seen_ids: set[str | None] = set()
    for row, path, status in _with_stats(rows, base, read.has_scenes):
        where, place, held = f"{sheet.name} row {row.number}", None, None
        if isinstance(status, BadAddress):
            found.problem(f"row {row.number}", "bad_address", f"{where}: {status}; correct the row")
            continue
        if isinstance(status, Address) and is_address(str(row.name)):
            row = row._replace(name=status.name)
        number, name, given_id = row.number, row.name, row.given_id
        spelling = (status.name if isinstance(status, Address) else path) if read.has_scenes else name
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
        elif isinstance(status, Address) and (problem := found.places.problem(status, row.checksum)):
            found.problem(name, problem.kind, f"{where}: {problem}")
        elif not isinstance(status, Address) and not stat.S_ISREG(status.st_mode):
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
    status: os.stat_result | Address,
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
    if place is None:
        if isinstance(status, Address):
            added = found.add_remote(row.name, status, NOT_ASKED, row.given_id, row.checksum)
        else:
            added = found.add(row.name, path, status, row.given_id, held)
        place = len(found.names) - 1 if added else None
    if place is not None and given is not None:
        assert found.given is not None  # since cells are read
        found.given.append(GivenRow(row.number, place, *given))
    return place


def _with_stats(rows: Iterable[_SheetRow], base: str, many: bool) -> Iterator[tuple[_SheetRow, str, Status]]:
    """The rows with the paths of their files, and the status of these, None for an empty path.

    `many`: whether many rows may be of one file, which is asked about once then.
    """
    with_paths = ((row, joined(base, row.name) if row.name else "") for row in rows)
    ahead, behind = tee(with_paths)
    known: dict[str, Status] = {}
    asked: set[str] = set()

    def paths() -> Iterator[str]:
        for _, path in ahead:
            yield "" if path in asked else path
            if many:
                asked.add(path)

    for (row, path), status in zip(behind, _stats(paths()), strict=True):
        yield row, path, known.setdefault(path, status) if many else status


def _stats(paths: Iterable[str]) -> Iterator[Status]:
    """The status of each path, None for an empty path. Several threads ask, since a network file system is slow.

    They are a few blocks ahead, no more: the rows of a large sheet need not all be in memory at once.
    """
    left = iter(paths)
    waiting: deque[Future[list[Status]]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for block in iter(lambda: list(islice(left, BLOCK)), []):
            waiting.append(pool.submit(_stat_block, block))
            if len(waiting) > THREADS:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _stat_block(paths: Sequence[str]) -> list[Status]:
    results: list[Status] = []
    for path in paths:
        try:
            results.append((parse(path) if is_address(path) else os.stat(path)) if path else None)
        except BadAddress as error:
            results.append(error)
        except OSError as error:
            results.append(error)
        except ValueError:  # a NUL or half a surrogate pair: no file can have this name
            results.append(OSError(errno.EINVAL, os.strerror(errno.EINVAL)))
    return results


def _names_sheet(videos: str | Path) -> bool:
    """Whether `videos` is a sheet, on a disk or elsewhere."""
    if is_address(str(videos)):
        return ending(str(videos)) in SHEETS
    return is_sheet(Path(videos))


def nothing_found(videos: str | Path, problems: list[dict[str, str]]) -> str:
    """The message for an input that holds no video."""
    shown, sheet = found_at(videos), _names_sheet(videos)
    videos = Path(videos)
    if ending(videos.name) in SUFFIXES and videos.is_file() and not problems:
        return f"videos: {videos} is left out by `exclude`; name another video, or take the pattern out"
    first = f"the first of {len(problems)} problems" if len(problems) > 1 else "the problem"
    hint = f"; {first}: {problems[0]['message']}" if problems else ""
    what = f"a {'member' if videos.is_file() else 'file'} ending in {USUAL} or the like"
    what = "a row with a readable file" if sheet else what
    return f"videos: {shown} holds no video ({what} was expected){hint}"


def no_captions(videos: str | Path) -> str:
    """The message for an input of which captions are wanted, and that gives none."""
    shown, sheet, elsewhere = found_at(videos), _names_sheet(videos), is_address(str(videos))
    videos = Path(videos)
    what = f"has no {CAPTION_ENDING} file beside any video"
    if sheet:
        what = f"has no filled column `{CAPTION}`"
    elif elsewhere:
        what = "lies elsewhere, where only a sheet can give captions"
    elif videos.is_file() and kind_of(videos):
        what = f"has no {CAPTION_ENDING} nor `{CAPTION}` with any video"
    return f"caption.backend: `given` takes captions that you have, and {shown} {what}; add them, or choose another"
