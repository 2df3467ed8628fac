"""Interlaced frames made whole by FFmpeg's filter bwdif: each keeps one of its fields, the one that comes first.

Where nothing changes from frame to frame, bwdif takes both fields as they are. What flickers from field to field, such
as a lamp, does not change from frame to frame either, and would stay as combs. bwdif has a check for combs, which it
leaves out where levels are exactly the same. So it runs a second time, with every other frame brighter by one level:
there it checks everywhere. Where both runs differ over a neighbourhood, the second one counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av

from clipmill.decode.fields import Vote
from clipmill.decode.filtering import Apply, graph_of, wired_graph
from clipmill.decode.looks import bits_per_colour
from clipmill.store.tables import BOTTOM_FIRST, TOP_FIRST

REACH = 4  # pixels around a pixel over which both runs are compared: single lines of letters are no combs
DIFFERS = 3  # grey levels of 256: rounding makes no greater mean difference

ORDERS = {Vote.TOP_FIRST: TOP_FIRST, Vote.BOTTOM_FIRST: BOTTOM_FIRST}


def deinterlaced(apply: Apply, picture: Any, order: str, bit_depth: int) -> Any:
    """Interlaced pictures made whole by a graph of filters. `order`: TOP_FIRST or BOTTOM_FIRST."""

    def bwdif(picture: Any) -> Any:
        return apply("bwdif", picture, mode="send_frame", parity=order, deint="all")[0]

    def all_planes(expression: str, **options: str) -> dict[str, str]:
        return {**{plane: expression for plane in ("c0", "c1", "c2")}, **options}

    levels = 2 ** max(8, bit_depth)
    pictures = apply("split", picture)
    brighter = apply("lut", pictures[1], **all_planes("val+1", enable="mod(n,2)"))[0]
    usual, checked = apply("split", bwdif(pictures[0])), apply("split", bwdif(brighter))
    difference = apply("blend", usual[1], checked[1], all_mode="grainextract")[0]  # beside the middle grey level
    mean = apply("avgblur", difference, sizeX=REACH, sizeY=REACH)[0]
    differs = f"gt(abs(val-{levels // 2}),{DIFFERS * levels // 256})"
    mask = apply("lut", mean, **all_planes(f"if({differs},{levels - 1},0)"))[0]
    return apply("maskedmerge", usual[0], checked[0], mask)[0]


class Deinterlacer:
    """Makes frames of one size and format whole. Each comes out when the next one is put in. For one thread only.

    `order`: TOP_FIRST or BOTTOM_FIRST. Times are those of the frames that were put in.
    """

    def __init__(self, frame: av.VideoFrame, order: str):
        depth = bits_per_colour(frame.format)
        self._graph = wired_graph(frame, lambda apply, picture: deinterlaced(apply, picture, order, depth))
        self._waiting: av.VideoFrame | None = None
        self._frames = 0

    def add(self, frame: av.VideoFrame) -> av.VideoFrame | None:
        """Put in the next frame. Returns the one before it, whole."""
        before, self._waiting = self._waiting, frame
        time = frame.pts
        frame.pts = self._frames  # filters of several inputs wait forever for a frame whose time is missing
        self._frames += 1
        self._graph.push(frame)
        frame.pts = time
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
        self._graph = graph_of(frame, "select", expr="eq(interlace_type,BOTTOMFIRST)")

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
