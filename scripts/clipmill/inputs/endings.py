"""Which files of a folder are videos, by the endings of their names."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable

# Endings of the containers that `decode.media` opens, those of cameras and recorders too.
SUFFIXES = {
    *(".mp4", ".m4v", ".mov", ".qt", ".f4v", ".3gp", ".3gpp", ".3g2"),
    *(".insv", ".360"),  # of cameras that look all around
    *(".lrv", ".lrf"),  # previews that cameras store beside their recordings
    *(".webm", ".mkv", ".mk3d", ".avi", ".divx", ".flv", ".rm", ".rmvb", ".ogv"),
    *(".ts", ".mts", ".m2ts", ".m2t", ".tod", ".tp", ".trp"),
    *(".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".m2p", ".vob", ".mod"),
    *(".wmv", ".asf", ".dvr-ms"),
    *(".dv", ".mxf"),
    *(".h264", ".264", ".h265", ".265", ".hevc"),
}
USUAL = "avi flv mkv mov mp4 mpg mts ts webm wmv"  # named in a message
PREVIEWS = {".lrv", ".lrf"}
MOST_ENDINGS = 8  # named in one line

_LETTERS = re.compile(r"^[a-z_]*(?=\d{4})")  # before the number that the camera counts


def ending(name: str) -> str:
    """The ending of a name with its dot, in small letters; empty if there is none."""
    return os.path.splitext(name)[1].lower()


def recordings_of(names: Iterable[str]) -> set[tuple[str, str]]:
    """By which a preview finds its recording: the folder, and the name without ending and first letters.

    GX010042.MP4 has the preview GL010042.LRV, and DJI_0042.MP4 has DJI_0042.LRF.
    """
    stems = ((os.path.dirname(name), os.path.splitext(os.path.basename(name))[0].lower()) for name in names)
    return {(folder, _LETTERS.sub("", stem)) for folder, stem in stems}


def counted_endings(endings: Counter[str]) -> str:
    """Numbers of files by ending, the most frequent ones first, for a message."""
    ordered = sorted(endings.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{count:,} {name or 'without an ending'}" for name, count in ordered[:MOST_ENDINGS]]
    return ", ".join(named) + (", …" if len(ordered) > MOST_ENDINGS else "")
