"""Scoring the clips of a shard by a backend that looks at frames.

Threads read and prepare clips while the backend measures. What is measured is one stream of units in the order of the
clips, cut into batches: the number of threads, and which of them is faster, is seen in no value.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from clipmill.base.clip_rows import SYNC_SECONDS, ClipRows
from clipmill.base.errors import ItemError
from clipmill.base.journal import Journal, fingerprint
from clipmill.decode.reading import KeptFrames
from clipmill.models.batches import Batches
from clipmill.scores import FrameScore
from clipmill.scores.readers import Readers
from clipmill.store.layout import Paths

# --- frames of clips --------------------------------------------------------------------------------------------------


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
    with Journal(Paths(outdir).journal(metric, shard)) as journal:
        results = ClipRows(dict.fromkeys(keys, journal), keys, max_error_rate)
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
    with KeptFrames(outdir, shard) as samples:

        def units(clip: dict[str, Any]) -> list[Any] | ItemError:
            try:
                return list(backend.prepare(samples.frames(clip, backend.choice)))
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
