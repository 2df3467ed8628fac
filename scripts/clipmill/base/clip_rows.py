"""The rows of a job's clips: rows read from journals, and new rows, which are written to the journals as they come."""

from __future__ import annotations

import base64
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from clipmill.base.errors import ItemError, check_error_rate
from clipmill.base.journal import Journal
from clipmill.base.progress import Progress

log = logging.getLogger("clipmill")

SYNC_SECONDS = 2.0  # new rows are synced to their journals together, once the oldest has waited this long


class ClipRows:
    """Rows of clips: those that the journals hold, and those that are added. Use as a context manager.

    `journals` and `keys`, by clip id: the journal that keeps the clip's row, and the row's key in it. `holds`: whether
    a row of a journal is still good; another one is made again.
    """

    def __init__(
        self,
        journals: Mapping[str, Journal],
        keys: Mapping[str, str],
        max_error_rate: float,
        holds: Callable[[Any], bool] = lambda row: True,
    ):
        known = {clip_id: journals[clip_id].get(clip_id, key) for clip_id, key in keys.items()}
        self.rows = {clip_id: unpacked(row) for clip_id, row in known.items() if row is not None and holds(row)}
        self._journals, self._keys, self._max_error_rate = journals, keys, max_error_rate
        self._progress = Progress("clips", len(keys), len(self.rows))
        self._bad = 0
        self._unsynced: defaultdict[Journal, list[tuple[str, str, Any]]] = defaultdict(list)
        self._since = 0.0

    def __enter__(self) -> ClipRows:
        return self

    def __exit__(self, *_: object) -> None:
        self.sync()

    def add(self, clip_id: str, row: dict[str, Any] | ItemError) -> None:
        """Add a clip's row, or the error that it failed with. Raises SetupError if too many clips have failed."""
        if isinstance(row, ItemError):
            log.warning("%s: %s", clip_id, row)
            self._bad += 1
            self.rows[clip_id] = {"error_kind": row.kind, "error": str(row)}
        else:
            self.rows[clip_id] = row
            if not self._unsynced:
                self._since = time.monotonic()
            self._unsynced[self._journals[clip_id]].append((clip_id, self._keys[clip_id], packed(row)))
        self._progress.step()
        check_error_rate(self._bad, len(self.rows), self._max_error_rate, "clips")

    def sync(self, older_than: float = 0.0) -> None:
        """Write the added rows to their journals, if the oldest of them has waited `older_than` seconds."""
        if self._unsynced and time.monotonic() - self._since >= older_than:
            unsynced, self._unsynced = self._unsynced, defaultdict(list)
            for journal, records in unsynced.items():
                journal.add(records)


def packed(value: Any) -> Any:
    """A row as JSON can hold it: an array becomes its bytes in base64, with its dtype and shape."""
    if isinstance(value, np.ndarray):
        content = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {"array": content, "dtype": value.dtype.str, "shape": list(value.shape)}
    if isinstance(value, dict):
        return {name: packed(part) for name, part in value.items()}
    return [packed(part) for part in value] if isinstance(value, list) else value


def unpacked(value: Any) -> Any:
    """A row as it was before it was packed; its arrays are read-only."""
    if isinstance(value, dict):
        if value.keys() == {"array", "dtype", "shape"}:
            content = base64.b64decode(value["array"])
            return np.frombuffer(content, value["dtype"]).reshape(value["shape"])
        return {name: unpacked(part) for name, part in value.items()}
    return [unpacked(part) for part in value] if isinstance(value, list) else value
