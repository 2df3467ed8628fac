"""Scores the clips of a shard by a backend that looks at frames.

Threads read and prepare clips while the backend measures; embedded backends measure in these threads too. All units
form one stream in the order of the clips, which is cut into batches. So neither the number of the threads nor their
speed changes a value.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from clipmill.base.clip_rows import SYNC_SECONDS, ClipRows
from clipmill.base.errors import ItemError, item_error
from clipmill.base.journal import Journal, fingerprint
from clipmill.base.readers import Readers
from clipmill.decode.reading import KeptFrames
from clipmill.models.batches import Batches
from clipmill.scores import FrameScore
from clipmill.store.layout import Paths
from clipmill.store.table import Row
from clipmill.store.tables import Clip


def score_shard(
    metric: str,
    backend: FrameScore,
    clips: Sequence[Clip],
    wanted: set[str],
    outdir: Path,
    shard: str,
    max_error_rate: float,
    threads: int = 1,
) -> list[Row]:
    """One row per clip. Only the `wanted` clips have a score; it is computed only once under the same settings.

    A row holds the columns that the backend's `finish` returned, arrays included. `threads` read and prepare; the
    backend's `start` runs in the calling thread. If a clip fails, its row holds `error_kind` and `error`. Raises
    SetupError if the set-up is at fault, or if more than `max_error_rate` of the clips fail.
    """
    about = backend.about
    keys = {clip["clip_id"]: _key(metric, about, clip) for clip in clips if clip["clip_id"] in wanted}
    with Journal(Paths(outdir).journal(metric, shard)) as journal:
        results = ClipRows(dict.fromkeys(keys, journal), keys, max_error_rate)
        todo = [clip for clip in clips if clip["clip_id"] in keys and clip["clip_id"] not in results.rows]
        if todo:
            backend.load()
        with results, Readers(todo, partial(_preparing, backend, outdir, shard), threads) as readers:
            for scored in _score(backend, todo, readers):
                if scored is not None:
                    results.add(*scored)
                results.sync(older_than=SYNC_SECONDS)
    return [{"clip_id": clip["clip_id"], **results.rows.get(clip["clip_id"], {})} for clip in clips]


def _key(metric: str, about: Mapping[str, Any], clip: Clip) -> str:
    return fingerprint(metric, about, clip["source_key"], clip["start_frame"], clip["end_frame"])


@contextmanager
def _preparing(backend: FrameScore, outdir: Path, shard: str) -> Iterator[Callable[[Clip], list[Any] | ItemError]]:
    """The work of a reader thread: a function from a clip to its units."""
    with KeptFrames(outdir, shard) as kept_frames:

        def units(clip: Clip) -> list[Any] | ItemError:
            try:
                return list(backend.prepare(kept_frames.frames(clip, backend.choice)))
            except Exception as error:
                return _failure(error).with_traceback(None)  # a traceback would keep the frames in memory

        yield units


def _score(
    backend: FrameScore, clips: Sequence[Clip], readers: Readers
) -> Iterator[tuple[str, Row | ItemError] | None]:
    """(id, row or ItemError) of each clip, in order; None if no clip has finished for a while."""
    todo = deque(clips)
    units: deque[Any] = deque()
    values: deque[Any] = deque()
    waiting: deque[tuple[str, int, ItemError | None]] = deque()  # of each clip: id, number of its values, error
    batches = Batches(backend.start, backend.batch)
    while todo or waiting:
        if todo:
            prepared = readers.take(timeout=SYNC_SECONDS)
            if prepared is None:
                yield None
                continue
            clip_id = todo.popleft()["clip_id"]
            if isinstance(prepared, Exception):
                assert isinstance(prepared, ItemError)  # `_preparing` returns no other
                waiting.append((clip_id, 0, prepared))
            else:
                units.extend(prepared)
                waiting.append((clip_id, len(prepared), None))
        while len(units) >= backend.batch or (units and not todo):
            batch = [units.popleft() for _ in range(min(backend.batch, len(units)))]
            values.extend(batches.put(batch))
        if not todo:
            values.extend(batches.rest())
        while waiting and waiting[0][1] <= len(values):
            clip_id, count, error = waiting.popleft()
            yield clip_id, error or finish(backend, [values.popleft() for _ in range(count)])


def finish(backend: FrameScore, values: list[Any]) -> Row | ItemError:
    """The columns of a clip from the values of its units; an ItemError if one of them is not finite."""
    try:
        row = {name: _plain(value) for name, value in backend.finish(values).items()}
    except Exception as error:
        return _failure(error)
    for name, value in row.items():
        if not _is_finite(value):
            message = f"{name} is not a finite number; set the model's dtype to fp32 and run again"
            return ItemError("not_finite", message, lasting=False)
    return row


def _failure(error: Exception) -> ItemError:
    """The ItemError of a clip on which `error` was raised. Raises `error` if it concerns all clips."""
    failed = item_error(error)
    if failed is None:
        raise error
    return failed


def _plain(value: Any) -> Any:
    """A value with Python's own types instead of numpy's scalars and tuples; arrays stay as they are."""
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


def _is_finite(value: Any) -> bool:
    parts = value if isinstance(value, list) else [value]
    return all(np.isfinite(part).all() for part in parts if isinstance(part, float | np.ndarray))
