"""Writing files and folders so that a reader sees the old one or the new one, whole."""

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

FUTURE_SECONDS = 60  # clocks of a file server and of this machine may be so far apart

TEMPORARY = ".tmp"


@contextlib.contextmanager
def naming_full_disk(path: Path) -> Iterator[None]:
    """Inside, an error of a full disk names a path, so that the message says which disk it is."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename is None:
            error.filename = str(path)
        raise


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success its content replaces `path`, synced to disk.

    The temporary name is fixed, so what a killed job left behind is overwritten, not collected. It is locked meanwhile:
    raises SetupError where another job is writing the same file.
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
    """Where a file is written before it stands in its place."""
    return path.with_name(f".{path.name}{TEMPORARY}")


def open_text(stack: contextlib.ExitStack, path: Path) -> TextIO:
    """A text file to write to, which stands in place of `path` when `stack` closes."""
    return stack.enter_context(open(stack.enter_context(atomic(path)), "w", encoding="utf-8", newline=""))


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give an empty temporary folder beside `path`; on success it stands in place of `path`, its files synced to disk.

    A folder that was there is removed. Killed in between, `path` is the old folder, the new one, or (for an instant)
    none. As in `atomic` the temporary names are fixed.
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
    """Date files of the future to now, in their order, and return how many they were.

    They are there after a clock has jumped back. Whatever is made of them would be taken for older than they are.
    Those that are gone meanwhile, as jobs of a killed run may remove or rename them, are left out.
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
    """Whether what is made of `path`, which is there, is missing or older than it."""
    return not than.exists() or path.stat().st_mtime_ns > than.stat().st_mtime_ns


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with a fixed key order, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def clean_text(text: str) -> str:
    """`text` with what UTF-8 cannot hold (the bytes of a broken file name) written as backslash escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
