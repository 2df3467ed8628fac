"""The pictures that decoding makes of a frame: for the signals, for scores and captions, for a network."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from clipmill.base.opencv import cv2
from clipmill.decode.miniatures import miniature
from clipmill.decode.pictures import UPRIGHT, Grey, Turn, analysis_size, full_grey, small_bgr, small_luma
from clipmill.decode.tone import ToneMap

LARGE = 2  # times the size of kept frames: of the pictures on which overlays are placed


def has_large(shown: tuple[int, int], short_side: int) -> bool:
    """Whether frames shown at a size are large enough for pictures LARGE times as large as kept frames."""
    return min(shown) >= LARGE * short_side


def _scaled(shown: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Width and height with this short side; never enlarged."""
    width, height = shown
    scale = min(1.0, short_side / min(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


class PartPictures:
    """Makes the small pictures of the frames of one part of a video. For one thread only.

    `shown`: width and height of the frames as shown. `turn`: what makes them upright. `short_side`: that of kept
    frames, in pixels. `tones`: what makes SDR of HDR frames.
    """

    def __init__(self, shown: tuple[int, int], turn: Turn, short_side: int, tones: ToneMap | None):
        self._turn, self.tones = turn, tones
        self._small_scaler, self._luma_scaler, self._kept_scaler = (VideoReformatter() for _ in range(3))
        self._size = analysis_size(*shown)
        self._kept_size = _scaled(shown, short_side)
        self._large_size = _scaled(shown, LARGE * short_side) if has_large(shown, short_side) else None
        self._miniature_scaler, self._grey_scaler = VideoReformatter(), VideoReformatter()
        self._whole_scaler, self._large_scaler = VideoReformatter(), VideoReformatter()

    def analysis(self, frame: av.VideoFrame) -> np.ndarray:
        """The picture that scene cuts and signals are computed from."""
        return small_bgr(frame, *self._size, self._small_scaler, self._turn, tones=self.tones)

    def luma(self, frame: av.VideoFrame) -> np.ndarray | None:
        """The luma of the same pixels; None for HDR, whose levels are not those of the picture that is shown."""
        return None if self.tones else small_luma(frame, *self._size, self._luma_scaler, self._turn)

    def kept(self, frame: av.VideoFrame) -> np.ndarray:
        """The picture that scores and captions see."""
        return small_bgr(frame, *self._kept_size, self._kept_scaler, self._turn, Interpolation.AREA, self.tones)

    def large(self, frame: av.VideoFrame) -> np.ndarray | None:
        """The picture on which overlays are placed: as `kept`, but larger. None if the video is too small for one."""
        if self._large_size is None:
            return None
        return small_bgr(frame, *self._large_size, self._large_scaler, self._turn, Interpolation.AREA, self.tones)

    def grey(self, frame: av.VideoFrame) -> Grey:
        """All pixels in grey, on which bars are measured."""
        return full_grey(frame, self._grey_scaler, self._turn)

    def whole(self, frame: av.VideoFrame) -> np.ndarray:
        """All pixels in grey, as they are stored, on which EasyAnimate's flow is measured.

        Grey is made of blue, green and red, as OpenCV's reader does. Of the luma itself the flow differs by up to 4 %.
        """
        picture = small_bgr(frame, frame.width, frame.height, self._whole_scaler, UPRIGHT)
        return cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)

    def miniature(self, frame: av.VideoFrame) -> bytes:
        """The picture that the network of the detector `transnetv2` sees."""
        return miniature(frame, self._miniature_scaler, self._turn, self.tones)
