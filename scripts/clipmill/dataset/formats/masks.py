"""Masks of what is no picture in a clip's file, for trainers that leave it out of the loss: white is trained on.

The names of the formats are read while rules are parsed: so NumPy and OpenCV are imported only where a mask is
drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clipmill.shapes.sizes import fit
from clipmill.store.table import Row

if TYPE_CHECKING:
    import numpy as np

SHOWN, HIDDEN = 255, 0


@dataclass(frozen=True)
class Masks:
    """Draws masks of the size of clip files. The config's `cut.size`, and `export.buckets.resolutions` if it is
    `bucket`.
    """

    size: Mapping[str, Any] | str | None
    resolutions: list[list[int]] | None

    def png(self, row: Row) -> bytes | None:
        """The mask of a clip, a row of METADATA; None if nothing of it is hidden. The same row gives the same bytes."""
        if not row["masked"]:
            return None
        from clipmill.base.opencv import cv2

        _, data = cv2.imencode(".png", self._drawn(row))
        return data.tobytes()

    def _drawn(self, row: Row) -> np.ndarray:
        import numpy as np

        whole = row["width"], row["height"]
        found = fit(whole, self.size, self.resolutions)
        assert found is not None  # or else the clip would not have been cut
        (wide, high), (left, top) = found.scaled, found.place
        mask = np.full((row["cut_height"], row["cut_width"]), SHOWN, np.uint8)
        across, down = wide / whole[0], high / whole[1]
        edges = np.array(row["masked"]).reshape(-1, 4) * (across, down, across, down) - (left, top, left, top)
        for box in edges.tolist():
            first_x, first_y = (max(0, math.floor(edge)) for edge in box[:2])
            end_x, end_y = (max(0, math.ceil(edge)) for edge in box[2:])
            mask[first_y:end_y, first_x:end_x] = HIDDEN
        return mask
