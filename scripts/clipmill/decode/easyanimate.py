"""The flow that EasyAnimate's score of motion is the mean of: Farnebäck's, of the whole frame at its full size.

Source: aigc-apps/EasyAnimate at commit c2a70d1, easyanimate/video_caption/compute_motion_score.py. It counts frames from
the beginning of a clip file. Here they are counted from that of a part of the video, since clips are found later.
"""

from __future__ import annotations

import numpy as np

from clipmill.base.opencv import cv2

VERSION = 1  # raise it when the same frames give other lengths: the table of signals says by which they were measured
PER_SECOND = 2  # frames that are compared, as far as whole numbers of frames allow
# Farnebäck's parameters: scale from level to level, levels, window, iterations, neighbourhood and width of polynomials.
PYRAMID, LEVELS, WINDOW, ITERATIONS, NEIGHBOURS, WIDTH = 0.5, 3, 15, 3, 5, 1.2


def frames_between(rate: float) -> int:
    """How many frames on the next frame is that is compared, at `rate` frames per second: 14 at 29.97."""
    return int(rate / min(PER_SECOND, rate))


def mean_length(before: np.ndarray, after: np.ndarray) -> float:
    """Mean length of the flow between two grey pictures of one size, in pixels."""
    flow = cv2.calcOpticalFlowFarneback(
        before, after, None, PYRAMID, LEVELS, WINDOW, ITERATIONS, NEIGHBOURS, WIDTH, flags=0
    )
    return float(np.mean(cv2.magnitude(flow[..., 0], flow[..., 1])))
