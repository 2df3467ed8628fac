"""Scoring the clips of a shard by a backend that looks at frames.

Threads read and prepare clips while the backend measures. What is measured is one stream of units in the order of the
clips, cut into batches: the number of threads, and which of them is faster, is seen in no value.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from clipmill.clips import read_signals
from clipmill.errors import ItemError
from clipmill.frames import FrameArchive
from clipmill.gpu import Batches
from clipmill.journal import Journal, fingerprint
from clipmill.results import SYNC_SECONDS, Results
from clipmill.scores import FrameScore, Sampling
from clipmill.scores.readers import Readers

# --- frames of clips --------------------------------------------------------------------------------------------------


def frames_path(outdir: Path, shard: str, video_id: str) -> Path:
    """The archive of a video's samples."""
    return outdir / "work" / "frames" / shard / f"{video_id}.zip"


class Frames(Sequence):
    """A clip's frames, BGR, height × width × 3 bytes, each read when it is asked for; that may raise ItemError."""

    def __init__(self, archive: FrameArchive, samples: list[int]):
        self._archive, self.samples = archive, samples

    def __len__(self) -> int:
        return len(self.samples)

    def data(self) -> list[bytes]:
        """All of them as JPEGs."""
        return [self._archive.data(sample) for sample in self.samples]

    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self._archive.read(sample) for sample in self.samples[place]]
        return self._archive.read(self.samples[place])


class Samples:
    """The samples of the clips of one shard. Holds one video's list of samples and its archive at a time.

    Use as a context manager where `frames` is called. For one thread alone.
    """

    def __init__(self, outdir: Path, shard: str):
        self.outdir, self.shard = outdir, shard
        self._listed: str | None = None
        self._frames = self._numbers = self._times = np.empty(0)
        self._opened: tuple[str, FrameArchive] | None = None
        self._open = ExitStack()

    def __enter__(self) -> Samples:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the archive."""
        self._opened = None
        self._open.close()

    def of(self, clip: dict[str, Any], sampling: Sampling) -> list[int]:
        """Numbers of the samples in a clip that `sampling` chooses, in order of time."""
        if clip["video_id"] != self._listed:
            table = read_signals(self.outdir, self.shard, clip["video_id"], ["frame", "time", "sample"])
            table = table.filter(pc.is_valid(table["sample"]))
            self._frames, self._times, self._numbers = (table[name].to_numpy() for name in ("frame", "time", "sample"))
            self._listed = clip["video_id"]
        first, last = np.searchsorted(self._frames, [clip["start_frame"], clip["end_frame"]])
        return sampling.choose(self._numbers[first:last].tolist(), self._times[first:last])

    def frames(self, clip: dict[str, Any], sampling: Sampling) -> Frames:
        """The frames of a clip that `sampling` chooses, to be read before those of another video's are asked for.

        Raises ItemError: bad_frames, too_few_samples where it holds none.
        """
        archive = self._archive(clip["video_id"])
        samples = self.of(clip, sampling)
        if not samples:
            raise ItemError("too_few_samples", f"{clip['seconds']:.2f} s hold no sample")
        return Frames(archive, samples)

    def jpegs(self, clip: dict[str, Any], sampling: Sampling) -> tuple[list[bytes], list[float]]:
        """The same frames as the archive has them, and their times in seconds. Raises ItemError as `frames` does."""
        frames = self.frames(clip, sampling)
        return frames.data(), self._times[np.searchsorted(self._numbers, frames.samples)].tolist()

    def _archive(self, video_id: str) -> FrameArchive:
        if self._opened is None or self._opened[0] != video_id:
            self.close()
            archive = FrameArchive(frames_path(self.outdir, self.shard, video_id))
            self._opened = video_id, self._open.enter_context(archive)
        return self._opened[1]


def by_video(clips: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Clips, in their order, in groups of one video."""
    for _, group in groupby(clips, key=lambda clip: clip["video_id"]):
        yield list(group)


# --- the loop ---------------------------------------------------------------------------------------------------------


