"""ffmpeg's filters that make a clip of an HDR video SDR, by the same tone map as decode's."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from clipmill.decode.tone import ToneMap

BT709 = {"color_primaries": "bt709", "color_trc": "bt709", "colorspace": "bt709", "range": "tv"}


@contextmanager
def sdr_filters(tones: ToneMap | None) -> Iterator[Callable[[Any, str], Any]]:
    """A function that adds the filters to a stream whose pixels have a matrix; without a tone map it adds none.

    The matrix has ffmpeg's name, or is `auto` if the stream names it. The table of colours is there within the context.
    """
    if tones is None:
        yield lambda picture, matrix: picture
        return
    with tempfile.NamedTemporaryFile("w", prefix="clipmill-", suffix=".cube", encoding="ascii") as table:
        table.write(tones.cube)
        table.flush()

        def to_sdr(picture: Any, matrix: str) -> Any:
            # In 16 bits ffmpeg's lut3d is twice as fast as in 10.
            rgb = picture.filter("scale", in_color_matrix=matrix).filter("format", "gbrp16le")
            mapped = rgb.filter("lut3d", table.name, interp="tetrahedral")
            yuv = mapped.filter("scale", out_color_matrix="bt709", out_range="tv").filter("format", "yuv420p")
            return yuv.filter("setparams", **BT709)

        yield to_sdr
