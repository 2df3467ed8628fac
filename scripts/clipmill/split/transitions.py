"""Transitions between the shots of a video, and flashes, which only look like them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from clipmill.decode.reading import frame_times, read_thumbnails
from clipmill.store.tables import DecodedVideo, TransitionRow

FLASH_SECONDS = 0.25  # the longest flash
BESIDE = 2  # frames
CHANGE = "change"  # the kind of a transition at which a part of the video begins
SAME = 0.3  # what follows a flash differs from what came before by at most this share of the flash's own step


class Transition(NamedTuple):
    """Where one shot becomes another."""

    start: int  # first frame that belongs to both shots; of a cut the first frame of the new one
    end: int  # first frame that belongs to the new shot alone
    kind: str  # cut, fade, dissolve, wipe, change
    strength: float  # 0 to 1: how sure it is; of PySceneDetect's cuts the content value over 255


def flashes(signals: pa.Table, fps: float) -> Callable[[Transition], bool]:
    """A function that says whether a transition is only a flash, a strobe, a damaged frame, or a side of one.

    `signals`: the video's table SIGNALS. A transition is none if some frame soon after it resembles one soon before it
    much more than the frames in it, or the two frames at a cut, resemble what came before.
    """
    cells = read_thumbnails(signals).astype(np.int16)
    reach = max(1, round(FLASH_SECONDS * fps))

    def is_flash(one: Transition) -> bool:
        before, after = cells[max(0, one.start - 1 - reach) : one.start], cells[one.end : one.end + 1 + reach]
        if not len(before) or not len(after):
            return False
        apart = np.abs(before[:, None] - after).mean(2).min()
        inside = np.abs(cells[one.start : one.end + 1] - before[-1]).mean(1).max()
        return bool(apart < SAME * inside)

    return is_flash


def runs(marked: np.ndarray, gap: int) -> list[tuple[int, int]]:
    """Runs of marked frames (first, first after), with gaps of up to `gap` frames in them."""
    frames = np.flatnonzero(marked)
    if frames.size == 0:
        return []
    parts = np.split(frames, np.flatnonzero(np.diff(frames) > gap + 1) + 1)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]


def joined(first: Sequence[Transition], second: Sequence[Transition]) -> list[Transition]:
    """The transitions of two detectors. Those within BESIDE frames of each other are one, of the surer one's kind."""
    found: list[Transition] = []
    for one in sorted([*first, *second]):
        if not found or one.start > found[-1].end + BESIDE:
            found.append(one)
        elif one.start == one.end and found[-1].start == found[-1].end:
            found[-1] = max(found[-1], one, key=lambda cut: cut.strength)
        else:
            last = found[-1]
            surer = max((each for each in (last, one) if each.start < each.end), key=lambda each: each.strength)
            found[-1] = surer._replace(start=last.start, end=max(last.end, one.end))
    return found


def transition_rows(video: DecodedVideo, signals: pa.Table, transitions: Sequence[Transition]) -> list[TransitionRow]:
    """TRANSITIONS rows of one video."""
    times = frame_times(video, signals)
    return [
        {
            "video_id": video["video_id"],
            "start": float(times[one.start]),
            "end": float(times[one.end]),
            "start_frame": one.start,
            "end_frame": one.end,
            "kind": one.kind,
            "strength": one.strength,
        }
        for one in transitions
    ]
