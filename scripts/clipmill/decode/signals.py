"""The measurements of each frame while it is decoded: cheap numbers, from one small picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from clipmill.base.opencv import cv2

BLACK_MEAN, BLACK_MAX = 16, 48  # grey levels: a row or column of a black border has a lower mean and a lower maximum
THUMBNAIL_SIDE = 8  # pixels
FLOW_SIDE = 128  # pixels of the short side on which motion is measured
DETAIL_WIDTHS = 0.003, 0.005  # standard deviations of the two Gaussians of `sharpness`, as shares of the short side
DETAIL_SCALE = 4.0  # with it videos of 360 to 480 lines have the values of the Laplacian at their own size
SURE_SHIFT = 0.2  # the least response of phase correlation with which its shift is used


class FrameSignals:
    """Measures each frame against the frame before. Feed frames in order of presentation.

    The content value and its parts are those of PySceneDetect's ContentDetector (BSD-3, pyscenedetect.com) with its
    default weights: mean absolute differences of hue, saturation and value, and their mean.
    """

    def __init__(self) -> None:
        self._before: tuple[np.ndarray, np.ndarray] | None = None  # HSV and grey

    def measure(self, small: np.ndarray, grey: np.ndarray) -> dict[str, float | bytes]:
        """SIGNALS columns of one frame, from its small BGR picture (height × width × 3) and the same in grey."""
        hsv = cv2.cvtColor(small, cv2.COLOR_BGR2HSV)
        if self._before is None:
            hue = saturation = value = difference = 0.0
        else:
            hue, saturation, value, _ = cv2.mean(cv2.absdiff(hsv, self._before[0]))
            difference = cv2.mean(cv2.absdiff(grey, self._before[1]))[0]
        self._before = hsv, grey
        mean, spread = cv2.meanStdDev(grey)
        return {
            "content": (hue + saturation + value) / 3,
            "delta_hue": hue,
            "delta_sat": saturation,
            "delta_lum": value,
            "difference": difference,
            "luma_mean": mean[0, 0],
            "luma_spread": spread[0, 0],
            "thumbnail": thumbnail(grey).tobytes(),
        }


def thumbnail(grey: np.ndarray) -> np.ndarray:
    """The 8 × 8 mean grey levels of a grey picture, row by row: 64 bytes by which a frame is recognized."""
    return cv2.resize(grey, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA).reshape(-1)


@dataclass(frozen=True, eq=False)
class KeptFrame:
    """A kept frame to measure."""

    time: float  # seconds
    picture: np.ndarray  # as it is kept
    small: np.ndarray  # the analysis picture in colour
    grey: np.ndarray  # and in grey

    @cached_property
    def of_flow(self) -> tuple[np.ndarray, np.ndarray]:
        """The grey pictures between which flow is measured, large and half. Each frame is in two pairs."""
        large = _short_side(self.grey, FLOW_SIDE)
        return large, _short_side(large, min(large.shape) // 2)


def kept_frame_signals(before: KeptFrame | None, frame: KeptFrame) -> dict[str, float | None]:
    """SIGNALS columns of a kept frame. `before`: the kept frame before it."""
    motion = None
    if before is not None and before.grey.shape == frame.grey.shape and frame.time > before.time:
        motion = motion_speed(before, frame)
    left, top, right, bottom = black_borders(frame.grey)
    return {
        "sharpness": sharpness(frame.picture),
        "colourfulness": colourfulness(frame.small),
        "border_left": left,
        "border_top": top,
        "border_right": right,
        "border_bottom": bottom,
        "motion": motion,
    }


def motion_speed(earlier: KeptFrame, later: KeptFrame) -> float:
    """Mean length of the flow between two kept frames, in percent of their short side per second.

    Gunnar Farnebäck, "Two-frame motion estimation based on polynomial expansion" (2003), as in OpenCV. It starts from
    the shift of the whole picture, found at half the size. From this start one iteration per level finds pans of a
    third of the frame to within a tenth; from zero, three iterations already lose pans beyond a twentieth.
    """
    if np.array_equal(earlier.grey, later.grey):
        return 0.0
    (before, half_before), (after, half_after) = earlier.of_flow, later.of_flow
    # OpenCV's own pyramid would blur the whole picture again for each of its levels.
    flow = _uniform_flow(half_before, whole_shift(half_before, half_after))
    flow = _farneback(half_before, half_after, flow, levels=1)
    flow = cv2.resize(flow, before.shape[::-1], interpolation=cv2.INTER_LINEAR) * np.float32(2)
    flow = _farneback(before, after, flow, levels=0)
    length = cv2.mean(cv2.magnitude(flow[..., 0], flow[..., 1]))[0]
    return 100 * length / min(before.shape) / (later.time - earlier.time)


def _farneback(before: np.ndarray, after: np.ndarray, flow: np.ndarray, levels: int) -> np.ndarray:
    """The flow between two grey pictures, started from `flow`."""
    return cv2.calcOpticalFlowFarneback(
        before,
        after,
        flow,
        pyr_scale=0.5,
        levels=levels,
        winsize=15,
        iterations=1,
        poly_n=5,
        poly_sigma=1.1,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )


def _short_side(picture: np.ndarray, side: int) -> np.ndarray:
    """`picture` made smaller, to a short side of `side` pixels; never enlarged."""
    scale = max(1, side) / min(picture.shape)
    if scale >= 1:
        return picture
    height, width = (max(1, round(length * scale)) for length in picture.shape)
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def _uniform_flow(picture: np.ndarray, shift: tuple[float, float]) -> np.ndarray:
    """A flow of `shift` everywhere: height × width × 2, float32."""
    return np.full(picture.shape, complex(*shift), np.complex64).view(np.float32).reshape(*picture.shape, 2)


def whole_shift(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """The shift (right, down, in pixels) of a whole grey picture, by phase correlation; (0, 0) if it is unsure.

    A single row or column of pixels shows no shift.
    """
    if min(before.shape) < 2:
        return 0.0, 0.0
    window = cv2.createHanningWindow(before.shape[::-1], cv2.CV_32F)
    (right, down), response = cv2.phaseCorrelate(before.astype(np.float32), after.astype(np.float32), window)
    return (right, down) if response >= SURE_SHIFT else (0.0, 0.0)


def sharpness(picture: np.ndarray) -> float:
    """How strong the fine detail of a BGR picture is, in grey levels: the same at every size from 240 lines on.

    Standard deviation of a difference of two Gaussians, whose widths are shares of the picture's short side. So the
    finest detail passes that 240 lines still show.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32)
    fine, coarse = (cv2.GaussianBlur(grey, (0, 0), share * min(grey.shape)) for share in DETAIL_WIDTHS)
    return DETAIL_SCALE * float(cv2.meanStdDev(cv2.subtract(fine, coarse))[1][0, 0])


