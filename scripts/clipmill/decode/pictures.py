"""Small pictures of decoded frames: the one way in which decode and cut turn a frame into numbers.

Colours. swscale converts with the frame's own tags: the matrix (BT.709, BT.601, BT.2020, …; BT.601 where the video
names none, as FFmpeg does) and the range (full and limited both become 0–255). At full size the result equals that of
FFmpeg's own `scale` filter bit for bit. Scaled down, the grey levels are still equal; colours differ by less than one
level on average, since the two place chroma samples differently. Matrices that swscale does not know (YCgCo, ICtCp, …)
are read as the nearest one that it knows, BT.2020 or BT.709. Transfer curves are left as they are, but for HDR if the
caller has a tone map for it.
Interlaced frames are scaled field by field.

Orientation. The display matrix (turned or mirrored phone videos) is applied as FFmpeg's player does, and the caller
gives the size as shown, so pixels that are not square become square. A picture that is to be turned by another angle
than a quarter is turned to the nearest one: a turn by 2 degrees would cut off or add corners.
"""

from __future__ import annotations

from typing import NamedTuple

import av
import numpy as np
from av.buffer import Buffer
from av.video.plane import VideoPlane
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from clipmill.base.opencv import cv2
from clipmill.decode.tone import ToneMap

LONG_SIDE = 256  # pixels of the picture that scene cuts and signals are computed from; PySceneDetect's own choice

Turn = tuple[bool, bool, bool]  # swap rows and columns, then flip left–right, then flip top–bottom
UPRIGHT: Turn = (False, False, False)

FULL_RANGE = 2  # number of AVColorRange
# Grey levels 0 to 255 by the luma of limited range, 16 to 235.
_STRETCHED = np.clip(np.round((np.arange(256) - 16) * 255 / 219), 0, 255).astype(np.uint8)

# Numbers of AVColorSpace: those that swscale converts, and those that are nearest to BT.2020. All others: BT.709.
_CONVERTIBLE = {0, 1, 2, 4, 5, 6, 7, 9}
_BT2020_KIN = {10, 13, 14}
UNKNOWN_MATRIX = 2


