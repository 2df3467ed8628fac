"""Whether a file is whole, or was cut off: then it is not a shorter video.

What counts is the picture's own length. Sound and subtitles may begin before it and end after it, and a header may
state more than was recorded. So a file is called cut off only where there is evidence:

- Matroska: its elements say that the file should be longer, or the reader stopped before the last of them.
- mp4, mov, avi, asf: the track itself states its length.
- others: no packet of any stream comes near to the end that the header states. Streams without a header say nothing.
"""

from __future__ import annotations

import re

import av

from clipmill.base.errors import ItemError
from clipmill.decode import matroska
from clipmill.decode.media import path_of

SECONDS, SHARE = 1.0, 0.05  # less than either may be missing
STATES_OWN_LENGTH = {"mp4", "avi", "asf"}  # names of demuxers
GUESSED_LENGTH = {"h264", "hevc", "m4v", "mpegvideo"}  # FFmpeg divides the size by a bit rate


class Completeness:
    """Notes the packets of a file while it is read, and judges at the end."""

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream):
        self.path, self.container, self.stream = path_of(container), container, stream
        self.names = set(container.format.name.split(","))
        self._ends: dict[int, int] = {}  # by the index of a stream: the latest end of its packets, in its unit
        self._place = 0  # byte after the last packet

    def packet(self, packet: av.Packet) -> None:
        """Note a packet of any stream."""
        if packet.pts is not None:
            end, index = packet.pts + (packet.duration or 0), packet.stream_index
            self._ends[index] = max(self._ends.get(index, 0), end)
        if packet.pos is not None:
            self._place = max(self._place, packet.pos + packet.size)

    def check(self, first: float, end: float, leaps: bool, keeps_rest: bool) -> None:
        """Raise ItemError if the file is cut off.

        `first`, `end`: when the picture begins and ends on the stream's own clock, in seconds. `leaps`: whether that
        clock does; then its times say nothing. `keeps_rest`: frames may be left out, so packets count, not pictures.
        """
        if leaps and "matroska" not in self.names:
            return
        if keeps_rest:
            end = max(end, self._reached(self.stream.index))
        declared = self._declared_end(first, end)
        if _is_short(declared - end, declared - first):
            words = f"the file ends at {end - first:.2f} s of {declared - first:.2f} s; copy it again or remove it"
            raise ItemError("truncated", words)

    def _declared_end(self, first: float, end: float) -> float:
        """When the picture should end, in seconds; `end` if nothing says that it should go on."""
        if "matroska" in self.names:
            return self._declared_by_matroska(first, end)
        unit, length = self.stream.time_base, self.stream.duration or 0
        if self.names & STATES_OWN_LENGTH and length and unit:
            if "avi" in self.names:
                length = max(length, self.stream.frames)  # FFmpeg shortens the length of a file that was cut off
            begin = 0 if "asf" in self.names else self.stream.start_time or 0
            return float((begin + length) * unit)
        if self.container.duration and not self.names & GUESSED_LENGTH:
            stated = ((self.container.start_time or 0) + self.container.duration) / av.time_base
            reached = max(map(self._reached, self._ends), default=0.0)
            return stated if _is_short(stated - reached, stated - first) else end
        return end

    def _reached(self, index: int) -> float:
        """The latest end of a stream's packets, in seconds."""
        unit = self.container.streams[index].time_base
        return float(self._ends.get(index, 0) * unit) if unit else 0.0

    def _declared_by_matroska(self, first: float, end: float) -> float:
        """The end by the track's own statistics, else by the header, else by the share of bytes that are there."""
        needed, end_of_media = matroska.extent(self.path)
        size = self.path.stat().st_size
        if needed <= size and end_of_media - self._place <= SHARE * end_of_media:
            return end
        for name, value in self.stream.metadata.items():
            if name.startswith("DURATION") and (stated := re.fullmatch(r"(\d+):(\d+):([\d.]+)", value)):
                hours, minutes, seconds = map(float, stated.groups())
                return hours * 3600 + minutes * 60 + seconds
        if self.container.duration:
            return self.container.duration / av.time_base
        return first + (end - first) * max(1.0, needed / size)


def _is_short(missing: float, whole: float) -> bool:
    return missing > max(SECONDS, SHARE * whole)
