"""Named scores by classifiers of pictures: how surely frames show something, from 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from clipmill.decode.reading import FrameChoice


@dataclass(frozen=True)
class Frames:
    """What the config says of every classifier: its `column`, and how many `frames` of a clip it looks at.

    `reduce`: `max` or `mean` of their shares is the score of the clip.
    """

    column: str
    frames: int
    reduce: str

    @property
    def choice(self) -> FrameChoice:
        """Which kept frames are looked at: evenly spaced ones."""
        return FrameChoice(count=self.frames)

    @property
    def about(self) -> dict[str, Any]:
        """What the score depends on, besides the backend."""
        return asdict(self)

    def columns(self, shares: Sequence[float]) -> dict[str, Any]:
        """The columns of a clip, from the shares of its frames."""
        return {
            self.column: float(np.max(shares) if self.reduce == "max" else np.mean(shares)),
            f"{self.column}_frames": list(shares),
        }
