"""A folder of the dataset that is brought up to date in place: hard links to clip files, and small texts."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from clipmill.base.files import TEMPORARY, temporary


@dataclass
class Tree:
    """A folder and the files that it should hold. `endings`: only files with these endings are ever removed; () is all.

    Trainers keep caches beside the files that they read, and these are left alone. If nothing is `wanted` in a folder,
    all its files with these endings are removed.
    """

    root: Path
    endings: tuple[str, ...] = ()
    wanted: dict[Path, set[str]] = field(default_factory=lambda: defaultdict(set))
    copied: int = 0

    def link(self, source: Path, below: str) -> None:
        """Put the file `source` at `below`, as a hard link; as a copy if the file system has no hard links."""
        target = self.want(below)
        if size_and_time(target) == size_and_time(source):
            return
        unready = temporary(target)
        unready.unlink(missing_ok=True)
        try:
            os.link(source, unready)
        except OSError:
            shutil.copy2(source, unready)
            self.copied += 1
        os.replace(unready, target)

    def write(self, below: str, text: str) -> None:
        """Put a small text at `below`. It is not synced: after a power cut the next export finds that it differs."""
        self.put(below, text.encode("utf-8"))

    def put(self, below: str, content: bytes) -> None:
        """The same with any content."""
        target = self.want(below)
        if target.is_file() and target.read_bytes() == content:
            return
        unready = temporary(target)
        unready.write_bytes(content)
        os.replace(unready, target)

    def want(self, below: str) -> Path:
        """Note a file as wanted, create its folder, and return its path."""
        target = self.root / below
        if target.parent not in self.wanted:
            target.parent.mkdir(parents=True, exist_ok=True)
        self.wanted[target.parent].add(target.name)
        return target

    def files(self) -> Iterator[Path]:
        """The files of the dataset that are in the folder, in the order of their names."""
        for name, folders, files in os.walk(self.root):
            folders.sort()
            for file in sorted(files):
                if file.endswith(self.endings or "") and not file.endswith(TEMPORARY):
                    yield Path(name, file)

    def remove_others(self) -> None:
        """Remove files that are not wanted, files that a killed export left, and empty folders."""
        endings = (*self.endings, *(ending + TEMPORARY for ending in self.endings)) or ("",)
        for name, _, files in os.walk(self.root, topdown=False):
            folder = Path(name)
            wanted = self.wanted.get(folder, set())
            for file in sorted(files):  # a video before its text
                if file not in wanted and file.endswith(endings):
                    (folder / file).unlink()
            if folder != self.root:
                remove_empty(folder)


def size_and_time(path: Path) -> tuple[int, int] | None:
    """Size in bytes and time of change in ns, by which a link is compared with its source; None if there is no file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns


def remove(path: Path) -> None:
    """Remove a file if it exists, and its temporary file, which a killed export may have left."""
    path.unlink(missing_ok=True)
    temporary(path).unlink(missing_ok=True)


def remove_empty(folder: Path) -> None:
    """Remove a folder that is there and has nothing in it."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
