"""Asking for the addresses of sheets whether their files have changed, where the config wants it (`fetch.recheck`).

A start does not ask for them by itself. What is known of their files is what their servers said when they were fetched.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa

from clipmill.base.errors import ItemError
from clipmill.base.human import counted
from clipmill.base.workers import map_in_threads
from clipmill.fetch.files import FetchSettings
from clipmill.fetch.remote import state
from clipmill.remote.addresses import parse
from clipmill.remote.entries import Entry
from clipmill.store import tables
from clipmill.store.index import is_remote, note_lost

log = logging.getLogger("clipmill")

ASKED_AT_ONCE = 32


def rechecked(found: pa.Table, stored: pa.Table, outdir: Path, fetch: FetchSettings) -> pa.Table:
    """The found videos with the etags and sizes of those files that have changed since they were decoded.

    Videos that had an error, and whose files are there now, are noted to be decoded again. They are asked for even if
    `videos` lists them: a list does not tell whether a file may be read. `stored`: the index.
    """
    decoded = _decoded(stored, outdir)
    files, rows = fetch.files, found.to_pylist()
    known = [row for row in rows if is_remote(row) and row["video_id"] in decoded]
    asked = [row for row in known if row["etag"] is None or decoded[row["video_id"]]["error_kind"]]
    changed = 0

    def ask(row: dict[str, Any]) -> Entry:
        return files.entry(parse(row["path"]))

    for row, answer in map_in_threads(asked, ask, ASKED_AT_ONCE):
        before = decoded[row["video_id"]]
        if isinstance(answer, ItemError):
            log.warning("%s: fetch.recheck: %s", row["name"], answer)
        elif before["error_kind"]:
            note_lost(outdir, before["shard"], row["video_id"])
        elif (state(answer), answer.size_bytes) != (before["etag"], before["size_bytes"]):
            row["etag"], row["size_bytes"] = state(answer), answer.size_bytes
            changed += 1
    if asked:
        log.info("%s asked for, %s changed", counted(len(asked), "address", "addresses"), f"{changed:,}")
    return pa.Table.from_pylist(rows, schema=found.schema)


def _decoded(stored: pa.Table, outdir: Path) -> dict[str, dict[str, Any]]:
    """What is known of the videos at addresses that were decoded, or that failed, by id; also the name of the shard."""
    found: dict[str, dict[str, Any]] = {}
    remote = stored.filter(pa.compute.equal(stored["origin"], tables.REMOTE))
    for shard in (f"{number:06d}" for number in remote["shard"].unique().to_pylist()):
        path = tables.VIDEOS.of(outdir, shard)
        if path.exists():
            rows = tables.VIDEOS.read(path, ["video_id", "etag", "size_bytes", "error_kind"]).to_pylist()
            found |= {row["video_id"]: {**row, "shard": shard} for row in rows}
    return found
