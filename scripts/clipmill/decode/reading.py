"""Reading the results of decoding: signals of a video and its sound, times of its frames, kept frames, miniatures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from clipmill.base.errors import ItemError, SetupError
from clipmill.base.human import counted
from clipmill.decode.frames import DECODE_AGAIN, LOST_FRAMES, FrameArchive, as_jpeg, jpeg_quality, jpeg_size
from clipmill.shapes.sizes import Crop
from clipmill.store import tables
from clipmill.store.index import note_lost
from clipmill.store.layout import Paths
from clipmill.store.table import Row, UnreadableTable, about_of
from clipmill.store.tables import Clip, DecodedVideo


def frame_times(video: DecodedVideo, signals: pa.Table) -> np.ndarray:
    """Presentation times of all frames and, last, the end of the video, in seconds."""
    return np.append(signals["time"].to_numpy(), video["seconds"])


LOST_SIGNALS = "bad_signals"  # the kind of an error: the signals or miniatures of a video are missing or damaged


def read_signals(
    outdir: Path,
    shard: str,
    video_id: str,
    columns: list[str] | None = None,
    key: str | None = None,
    notes_lost: bool = True,
) -> pa.Table:
    """The signals of one video, one row per frame; all columns, or the named ones.

    `key`: the video's `decode_key`, if it is known. Raises ItemError (bad_signals) if the file is missing, damaged or
    made under another key; with `notes_lost` the next start has the video decoded again.
    """
    path = Paths(outdir).signals(shard, video_id)
    with _noting_lost(outdir, shard, video_id, notes_lost):
        table = _read_decoded(path, lambda: tables.SIGNALS.read(path, columns))
        if key not in (None, key_of(table)):
            raise ItemError(LOST_SIGNALS, f"{path}: of another video or other settings; {DECODE_AGAIN}", lasting=False)
    return table


def key_of(signals: pa.Table) -> str | None:
    """The `decode_key` under which signals were made."""
    return about_of(signals.schema).get("source_key")


def _read_decoded(path: Path, read: Callable[[], pa.Table]) -> pa.Table:
    """What `read` reads from a table that decode left. Raises ItemError (bad_signals) if it is missing or damaged."""
    try:
        return read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, UnreadableTable) as error:
        why = "missing" if isinstance(error, FileNotFoundError) else "damaged"
        raise ItemError(LOST_SIGNALS, f"{path}: {why}; {DECODE_AGAIN}", lasting=False) from error


@contextmanager
def _noting_lost(outdir: Path, shard: str, video_id: str, notes_lost: bool) -> Iterator[None]:
    """Inside, an error that says that files are lost is noted, so that the next start has the video decoded again."""
    try:
        yield
    except ItemError as error:
        if notes_lost and error.kind in (LOST_SIGNALS, LOST_FRAMES):
            note_lost(outdir, shard, video_id)
        raise


def raise_if_lost(lost: Sequence[ItemError]) -> None:
    """For jobs that need the files of all videos: raise SetupError if there are errors of lost files, one per video."""
    if lost:
        more = f" (and the files of {counted(len(lost) - 1, 'more video')})" if len(lost) > 1 else ""
        raise SetupError(f"{lost[0]}{more}") from lost[0]


def read_thumbnails(signals: pa.Table) -> np.ndarray:
    """The thumbnails of all frames: frames × 64 grey levels, uint8."""
    return np.frombuffer(b"".join(signals["thumbnail"].to_pylist()), np.uint8).reshape(len(signals), -1)


def read_sound_signals(outdir: Path, shard: str, video_id: str, key: str | None = None) -> pa.Table:
    """The signals of a video's sound, one row per tenth of a second. Raises ItemError as `read_signals` does."""
    path = Paths(outdir).sound_signals(shard, video_id)
    with _noting_lost(outdir, shard, video_id, notes_lost=True):
        table = _read_decoded(path, lambda: tables.SOUND_SIGNALS.read(path))
        if key not in (None, key_of(table)):
            raise ItemError(LOST_SIGNALS, f"{path}: of another video or other settings; {DECODE_AGAIN}", lasting=False)
    return table


