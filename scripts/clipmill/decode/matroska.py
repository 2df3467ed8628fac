"""The elements of Matroska and WebM files, for what FFmpeg's readers do not show in Python.

Source: RFC 8794 (EBML) and RFC 9559 (Matroska).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

SEGMENT, CLUSTER, TRACKS = 0x18538067, 0x1F43B675, 0x1654AE6B
TRACK, TRACK_TYPE, VIDEO = 0xAE, 0x83, 0xE0
CROPS = (0x54CC, 0x54BB, 0x54DD, 0x54AA)  # left, top, right, bottom
MEDIA = {CLUSTER, 0xA3, 0xA0}  # blocks lie on the level of their cluster if its size is not known
IS_VIDEO = 1  # of TRACK_TYPE
MOST_ID, MOST_SIZE = 4, 8  # bytes


class Element(NamedTuple):
    """An element of the file: its content lies between two places. `end` is None if its size is not known."""

    id: int
    begin: int
    end: int | None


def croppings(path: Path) -> list[tuple[int, ...]]:
    """Per video track, in order, the pixels of its pictures that are not shown: left, top, right, bottom."""
    found = []
    with open(path, "rb") as file:
        segment = next(elements(file, 0, None, {SEGMENT}))
        for tracks in elements(file, segment.begin, segment.end, {TRACKS}, last=CLUSTER):
            for track in elements(file, tracks.begin, tracks.end, {TRACK}):
                if _number(file, track, TRACK_TYPE) == IS_VIDEO:
                    video = next(elements(file, track.begin, track.end, {VIDEO}), None)
                    found.append(tuple(_number(file, video, name) if video else 0 for name in CROPS))
    return found


def extent(path: Path) -> tuple[int, int]:
    """How many bytes the file should have at least, and where its last pictures and sounds end.

    Both follow from the sizes that its elements state; what they hold is not read.
    """
    needed = end_of_media = 0
    with open(path, "rb") as file:
        place = 0
        while element := read_element(file, place):
            place = element.begin if element.id == SEGMENT or element.end is None else element.end
            needed = max(needed, element.end or 0)
            if element.id in MEDIA:
                end_of_media = place
    return needed, end_of_media


def elements(
    file: BinaryIO, begin: int, end: int | None, wanted: set[int], last: int | None = None
) -> Iterator[Element]:
    """The elements between two places that have `wanted` ids, up to the first with the id `last`, which is left out.

    Ends where the file ends or no element can be read. Nothing can be skipped after an element of unknown size: its
    content follows as if it were on the same level.
    """
    place = begin
    while end is None or place < end:
        element = read_element(file, place)
        if element is None or element.id == last:
            return
        if element.id in wanted:
            yield element
        place = element.begin if element.end is None else element.end


def read_element(file: BinaryIO, place: int) -> Element | None:
    """The element at a place of the file; None if there is none."""
    file.seek(place)
    head = file.read(MOST_ID + MOST_SIZE)
    id_length = _length(head, MOST_ID)
    size_length = _length(head[id_length:], MOST_SIZE)
    if not id_length or not size_length:
        return None
    size = int.from_bytes(head[id_length : id_length + size_length]) - (1 << 7 * size_length)
    begin = place + id_length + size_length
    is_unknown = size == (1 << 7 * size_length) - 1
    return Element(int.from_bytes(head[:id_length]), begin, None if is_unknown else begin + size)


def _length(head: bytes, most: int) -> int:
    """How many bytes a number of variable length takes, as its first byte says; 0 if it is none."""
    length = 9 - head[0].bit_length() if head and head[0] else 0
    return length if length <= min(most, len(head)) else 0


def _number(file: BinaryIO, parent: Element, name: int) -> int:
    """The number that a child element holds; 0 without one."""
    for child in elements(file, parent.begin, parent.end, {name}):
        file.seek(child.begin)
        return int.from_bytes(file.read((child.end or child.begin) - child.begin))
    return 0
