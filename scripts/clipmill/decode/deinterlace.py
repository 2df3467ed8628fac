"""Interlaced frames made whole by FFmpeg's filter bwdif: each keeps one of its fields, the one that comes first."""

from __future__ import annotations

from collections.abc import Iterator

import av

from clipmill.decode.fields import Vote
from clipmill.decode.filtering import graph_of
from clipmill.store.tables import BOTTOM_FIRST, TOP_FIRST

ORDERS = {Vote.TOP_FIRST: TOP_FIRST, Vote.BOTTOM_FIRST: BOTTOM_FIRST}


class Deinterlacer:
    """Makes frames of one size and format whole. Each comes out when the next one is put in. For one thread only.

    `order`: TOP_FIRST or BOTTOM_FIRST. Times are those of the frames that were put in.
    """

    def __init__(self, frame: av.VideoFrame, order: str):
        self._graph = graph_of(frame, "bwdif", f"mode=send_frame:parity={order}:deint=all")
        self._waiting: av.VideoFrame | None = None

    def add(self, frame: av.VideoFrame) -> av.VideoFrame | None:
        """Put in the next frame. Returns the one before it, whole."""
        before, self._waiting = self._waiting, frame
        self._graph.push(frame)
        return None if before is None else self._pulled(before)

    def end(self) -> av.VideoFrame:
        """The last frame that was put in, whole."""
        assert self._waiting is not None
        self._graph.push(None)
        return self._pulled(self._waiting)

    def _pulled(self, original: av.VideoFrame) -> av.VideoFrame:
        whole = self._graph.pull()
        assert isinstance(whole, av.VideoFrame)
        whole.pts, whole.time_base = original.pts, original.time_base
        return whole


class FlagReader:
    """Reads of frames which field comes first by their own account, which PyAV does not show."""

    def __init__(self, frame: av.VideoFrame):
        self._graph = graph_of(frame, "select", r"eq(interlace_type\,BOTTOMFIRST)")

    def order(self, frame: av.VideoFrame) -> Vote:
        """BOTTOM_FIRST, TOP_FIRST, or PROGRESSIVE if the frame is not marked as interlaced."""
        if not frame.interlaced_frame:
            return Vote.PROGRESSIVE
        self._graph.push(frame)
        try:
            self._graph.pull()
        except BlockingIOError:  # it was not selected
            return Vote.TOP_FIRST
        return Vote.BOTTOM_FIRST


def whole_frames(frames: Iterator[av.VideoFrame], order: str) -> Iterator[av.VideoFrame]:
    """Interlaced frames one after the other, made whole; also where their size or format changes."""
    deinterlacer: Deinterlacer | None = None
    kind: object = None
    for frame in frames:
        if deinterlacer is not None and (frame.width, frame.height, frame.format.name) != kind:
            yield deinterlacer.end()
            deinterlacer = None
        if deinterlacer is None:
            deinterlacer, kind = Deinterlacer(frame, order), (frame.width, frame.height, frame.format.name)
        whole = deinterlacer.add(frame)
        if whole is not None:
            yield whole
    if deinterlacer is not None:
        yield deinterlacer.end()
