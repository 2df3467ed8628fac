"""FFmpeg's filters on decoded frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import av
from av.filter import Graph
from av.filter.context import FilterContext

Output = tuple[FilterContext, int]
Apply = Callable[..., Sequence[Any]]
"""`apply(name, *pictures, **options)` adds a filter to a graph and returns its outputs. Each is used once at most."""


def graph_of(frame: av.VideoFrame, name: str, **options: object) -> Graph:
    """A graph of one filter, for frames of the size, format and colours of `frame`."""
    return wired_graph(frame, lambda apply, picture: apply(name, picture, **options)[0])


def wired_graph(frame: av.VideoFrame, wire: Callable[[Apply, Any], Any]) -> Graph:
    """The same, of the filters that `wire` applies to the frames, which are its second argument."""
    graph = Graph()
    graph.threads = 1  # videos are decoded side by side

    def apply(name: str, *pictures: Output, **options: object) -> Sequence[Output]:
        added = graph.add(name, **{key: str(value) for key, value in options.items()})
        for place, (source, output) in enumerate(pictures):
            source.link_to(added, output, place)
        return [(added, 0), (added, 1)]  # filters of more outputs are not used

    source = apply(
        "buffer",
        video_size=f"{frame.width}x{frame.height}",
        pix_fmt=frame.format.name,
        time_base=frame.time_base,
        colorspace=int(frame.colorspace),
        range=int(frame.color_range),
    )
    apply("buffersink", wire(apply, source[0]))
    graph.configure()
    return graph
