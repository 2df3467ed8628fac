"""Writing files and folders so that a reader sees either the whole old one or the whole new one."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from clipmill.base.errors import SetupError
from clipmill.base.locks import try_lock

FUTURE_SECONDS = 60  # the clocks of a file server and of this machine may differ by this much

TEMPORARY = ".tmp"


@contextlib.contextmanager
def naming_full_disk(path: Path) -> Iterator[None]:
    """Add `path` to the error of a full disk that is raised inside, so that the message says which disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename is None:
            error.filename = str(path)
        raise


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success the temporary file, synced to disk, replaces `path`.

    The temporary name is fixed, so the next job overwrites the file that a killed job left behind. The file is locked
    meanwhile: raises SetupError if another job is writing the same file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unready = temporary(path)
    with open(unready, "ab") as handle:
        if not try_lock(handle):
            raise SetupError(f"{path}: another job is writing it; wait for it or cancel it, then run again")
        try:
            with naming_full_disk(path):
                yield unready
                os.fsync(handle.fileno())
                os.replace(unready, path)
        except BaseException:
            unready.unlink(missing_ok=True)
            raise


def temporary(path: Path) -> Path:
    """The path at which a file is written before it replaces `path`."""
    return path.with_name(f".{path.name}{TEMPORARY}")


def open_text(stack: contextlib.ExitStack, path: Path) -> TextIO:
    """A text file to write to; it replaces `path` when `stack` closes."""
    return stack.enter_context(open(stack.enter_context(atomic(path)), "w", encoding="utf-8", newline=""))


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; on success it replaces `path`, its files synced to disk.

    An older folder at `path` is removed. After a kill `path` is the old folder or the new one; it is missing only if
    the kill came between two renames. As in `atomic` the temporary names are fixed.
    """
    temporary, old = (path.with_name(f".{path.name}.{end}") for end in ("tmp", "old"))
    _remove(temporary)
    _remove(old)
    temporary.mkdir(parents=True)
    try:
        with naming_full_disk(path):
            yield temporary
            for file in sorted(temporary.rglob("*")):
                if file.is_file():
                    with open(file, "rb+") as handle:
                        os.fsync(handle.fileno())
            if path.exists():
                os.replace(path, old)
            os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _remove(old)


def _remove(folder: Path) -> None:
    """Remove a folder with all that is in it, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def date_back(paths: Iterable[Path]) -> int:
    """Set the times of files from the future to now, keep their order, and return how many files were set.

    Such files exist after a clock has jumped back. A file made from them now would seem older than they are.
    Files that vanish meanwhile are left out: jobs of a killed run may still remove or rename them.
    """
    now = time.time_ns()
    times = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            times.append((path.stat().st_mtime_ns, path))
    future = sorted(pair for pair in times if pair[0] > now + FUTURE_SECONDS * 10**9)
    for place, (_, path) in enumerate(future, 1):
        earlier = now - 1000 * (len(future) - place)
        with contextlib.suppress(FileNotFoundError):
            os.utime(path, ns=(earlier, earlier))
    return len(future)


def newer(path: Path, than: Path) -> bool:
    """Whether `path`, which must exist, is newer than the file `than` that is made from it, or `than` is missing."""
    return not than.exists() or path.stat().st_mtime_ns > than.stat().st_mtime_ns


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with a fixed key order, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def clean_text(text: str) -> str:
    """`text` in which characters that UTF-8 cannot hold (bytes of a broken file name) are backslash escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
