"""The kept frames of a video: one uncompressed ZIP of JPEGs, so that any of them can be read without the others.

Beside a kept frame there may be a large picture of it, for overlays alone.

OpenCV is imported only where a picture is made or read: steps that look at no picture import this module too.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from clipmill.base.errors import ItemError

LOST_FRAMES = "bad_frames"  # the kind of an error
DECODE_AGAIN = "run the same command again, which decodes the video again"
# The errors of `zipfile` on damaged archives; RuntimeError if a wrong bit says that a member is encrypted.
BROKEN = (zipfile.BadZipFile, OSError, EOFError, KeyError, ValueError, RuntimeError, zlib.error, struct.error)


def member(sample: int, is_large: bool = False) -> str:
    """The archive's name of the kept frame with the number `sample`, or of its large picture."""
    return f"{sample:06d}.large.jpg" if is_large else f"{sample:06d}.jpg"


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG in pixels, read from its header (ITU-T T.81, B.2.2); None if there is no header."""
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = (int.from_bytes(data[place + at : place + at + 2], "big") for at in (5, 7))
            return width, height
        place += 2 + length
    return None


def as_jpeg(picture: np.ndarray, quality: int) -> bytes:
    """A BGR picture as a JPEG; the same picture gives the same bytes."""
    from clipmill.base.opencv import cv2

    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


# The smallest and the largest entry of the luminance table of quantizers, which libjpeg scales by the quality (ITU-T
# T.81, K.1).
_SMALLEST, _LARGEST = 10, 121


def jpeg_quality(data: bytes) -> int:
    """The quality, 1 to 100, with which libjpeg wrote a JPEG: by its first table of quantizers."""
    at = data.index(b"\xff\xdb") + 5
    table = data[at : at + 64]

    def difference(quality: int) -> int:
        return abs(_scaled(_SMALLEST, quality) - min(table)) + abs(_scaled(_LARGEST, quality) - max(table))

    return min(range(1, 101), key=difference)


def _scaled(entry: int, quality: int) -> int:
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return min(255, max(1, (entry * scale + 50) // 100))


class ArchiveWriter:
    """Writes kept frames one after the other; the same frames give the same bytes."""

    def __init__(self, path: Path, quality: int):
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)
        self._quality = quality

    def add(self, sample: int, picture: np.ndarray, large: np.ndarray | None = None) -> None:
        """Add one BGR picture, height × width × 3 bytes, and a large one of the same frame if there is one."""
        self._zip.writestr(zipfile.ZipInfo(member(sample)), as_jpeg(picture, self._quality))
        if large is not None:
            self._zip.writestr(zipfile.ZipInfo(member(sample, is_large=True)), as_jpeg(large, self._quality))

    def close(self, comment: str) -> None:
        """Finish the archive; `comment` says what it was made from, and `archive_key` returns it."""
        self._zip.comment = comment.encode()
        self._zip.close()

    def abandon(self) -> None:
        """Close the file after an error; its content does not matter."""
        self._zip.close()


def archive_key(path: Path) -> str | None:
    """The comment of an archive, or None where there is no whole archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment.decode("ascii", "replace")
    except BROKEN:
        return None


class FrameArchive:
    """Reads kept frames of one video. Use as a context manager. Raises ItemError (bad_frames).

    `note`: is called if frames are missing or damaged.
    """

    def __init__(self, path: Path, note: Callable[[], None] | None = None):
        self.path, self._note = path, note
        try:
            self._zip = zipfile.ZipFile(path)
        except BROKEN as error:
            raise self.lost(error) from error

    @property
    def key(self) -> str:
        """What the archive was made from."""
        return self._zip.comment.decode("ascii", "replace")

    def __enter__(self) -> FrameArchive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def data(self, sample: int, is_large: bool = False) -> bytes:
        """One kept frame, or its large picture, as a JPEG."""
        try:
            return self._zip.read(member(sample, is_large))
        except BROKEN as error:
            raise self.lost(error) from error

    def has_large(self, sample: int) -> bool:
        """Whether there is a large picture of a kept frame."""
        return member(sample, is_large=True) in self._zip.NameToInfo

    def read(self, sample: int, is_large: bool = False) -> np.ndarray:
        """One kept frame, or its large picture, as BGR, height × width × 3 bytes."""
        from clipmill.base.opencv import cv2

        picture = cv2.imdecode(np.frombuffer(self.data(sample, is_large), np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise self.lost(f"sample {sample} is no picture")
        return picture

    def read_small_grey(self, sample: int, side: int) -> np.ndarray:
        """One kept frame in grey, read at an eighth, quarter or half of its size where that leaves `side` pixels."""
        from clipmill.base.opencv import cv2

        data = self.data(sample)
        short = min(jpeg_size(data) or (0, 0))
        flags = {
            8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
            4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
            2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
        }
        flag = next((flag for factor, flag in flags.items() if short >= factor * side), cv2.IMREAD_GRAYSCALE)
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
        if picture is None:
            raise self.lost(f"sample {sample} is no picture")
        return picture

    def lost(self, error: object) -> ItemError:
        """The error that says that frames are missing or damaged."""
        if self._note:
            self._note()
        return ItemError(LOST_FRAMES, f"{self.path}: {error}; {DECODE_AGAIN}", lasting=False)