def colourfulness(picture: np.ndarray) -> float:
    """The measure M3 of Hasler and Süsstrunk, "Measuring colourfulness in natural images" (2003); 0 is grey."""
    blue, green, red = cv2.split(picture)
    red_green = cv2.subtract(red, green, dtype=cv2.CV_16S)
    yellow_blue = cv2.subtract(cv2.add(red, green, dtype=cv2.CV_16S), cv2.add(blue, blue, dtype=cv2.CV_16S))  # twice it
    (mean, variance), (twice_mean, four_variance) = _mean_and_variance(red_green), _mean_and_variance(yellow_blue)
    return math.sqrt(variance + four_variance / 4) + 0.3 * math.hypot(mean, twice_mean / 2)


def _mean_and_variance(values: np.ndarray) -> tuple[float, float]:
    """Mean and variance of whole numbers, whose squares sum exactly; ten times as fast as `cv2.meanStdDev`."""
    mean = cv2.mean(values)[0]
    return mean, max(0.0, cv2.norm(values, cv2.NORM_L2SQR) / values.size - mean**2)


def black_borders(grey: np.ndarray) -> tuple[float | None, ...]:
    """Shares of width or height that are black at the left, top, right and bottom; None four times if all is black."""
    columns = _black_run(grey, 0)
    rows = _black_run(grey, 1)
    if columns is None or rows is None:
        return None, None, None, None
    return columns[0], rows[0], columns[1], rows[1]


def _black_run(grey: np.ndarray, axis: int) -> tuple[float, float] | None:
    """Shares of the lines along `axis` that are black, counted from the first and from the last line."""
    black = (grey.max(axis) < BLACK_MAX) & (grey.mean(axis) < BLACK_MEAN)
    lit = np.flatnonzero(~black)
    if lit.size == 0:
        return None
    return float(lit[0] / black.size), float((black.size - 1 - lit[-1]) / black.size)
