"""Cropping the clips of a part of a video, and their scores: of what is left they are measured again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa

from clipmill.base.errors import ItemError
from clipmill.base.journal import fingerprint
from clipmill.base.opencv import cv2
from clipmill.decode.pictures import analysis_size
from clipmill.decode.reading import FrameChoice, Frames, KeptFrames
from clipmill.decode.signals import KeptFrame, kept_frame_signals
from clipmill.shapes.sizes import stored_size
from clipmill.split.camera import camera_score
from clipmill.split.crop.scene import CropSettings, SceneCrop, Scenes
from clipmill.split.measured import motion_score, technical_score
from clipmill.store.table import Row
from clipmill.store.tables import OVERLAYS, Clip, DecodedVideo, Part

ALL = FrameChoice()


@dataclass(frozen=True)
class CroppedClip:
    """A clip, what surrounds its picture, and the signals of its kept frames if it is cropped.

    `error`: why its frames could not be looked at.
    """

    clip: Clip
    video: DecodedVideo  # with the facts of its part
    crop: SceneCrop = SceneCrop()
    crops: pa.Table | None = None
    error: ItemError | None = None

    def motion(self, signals: pa.Table) -> Row:
        """Its MOTION row."""
        return self._lost() or motion_score(self.clip, self.video, signals, self.crops)

    def camera(self, signals: pa.Table) -> Row:
        """Its CAMERA row."""
        return self._lost() or camera_score(self.clip, signals, self.crops)

    def technical(self, signals: pa.Table) -> Row:
        """Its TECHNICAL row."""
        return self._lost() or technical_score(self.clip, signals, self.crop.borders, self.crops)

    def _lost(self) -> Row | None:
        if self.error is None:
            return None
        return {"clip_id": self.clip["clip_id"], "error_kind": self.error.kind, "error": str(self.error)}


class ClipCropper:
    """Crops the clips of one part of a video. `video`: with the facts of the part. `settings`: the section `crop`."""

    def __init__(
        self,
        video: DecodedVideo,
        part: Part,
        signals: pa.Table,
        kept_frames: KeptFrames,
        settings: Mapping[str, Any],
    ):
        self._video, self._kept_frames = video, kept_frames
        first, last = part["start_frame"], part["end_frame"]
        of_part = signals.slice(first, last - first)
        size = stored_size(video)
        self._scenes = Scenes(of_part, first, size, self._look, CropSettings(**settings), self._look_closer)

    def crop(self, clips: Sequence[Clip]) -> Iterator[CroppedClip]:
        """The clips of the part, in order. All of a scene are cropped alike."""
        for _, of_scene in groupby(clips, key=lambda clip: clip["scene"]):
            scene = list(of_scene)
            try:
                crop = self._scenes.crop(scene[0]["start_frame"], scene[-1]["end_frame"])
                for clip in scene:
                    yield self._cropped(clip, crop)
            except ItemError as error:
                for clip in scene:
                    yield CroppedClip(clip, self._video, error=error)

    def _cropped(self, clip: Clip, crop: SceneCrop) -> CroppedClip:
        if crop.too_much and clip["unfit"] is None:
            clip = {**clip, "unfit": OVERLAYS}
        if crop.masked:
            clip = {**clip, "masked": [edge for box in crop.masked for edge in box]}
        if crop.rectangle is None:
            return CroppedClip(clip, self._video, crop)
        x, y, width, height = crop.rectangle
        clip = {
            **clip,
            "source_key": fingerprint("crop", clip["source_key"], *crop.rectangle),
            "whole_width": clip["width"],
            "whole_height": clip["height"],
            "crop_x": x,
            "crop_y": y,
            "crop_width": width,
            "crop_height": height,
            "width": width,
            "height": height,
        }
        video: DecodedVideo = {**self._video, "width": width, "height": height}
        return CroppedClip(clip, video, crop, self._measured(clip))

    def _measured(self, clip: Clip) -> pa.Table | None:
        """The signals of the kept frames of a cropped clip; None if it has none."""
        if not self._kept_frames.of(clip, ALL):
            return None
        frames = self._kept_frames.frames(clip, ALL)
        return signals_of_crops(frames, self._kept_frames.times(frames))

    def _look(self, start: int, end: int, count: int) -> list[np.ndarray]:
        return list(self._chosen(start, end, count) or [])

    def _look_closer(self, start: int, end: int, count: int) -> list[np.ndarray]:
        frames = self._chosen(start, end, count)
        return frames.large() if frames else []

    def _chosen(self, start: int, end: int, count: int) -> Frames | None:
        span = {"video_id": self._video["video_id"], "start_frame": start, "end_frame": end, "seconds": 0.0}
        choice = FrameChoice(count=count)
        return self._kept_frames.frames(span, choice) if self._kept_frames.of(span, choice) else None


def signals_of_crops(pictures: Sequence[np.ndarray], times: Sequence[float]) -> pa.Table:
    """SIGNALS columns that scores need, of a clip's cropped kept frames: BGR pictures, and when they are shown."""
    rows: list[Row] = []
    before = None
    for picture, time in zip(pictures, times, strict=True):
        height, width = picture.shape[:2]
        small = cv2.resize(picture, analysis_size(width, height), interpolation=cv2.INTER_NEAREST)
        grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        mean, spread = cv2.meanStdDev(grey)
        frame = KeptFrame(time, picture, small, grey)
        light = {"luma_mean": mean[0, 0], "luma_spread": spread[0, 0]}
        rows.append({"time": time, **kept_frame_signals(before, frame), **light})
        before = frame
    return pa.Table.from_pylist(rows)
