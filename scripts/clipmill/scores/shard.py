"""Scoring the clips of a shard by a backend that looks at frames."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow.compute as pc

from clipmill.clips import read_signals
from clipmill.errors import ItemError, check_error_rate
from clipmill.frames import FrameArchive
from clipmill.journal import Journal, fingerprint
from clipmill.progress import Progress

log = logging.getLogger("clipmill")


class FrameScore(Protocol):
    """A backend: `frames` uniformly spaced samples of each clip (None: all) in, the score's columns out."""

    frames: int | None
    about: dict[str, Any]

    def score(self, frames: list[np.ndarray]) -> dict[str, Any]: ...


def frames_path(outdir: Path, shard: str, video_id: str) -> Path:
    """The archive of a video's samples."""
    return outdir / "work" / "frames" / shard / f"{video_id}.zip"


def uniform(samples: list[int], count: int | None) -> list[int]:
    """`count` of `samples`, each from the middle of an equal part; all of them where there are fewer, or for None."""
    if count is None or count >= len(samples):
        return samples
    return [samples[int((k + 0.5) * len(samples) / count)] for k in range(count)]


class Samples:
    """The samples of the clips of one shard. Holds one video's list of samples at a time."""

    def __init__(self, outdir: Path, shard: str):
        self.outdir, self.shard = outdir, shard
        self._video: str | None = None
        self._frames = self._numbers = np.empty(0)

    def of(self, clip: dict[str, Any]) -> list[int]:
        """Numbers of the samples that lie in a clip, in order of time."""
        if clip["video_id"] != self._video:
            table = read_signals(self.outdir, self.shard, clip["video_id"], ["frame", "sample"])
            table = table.filter(pc.is_valid(table["sample"]))
            self._frames, self._numbers = table["frame"].to_numpy(), table["sample"].to_numpy()
            self._video = clip["video_id"]
        first, last = np.searchsorted(self._frames, [clip["start_frame"], clip["end_frame"]])
        return self._numbers[first:last].tolist()

    def pictures(self, clips: list[dict[str, Any]], count: int | None) -> Iterator[tuple[dict, Any]]:
        """(clip, its BGR frames) for the clips of one video; an ItemError in place of frames that cannot be read."""
        try:
            archive = FrameArchive(frames_path(self.outdir, self.shard, clips[0]["video_id"]))
        except ItemError as error:
            yield from ((clip, error) for clip in clips)
            return
        with archive:
            for clip in clips:
                try:
                    frames = [archive.read(sample) for sample in uniform(self.of(clip), count)]
                    yield clip, frames or ItemError("too_few_samples", f"{clip['seconds']:.2f} s hold no sample")
                except ItemError as error:
                    yield clip, error


def by_video(clips: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Clips, in their order, in groups of one video."""
    for _, group in groupby(clips, key=lambda clip: clip["video_id"]):
        yield list(group)


def score_shard(
    metric: str,
    backend: FrameScore,
    clips: list[dict[str, Any]],
    wanted: set[str],
    outdir: Path,
    shard: str,
    max_error_rate: float,
) -> list[dict[str, Any]]:
    """A row a clip: the score of the `wanted` ones, computed once ever under the same settings; others are missing."""
    rows: dict[str, dict[str, Any]] = {}
    keys = {clip["clip_id"]: _key(metric, backend, clip) for clip in clips if clip["clip_id"] in wanted}
    with Journal(outdir / "work" / "journals" / metric / f"{shard}.jsonl") as journal:
        for clip_id, key in keys.items():
            if (row := journal.get(clip_id, key)) is not None:
                rows[clip_id] = row
        todo = [clip for clip in clips if clip["clip_id"] in keys and clip["clip_id"] not in rows]
        progress = Progress("clips", len(keys), len(rows))
        samples = Samples(outdir, shard)
        for group in by_video(todo):
            for clip, frames in samples.pictures(group, backend.frames):
                clip_id = clip["clip_id"]
                if isinstance(frames, ItemError):
                    log.warning("%s: %s", clip_id, frames)
                    rows[clip_id] = {"error_kind": frames.kind, "error": str(frames)}
                else:
                    rows[clip_id] = backend.score(frames)
                    journal.add([(clip_id, keys[clip_id], rows[clip_id])])
                progress.step()
                bad = sum(1 for row in rows.values() if row.get("error_kind"))
                check_error_rate(bad, len(rows), max_error_rate, "clips")
    return [{"clip_id": clip["clip_id"], **rows.get(clip["clip_id"], {})} for clip in clips]


def _key(metric: str, backend: FrameScore, clip: dict[str, Any]) -> str:
    return fingerprint(metric, backend.about, clip["source_key"], clip["start_frame"], clip["end_frame"])
