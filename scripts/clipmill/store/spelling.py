"""The spelling of an output folder in the names of a run's files: one per working folder, however the config spells it.

Snakemake keeps what it knows of a file, such as the settings that it was made with, in the working folder and by the
file's name. Of `out`, `./out/`, `/data/out` and a link to it, it would take each for another folder.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from clipmill.base.files import write_json
from clipmill.store.layout import Paths


def spelling_of(outdir: str | Path) -> str:
    """How the first run from this working folder spelled `outdir`, if that still leads there; else as it is given."""
    first = spellings(Path(outdir)).get(os.getcwd())
    if first is not None and os.path.realpath(first) == os.path.realpath(outdir):
        return first
    return os.path.normpath(outdir)


def remember_spelling(outdir: Path) -> None:
    """Note the spelling that is used from this working folder."""
    known = spellings(outdir)
    spelling = spelling_of(outdir)
    if known.get(os.getcwd()) != spelling:
        write_json(Paths(outdir).spellings, {**known, os.getcwd(): spelling})


def spellings(outdir: Path) -> dict[str, str]:
    """The spellings of `outdir` by the working folders in which its runs were started."""
    try:
        return json.loads(Paths(outdir).spellings.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
