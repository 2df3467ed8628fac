"""The section `split` of the config, and what of the section `cut` says which frames a clip has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from clipmill.shapes.counts import Counts


@dataclass(frozen=True)
class SplitSettings:
    """See the comments in config/config.yaml."""

    detector: str
    combined_cut: float
    combined_gradual: float
    content_threshold: float
    adaptive_threshold: float
    adaptive_window: int
    adaptive_min_content: float
    transnetv2: Mapping[str, Any]  # of its section only `threshold` counts here
    min_frames: int
    stitch: bool
    min_seconds: float
    max_seconds: float
    pieces: str
    keep_speech: bool
    guard_frames: int
    sound: bool  # whether sound was measured
    fps: float | None  # of the section `cut`, as `frames`; without `frames` it does not matter here
    frames: Counts | None
    crop: Mapping[str, Any]  # the section `crop`
    deinterlace: str  # of the section `decode`

    def value(self, key: str) -> Any:
        """The value of a key; a dot leads into a section: `transnetv2.threshold`."""
        section, _, name = key.partition(".")
        return getattr(self, section)[name] if name else getattr(self, section)

    def with_value(self, key: str, value: Any) -> SplitSettings:
        """The same settings with another value of a key."""
        section, _, name = key.partition(".")
        changed: dict[str, Any] = {section: {**getattr(self, section), name: value} if name else value}
        return replace(self, **changed)
