"""Where the index of videos lies, and reading it. Light: every job imports this; only the main process discovers.

The index says which videos there are and which shard each belongs to. It is kept in the output folder, only ever
appended to, and written by `clipmill.discovery`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from clipmill.errors import SetupError


@dataclass(frozen=True)
class IndexPaths:
    """Where the index lies below an output folder."""

    outdir: Path

    @property
    def folder(self) -> Path:
        return self.outdir / "work" / "index"

    @property
    def videos(self) -> Path:
        """The whole index, one row a video."""
        return self.folder / "videos.parquet"

    @property
    def shards(self) -> Path:
        """The names of all shards, one a line."""
        return self.folder / "shards.txt"

    @property
    def problems(self) -> Path:
        """Entries of the input that cannot be used."""
        return self.folder / "problems.jsonl"

    @property
    def removed(self) -> Path:
        """Videos that have gone since they were first seen."""
        return self.folder / "removed.jsonl"

    @property
    def started(self) -> Path:
        """Is there from the first decode job on; until then the index may be laid anew."""
        return self.outdir / "work" / "journals" / "decode"

    def shard(self, name: str) -> Path:
        """The videos of one shard, as its jobs read them."""
        return self.folder / "shards" / f"{name}.jsonl"


def shard_names(outdir: Path) -> list[str]:
    """The names of all shards, as the main process wrote them."""
    path = IndexPaths(outdir).shards
    try:
        return path.read_text().split()
    except FileNotFoundError:
        raise SetupError(f"{path}: missing; start the run again from the main process, which writes it") from None


def read_json_lines(path: Path) -> list[dict]:
    """The records of a shard's list (video_id, name, path, size_bytes, mtime_ns, returns) or of another list."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
