"""Captions: the input and the output of the backends that caption and rewrite. Each backend is one module.

Answers are matched by the clip's identity, never by their order: a backend may answer in any order.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from clipmill.base.errors import ItemError
from clipmill.decode.reading import FrameChoice, KeptFrames
from clipmill.store.table import Row

Answered = tuple[str, Row | ItemError]
"""A clip's id, and its columns or its error."""

Answers = Generator[Answered | None, None, None]
"""Clips as they are answered; None if none has been for a while. Whoever stops before the end closes it."""


@dataclass(frozen=True, eq=False)
class ClipFacts:
    """What a caption backend knows of a clip. A value that was not measured is None, and captions do not mention it."""

    clip_id: str
    seconds: float
    """Length in seconds."""
    width: int | None = None
    """Pixels as shown."""
    height: int | None = None
    """Pixels as shown."""
    fps: float | None = None
    """Frames per second."""
    brightness: float | None = None
    """Mean grey level, 0 to 255."""
    contrast: float | None = None
    """Standard deviation of the grey levels, 0 to 255."""
    colourfulness: float | None = None
    """M3 of Hasler and Süsstrunk (2003), 0 to about 150."""
    sharpness: float | None = None
    """Strength of the fine detail, in grey levels; see `decode.signals.sharpness`."""
    motion: float | None = None
    """Mean speed of the picture's points, in percent of the frame's short side per second."""
    camera: str | None = None
    """What the camera does: a word of `store.tables.CAMERAS`."""
    camera_speed: float | None = None
    """How fast it moves the picture's points, in percent of the frame's short side per second."""
    consistency: float | None = None
    """Least likeness of neighbouring kept frames, 0 to 1; 1 is the same picture."""
    text_area: float | None = None
    """Share of the frame under text boxes, 0 to 1."""
    frozen_share: float | None = None
    """Share of the time in which nothing changes, 0 to 1."""
    frames: list[np.ndarray] = field(default_factory=list)
    """Up to eight frames, uniformly spaced over the clip: BGR, uint8, short side at most 512."""


@dataclass(frozen=True)
class Clip:
    """A clip to caption: its facts, and its kept frames.

    `samples` is for the thread that asks for the clips, until it asks for the next one. Other threads, and later ones,
    read by a `KeptFrames` of their own.
    """

    facts: ClipFacts
    row: Row
    """The row of the table of verdicts."""
    samples: KeptFrames

    @property
    def clip_id(self) -> str:
        return self.facts.clip_id

    def frames(self, choice: FrameChoice) -> list[np.ndarray]:
        """The kept frames that `choice` chooses, BGR, height × width × 3 bytes. May raise ItemError."""
        return list(self.samples.frames(self.row, choice))

    def jpegs(self, choice: FrameChoice) -> tuple[list[bytes], list[float]]:
        """The same frames as JPEGs, and their times in seconds. May raise ItemError."""
        return self.samples.jpegs(self.row, choice)


class CaptionBackend(Protocol):
    """The interface of a captioner that `caption_shards` uses."""

    about: dict[str, Any]
    """Everything that a caption depends on besides the clip. Part of the journal's key, and the table's metadata."""
    model: str
    """The value of the column `caption_model`."""
    reads: tuple[str, ...]
    """Names of the facts of a clip that it reads."""

    def caption(self, clips: Iterable[Clip]) -> Answers:
        """CAPTIONS columns of each clip, as they finish; None if none has finished for a while."""


@dataclass(frozen=True)
class Caption:
    """A caption to rewrite."""

    clip_id: str
    text: str


class RewriteBackend(Protocol):
    """The interface of a rewriter that `rewrite_shards` uses. `about`, `model`: as for captioners."""

    about: dict[str, Any]
    model: str

    def rewrite(self, captions: list[Caption]) -> Answers:
        """REWRITES columns of each caption, as they finish; None if none has finished for a while."""