MINIATURE_SHAPE = (27, 48, 3)  # height, width, colours


def read_miniatures(outdir: Path, shard: str, video_id: str, frames: Iterable[int]) -> np.ndarray:
    """The miniatures of some frames in rising order, each once: n × MINIATURE_SHAPE bytes, of red, green and blue.

    Raises ItemError as `read_signals` does.
    """
    path = Paths(outdir).miniatures(shard, video_id)
    with _noting_lost(outdir, shard, video_id, notes_lost=True):
        found = _read_decoded(path, lambda: tables.MINIATURES.take(path, frames, ["miniature"]))
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

    def small_grey(self, side: int) -> Iterator[np.ndarray]:
        """All of them in grey, uncropped and smaller: the short side has at least `side` pixels if it had them."""
        return (self._archive.read_small_grey(sample, side) for sample in self.samples)

    def large(self) -> list[np.ndarray]:
        """Large pictures of all of them, uncropped; none if decode made none, or the video is small."""
        if not all(map(self._archive.has_large, self.samples)):
            return []
        return [self._archive.read(sample, is_large=True) for sample in self.samples]

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

    Use as a context manager if `frames` is called. For one thread only. If what decode left is lost, the ItemError says
    so, and with `notes_lost` the next start has the video decoded again.
    """

    def __init__(self, outdir: Path, shard: str, notes_lost: bool = True):
        self.outdir, self.shard, self._notes_lost = outdir, shard, notes_lost
        self._listed: str | None = None
        self._key: str | None = None
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
            columns = ["frame", "time", "sample"]
            table = read_signals(self.outdir, self.shard, clip["video_id"], columns, notes_lost=self._notes_lost)
            self._key = key_of(table)
            frames, times, numbers = (table[name].to_numpy() for name in ("frame", "time", "sample"))
            is_kept = ~np.isnan(numbers)  # not by pyarrow.compute, whose import takes longer than this
            self._frames, self._times = frames[is_kept], times[is_kept]
            self._numbers = numbers[is_kept].astype(np.int64)
            self._listed = clip["video_id"]
        first, last = np.searchsorted(self._frames, [clip["start_frame"], clip["end_frame"]])
        return choice.choose(self._numbers[first:last].tolist(), self._times[first:last])

    def frames(self, clip: Clip | Row, choice: FrameChoice) -> Frames:
        """The frames of a clip that `choice` chooses. Read them before you ask for frames of another video.

        Raises ItemError: bad_signals, bad_frames, or too_few_samples if the clip has no kept frame.
        """
        samples = self.of(clip, choice)
        archive = self._archive(clip["video_id"])
        if self._key not in (None, archive.key):
            raise archive.lost("of another video or other settings")
        if not samples:
            raise ItemError("too_few_samples", f"{clip['seconds']:.2f} s hold no sample")
        return Frames(archive, samples, Crop.of(clip))

    def times(self, frames: Frames) -> list[float]:
        """When the frames that `frames` gave last are shown, in seconds."""
        return self._times[np.searchsorted(self._numbers, frames.samples)].tolist()

    def jpegs(self, clip: Clip | Row, choice: FrameChoice) -> tuple[list[bytes], list[float]]:
        """The same frames as JPEGs, and their times in seconds. Raises ItemError as `frames` does."""
        frames = self.frames(clip, choice)
        images = frames.data()
        if not all(map(jpeg_size, images)):
            raise self._archive(clip["video_id"]).lost("a frame is no picture")
        return images, self.times(frames)

    def _archive(self, video_id: str) -> FrameArchive:
        if self._opened is None or self._opened[0] != video_id:
            self.close()
            note = partial(note_lost, self.outdir, self.shard, video_id) if self._notes_lost else None
            archive = FrameArchive(Paths(self.outdir).frames(self.shard, video_id), note)
            self._opened = video_id, self._open.enter_context(archive)
        return self._opened[1]
