"""Transitions from what TransNetV2 says of each frame."""

from __future__ import annotations

import numpy as np

from clipmill.split.transitions import Transition, runs

Shots = tuple[np.ndarray, np.ndarray]
"""What the network says of each frame: `single` and `many`, see `network_transitions`."""

GAP = 4  # frames below the threshold that do not divide a transition
SHORT = 3  # frames of a transition, up to which it is a hard cut: codecs and deinterlacers blur one over so many


def network_transitions(single: np.ndarray, many: np.ndarray, threshold: float) -> list[Transition]:
    """The transitions of a video, in order of time.

    `single`, `many`: of each frame, how surely it is the one in the middle of a transition, and how surely it belongs
    to one (0–1); nan if the network did not look at it. The frames in the middle say that there is a transition, the
    others how long it lasts. At a hard cut the network reports the old shot's last frame.
    """
    sure, part = single > threshold, many > threshold  # nan is not
    found = []
    for start, end in runs(sure | part, GAP):
        if not sure[start:end].any():
            continue
        peak = start + int(np.nanargmax(single[start:end]))
        strength = float(single[peak])
        if end - start > SHORT:
            found.append(Transition(start, end, "gradual", strength))
        elif peak + 1 < len(single):
            found.append(Transition(peak + 1, peak + 1, "cut", strength))
    return found
