"""The flow that EasyAnimate's score of motion is the mean of: Farnebäck's, of the full frame.

Source: aigc-apps/EasyAnimate at commit c2a70d1, easyanimate/video_caption/compute_motion_score.py. It compares frames
of a clip file, counted from its first one. Clips are found after decoding. So here frames are counted from the first
one of a part of the video, and anew from each cut that EasyAnimate would find (cutscene_detect.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from clipmill.base.opencv import cv2

VERSION = 1  # raise it when the same video gives other lengths: the table of signals says by which they were measured
PER_SECOND = 2  # frames that are compared, as far as whole numbers of frames allow
CUT = 27  # content value of a cut
# Farnebäck's parameters: scale from level to level, levels, window, iterations, neighbourhood and width of polynomials.
PYRAMID, LEVELS, WINDOW, ITERATIONS, NEIGHBOURS, WIDTH = 0.5, 3, 15, 3, 5, 1.2


class Whole(NamedTuple):
    """A frame that is compared: its number, and all of its pixels in grey."""

    frame: int
    grey: np.ndarray


class Pairs:
    """Chooses the pairs of frames of one part of a video that are compared. Feed all frames, in order.

    `rate`: frames per second. There is a pair between two cuts, however near they are.
    """

    def __init__(self, rate: float):
        self._step = int(rate / min(PER_SECOND, rate))
        self._start = 0
        self._before: Whole | None = None

    def put(self, frame: int, content: float, grey: Callable[[], np.ndarray]) -> tuple[Whole, Whole] | None:
        """The pair that a frame ends, if it ends one. `content`: its content value. `grey` makes its picture."""
        if self._before is None or (content >= CUT and frame > self._start + self._step):
            self._start, self._before = frame, Whole(frame, grey())
            return None
        if (frame - self._start) % self._step:
            return None
        before, self._before = self._before, Whole(frame, grey())
        return before, self._before


def whole_frame_signals(before: Whole, after: Whole) -> dict[str, float]:
    """SIGNALS columns of the second frame of a pair. The length of the flow is its mean over all pixels."""
    flow = np.empty((*before.grey.shape, 2), np.float32)
    cv2.calcOpticalFlowFarneback(
        before.grey, after.grey, flow, PYRAMID, LEVELS, WINDOW, ITERATIONS, NEIGHBOURS, WIDTH, flags=0
    )
    length = float(np.mean(cv2.magnitude(flow[..., 0], flow[..., 1])))
    return {"easyanimate_since": before.frame, "easyanimate_flow": length}
