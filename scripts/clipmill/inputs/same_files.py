"""Files that have several names: by links, or since a path can be spelled in several ways.

A video that the index knows by another name keeps what the index has of it, so that nothing runs again. Two names that
are found at once are two videos, which a start reports.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clipmill.inputs.finding import Found


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


def found_twice(found: Found, used: Sequence[bool]) -> list[tuple[str, str]]:
    """Pairs of names of one file among the found videos that are `used`, each with the file's first name.

    Names are of one file if device, inode, size and time are the same: some file systems give one inode to two files.
    """
    inodes = np.array(found.inodes, np.uint64)
    values, counts = np.unique(inodes, return_counts=True)
    several = values[(counts > 1) & (values != 0)]
    first: dict[tuple[int | None, ...], str] = {}
    pairs = []
    for place in np.flatnonzero(np.isin(inodes, several) & np.array(used, bool)).tolist():
        name = found.names[place]
        file = (found.devices[place], found.inodes[place], found.sizes[place], found.times[place])
        if (known := first.setdefault(file, name)) != name:
            pairs.append((known, name))
    return pairs
