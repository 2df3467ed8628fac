"""Listing a tar file of videos, as WebDataset lays it out: what belongs together has one name and several endings.

`000123.mp4` is a video, `000123.txt` its caption, and `000123.json` has further fields, of which `caption` is a caption
too. The common part of the names, up to the first dot after the last slash, is the key. Headers are read one after the
other, and the bytes of members are skipped, but for captions and fields that are asked for.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from clipmill.base.human import counted
from clipmill.inputs.endings import SUFFIXES, ending
from clipmill.inputs.entries import Entry, fault, said, video

TEXT, FIELDS = ".txt", ".json"
LONGEST_TEXT = 1 << 20  # bytes of the largest member with a caption or fields, and of the largest header, that are read
COMPRESSIONS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")  # gzip bzip2 xz zstd lz4
# Headers that tarfile reads whole: of long names, and PAX headers of a member and of all.
FURTHER = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
BROKEN = (tarfile.TarError, ValueError, OverflowError, EOFError)  # what a damaged header raises

COMPRESSED = fault("", "compressed_archive", "it is compressed; decompress it, and give the tar file itself")


def entries(path: Path, captions: bool) -> Iterator[Entry]:
    """The videos of a tar file, in its order, then its faults. Raises OSError if the file cannot be read.

    Of members with the same name the first one counts. A damaged header ends the listing: what lies behind it is lost.
    """
    try:
        archive = tarfile.open(path, "r:", tarinfo=_Header)  # noqa: SIM115
    except BROKEN as error:
        yield _no_tar(path, error)
        return
    with archive:
        yield from _Listing(path, archive, captions).entries()


class _Header(tarfile.TarInfo):
    """A header whose further headers, with a long name and the like, are not larger than memory is for them."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """See TarInfo. Raises ReadError, too."""
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (header.type in FURTHER and header.size > LONGEST_TEXT):
            raise tarfile.ReadError(f"a header of {header.size:,} bytes")
        return header


class _Listing:
    def __init__(self, path: Path, archive: tarfile.TarFile, captions: bool):
        self._path, self._archive, self._captions = path, archive, captions
        self._size = path.stat().st_size
        self._videos: list[Entry] = []
        self._faults: list[Entry] = []
        self._texts: dict[str, str] = {}  # by key
        self._fields: dict[str, dict[str, Any]] = {}
        self._seen: set[str] = set()
        self._cut_off = False  # whether the archive ends within a video

    def entries(self) -> Iterator[Entry]:
        for member in self._members():
            self._add(member)
        if self._captions:
            for entry in self._videos:
                self._describe(entry)
        yield from self._videos
        yield from self._faults
        if not self._videos and not self._faults:
            yield fault("", "no_video", "it holds no video (members with the ending of a video were expected)")

    def _members(self) -> Iterator[tarfile.TarInfo]:
        """All members, one after the other; a damaged header is a fault, and ends them."""
        while True:
            place = self._archive.offset
            try:
                member = self._archive.next()
            except BROKEN as error:
                self._damaged(place, str(error))
                return
            self._archive.members = []  # type: ignore[attr-defined]  # else it keeps them all
            if member is None:
                if not self._ends_well():
                    self._damaged(self._archive.offset, "no header of a member")
                return
            if member.size < 0 or self._archive.offset <= member.offset:  # else the same headers come again and again
                self._damaged(member.offset, "a member has a size below zero")
                return
            yield member

    def _ends_well(self) -> bool:
        """Whether an empty block follows, or nothing. tarfile takes a damaged header for the end, too."""
        file = self._archive.fileobj
        assert file is not None
        file.seek(self._archive.offset)
        block = file.read(tarfile.BLOCKSIZE)
        return not block.strip(b"\0")

    def _damaged(self, place: int, why: str) -> None:
        if self._cut_off:
            return  # the last member is a fault of its own
        good = counted(len(self._videos), "video before that is", "videos before that are")
        message = f"it is damaged from byte {place:,} on ({why}), and {good} used; copy it again"
        self._faults.append(fault("", "damaged_archive", message))

    def _add(self, member: tarfile.TarInfo) -> None:
        name = member.name.removeprefix("./")
        kind = ending(name)
        base = name.rpartition("/")[2]
        if member.isdir() or base.startswith("."):
            return
        if kind in SUFFIXES:
            self._add_video(name, member)
        elif self._captions and kind in (TEXT, FIELDS) and member.isreg():
            self._add_text(name, kind, member)

    def _add_video(self, name: str, member: tarfile.TarInfo) -> None:
        if name in self._seen:
            what = "an earlier member of the archive has this name; give each a name of its own"
            self._faults.append(fault(name, "listed_twice", what))
        elif not member.isreg() or member.issparse():
            what = "it is a link, or stored in pieces; store the file itself"
            self._faults.append(fault(name, "not_a_file", what))
        elif member.size == 0:
            self._faults.append(fault(name, "empty", "it has 0 bytes; pack it again or remove it"))
        elif member.offset_data + member.size > self._size:
            self._cut_off = True
            what = "the archive ends before the video does; copy the archive again"
            self._faults.append(fault(name, "damaged_archive", what))
        else:
            entry = video(name, member.offset_data, member.size)
            (self._faults if entry["error_kind"] else self._videos).append(entry)
        self._seen.add(name)

    def _add_text(self, name: str, kind: str, member: tarfile.TarInfo) -> None:
        try:
            text = self._read(member).decode("utf-8-sig").strip()
            if kind == FIELDS:
                fields = json.loads(text)
                if not isinstance(fields, dict):
                    raise ValueError("it holds no fields")
                self._fields[_key(name)] = fields
            else:
                self._texts[_key(name)] = text
        except (ValueError, RecursionError) as error:
            what = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else f"cannot be read ({error})"
            self._faults.append(fault(name, "bad_caption", f"the text {what}; write it anew or remove it"))

    def _read(self, member: tarfile.TarInfo) -> bytes:
        if member.size > LONGEST_TEXT:
            raise ValueError(f"it has {member.size:,} bytes, and at most {LONGEST_TEXT:,} are read")
        file = self._archive.fileobj
        assert file is not None
        file.seek(member.offset_data)
        return file.read(member.size)

    def _describe(self, entry: Entry) -> None:
        """Give a video the caption and the fields of its key."""
        key = _key(entry["name"])
        entry.update(said(self._texts.get(key), self._fields.get(key, {}), {}))


def _key(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def _no_tar(path: Path, error: Exception) -> Entry:
    with open(path, "rb") as file:
        head = file.read(8)
    if head.startswith(COMPRESSIONS):
        return COMPRESSED
    what = f"it is no tar file ({error})" if head else "it has 0 bytes"
    return fault("", "damaged_archive", f"{what}; copy it again or remove it")


def refused(path: Path, captions: bool) -> Iterator[Entry]:
    """The fault of a compressed tar file: its members could be reached only one after the other."""
    yield COMPRESSED