def score_shard(
    metric: str,
    backend: FrameScore,
    clips: list[dict[str, Any]],
    wanted: set[str],
    outdir: Path,
    shard: str,
    max_error_rate: float,
    threads: int = 1,
) -> list[dict[str, Any]]:
    """A row a clip: the score of the `wanted` ones, computed once ever under the same settings; others are missing.

    A row holds what the backend's `finish` gave, arrays included. `threads` read and prepare; the backend measures in
    this one. Where a clip goes wrong its row holds `error_kind` and `error`. Raises SetupError, too, when more than
    `max_error_rate` of the clips do.
    """
    about = backend.about
    keys = {clip["clip_id"]: _key(metric, about, clip) for clip in clips if clip["clip_id"] in wanted}
    with Journal(outdir / "work" / "journals" / metric / f"{shard}.jsonl") as journal:
        results = Results(dict.fromkeys(keys, journal), keys, max_error_rate)
        todo = [clip for clip in clips if clip["clip_id"] in keys and clip["clip_id"] not in results.rows]
        with results, Readers(todo, partial(_preparing, backend, outdir, shard), threads) as readers:
            for scored in _score(backend, todo, readers):
                if scored is not None:
                    results.add(*scored)
                results.sync(older_than=SYNC_SECONDS)
    return [{"clip_id": clip["clip_id"], **results.rows.get(clip["clip_id"], {})} for clip in clips]


def _key(metric: str, about: dict[str, Any], clip: dict[str, Any]) -> str:
    return fingerprint(metric, about, clip["source_key"], clip["start_frame"], clip["end_frame"])


@contextmanager
def _preparing(backend: FrameScore, outdir: Path, shard: str) -> Iterator[Callable[[dict], list[Any] | ItemError]]:
    """A reader thread's work: from a clip to its units."""
    with Samples(outdir, shard) as samples:

        def units(clip: dict[str, Any]) -> list[Any] | ItemError:
            try:
                return list(backend.prepare(samples.frames(clip, backend.sampling)))
            except ItemError as error:
                return error.with_traceback(None)  # which would hold on to the frames

        yield units


def _score(backend: FrameScore, clips: list[dict], readers: Readers) -> Iterator[tuple[str, dict | ItemError] | None]:
    """(id, row or ItemError) of each clip, in order; None when nothing has come for a while."""
    todo, units, values = deque(clips), deque(), deque()
    waiting: deque[tuple[str, int, ItemError | None]] = deque()  # clips: id, how many values it wants, why it has none
    batches = Batches(backend.start, backend.batch)
    while todo or waiting:
        if todo:
            prepared = readers.take(timeout=SYNC_SECONDS)
            if prepared is None:
                yield None
                continue
            error = prepared if isinstance(prepared, ItemError) else None
            units.extend([] if error else prepared)
            waiting.append((todo.popleft()["clip_id"], 0 if error else len(prepared), error))
        while len(units) >= backend.batch or (units and not todo):
            batch = [units.popleft() for _ in range(min(backend.batch, len(units)))]
            values.extend(batches.put(batch))
        if not todo:
            values.extend(batches.rest())
        while waiting and waiting[0][1] <= len(values):
            clip_id, count, error = waiting.popleft()
            yield clip_id, error or finish(backend, [values.popleft() for _ in range(count)])


def finish(backend: FrameScore, values: list[Any]) -> dict[str, Any] | ItemError:
    """The columns of a clip from the values of its units; an ItemError where one of them is not finite."""
    try:
        row = {name: _plain(value) for name, value in backend.finish(values).items()}
    except ItemError as error:
        return error
    for name, value in row.items():
        if not _is_finite(value):
            message = f"{name} is not a finite number; set the model's dtype to fp32 and run again"
            return ItemError("not_finite", message, lasting=False)
    return row


def _plain(value: Any) -> Any:
    """A value without numpy's and other sequences' types, but for arrays."""
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


def _is_finite(value: Any) -> bool:
    parts = value if isinstance(value, list) else [value]
    return all(np.isfinite(part).all() for part in parts if isinstance(part, float | np.ndarray))
