"""Whether a clip file is still the one that was cut: by its size and time, and by its digest if the time has changed.

A clip of the dataset is a hard link to the file that was cut. Who overwrites one overwrites both.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def state_of(path: Path) -> dict[str, Any]:
    """The columns of CUTS by which `is_intact` knows a file again."""
    status = path.stat()
    return {"cut_bytes": status.st_size, "cut_time": status.st_mtime_ns, "cut_digest": _digest(path)}


def is_intact(path: Path, row: Mapping[str, Any]) -> bool:
    """Whether there is the file that a row of CUTS describes. Rows of older versions have only its size.

    A copy of the file has another time. It is read once, and gets the time of the first file.
    """
    try:
        status = path.stat()
        if status.st_size != row["cut_bytes"]:
            return False
        time = row.get("cut_time")
        if time is None or status.st_mtime_ns == time:
            return True
        if _digest(path) != row["cut_digest"]:
            return False
    except OSError:
        return False
    with contextlib.suppress(OSError):  # the file may belong to somebody else
        os.utime(path, ns=(status.st_atime_ns, time))
    return True


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
