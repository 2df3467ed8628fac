"""Rendered videos of known content, and what decode makes of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from clipmill.decode.frames import FrameArchive
from clipmill.decode.video import DecodePaths, DecodeSettings, decode_video
from clipmill.demo import render
from clipmill.demo.render import Frame, Rate, Size
from clipmill.store import tables
from default_config import CONFIG

SETTINGS = DecodeSettings(**CONFIG["decode"])
REAL = Path(__file__).resolve().parents[1] / "data" / "videos"
SIZE = (192, 108)


def entry(path: Path, video_id: str = "v") -> dict[str, Any]:
    """What the index says of a video."""
    state = os.stat(path)
    facts = {"video_id": video_id, "name": path.name, "path": str(path)}
    return {**facts, "size_bytes": state.st_size, "mtime_ns": state.st_mtime_ns, "returns": 0}


@dataclass(frozen=True)
class Decoded:
    """A video's row, its signals, and where its files lie."""

    source: Path
    row: dict[str, Any]
    parts: list[dict[str, Any]]
    signals: pa.Table
    paths: DecodePaths

    def __getitem__(self, column: str) -> np.ndarray:
        """A column of the signals; missing values are nan."""
        return self.signals[column].to_numpy(zero_copy_only=False)

    @property
    def sampled(self) -> list[tuple[int, float]]:
        """Number and time of each sample."""
        return [(int(number), time) for number, time in zip(self["sample"], self["time"], strict=True) if number >= 0]

    def picture(self, sample: int = 0) -> np.ndarray:
        with FrameArchive(self.paths.frames) as archive:
            return archive.read(sample)

    def clip(self, start: int = 0, end: int | None = None, **more: Any) -> dict[str, Any]:
        """A clip of frames `start` to before `end`, as `split` would give it."""
        end = self.row["frames"] if end is None else end
        times = [*self["time"], self.row["seconds"]]
        known = {name: self.row[name] for name in ("video_id", "source_key", "width", "height")}
        span = {"start_frame": start, "end_frame": end, "seconds": times[end] - times[start]}
        return {"clip_id": f"{self.row['video_id']}_{start}-{end}", **known, **span, **more}


def decoded(
    path: Path,
    folder: Path | None = None,
    settings: DecodeSettings = SETTINGS,
    threads: int = 1,
    video_id: str = "v",
    easyanimate: bool = False,
) -> Decoded:
    """Decode a video; the files go to `folder`, by default beside it."""
    folder = folder or path.with_name(f"{path.name}.decoded")
    paths = DecodePaths(folder / "frames.zip", folder / "signals.parquet", easyanimate=easyanimate)
    row, parts = decode_video(entry(path, video_id), paths, settings, threads)
    return Decoded(path, row, parts, tables.SIGNALS.read(paths.signals), paths)


@dataclass(frozen=True)
class Film:
    """How to render a video: `frames` is called with size, seconds and frames a second."""

    frames: Callable[[Size, float, Rate], Iterable[Frame]]
    seconds: float = 1
    size: Size = SIZE
    fps: Rate = 24
    settings: dict[str, Any] | None = None

    def render(self, path: Path) -> Path:
        frames = self.frames(self.size, self.seconds, self.fps)
        render.encode(path, frames, self.size, self.fps, **(self.settings or {}))
        return path


def cinema(folder: Path, films: dict[str, Film]) -> Callable[[str], Decoded]:
    """A function that renders and decodes the film of a name, once."""
    return cache(lambda name: decoded(films[name].render(folder / name)))


def panned(picture: str = "coffee.png", speed: float = 25, direction: float = 0):
    """A camera over a photograph, at `speed` in percent of the short side a second."""

    def frames(size: Size, seconds: float, fps: Rate) -> Iterable[Frame]:
        return render.pan(render.photograph(picture), size, seconds, fps, speed / 100 * min(size), direction)

    return frames


def standing(picture: Callable[[Size], Frame]):
    """A picture that does not change."""
    return lambda size, seconds, fps: render.still(picture(size), size, seconds, fps)


def grey(level: int):
    """A picture of one grey level."""
    return lambda size: render.flat(size, (level, level, level))


def shown_at(rate: int, pictures: list[np.ndarray], filmed: float) -> Iterator[np.ndarray]:
    """The pictures of a film of `filmed` frames per second, some of them several times, so that it has `rate`."""
    return (pictures[int(number * filmed / rate)] for number in range(int(len(pictures) * rate / filmed)))


def written(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Time and content of the files of single videos, in the output folder `out`."""
    files = [path for path in (folder / "out" / "work").rglob("*") if path.suffix in (".parquet", ".zip")]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
