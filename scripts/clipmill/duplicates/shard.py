"""The fingerprints of the clips of a shard: all that is ever compared of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from clipmill.base.clip_rows import SYNC_SECONDS, ClipRows, unpacked
from clipmill.base.errors import ItemError
from clipmill.base.journal import Journal, fingerprint
from clipmill.decode.bars import COLUMNS as BARS
from clipmill.decode.reading import FrameChoice, KeptFrames, read_signals
from clipmill.duplicates import embedded, pictures
from clipmill.duplicates.cells import WHOLE_EDGES
from clipmill.duplicates.version import VERSIONS
from clipmill.split.crop.scene import SceneBorders
from clipmill.store.layout import Paths
from clipmill.store.table import Row
from clipmill.store.tables import Clip

COLUMNS = ["frame", "time", "thumbnail", "difference", *BARS, *pictures.BLACK]
WITHOUT_BARS = 2  # the version before: fingerprints of clips without bars are still the same


def fingerprint_shard(
    clips: Iterable[Clip], outdir: Path, shard: str, settings: dict[str, Any], max_error_rate: float
) -> list[Row]:
    """FINGERPRINTS rows of the clips that are fit. `settings`: the backend and, with `embeddings`, its `model`.

    Raises SetupError if more than `max_error_rate` of the clips fail.
    """
    fit = [clip for clip in clips if clip["unfit"] is None]
    if settings["backend"] == "embeddings":
        rows = embedded.fingerprints(fit, Paths(outdir).embeddings(settings["model"]["backend"], shard))
    else:
        rows = _of_pictures(fit, outdir, shard, max_error_rate)
    return [_as_bytes(clip["clip_id"], rows.get(clip["clip_id"], {})) for clip in fit]


def _of_pictures(clips: Sequence[Clip], outdir: Path, shard: str, max_error_rate: float) -> dict[str, Row]:
    """Each is computed only once from the same pictures."""
    keys = {clip["clip_id"]: _key(clip) for clip in clips}
    with Journal(Paths(outdir).journal("fingerprints", shard)) as journal:
        results = ClipRows(dict.fromkeys(keys, journal), keys, max_error_rate)
        todo = [clip for clip in clips if clip["clip_id"] not in results.rows]
        with results, KeptFrames(outdir, shard) as kept_frames:
            for video_id, of_video in groupby(todo, key=lambda clip: clip["video_id"]):
                compute = _computing(outdir, shard, video_id, kept_frames)
                for clip in of_video:
                    results.add(clip["clip_id"], compute(clip, journal.get(clip["clip_id"], _key(clip, WITHOUT_BARS))))
                    results.sync(older_than=SYNC_SECONDS)
    return results.rows


def _key(clip: Clip, version: int = VERSIONS["pictures"]) -> str:
    return fingerprint("pictures", version, clip["source_key"], clip["start_frame"], clip["end_frame"])


Compute = Callable[[Clip, Row | None], Row | ItemError]


def _computing(outdir: Path, shard: str, video_id: str, kept_frames: KeptFrames) -> Compute:
    """A function from a clip of a video, and its row of version WITHOUT_BARS, to its sketch and moves, or its error."""
    try:
        signals = read_signals(outdir, shard, video_id, COLUMNS)
    except ItemError as error:
        lost = error
        return lambda clip, older: lost

    def look(start: int, end: int, count: int) -> list[np.ndarray]:
        span = {"video_id": video_id, "start_frame": start, "end_frame": end, "seconds": 0.0}
        return list(kept_frames.frames(span, FrameChoice(count=count)))

    borders_at = cache(lambda size: SceneBorders(signals, 0, size, look))

    def compute(clip: Clip, older: Row | None) -> Row | ItemError:
        start, end, size = clip["start_frame"], clip["end_frame"], (clip["width"], clip["height"])
        of_clip = signals.slice(start, end - start)
        try:
            box = pictures.box_of(clip, of_clip, lambda: borders_at(size).of(start, end).shares(size))
            if box == pictures.WHOLE and older and not older["barred"]:
                return {name: unpacked(older[name]) for name in ("sketch", "moves")}
            frames = kept_frames.frames({**clip, "crop_width": None}, FrameChoice())
            shown = pictures.sketches(frames.small_grey(pictures.LEAST_SIDE), box)
        except ItemError as error:
            return error
        if shown is None:
            return {}
        moves = pictures.moves(of_clip, box)
        edges = {"edges_down": moves.down, "edges_across": moves.across}
        return {"sketch": shown, "moves": moves.levels} | {
            name: list(of_axis) for name, of_axis in edges.items() if of_axis != WHOLE_EDGES
        }

    return compute


def _as_bytes(clip_id: str, row: Row) -> Row:
    """A row as its table holds it: arrays become bytes, and the digest stands for all of them."""
    arrays = {name: value.tobytes() for name, value in row.items() if isinstance(value, np.ndarray)}
    edges = [str(value).encode() for value in row.values() if isinstance(value, list)]
    digest = hashlib.blake2b(b"\0".join([clip_id.encode(), *arrays.values(), *edges]), digest_size=8).digest()
    return {"clip_id": clip_id, **row, **arrays, "digest": int.from_bytes(digest, "big", signed=True)}
