"""What an older clipmill decoded stays valid where this one would find the same."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from clipmill.base.errors import ItemError
from clipmill.decode.looks import Look
from clipmill.decode.media import best_video_stream, open_video
from clipmill.decode.parts import single_part
from clipmill.store.table import Row
from clipmill.store.tables import DecodedVideo, IndexedVideo

CHANGED_ERRORS = {"truncated", "no_video", "corrupt"}  # kinds of errors that this version finds in fewer files
INTERLACED = {"tt", "bb", "tb", "bt"}


def of_older_version(row: Row, video: IndexedVideo) -> Row | None:
    """A finished row of a version that knew no parts of videos, with the columns it lacks; None if it does not hold.

    It does not hold for HDR and interlaced videos, by what their headers say. That a picture changes its size midway is
    in no header: such videos stay as they were decoded.
    """
    row = {**row, "decode_key": row["source_key"]}
    if row.get("error_kind"):
        return None if row["error_kind"] in CHANGED_ERRORS else row
    try:
        with open_video(Path(video["path"])) as container:
            stream = best_video_stream(container)
            context = stream.codec_context
            colours = (
                int(context.colorspace or 2),
                int(context.color_range or 0),
                int(context.color_trc or 2),
                int(context.color_primaries or 2),
            )
            is_interlaced = str(context.field_order) in INTERLACED
    except ItemError:
        return None  # decoding says what is wrong
    look = Look((row["coded_width"], row["coded_height"]), row["pixel_format"], 1.0, (False, False, False), colours)
    if look.transfer != "sdr" or is_interlaced:
        return None
    row |= {
        "bit_depth": look.bit_depth,
        "transfer": look.transfer,
        "primaries": look.primaries,
        "color_range": look.color_range,
        "field_order": "progressive",
        "mirrored": False,
        "variable_rate": False,
    }
    return {**row, "parts": [single_part(cast(DecodedVideo, row))]}
