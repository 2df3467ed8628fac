"""Looks for transitions in the videos of a shard; a journal keeps finished steps from being computed again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from clipmill.base.errors import ItemError, SetupError
from clipmill.base.journal import Journal, fingerprint
from clipmill.base.progress import Progress
from clipmill.decode.reading import raise_if_lost, read_miniatures, read_signals
from clipmill.shots.network import STEP
from clipmill.shots.windows import SIGNALS, going_on, step_count, suspicious_steps, window
from clipmill.store import tables
from clipmill.store.layout import Paths
from clipmill.store.tables import DecodedVideo, Video

DECIMALS = 5  # of a probability


class Detector(Protocol):
    """What `detect_shots` needs of a network; see `transnetv2.TransNetV2`."""

    @property
    def about(self) -> dict[str, Any]:
        """What its values depend on."""

    @property
    def everywhere(self) -> bool:
        """Whether it looks at all frames, and not only where the signals are not flat."""

    @property
    def at_once(self) -> int:
        """How many windows it is best given at once."""

    def look(self, windows: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Two rows of probabilities for each window's frames in the middle, 2 × STEP."""


def detect_shots(videos: Sequence[Video], detector: Detector, outdir: Path, shard: str) -> Iterator[pa.Table]:
    """A table with the SHOTS row of each video that was decoded, in their order. Finished steps come from the journal.

    Raises SetupError if the weights, or the signals or miniatures of a video, are missing or damaged.
    """
    decoded = [video for video in videos if not video["error_kind"]]
    with Journal(Paths(outdir).journal("shots", shard)) as journal:
        finished = _Finished(journal, detector)
        steps, lost = {}, []
        for video in decoded:
            try:
                steps[video["video_id"]] = mine = _steps(video, detector, outdir, shard)
                if any(finished.get(video, step) is None for step in mine):
                    read_miniatures(outdir, shard, video["video_id"], [])  # only to see whether they are there
            except ItemError as error:
                lost.append(error)
        raise_if_lost(lost)
        total = sum(map(len, steps.values()))
        done = sum(finished.get(video, step) is not None for video in decoded for step in steps[video["video_id"]])
        progress = Progress("windows", total, done)
        for video in decoded:
            wanted = set(steps[video["video_id"]])
            found: dict[int, Any] = {}
            while missing := sorted(wanted - found.keys()):
                todo = [step for step in missing if finished.get(video, step) is None]
                progress.total += len(todo) if found else 0
                for first in range(0, len(todo), detector.at_once):
                    chosen = todo[first : first + detector.at_once]
                    finished.add(video, chosen, detector.look(_windows(chosen, video, outdir, shard)))
                    progress.step(len(chosen))
                found |= {step: finished.get(video, step) for step in missing}
                wanted |= going_on(found, step_count(video["frames"]))
            yield _row(video, found)


class _Finished:
    """The values of finished steps, in the journal."""

    def __init__(self, journal: Journal, detector: Detector):
        self._journal, self._about = journal, detector.about

    def get(self, video: DecodedVideo, step: int) -> Any | None:
        """The two rows of probabilities of a step, or None if it is not finished."""
        return self._journal.get(*self._item(video, step))

    def add(self, video: DecodedVideo, steps: Sequence[int], values: Sequence[np.ndarray]) -> None:
        rounded = [np.round(both.astype(np.float64), DECIMALS).tolist() for both in values]
        self._journal.add((*self._item(video, step), both) for step, both in zip(steps, rounded, strict=True))

    def _item(self, video: DecodedVideo, step: int) -> tuple[str, str]:
        return f"{video['video_id']} {step}", fingerprint("shots", self._about, video["source_key"])


def _steps(video: DecodedVideo, detector: Detector, outdir: Path, shard: str) -> list[int]:
    """The steps that the network is to look at."""
    if detector.everywhere:
        return list(range(step_count(video["frames"])))
    return suspicious_steps(read_signals(outdir, shard, video["video_id"], list(SIGNALS)))


def _windows(steps: Sequence[int], video: DecodedVideo, outdir: Path, shard: str) -> list[np.ndarray]:
    """The window of each step: WINDOW × HEIGHT × WIDTH × 3 bytes."""
    frames = [window(step, video["frames"]) for step in steps]
    wanted = np.unique(np.concatenate(frames))
    try:
        pictures = read_miniatures(outdir, shard, video["video_id"], wanted)
    except ItemError as error:
        raise SetupError(str(error)) from error
    return [pictures[np.searchsorted(wanted, numbers)] for numbers in frames]


def _row(video: DecodedVideo, found: Mapping[int, Any]) -> pa.Table:
    """SHOTS row of a video. `found`: the two rows of probabilities of each step that was looked at."""
    both = np.full((2, step_count(video["frames"]) * STEP), np.nan, np.float32)
    for step, values in found.items():
        both[:, step * STEP : (step + 1) * STEP] = values
    columns = [pa.array([video["video_id"]])]
    for values in both[:, : video["frames"]]:
        columns.append(pa.ListArray.from_arrays([0, len(values)], pa.array(values, mask=np.isnan(values))))
    return pa.table(columns, schema=tables.SHOTS.schema)
