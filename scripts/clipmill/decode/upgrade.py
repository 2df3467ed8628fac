"""What an older clipmill decoded stays valid where this one would find the same."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from clipmill.base.errors import ItemError
from clipmill.decode.cropping import container_cropping
from clipmill.decode.looks import Look
from clipmill.decode.media import best_video_stream, open_video
from clipmill.decode.parts import single_part
from clipmill.decode.pictures import UPRIGHT
from clipmill.store.table import Row
from clipmill.store.tables import PROGRESSIVE, DecodedVideo, IndexedVideo

# Kinds of errors that this version finds in fewer files.
CHANGED_ERRORS = {"truncated", "no_video", "corrupt", "still_image"}
INTERLACED = {"tt", "bb", "tb", "bt"}


def of_older_version(row: Row, video: IndexedVideo) -> Row | None:
    """A finished row of a version that knew no parts of videos, with the columns it lacks; None if it does not hold.

    It does not hold for HDR, interlaced and cropped videos, by what their headers say. That a picture changes its size
    midway is in no header: such videos stay as they were decoded.
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
            is_cropped = container_cropping(container, stream).is_any
            is_interlaced = str(context.field_order) in INTERLACED
    except ItemError:
        return None  # decoding says what is wrong
    look = Look((row["coded_width"], row["coded_height"]), row["pixel_format"], 1.0, UPRIGHT, colours)
    is_cover = row["frames"] == 1  # older versions took a cover picture for the video
    if look.transfer != "sdr" or is_interlaced or is_cropped or is_cover:
        return None
    row |= {
        "bit_depth": look.bit_depth,
        "transfer": look.transfer,
        "primaries": look.primaries,
        "color_range": look.color_range,
        "field_order": PROGRESSIVE,
        "rotation": round(row["rotation"] / 90) % 4 * 90,
        "mirrored": False,
        "cropped": False,
        "variable_rate": False,
    }
    return {**row, "parts": [single_part(cast(DecodedVideo, row))]}
