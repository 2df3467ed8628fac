"""Captions: what a backend is told of a clip, and the backends, one module each.

A caption backend has `name`, `model` and `caption(clips) -> texts`; a rewrite backend `rewrite(captions) -> texts`.
Both give one text for each item, in order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class ClipFacts:
    """One clip as a caption backend sees it. A value that was not measured is None, and nothing is said of it."""

    clip_id: str
    seconds: float
    """Length in seconds."""
    width: int | None = None
    """Pixels as shown."""
    height: int | None = None
    """Pixels as shown."""
    fps: float | None = None
    """Frames a second."""
    brightness: float | None = None
    """Mean grey level, 0 to 255."""
    contrast: float | None = None
    """Standard deviation of the grey levels, 0 to 255."""
    colourfulness: float | None = None
    """M3 of Hasler and Süsstrunk (2003), 0 to about 150."""
    sharpness: float | None = None
    """Standard deviation of the Laplacian at a short side of 160, in grey levels."""
    motion: float | None = None
    """Mean speed of the picture's points, in percent of the frame's short side a second."""
    consistency: float | None = None
    """Least likeness of neighbouring samples, 0 to 1; 1 is the same picture."""
    text_area: float | None = None
    """Share of the frame under text boxes, 0 to 1."""
    frozen_share: float | None = None
    """Share of the time in which nothing changes, 0 to 1."""
    frames: list[np.ndarray] = field(default_factory=list)
    """Up to eight frames, uniformly spaced over the clip: BGR, uint8, short side at most 512."""