def analysis_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the small picture for a video shown at `width` × `height`; never enlarged."""
    scale = min(1.0, LONG_SIDE / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def small_bgr(
    frame: av.VideoFrame,
    width: int,
    height: int,
    reformatter: VideoReformatter,
    turn: Turn | None = None,
    scaling: Interpolation | None = None,
    tones: ToneMap | None = None,
) -> np.ndarray:
    """`frame` upright, in `width` × `height` pixels, as height × width × 3 array of blue, green, red. Not writeable.

    Use one reformatter for all frames of a video that are scaled to one size: setting it up costs more than using it.
    `turn`: the frame's `orientation`, if the caller knows it. By default scaling picks single pixels, nearly as
    PySceneDetect does: content values are within 0.7 of PySceneDetect's (with means of pixels: 25). `scaling` is
    another way. AREA takes the mean of all pixels, for pictures that somebody looks at; it cannot enlarge a picture,
    which is BILINEAR then. `tones`: makes SDR of an HDR video, after scaling. HDR without a matrix is of BT.2020.
    """
    turn = orientation(frame) if turn is None else turn
    width, height = _stored(width, height, turn)
    matrix = Colorspace.BT2020 if tones and frame.colorspace == UNKNOWN_MATRIX else _matrix(int(frame.colorspace))
    scaling = Interpolation.POINT if scaling is None else scaling
    if scaling == Interpolation.AREA and (width > frame.width or height > frame.height):
        scaling = Interpolation.BILINEAR
    small = _scaled(frame, (width, height), "gbrp16le" if tones else "bgr24", reformatter, matrix, scaling)
    if tones:
        green, blue, red = (_rows(plane, np.uint16)[:, :width] for plane in small.planes)
        picture = tones.bgr(cv2.merge([blue, green, red]))
    else:
        picture = _rows(small.planes[0], np.uint8)[:, : width * 3].reshape(height, width, 3)
    return _turned(picture, turn)


def small_luma(frame: av.VideoFrame, width: int, height: int, reformatter: VideoReformatter, turn: Turn) -> np.ndarray:
    """The luma of `frame`, upright, in the pixels that `small_bgr` picks: height × width numbers from 0 to 65535.

    Where an encoder repeats a picture, luma often stays the same while chroma changes a little, and with it a grey
    picture that is made of blue, green and red. Of bytes, limited range could not be stretched without rounding.
    """
    width, height = _stored(width, height, turn)
    small = _scaled(
        frame, (width, height), "gray16le", reformatter, _matrix(int(frame.colorspace)), Interpolation.POINT
    )
    return _turned(_rows(small.planes[0], np.uint16)[:, :width], turn)


def _stored(width: int, height: int, turn: Turn) -> tuple[int, int]:
    """Width and height, before it is turned, of a picture that is shown at `width` × `height`."""
    return (height, width) if turn[0] else (width, height)


def _scaled(
    frame: av.VideoFrame,
    size: tuple[int, int],
    kind: str,
    reformatter: VideoReformatter,
    matrix: Colorspace | None,
    scaling: Interpolation,
) -> av.VideoFrame:
    """`frame` as it is stored, at `size`: pixels of another `kind` by the same matrix."""
    return reformatter.reformat(
        frame, *size, kind, src_colorspace=matrix, dst_colorspace=matrix, interpolation=scaling, threads=1
    )


def _rows(plane: VideoPlane, kind: type[np.generic]) -> np.ndarray:
    """The rows of a plane of a picture, with what fills them up."""
    return np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)


class Grey(NamedTuple):
    """A grey picture of many pixels, of which few are looked at."""

    stored: np.ndarray  # height × width bytes; not writeable
    levels: np.ndarray | None  # the grey levels, 0 to 255, that the 256 bytes stand for; None: themselves

    def shown(self, part: np.ndarray) -> np.ndarray:
        """The grey levels of a part of what is stored."""
        return part if self.levels is None else np.asarray(cv2.LUT(part, self.levels))


def full_grey(frame: av.VideoFrame, reformatter: VideoReformatter, turn: Turn) -> Grey:
    """All pixels of `frame`, upright."""
    if has_luma_plane(frame):  # swscale would take ten times as long
        is_full = is_full_range(frame.format.name, int(frame.color_range))
        return Grey(_turned(first_plane(frame), turn), None if is_full else _STRETCHED)
    matrix = _matrix(int(frame.colorspace))
    grey = reformatter.reformat(frame, format="gray", src_colorspace=matrix, dst_colorspace=matrix, threads=1)
    return Grey(_turned(first_plane(grey), turn), None)


def is_full_range(pixel_format: str, color_range: int) -> bool:
    """Whether colours go from 0 to the greatest value. `color_range`: number of AVColorRange."""
    return pixel_format.startswith(("yuvj", "rgb", "bgr", "gbr", "pal8")) or color_range == FULL_RANGE


def has_luma_plane(frame: av.VideoFrame) -> bool:
    """Whether the first plane of a frame is its luma, a byte for each pixel."""
    kind = frame.format
    return kind.is_planar and kind.components[0].is_luma and kind.components[0].bits == 8


def first_plane(frame: av.VideoFrame) -> np.ndarray:
    """The first plane of a frame of bytes, as stored: height × width. Not writeable."""
    plane = frame.planes[0]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]


def orientation(frame: av.VideoFrame) -> Turn:
    """The steps that make `frame` upright: swap rows and columns, then flip left–right, then flip top–bottom."""
    return announced_turn(frame) or UPRIGHT


def announced_turn(frame: av.VideoFrame) -> Turn | None:
    """The same, or None if nothing is said with this frame: neither by the container nor by the stream."""
    angle = round(frame.rotation)
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV does not know every kind of side data, and then shows none of it
        return _nearest_turn(angle)
    if matrix is None:
        return None
    if angle % 90:
        return _nearest_turn(angle)
    assert isinstance(matrix, Buffer)  # PyAV's annotation of side data names other kinds alone
    m = np.frombuffer(bytes(matrix), np.int32).tolist()
    if abs(m[1]) > abs(m[0]):
        return True, m[3] < 0, m[1] < 0
    return False, m[0] < 0, m[4] < 0


def rotation_of(turn: Turn) -> tuple[int, bool]:
    """A turn as degrees counter-clockwise, and whether the picture is mirrored top–bottom (turned: left–right)."""
    swap, left_right, top_bottom = turn
    if swap:
        return (90 if top_bottom else 270), left_right == top_bottom
    return (180 if left_right else 0), left_right != top_bottom


def turn_of(rotation: int, mirrored: bool) -> Turn:
    """The turn of which `rotation_of` gives these values."""
    if rotation in (90, 270):
        return True, (rotation == 270) != mirrored, rotation == 90
    return False, rotation == 180, (rotation == 180) != mirrored


def _nearest_turn(degrees: int) -> Turn:
    """The turn counter-clockwise by the quarters nearest to an angle."""
    return turn_of(round(degrees / 90) % 4 * 90, False)


def _matrix(colorspace: int) -> Colorspace | None:
    if colorspace in _CONVERTIBLE:
        return None
    return Colorspace.BT2020 if colorspace in _BT2020_KIN else Colorspace.ITU709


def _turned(picture: np.ndarray, turn: Turn) -> np.ndarray:
    swap, left_right, top_bottom = turn
    if swap:
        picture = cv2.transpose(picture)
    if left_right:
        picture = cv2.flip(picture, 1)
    if top_bottom:
        picture = cv2.flip(picture, 0)
    return picture
