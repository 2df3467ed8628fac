"""A folder of videos, an output folder, and the index between them, as the tests of the index use them."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from clipmill.inputs.discovery import update_index
from clipmill.store.index import read_json_lines, shard_sizes
from clipmill.store.layout import Paths


class Run:
    """A folder of videos and an output folder; files get sizes and times that are told, not the clock's."""

    def __init__(self, folder: Path):
        self.videos, self.outdir = folder / "videos", folder / "out"
        self.videos.mkdir()
        self.paths = Paths(self.outdir)
        self.clock = 10**18

    def put(self, *names: str, size: int = 1) -> None:
        for name in names:
            path = self.videos / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * size)
            self.clock += 1
            os.utime(path, ns=(self.clock, self.clock))

    def update(self, size: str | int = "auto", **options) -> list[str]:
        return update_index(self.videos, self.outdir, size, **options)

    def start(self) -> None:
        """What the first decode job does."""
        (self.outdir / "work" / "journals" / "decode").mkdir(parents=True, exist_ok=True)

    @property
    def index(self) -> pd.DataFrame:
        return pd.read_parquet(self.paths.videos)

    @property
    def shards(self) -> dict[str, list[str]]:
        """Names of the videos by shard, as jobs see them."""
        names = shard_sizes(self.outdir)
        return {name: [row["name"] for row in read_json_lines(self.paths.shard(name))] for name in names}

    @property
    def problems(self) -> dict[str, str]:
        return {problem["video"]: problem["kind"] for problem in read_json_lines(self.paths.problems)}

    @property
    def written(self) -> dict[str, tuple[int, int]]:
        """Which file each one is: another inode or time after it was written again."""
        files = [path for path in self.paths.index.rglob("*") if path.is_file()]
        states = {str(path.relative_to(self.paths.index)): path.stat() for path in files}
        return {name: (state.st_ino, state.st_mtime_ns) for name, state in states.items()}

    def rewritten(self, before: dict[str, tuple[int, int]]) -> set[str]:
        return {name for name, state in self.written.items() if before.get(name) != state}


def refuse(*_, **__) -> None:
    """In place of a function of the operating system: root, as whom tests may run, is refused nothing."""
    raise PermissionError(13, "Permission denied")
