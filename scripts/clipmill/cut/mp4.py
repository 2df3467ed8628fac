"""Edit lists of mp4 files, which FFmpeg's readers apply without saying so."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

HEADER = 8  # bytes: length and name of a box


def edits(path: Path) -> list[list[int]]:
    """Per track with an edit list: the media time, in ticks of the track, at which each edit begins; −1 is a pause.

    A track that begins at its first sample has no edit list, or one with the single time 0.
    Source: ISO/IEC 14496-12, boxes `edts` and `elst`.
    """
    moov = b"".join(_boxes(path.read_bytes(), b"moov"))
    found = []
    for track in _boxes(moov, b"trak"):
        for listed in (box for edts in _boxes(track, b"edts") for box in _boxes(edts, b"elst")):
            version, count = listed[0], struct.unpack_from(">I", listed, 4)[0]
            entry = ">qqhh" if version else ">iihh"
            size = struct.calcsize(entry)
            found.append([struct.unpack_from(entry, listed, 8 + size * number)[1] for number in range(count)])
    return found


def _boxes(data: bytes, name: bytes) -> Iterator[bytes]:
    """The content of all boxes called `name` in `data`, a sequence of boxes."""
    place = 0
    while place + HEADER <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        header = HEADER
        if size == 1:  # its length follows in 64 bits
            size, header = struct.unpack_from(">Q", data, place + HEADER)[0], 2 * HEADER
        end = place + size if size else len(data)
        if kind == name:
            yield data[place + header : end]
        place = max(end, place + HEADER)
