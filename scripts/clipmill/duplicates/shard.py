"""The fingerprints of the clips of a shard: all that is ever compared of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from clipmill.base.clip_rows import SYNC_SECONDS, ClipRows
from clipmill.base.errors import ItemError
from clipmill.base.journal import Journal, fingerprint
from clipmill.decode.reading import FrameChoice, KeptFrames, read_signals
from clipmill.duplicates import embedded, pictures
from clipmill.store.layout import Paths
from clipmill.store.table import Row
from clipmill.store.tables import Clip

COLUMNS = ["frame", "time", "thumbnail", *pictures.BORDERS]


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
                    results.add(clip["clip_id"], compute(clip))
                    results.sync(older_than=SYNC_SECONDS)
    return results.rows


def _key(clip: Clip) -> str:
    return fingerprint("pictures", pictures.VERSION, clip["source_key"], clip["start_frame"], clip["end_frame"])


def _computing(outdir: Path, shard: str, video_id: str, kept_frames: KeptFrames) -> Callable[[Clip], Row | ItemError]:
    """A function from a clip of a video to its sketch and moves, or its error."""
    try:
        signals = read_signals(outdir, shard, video_id, COLUMNS)
    except ItemError as error:
        lost = error
        return lambda clip: lost

    def compute(clip: Clip) -> Row | ItemError:
        of_clip = signals.slice(clip["start_frame"], clip["end_frame"] - clip["start_frame"])
        box = pictures.box_of(clip, of_clip)
        try:
            frames = kept_frames.frames({**clip, "crop_width": None}, FrameChoice())
            shown = pictures.sketches(frames.small_grey(pictures.LEAST_SIDE), box)
        except ItemError as error:
            return error
        if shown is None:
            return {}
        return {"sketch": shown, "moves": pictures.moves(of_clip, box), "barred": box != pictures.WHOLE}

    return compute


def _as_bytes(clip_id: str, row: Row) -> Row:
    """A row as its table holds it: arrays become bytes, and the digest stands for all of them."""
    arrays = {name: value.tobytes() for name, value in row.items() if isinstance(value, np.ndarray)}
    digest = hashlib.blake2b(b"\0".join([clip_id.encode(), *arrays.values()]), digest_size=8).digest()
    return {"clip_id": clip_id, **row, **arrays, "digest": int.from_bytes(digest, "big", signed=True)}
