"""Fetching the videos of a shard before it is decoded; a journal keeps finished ones from being fetched again.

Those at addresses are fetched here only if the config wants it: else the job that decodes them does so, while it
decodes others (decisions 52 and 56). A video is fetched here once, as long as it does not change, and once more when it
is tried again. If its file is gone by the time that a later job reads it, that job brings it back: so a change of one
video of a shard does not have the others fetched again.
"""

from __future__ import annotations

import logging
from pathlib import Path

from clipmill.base.errors import ItemError, check_error_rate
from clipmill.base.journal import Journal, fingerprint
from clipmill.base.progress import Progress
from clipmill.fetch.files import LocalFiles
from clipmill.steps import FETCH
from clipmill.store.index import is_remote, note_again, state_of
from clipmill.store.layout import Paths
from clipmill.store.table import Row
from clipmill.store.tables import FETCHES, IndexedVideo

log = logging.getLogger("clipmill")

VERSION = 1  # part of every key: raise it when the same video gives another file


def fetch_shard(files: LocalFiles, outdir: Path, shard: str, max_error_rate: float) -> list[Row]:
    """Bring the files of a shard's videos that this job fetches, and return their FETCHES rows.

    Raises SetupError if more than the share `max_error_rate` of them failed.
    """
    keys = {video["video_id"]: _key(video) for video in files.videos_of_own_job}
    passing = []
    with Journal(Paths(outdir).journal(FETCH, shard)) as journal:
        rows = {video_id: row for video_id, key in keys.items() if (row := journal.get(video_id, key))}
        progress = Progress("videos", len(keys), len(rows))
        for video, error in files.bring([video_id for video_id in keys if video_id not in rows]):
            video_id = video["video_id"]
            if error:
                log.warning("%s: %s", video["name"], error)
                rows[video_id] = {"error_kind": error.kind, "error": str(error)}
            else:
                path = files.path(video)
                rows[video_id] = {"file": f"{shard}/{path.name}", "bytes": path.stat().st_size}
            if error and not error.lasting:
                passing.append(video_id)
                rows[video_id]["may_pass"] = True
            else:
                journal.add([(video_id, keys[video_id], rows[video_id])])
            progress.step()
            check_error_rate(sum("error" in row for row in rows.values()), len(rows), max_error_rate, "videos")
        note_again(outdir, FETCH, shard, passing)
    return [{"video_id": video_id, **rows[video_id]} for video_id in keys]


def _key(video: IndexedVideo) -> str:
    # `returns` counts up when a job could not reach the video, and when it must be decoded again: its file may be gone.
    again = [video["returns"]] if is_remote(video) else []
    return fingerprint(FETCH, VERSION, *state_of(video), *again)


def failed_fetches(path: Path) -> dict[str, ItemError]:
    """The errors of the videos that a job of fetching could not bring, by id. `path`: its table."""
    failed = (row for row in FETCHES.rows(path) if row["error_kind"])
    return {row["video_id"]: ItemError(row["error_kind"], row["error"], not row["may_pass"]) for row in failed}
