"""FFmpeg's filters on decoded frames."""

from __future__ import annotations

import av
from av.filter import Graph


def graph_of(frame: av.VideoFrame, name: str, options: str) -> Graph:
    """A graph of one filter, for frames of the size, format and colours of `frame`."""
    graph = Graph()
    graph.threads = 1  # videos are decoded side by side
    source = graph.add(
        "buffer",
        video_size=f"{frame.width}x{frame.height}",
        pix_fmt=frame.format.name,
        time_base=str(frame.time_base),
        colorspace=str(int(frame.colorspace)),
        range=str(int(frame.color_range)),
    )
    graph.link_nodes(source, graph.add(name, options), graph.add("buffersink")).configure()
    return graph
