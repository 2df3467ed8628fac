"""What each detector finds in the videos, or in a sample of them, and how many clips other thresholds would give.

Nothing is decoded: the transitions of the run are in the table TRANSITIONS, all others follow from the signals.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa

from clipmill.base.errors import ItemError, SetupError
from clipmill.decode.reading import frame_times, read_signals
from clipmill.report.collect import SEED
from clipmill.report.footage import Footage
from clipmill.report.judge import Amount
from clipmill.split.detectors import Finder
from clipmill.split.scenes import video_clips
from clipmill.split.settings import SplitSettings
from clipmill.split.shard import read_shots
from clipmill.split.transitions import Transition
from clipmill.store import tables
from clipmill.store.given import GIVEN
from clipmill.store.index import removed_videos, shard_sizes
from clipmill.store.tables import DecodedVideo, Part

# What if: detector, its setting, and the values that are tried. A detector joins the whole section with its lines here.
# One that needs more than signals is left out of runs without it.
TRIED: tuple[tuple[str, str, tuple[float, ...]], ...] = (
    ("combined", "combined_cut", (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)),
    ("combined", "combined_gradual", (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)),
    ("content", "content_threshold", (15, 20, 24, 27, 30, 35, 40)),
    ("adaptive", "adaptive_threshold", (1.5, 2, 2.5, 3, 4, 5, 6)),
    ("transnetv2", "transnetv2.threshold", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)),
)
MOST_FRAMES = 250_000  # of the videos that are looked at; of more videos a random sample
SLACK_SECONDS = 0.1  # transitions of two detectors that lie no further apart are one and the same

Place = dict[str, Transition]
"""A transition as the detectors see it, by detector; without those that do not see it."""


@dataclass
class WhatIf:
    """Clips that are long enough, and their seconds, for each value of a `setting`; `own` is that of the run."""

    detector: str
    setting: str
    own: float
    amounts: dict[float, Amount]


@dataclass(eq=False)
class Seen:
    """A video, its scenes (first frame, first frame after, whether a clip of it is long enough), and its `places`.

    `found`: the transitions by detector. `times`: of all frames, and the end, in seconds.
    """

    video: DecodedVideo
    shard: str
    times: np.ndarray
    scenes: list[tuple[int, int, bool]]
    found: dict[str, list[Transition]]
    places: list[Place]


@dataclass
class Detected:
    """What was looked at. `videos`, `seconds`: of all decoded videos; `lost`: videos whose signals are missing."""

    detector: str
    footage: Footage
    videos: int = 0
    seconds: float = 0.0
    lost: int = 0
    seen: list[Seen] = field(default_factory=list)
    what_ifs: list[WhatIf] = field(default_factory=list)

    @property
    def order(self) -> list[str]:
        """The detectors, that of the run first."""
        return list(dict.fromkeys([self.detector, *(what_if.detector for what_if in self.what_ifs)]))


def look(outdir: Path, settings: SplitSettings, most_frames: int = MOST_FRAMES) -> Detected:
    """Look at the videos, or at a random sample of them with about `most_frames` frames; one in memory at a time."""
    detected = Detected(settings.detector, Footage(settings))
    if settings.detector == GIVEN:  # nothing was looked for
        return detected
    for detector, setting, values in TRIED:
        if detector == "transnetv2" and settings.detector != detector:
            continue
        own = settings.value(setting)
        amounts = {value: Amount() for value in sorted({*values, own})}
        detected.what_ifs.append(WhatIf(detector, setting, own, amounts))
    for shard, ids in _draw(outdir, detected, most_frames):
        chosen = [row for row in tables.VIDEOS.rows(tables.VIDEOS.of(outdir, shard)) if row["video_id"] in ids]
        parts_of = tables.by_video(tables.PARTS.rows(tables.PARTS.of(outdir, shard)))
        path = tables.SHOTS.of(outdir, shard)
        of_network = read_shots(path) if settings.detector == "transnetv2" else {}
        of_run = defaultdict(list)
        for row in tables.TRANSITIONS.rows(tables.TRANSITIONS.of(outdir, shard)):
            one = Transition(row["start_frame"], row["end_frame"], row["kind"], row["strength"])
            of_run[row["video_id"]].append(one)
        for video in chosen:
            try:
                signals = read_signals(outdir, shard, video["video_id"], notes_lost=False)
            except (ItemError, OSError, SetupError):
                detected.lost += 1
            else:
                parts = parts_of[video["video_id"]]
                finder = Finder(signals, parts, of_network.get(video["video_id"]))
                found = of_run[video["video_id"]]
                detected.footage.add(video, parts, signals, found)
                detected.seen.append(_look_at(video, parts, shard, signals, finder, found, settings, detected.what_ifs))
    return detected


def _draw(outdir: Path, detected: Detected, most_frames: int) -> Iterator[tuple[str, set[str]]]:
    """Ids of the videos to look at, by shard. Counts all videos in `detected`.

    Videos are drawn by lots that follow from their ids, until they have `most_frames` frames.
    """
    drawn: list[tuple[int, str, str, int]] = []  # a heap, the highest lot first
    gone, frames = removed_videos(outdir), 0
    for shard in shard_sizes(outdir):
        table = tables.VIDEOS.read(tables.VIDEOS.of(outdir, shard), ["video_id", "seconds", "frames", "error_kind"])
        for video in table.to_pylist():
            if video["error_kind"] or video["video_id"] in gone:
                continue
            detected.videos += 1
            detected.seconds += video["seconds"]
            heapq.heappush(drawn, (-lot(video["video_id"]), shard, video["video_id"], video["frames"]))
            frames += video["frames"]
            while frames - drawn[0][-1] >= most_frames:
                frames -= heapq.heappop(drawn)[-1]
    for shard, group in groupby(sorted(drawn, key=lambda video: video[1:]), key=lambda video: video[1]):
        yield shard, {video_id for _, _, video_id, _ in group}


def lot(video_id: str) -> int:
    """A random number that follows from the id of a video."""
    return int.from_bytes(hashlib.sha256(f"{SEED} {video_id}".encode()).digest()[:8], "big")


def _look_at(
    video: DecodedVideo,
    parts: Sequence[Part],
    shard: str,
    signals: pa.Table,
    finder: Finder,
    of_run: list[Transition],
    settings: SplitSettings,
    what_ifs: list[WhatIf],
) -> Seen:
    """Find the transitions of a video with all detectors, and add its clips to the `what_ifs`."""
    find = finder.find
    known: dict[tuple[tuple[int, int], ...], list[float]] = {}  # most thresholds change nothing in most videos

    def lengths(transitions: Sequence[Transition]) -> list[float]:
        spans = tuple((one.start, one.end) for one in transitions)
        if spans not in known:
            clips = video_clips(video, parts, signals, transitions, settings)
            known[spans] = [clip["seconds"] for clip in clips if not clip["unfit"]]
        return known[spans]

    for what_if in what_ifs:
        for value, amount in what_if.amounts.items():
            changed = replace(settings, detector=what_if.detector).with_value(what_if.setting, value)
            seconds = lengths(find(changed))
            amount.add(len(seconds), sum(seconds))
    others = {what_if.detector for what_if in what_ifs} - {settings.detector}
    found = {detector: find(replace(settings, detector=detector)) for detector in sorted(others)}
    found[settings.detector] = of_run
    scenes = []
    for _, pieces in groupby(video_clips(video, parts, signals, of_run, settings), key=lambda clip: clip["scene"]):
        clips = list(pieces)
        long_enough = not all(clip["unfit"] for clip in clips)
        scenes.append((clips[0]["start_frame"], clips[-1]["end_frame"], long_enough))
    slack = round(SLACK_SECONDS * video["fps"])
    return Seen(video, shard, frame_times(video, signals), scenes, found, places(found, slack))


def places(found: Mapping[str, Sequence[Transition]], slack: int) -> list[Place]:
    """The transitions of several detectors, in order of time. Those are one whose frames lie within `slack` frames."""
    merged: list[Place] = []
    for one, detector in sorted((one, detector) for detector, several in found.items() for one in several):
        end = max((other.end for other in merged[-1].values()), default=0) if merged else 0
        if merged and detector not in merged[-1] and one.start <= end + slack:
            merged[-1][detector] = one
        else:
            merged.append({detector: one})
    return merged
