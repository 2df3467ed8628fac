"""Cuts by PySceneDetect's own detectors, from the content values that decoding stores (BSD-3, pyscenedetect.com)."""

from __future__ import annotations

import numpy as np
from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode

from clipmill.split.settings import SplitSettings


class _Number(int):
    """The number of a frame in place of a FrameTimecode, whose arithmetic would take nine tenths of the time."""

    frame_rate = 25.0  # the detectors need one, but only for lengths in seconds; ours are in frames


class _Stored:
    """Makes a PySceneDetect detector take a stored content value in place of a picture."""

    def _calculate_frame_score(self, timecode: FrameTimecode, frame_img: float) -> float:
        return frame_img


class _StoredContent(_Stored, ContentDetector):
    pass


class _StoredAdaptive(_Stored, AdaptiveDetector):
    pass


def find_cuts(content: np.ndarray, settings: SplitSettings) -> list[int]:
    """First frames of new scenes, from the content value of each frame."""
    if settings.detector == "adaptive":
        detector = _StoredAdaptive(
            adaptive_threshold=settings.adaptive_threshold,
            min_scene_len=settings.min_frames,
            window_width=settings.adaptive_window,
            min_content_val=settings.adaptive_min_content,
        )
    else:
        detector = _StoredContent(threshold=settings.content_threshold, min_scene_len=settings.min_frames)
    cuts: list[int] = []
    for number, value in enumerate(content.tolist()):
        cuts += detector.process_frame(_Number(number), value)
    cuts += detector.post_process(_Number(len(content) - 1))
    return sorted({int(cut) for cut in cuts if 0 < cut < len(content)})
