"""How long videos are, estimated before they are decoded: from the headers of some, carried over to all by their bytes.

Only headers are read, no pictures. The same files are refused as in decoding.
"""

from __future__ import annotations

import hashlib
import heapq
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import av

from clipmill.base.errors import ItemError
from clipmill.base.progress import Progress
from clipmill.base.workers import map_in_processes
from clipmill.decode.media import best_video_stream, ffmpeg_message, open_video

log = logging.getLogger("clipmill")

READERS = 4  # processes: they wait for the disk most of the time
DEVIATIONS = 2  # standard errors on either side: 95 of 100 samples come this near
Item = TypeVar("Item")


@dataclass(frozen=True)
class Video:
    """A video of the index. The header of one that `is_here` not, but in an archive or elsewhere, is not read."""

    name: str
    path: str
    size_bytes: int
    is_here: bool = True


@dataclass(frozen=True)
class Header:
    """The facts in a file's header: `width` and `height` in pixels; `seconds` is None if it states no length."""

    seconds: float | None
    width: int
    height: int


@dataclass(frozen=True)
class Estimate:
    """The seconds of `videos` videos. `error` is a share of them: 0 if every header was read, NaN if it is not known.

    `headers`: those that could be read. `unreadable` files count as 0 seconds, since decoding will refuse them too;
    `silent` headers, which state no length, count as average ones. `not_read`: drawn videos that are not here.
    """

    videos: int
    seconds: float
    error: float
    headers: tuple[Header, ...] = ()
    unreadable: tuple[str, ...] = ()
    not_read: int = 0

    @property
    def silent(self) -> int:
        return sum(header.seconds is None for header in self.headers)

    @property
    def lines(self) -> int | None:
        """The median of the pictures' short sides, in pixels."""
        sides = sorted(min(header.width, header.height) for header in self.headers)
        return sides[len(sides) // 2] if sides else None


class HeaderSample(Generic[Item]):
    """At most `size` of the items that are added, drawn by a hash of their names: the same ones in whatever order."""

    def __init__(self, size: int):
        self.size, self.videos, self.bytes = size, 0, 0
        self._heap: list[tuple[int, str, Item]] = []

    def add(self, name: str, size_bytes: int, item: Item) -> None:
        """Note one more video, of that name, as `item`."""
        self.videos += 1
        self.bytes += size_bytes
        rank = -int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, (rank, name, item))
        elif self._heap and rank > self._heap[0][0]:
            heapq.heapreplace(self._heap, (rank, name, item))

    @property
    def drawn(self) -> list[Item]:
        """The sample, in the order of names."""
        return [item for _, _, item in sorted(self._heap, key=lambda entry: entry[1])]


def read_header(path: Path | str) -> Header:
    """Read the header of a file. Raises ItemError if the file is no video."""
    with open_video(path) as container:
        stream = best_video_stream(container)
        seconds = container.duration / av.time_base if container.duration else None
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        return Header(seconds, stream.width or 0, stream.height or 0)


def estimate(sample: HeaderSample[Video], seconds_a_byte: float | None = None) -> Estimate:
    """The length of all videos that were added to `sample`, from the headers of those that were drawn.

    `seconds_a_byte`: of decoded videos, if there are any; it is used where no header can be read.
    """
    drawn = [video for video in sample.drawn if video.is_here]
    not_read = len(sample.drawn) - len(drawn)
    if not drawn and not_read:
        seconds = math.nan if seconds_a_byte is None else sample.bytes * seconds_a_byte
        return Estimate(sample.videos, seconds, math.nan, not_read=not_read)
    found = dict(_read(drawn))
    headers, lengths, unreadable = [], [], []
    for video in drawn:
        header = found[video.name]
        if isinstance(header, ItemError):
            log.warning("%s: %s", video.name, header)
            unreadable.append(video.name)
            lengths.append((video.size_bytes, 0.0))
            continue
        headers.append(header)
        if header.seconds is not None:
            lengths.append((video.size_bytes, header.seconds))
    seconds, error = carried_over(lengths, sample.videos, sample.bytes)
    return Estimate(sample.videos, seconds, error, tuple(headers), tuple(unreadable), not_read)


def carried_over(lengths: Sequence[tuple[float, float]], videos: int, size_bytes: float) -> tuple[float, float]:
    """Seconds of `videos` videos with `size_bytes` in all, from the (bytes, seconds) of some; and the error as a share.

    The ratio estimator of a sample without replacement, and DEVIATIONS of its standard errors.
    """
    count, read = len(lengths), sum(size for size, _ in lengths)
    if videos == 0:
        return 0.0, 0.0
    if count == 0:
        return math.nan, math.nan
    known = math.fsum(seconds for _, seconds in lengths)
    if count >= videos or known == 0:
        return known, 0.0 if count >= videos else math.nan
    if count == 1 or read == 0:
        return known / count * videos if read == 0 else known / read * size_bytes, math.nan
    rate = known / read
    spread = math.fsum((seconds - rate * size) ** 2 for size, seconds in lengths) / (count - 1)
    total = rate * size_bytes
    return total, DEVIATIONS * videos * math.sqrt((1 - count / videos) * spread / count) / total


def _read(videos: Sequence[Video]) -> Iterable[tuple[str, Header | ItemError]]:
    """Read each header in another process: a file that crashes the reader costs only itself."""
    progress = Progress("headers", len(videos))
    for video, header in map_in_processes(list(videos), _header, READERS):
        progress.step()
        yield video.name, header


def _header(video: Video) -> Header:
    try:
        return read_header(video.path)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        message = f"not a readable video ({ffmpeg_message(error)}); repair or remove it"
        raise ItemError("not_a_video", message) from error
