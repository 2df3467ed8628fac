"""What an older clipmill decoded stays valid where this one would find the same: of errors alone.

The signals of older versions hold another motion, and no change of frames. Old and new ones in one run would mix two
kinds of values, so videos are decoded again. Their pictures stay the same, and so do the scores and captions of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Kinds of errors that this version finds in fewer files.
CHANGED_ERRORS = {"truncated", "no_video", "corrupt", "still_image"}


def holds_still(row: Mapping[str, Any]) -> bool:
    """Whether a finished row of an older version holds in this one."""
    return bool(row.get("error_kind")) and row["error_kind"] not in CHANGED_ERRORS
