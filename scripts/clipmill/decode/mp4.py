"""The boxes of mp4 and mov files, for what FFmpeg's readers apply without saying so, or do not show in Python.

Source: ISO/IEC 14496-12, ISO base media file format; Apple, QuickTime File Format Specification.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

HEADER = 8  # bytes: length and name of a box
SAMPLE_ENTRY = 78  # bytes of a picture's sample description before its own boxes


def edits(path: Path) -> list[list[int]]:
    """Per track with an edit list: the media time, in ticks of the track, at which each edit begins; −1 is a pause.

    A track that begins at its first sample has no edit list, or one with the single time 0.
    """
    found = []
    for track in boxes(movie(path), b"trak"):
        for listed in (box for edts in boxes(track, b"edts") for box in boxes(edts, b"elst")):
            version, count = listed[0], struct.unpack_from(">I", listed, 4)[0]
            entry = ">qqhh" if version else ">iihh"
            size = struct.calcsize(entry)
            found.append([struct.unpack_from(entry, listed, 8 + size * number)[1] for number in range(count)])
    return found


def movie(path: Path) -> bytes:
    """The content of the box `moov`, or nothing if there is none."""
    with open(path, "rb") as file:
        end = file.seek(0, 2)
        place = 0
        while place + HEADER <= end:
            file.seek(place)
            kind, header, size = _header(file.read(2 * HEADER), 0, end - place)
            if kind == b"moov":
                file.seek(place + header)
                return file.read(size - header)
            place += size
    return b""


def picture_description(path: Path, track_id: int) -> bytes:
    """The last sample description of a track of pictures, from its width on; nothing if there is none."""
    for track in boxes(movie(path), b"trak"):
        head = next(boxes(track, b"tkhd"), b"")
        if len(head) >= 24 and struct.unpack_from(">I", head, 20 if head[0] else 12)[0] == track_id:
            levels = [track]
            for name in (b"mdia", b"minf", b"stbl", b"stsd"):
                levels = [box for level in levels for box in boxes(level, name)]
            for description in levels:
                entries = [content for _, content in _all_boxes(description[HEADER:])]
                return entries[-1][24:] if entries else b""
    return b""


def boxes(data: bytes, name: bytes) -> Iterator[bytes]:
    """The content of all boxes called `name` in `data`, a sequence of boxes."""
    return (content for kind, content in _all_boxes(data) if kind == name)


def _all_boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each box in `data`."""
    place = 0
    while place + HEADER <= len(data):
        kind, header, size = _header(data, place, len(data) - place)
        yield kind, data[place + header : place + size]
        place += size


def _header(data: bytes, place: int, left: int) -> tuple[bytes, int, int]:
    """Name of the box at `place`, and the lengths of its header and of all of it; `left` bytes follow from there on."""
    size, kind = struct.unpack_from(">I4s", data, place)
    header = HEADER
    if size == 1 and len(data) >= place + 2 * HEADER:  # its length follows in 64 bits
        size, header = struct.unpack_from(">Q", data, place + HEADER)[0], 2 * HEADER
    return kind, header, max(size or left, header)
