"""Reading the results of decoding: the signals of a video, the times of its frames, its kept frames and miniatures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from clipmill.base.errors import ItemError
from clipmill.decode.frames import FrameArchive, as_jpeg, jpeg_quality
from clipmill.shapes.sizes import Crop
from clipmill.store import tables
from clipmill.store.layout import Paths
from clipmill.store.table import Row
from clipmill.store.tables import Clip, DecodedVideo


def frame_times(video: DecodedVideo, signals: pa.Table) -> np.ndarray:
    """Presentation times of all frames and, last, the end of the video, in seconds."""
    return np.append(signals["time"].to_numpy(), video["seconds"])


def read_signals(outdir: Path, shard: str, video_id: str, columns: list[str] | None = None) -> pa.Table:
    """The signals of one video, one row per frame; all columns, or the named ones."""
    return tables.SIGNALS.read(Paths(outdir).signals(shard, video_id), columns)


def read_thumbnails(signals: pa.Table) -> np.ndarray:
    """The thumbnails of all frames: frames × 64 grey levels, uint8."""
    return np.frombuffer(b"".join(signals["thumbnail"].to_pylist()), np.uint8).reshape(len(signals), -1)


MINIATURE_SHAPE = (27, 48, 3)  # height, width, colours


def read_miniatures(outdir: Path, shard: str, video_id: str, frames: Iterable[int]) -> np.ndarray:
    """The miniatures of some frames in rising order, each once: n × MINIATURE_SHAPE bytes, of red, green and blue.

    Raises SetupError if the file is damaged.
    """
    found = tables.MINIATURES.take(Paths(outdir).miniatures(shard, video_id), frames, ["miniature"])
    return np.frombuffer(b"".join(found["miniature"].to_pylist()), np.uint8).reshape(-1, *MINIATURE_SHAPE)


SLACK = 1e-3  # seconds by which a kept frame may come before its time


@dataclass(frozen=True)
class FrameChoice:
    """Which kept frames of a clip a backend looks at.

    `count`: this many, each from the middle of one of `count` equal parts; all frames if there are fewer. `per_second`:
    the clip's first kept frame, and those nearest to each 1 / `per_second` seconds after it; with `ends` also the last
    one. Both: those of `per_second`, or `count` uniform ones if those would be more than `count`. Neither: all.
    """

    count: int | None = None
    per_second: float | None = None
    ends: bool = False

    def choose(self, samples: Sequence[int], times: Sequence[float] | np.ndarray) -> list[int]:
        """Choose from a clip's kept frames: `samples` are their numbers, `times` their seconds, both rising.

        Returns numbers, each once, in order.
        """
        if self.per_second is not None:
            steady = self._steady(samples, np.asarray(times), self.per_second)
            if self.count is None or len(steady) <= self.count:
                return steady
        if self.count is None or self.count >= len(samples):
            return list(samples)
        return [samples[int((k + 0.5) * len(samples) / self.count)] for k in range(self.count)]

    def _steady(self, samples: Sequence[int], times: np.ndarray, per_second: float) -> list[int]:
        if len(samples) == 0:
            return []
        steps = int((times[-1] - times[0] + SLACK) * per_second)
        chosen = {nearest(times, times[0] + k / per_second) for k in range(steps + 1)}
        if self.ends:
            chosen |= {0, len(samples) - 1}
        return [samples[place] for place in sorted(chosen)]


def nearest(times: np.ndarray, wanted: float) -> int:
    """Index of the one of `times` (rising) that is nearest to `wanted`; the earlier one of two equally near."""
    after = min(int(np.searchsorted(times, wanted)), len(times) - 1)
    return after - 1 if after > 0 and wanted - times[after - 1] <= times[after] - wanted else after


class Frames(Sequence[np.ndarray]):
    """A clip's frames, BGR, height × width × 3 bytes. Each is read when it is indexed, which may raise ItemError."""

    def __init__(self, archive: FrameArchive, samples: list[int], crop: Crop | None = None):
        self._archive, self.samples, self._crop = archive, samples, crop

    def __len__(self) -> int:
        return len(self.samples)

    def data(self) -> list[bytes]:
        """All of them as JPEGs. Cropped ones are encoded again with the quality that they had."""
        return [self._data(sample) for sample in self.samples]

    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self._read(sample) for sample in self.samples[place]]
        return self._read(self.samples[place])

    def _read(self, sample: int) -> np.ndarray:
        picture = self._archive.read(sample)
        if self._crop is None:
            return picture
        left, top, right, bottom = self._crop.within((picture.shape[1], picture.shape[0]))
        return picture[top:bottom, left:right].copy()  # a view would keep the whole picture in memory

    def _data(self, sample: int) -> bytes:
        data = self._archive.data(sample)
        return as_jpeg(self._read(sample), jpeg_quality(data)) if self._crop else data


class KeptFrames:
    """The kept frames of the clips of one shard. Holds one video's list of kept frames and its archive at a time.

    Use as a context manager if `frames` is called. For one thread only.
    """

    def __init__(self, outdir: Path, shard: str):
        self.outdir, self.shard = outdir, shard
        self._listed: str | None = None
        self._frames = self._numbers = self._times = np.empty(0)
        self._opened: tuple[str, FrameArchive] | None = None
        self._open = ExitStack()

    def __enter__(self) -> KeptFrames:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the archive."""
        self._opened = None
        self._open.close()

    def of(self, clip: Clip | Row, choice: FrameChoice) -> list[int]:
        """Numbers of the kept frames of a clip that `choice` chooses, in order of time."""
        if clip["video_id"] != self._listed:
            table = read_signals(self.outdir, self.shard, clip["video_id"], ["frame", "time", "sample"])
            frames, times, numbers = (table[name].to_numpy() for name in ("frame", "time", "sample"))
            is_kept = ~np.isnan(numbers)  # not by pyarrow.compute, whose import takes longer than this
            self._frames, self._times = frames[is_kept], times[is_kept]
            self._numbers = numbers[is_kept].astype(np.int64)
            self._listed = clip["video_id"]
        first, last = np.searchsorted(self._frames, [clip["start_frame"], clip["end_frame"]])
        return choice.choose(self._numbers[first:last].tolist(), self._times[first:last])

    def frames(self, clip: Clip | Row, choice: FrameChoice) -> Frames:
        """The frames of a clip that `choice` chooses. Read them before you ask for frames of another video.

        Raises ItemError: bad_frames, or too_few_samples if the clip has no kept frame.
        """
        archive = self._archive(clip["video_id"])
        samples = self.of(clip, choice)
        if not samples:
            raise ItemError("too_few_samples", f"{clip['seconds']:.2f} s hold no sample")
        return Frames(archive, samples, Crop.of(clip))

    def times(self, frames: Frames) -> list[float]:
        """When the frames that `frames` gave last are shown, in seconds."""
        return self._times[np.searchsorted(self._numbers, frames.samples)].tolist()

    def jpegs(self, clip: Clip | Row, choice: FrameChoice) -> tuple[list[bytes], list[float]]:
        """The same frames as JPEGs, and their times in seconds. Raises ItemError as `frames` does."""
        frames = self.frames(clip, choice)
        return frames.data(), self.times(frames)

    def _archive(self, video_id: str) -> FrameArchive:
        if self._opened is None or self._opened[0] != video_id:
            self.close()
            archive = FrameArchive(Paths(self.outdir).frames(self.shard, video_id))
            self._opened = video_id, self._open.enter_context(archive)
        return self._opened[1]
