"""Which frames of a video the network looks at together, and where a look is worth its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from clipmill.decode.reading import read_thumbnails
from clipmill.shots.network import EDGE, STEP, WINDOW

SIGNALS = ("content", "thumbnail")  # by which a frame is suspicious

# A frame is suspicious if it differs from the frame before more than its neighbours do: its content value is JUMP_LEAST
# above JUMP_TIMES their median. Or if half of the picture changes around it: by QUICK grey levels within 8 frames, or
# by the first of SLOW within 8 and the second within 24. Moving things seldom cover so much; gradual transitions do.
# docs/benchmarks.md says on which films and videos the numbers were chosen, what they spare, and what they lose.
NEIGHBOURS = 4  # frames on each side
JUMP_TIMES, JUMP_LEAST = 1.75, 3.0
QUICK, SLOW = 6.0, (4.0, 16.0)
# A transition that is so sure at the edge of a step goes on in the step beside it: well below all useful thresholds.
GOES_ON = 0.1
MARGIN = 4  # frames on each side of a suspicious one, which may belong to the same transition


def step_count(frames: int) -> int:
    """The number of steps of a video: of STEP frames each, but for the last."""
    return -(-frames // STEP)


def window(step: int, frames: int) -> np.ndarray:
    """The frames that the network sees to decide about a step: WINDOW numbers, at the ends of the video repeated."""
    first = step * STEP - EDGE
    return np.clip(np.arange(first, first + WINDOW), 0, frames - 1)


def suspicious_steps(signals: pa.Table) -> list[int]:
    """The steps of a video in which its signals are not flat, in order. `signals`: its columns SIGNALS."""
    frames = np.flatnonzero(_jumps(signals["content"].to_numpy()) | _changes(read_thumbnails(signals)))
    near = np.clip(frames[:, None] + (-MARGIN, MARGIN), 0, max(0, len(signals) - 1)) // STEP
    return np.unique(near).tolist()


def going_on(found: Mapping[int, Sequence[Sequence[float]]], count: int) -> set[int]:
    """The steps, of `count`, into which transitions go on from those beside them. `found`: rows of values by step."""
    edges = {-1: 0, 1: -1}  # the step before or after -> the frame of the edge
    near = {
        step + side
        for step, rows in found.items()
        for side, edge in edges.items()
        if max(row[edge] for row in rows) > GOES_ON
    }
    return near & set(range(count))


def _jumps(content: np.ndarray) -> np.ndarray:
    """Which frames differ from the one before more than their neighbours do."""
    padded = np.pad(content, NEIGHBOURS, mode="edge")
    usual = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * NEIGHBOURS + 1), axis=1)
    return content > JUMP_TIMES * usual + JUMP_LEAST


def _changes(thumbnails: np.ndarray) -> np.ndarray:
    """Which frames lie in the middle of a change of half of the picture."""
    cells = thumbnails.astype(np.int16)
    within_8, within_24 = (_change(cells, frames) for frames in (8, 24))
    return (within_8 >= QUICK) | ((within_8 >= SLOW[0]) & (within_24 >= SLOW[1]))


def _change(cells: np.ndarray, frames: int) -> np.ndarray:
    """By how many grey levels half of the cells change within so many frames, around each frame; 0 near the ends."""
    found = np.zeros(len(cells))
    changed = np.median(np.abs(cells[frames:] - cells[:-frames]), axis=1)
    found[frames // 2 :][: len(changed)] = changed
    return found
