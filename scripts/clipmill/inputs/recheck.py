"""Asking for the addresses of sheets whether their files have changed, where the config wants it (`fetch.recheck`).

A start does not ask for them by itself. What is known of their files is what their servers said when they were fetched.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa

from clipmill.base.human import counted
from clipmill.fetch.files import FetchSettings
from clipmill.fetch.remote import state
from clipmill.remote.addresses import parse
from clipmill.remote.entries import Entry
from clipmill.remote.errors import RemoteError
from clipmill.store import tables
from clipmill.store.index import is_remote

log = logging.getLogger("clipmill")

ASKED_AT_ONCE = 32


def rechecked(found: pa.Table, stored: pa.Table, outdir: Path, fetch: FetchSettings) -> tuple[pa.Table, set[str]]:
    """The found videos with the etags and sizes of those files that have changed since they were decoded.

    Also returns the ids of the videos that could not be fetched, and whose files are there now. `stored`: the index.
    """
    decoded = _decoded(stored, outdir)
    rows = found.to_pylist()
    asked = [row for row in rows if is_remote(row) and row["etag"] is None and row["video_id"] in decoded]
    again, changed = set(), 0
    for row, answer in _answers(asked, fetch):
        before = decoded[row["video_id"]]
        if isinstance(answer, RemoteError):
            log.warning("%s: fetch.recheck: %s", row["name"], answer)
        elif before["error_kind"]:
            again.add(row["video_id"])
        elif (state(answer), answer.size_bytes) != (before["etag"], before["size_bytes"]):
            row["etag"], row["size_bytes"] = state(answer), answer.size_bytes
            changed += 1
    if asked:
        log.info("%s asked for, %s changed", counted(len(asked), "address", "addresses"), f"{changed:,}")
    return pa.Table.from_pylist(rows, schema=found.schema), again


def _answers(rows: list[dict[str, Any]], fetch: FetchSettings) -> Iterator[tuple[dict[str, Any], Entry | RemoteError]]:
    files = fetch.files

    def ask(row: dict[str, Any]) -> Entry | RemoteError:
        try:
            return files.entry(parse(row["path"]))
        except RemoteError as error:
            return error

    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        yield from zip(rows, pool.map(ask, rows), strict=True)


def _decoded(stored: pa.Table, outdir: Path) -> dict[str, dict[str, Any]]:
    """What is known of the videos of sheets that were decoded, or that failed, by id."""
    found: dict[str, dict[str, Any]] = {}
    remote = stored.filter(pa.compute.equal(stored["origin"], tables.REMOTE))
    for shard in remote["shard"].unique().to_pylist():
        path = tables.VIDEOS.of(outdir, f"{shard:06d}")
        if path.exists():
            rows = tables.VIDEOS.read(path, ["video_id", "etag", "size_bytes", "error_kind"]).to_pylist()
            found |= {row["video_id"]: row for row in rows}
    return found
