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
from clipmill.store.tables import Clip, DecodedVideo, GivenScene, Part


def given_clips(
    video: DecodedVideo,
    parts: Sequence[Part],
    signals: pa.Table,
    scenes: Sequence[GivenScene],
    settings: SplitSettings,
) -> list[Clip]:
    """CLIPS rows of the scenes that a sheet gives of one video, in order of time. Scenes with problems make none.

    A scene begins and ends at the frames nearest to its times. No frame is in two clips: where scenes overlap by less
    than is a problem, the later one begins after the earlier one. A scene to which no frame is left makes no clip. The
    settings of `split` that look for scenes, divide them or want a length do not count; `cut.frames` does.
    """
    times = frame_times(video, signals)
    is_clean = signals["is_clean"].to_numpy()
    clean_keys = np.flatnonzero(signals["is_key"].to_numpy() & is_clean)
    whole = replace(settings, min_seconds=0.0, pieces="equal")
    wrong = problems(scenes, video, parts)
    places = [
        (*frames_of(row, times), row["scene"])
        for row in scenes
        if row["scene"] is not None and row["scene"] not in wrong
    ]
    clips = []
    last = 0
    for begin, stop, scene in sorted(places):
        begin, stop, part = _within_part(max(begin, last), stop, parts)
        if begin >= stop:
            continue
        last = stop
        own = as_of_part(video, part)
        own["field_order"] = field_order_of(part, begin, stop)
        exact = exact_frames(own, times, clean_keys, is_clean, whole)
        target = None
        if exact:
            begin, stop, target = exact.piece(begin, stop) or (begin, stop, 0)
        clips.append(clip_row(own, part["part"], times, scene, 0, begin, stop, target, whole))
    return clips


def _within_part(begin: int, stop: int, parts: Sequence[Part]) -> tuple[int, int, Part]:
    """The frames of a scene in that part which has most of them: a scene may begin or end a frame beside its part."""
    inside = [(max(begin, part["start_frame"]), min(stop, part["end_frame"]), part) for part in parts]
    return max(inside, key=lambda one: one[1] - one[0])


def frames_of(row: GivenScene, times: np.ndarray) -> tuple[int, int]:
    """The first frame of a scene, and the first one after it. `times`: of all frames, and the end of the video."""
    if row["start"] is None:
        assert row["start_frame"] is not None and row["end_frame"] is not None  # a scene has times or frames
        return row["start_frame"], row["end_frame"]
    assert row["end"] is not None  # as it has a start
    return _nearest(times, row["start"]), _nearest(times, row["end"])


def _nearest(times: np.ndarray, time: float) -> int:
    """Of two frames that are equally near, the earlier one."""
    after = int(np.searchsorted(times, time).clip(1, len(times) - 1))
    return after if times[after] - time < time - times[after - 1] else after - 1
