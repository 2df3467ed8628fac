"""Videos that the index knows already, spelled otherwise: through a link, or by an absolute path.

Such a video keeps what the index has of it, so that nothing runs again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def names_in_index(names: Sequence[str], paths: Sequence[str], stored: pa.Table) -> dict[str, str]:
    """The names by which the index knows the files of found videos whose own names it does not have.

    `names` and `paths` are those of the found videos, `stored` is the index. A file that is also found by the name that
    the index has is another video: two names of one file are two videos.
    """
    known = set(stored["name"].to_pylist())
    new = [(name, path) for name, path in zip(names, paths, strict=True) if name not in known]
    if not known or not new:
        return {}
    found = set(names)
    rows = zip(stored["name"].to_pylist(), stored["path"].to_pylist(), strict=True)
    missing = {os.path.realpath(path): name for name, path in rows if name not in found and os.path.exists(path)}
    renamed = {name: missing.pop(os.path.realpath(path), None) for name, path in new}
    return {name: old for name, old in renamed.items() if old is not None}


def spelled_otherwise(stored: pa.Table, now: pa.Table) -> pa.Array:
    """Of each row, whether it is the same unchanged file in `stored` and in `now`, by another path."""
    same = pc.and_(*(pc.equal(stored[name], now[name]) for name in ("size_bytes", "mtime_ns")))
    asked = pc.and_(same, pc.not_equal(stored["path"], now["path"]))
    result = np.zeros(len(stored), bool)
    for row in np.flatnonzero(asked.to_numpy()):
        before, after = (table["path"][int(row)].as_py() for table in (stored, now))
        result[row] = os.path.exists(before) and os.path.realpath(before) == os.path.realpath(after)
    return pa.array(result)
