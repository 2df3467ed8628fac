"""The fields of the frames in a pass over a video: they are looked at, and interlaced frames are made whole.

In the first pass frames are taken for what their flags say. Where looking shows that the flags are wrong, or where a
video has none, it is decoded once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import av
import numpy as np

from clipmill.decode.deinterlace import ORDERS, Deinterlacer, FlagReader
from clipmill.decode.fields import Fields, FieldWatch, Vote
from clipmill.store.tables import TELECINED


class FieldPass:
    """Frames go in one after the other (`put`) and come out in the same order. Elsewhere they are looked at (`look`).

    `makes_whole`: whether interlaced frames come out whole. `known`: which field of each frame of the video comes first
    (values of `Vote`; PROGRESSIVE leaves it), as an earlier pass found.
    """

    def __init__(self, makes_whole: bool, known: bytes | None):
        self._makes_whole, self._known = makes_whole, known
        self._watch = FieldWatch()
        self._flags, self._made = bytearray(), bytearray()
        self._part = -1
        self._flag = self._order = Vote.PROGRESSIVE
        self._deinterlacer: Deinterlacer | None = None

    def put(self, frame: av.VideoFrame, part: int) -> Iterator[av.VideoFrame]:
        """The frames that are ready, after the next one of the video came. `part`: the number of its part."""
        if part != self._part:
            yield from self.rest()
            self._part, self._flag = part, Vote.PROGRESSIVE
        if frame.interlaced_frame and self._flag == Vote.PROGRESSIVE:  # all frames of a part have the same order
            self._flag = FlagReader(frame).order(frame)
        order = self._flag if self._known is None else Vote(self._known[len(self._made)])
        if not self._makes_whole:
            order = Vote.PROGRESSIVE
        if order != self._order:
            yield from self.rest()
            self._order = order
        self._flags.append(self._flag if frame.interlaced_frame else Vote.PROGRESSIVE)
        self._made.append(order)
        if order == Vote.PROGRESSIVE:
            yield frame
            return
        if self._deinterlacer is None:
            self._deinterlacer = Deinterlacer(frame, ORDERS[order])
        whole = self._deinterlacer.add(frame)
        if whole is not None:
            yield whole

    def rest(self) -> Iterator[av.VideoFrame]:
        """The frame that has not come out yet, if there is one."""
        if self._deinterlacer is not None:
            yield self._deinterlacer.end()
            self._deinterlacer = None

    def look(self, frame: av.VideoFrame, number: int) -> None:
        """Look at the next frame as it was put in. `number`: of the frame in the video."""
        if self._known is None:
            self._watch.look(frame, Vote(self._flags[number]))

    def found(self, start: int, end: int) -> Fields:
        """What the frames from `start` to before `end` are. All must have been looked at."""
        return self._watch.fields(start, end)

    def wanted(self, found: Sequence[Fields]) -> bytes:
        """Which frames another pass should make whole, as `known`; what this one did if that is right.

        `found`: of each part. Telecined parts are left as they are: their clips are dropped.
        """
        orders = {name: vote for vote, name in ORDERS.items()}
        wanted, start = bytearray(), 0
        for fields in found:
            end = start + len(fields.is_woven)
            order = orders.get(fields.order, Vote.PROGRESSIVE)
            own = np.where(fields.is_woven, order, Vote.PROGRESSIVE).astype(np.uint8).tobytes()
            wanted += self._made[start:end] if fields.order == TELECINED else own
            start = end
        return bytes(wanted) if self._makes_whole else self.made

    @property
    def made(self) -> bytes:
        """Which frames were made whole, as `known`."""
        return bytes(self._made)

    def made_ranges(self) -> dict[str, str]:
        """The runs of frames that were made whole, by their order."""
        made = np.frombuffer(self.made, np.uint8)
        ranges = {name: frame_ranges(made == vote, 0) for vote, name in ORDERS.items()}
        return {name: text for name, text in ranges.items() if text}


def frame_ranges(is_woven: np.ndarray, start: int) -> str | None:
    """The runs of woven frames: `100-250 300-400`, first frame and first after it; None if there are none.

    `start`: number of the first frame of `is_woven`.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_woven, [False]]))) + start
    return " ".join(f"{first}-{end}" for first, end in edges.reshape(-1, 2)) or None
