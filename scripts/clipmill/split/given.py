"""Clips of scenes that a sheet gives: nothing is looked for, and each scene is one clip, whatever its length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from clipmill.decode.parts import as_of_part, field_order_of
from clipmill.decode.reading import frame_times
from clipmill.split.scenes import clip_row, exact_frames
from clipmill.split.settings import SplitSettings
from clipmill.store.given import problems
from clipmill.store.tables import TOO_SHORT, Clip, DecodedVideo, GivenScene, Part

GIVEN = "given"  # the value of `split.detector`


def given_clips(
    video: DecodedVideo,
    parts: Sequence[Part],
    signals: pa.Table,
    scenes: Sequence[GivenScene],
    settings: SplitSettings,
) -> list[Clip]:
    """CLIPS rows of the scenes that a sheet gives of one video, in order of time. Scenes with problems make none.

    A scene begins and ends at the frames nearest to its times. The settings of `split` that look for scenes, divide
    them or want a length do not count; `cut.frames` does.
    """
    times = frame_times(video, signals)
    is_clean = signals["is_clean"].to_numpy()
    clean_keys = np.flatnonzero(signals["is_key"].to_numpy() & is_clean)
    whole = replace(settings, min_seconds=0.0, pieces="equal")
    wrong = problems(scenes, video, parts)
    clips = []
    for row in scenes:
        scene = row["scene"]
        if scene is None or scene in wrong:
            continue
        begin, stop = frames_of(row, times)
        part = max((part for part in parts if part["start_frame"] <= begin), key=lambda part: part["start_frame"])
        stop = min(max(stop, begin + 1), part["end_frame"])
        own = as_of_part(video, part)
        own["field_order"] = field_order_of(part, begin, stop)
        exact = exact_frames(own, times, clean_keys, is_clean, whole)
        target = None
        if exact:
            begin, stop, target = exact.piece(begin, stop) or (begin, stop, 0)
        clip = clip_row(own, part["part"], times, scene, 0, begin, stop, target, whole)
        clip["unfit"] = clip["unfit"] or _unfit(row, times)
        clips.append(clip)
    return sorted(clips, key=lambda clip: clip["start_frame"])


def frames_of(row: GivenScene, times: np.ndarray) -> tuple[int, int]:
    """The first frame of a scene, and the first one after it. `times`: of all frames, and the end of the video."""
    if row["start"] is None:
        assert row["start_frame"] is not None and row["end_frame"] is not None  # a scene has times or frames
        return row["start_frame"], row["end_frame"]
    assert row["end"] is not None  # as it has a start
    begin = min(_nearest(times, row["start"]), len(times) - 2)
    return begin, _nearest(times, row["end"])


def _nearest(times: np.ndarray, time: float) -> int:
    return int(np.abs(times - time).argmin())


def _unfit(row: GivenScene, times: np.ndarray) -> str | None:
    """Too short is a scene that is shorter than half a frame: no frame is nearest to it."""
    begin, stop = frames_of(row, times)
    return TOO_SHORT if begin >= stop else None
