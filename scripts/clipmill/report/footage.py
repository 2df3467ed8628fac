"""How much of the footage the clips use, before any filter, and how much they would use with other numbers of frames.

Nothing is decoded: clips follow from the transitions of the run and from the signals, by the functions of `split`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from clipmill.report.judge import Amount
from clipmill.shapes.counts import Counts
from clipmill.shapes.rates import file_seconds
from clipmill.split.scenes import video_clips
from clipmill.split.settings import SplitSettings
from clipmill.split.transitions import Transition
from clipmill.store.tables import DecodedVideo, Part

# What if: the numbers of frames that are tried with `split.pieces: exact`, and the rates, if `cut.fps` sets none.
TRIED: tuple[Counts, ...] = ([81], [49, 81], [33, 49, 81], [121], "4n+1")
RATES = (16.0, 24.0)


@dataclass
class Use:
    """Seconds of `scenes`, and of the `clips` in them: those with a file, and those that are too `short`."""

    scenes: float = 0.0
    clips: Amount = field(default_factory=Amount)
    short: Amount = field(default_factory=Amount)

    @property
    def rounded(self) -> float:
        """Seconds in no clip, since clips have fewer frames than their scenes."""
        return max(0.0, self.scenes - self.clips.seconds - self.short.seconds)

    def add(
        self,
        video: DecodedVideo,
        parts: Sequence[Part],
        signals: pa.Table,
        found: Sequence[Transition],
        settings: SplitSettings,
    ) -> None:
        """Count a video. `found`: its transitions."""
        whole = replace(settings, pieces="fixed", max_seconds=math.inf, frames=None)  # each scene is one clip
        self.scenes += math.fsum(scene["seconds"] for scene in video_clips(video, parts, signals, found, whole))
        for clip in video_clips(video, parts, signals, found, settings):
            if clip["unfit"]:
                self.short.add(1, clip["seconds"])
            else:
                self.clips.add(1, file_seconds(clip, settings.fps))


@dataclass
class Tried:
    """One of the numbers of frames that are tried at a rate. `own`: whether they are those of the config."""

    fps: float
    frames: Counts
    own: bool
    use: Use = field(default_factory=Use)

    @property
    def label(self) -> str:
        return self.frames if isinstance(self.frames, str) else f"[{', '.join(map(str, self.frames))}]"


class Footage:
    """What was looked at: the `use` by the run, and the numbers of frames that were `tried`. `seconds`: of videos."""

    def __init__(self, settings: SplitSettings):
        self._settings = settings
        self.seconds = 0.0
        self.use = Use()
        own = settings.frames if settings.pieces == "exact" else None
        lists = [*TRIED] if own is None or own in TRIED else [own, *TRIED]
        rates = RATES if settings.fps is None else (settings.fps,)
        self.tried = [Tried(fps, frames, frames == own and fps == settings.fps) for fps in rates for frames in lists]

    def parts(self) -> dict[str, float]:
        """What the seconds of the videos have become, by name."""
        rounded = {} if self._settings.frames is None else {"rounded down to numbers of frames": self.use.rounded}
        return {
            "in clips": self.use.clips.seconds,
            **rounded,
            "in clips that are too short or frozen": self.use.short.seconds,
            "transitions and guard frames": max(0.0, self.seconds - self.use.scenes),
        }

    def add(self, video: DecodedVideo, parts: Sequence[Part], signals: pa.Table, found: Sequence[Transition]) -> None:
        """Count a video. `found`: the transitions that the run has found."""
        self.seconds += video["seconds"]
        self.use.add(video, parts, signals, found, self._settings)
        for one in self.tried:
            changed = replace(self._settings, pieces="exact", frames=one.frames, fps=one.fps)
            one.use.add(video, parts, signals, found, changed)
