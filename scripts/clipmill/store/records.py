"""Snakemake's records of a run's files, brought along from one working folder to another.

Snakemake writes down with which settings it made each file, in `.snakemake` of the folder it was started in. Started
in another folder, as in a newer checkout of clipmill, it would take every file that is there for up to date, whatever
the config says. So a start first takes over the records of the other folders in which runs of this outdir were started.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NoBase64
from collections.abc import Iterator
from pathlib import Path

from clipmill.store.layout import Paths
from clipmill.store.spelling import spellings

log = logging.getLogger("clipmill")

SNAKEMAKE = ".snakemake"
RECORDS, INCOMPLETE = "metadata", "incomplete"  # folders of Snakemake; if it finds the first alone, it converts it
LONGEST = 254  # characters of a part of a record's path, as Snakemake divides it


def bring_records(outdir: str) -> None:
    """Take over the records of all files below `outdir`, spelled as the rules do. Of each file the newest counts.

    Warns if there is a dataset, and no record of how it was made.
    """
    here = Path.cwd() / SNAKEMAKE
    folders = spellings(Path(outdir))
    for folder, theirs in folders.items():
        leads_here = os.path.realpath(os.path.join(folder, theirs)) == os.path.realpath(outdir)
        if folder != os.getcwd() and leads_here:
            for name, record in _records(Path(folder) / SNAKEMAKE / RECORDS, theirs):
                _bring(record, here / RECORDS / _place(f"{outdir}/{name}"), theirs, outdir)
    if (here / RECORDS).is_dir():
        (here / INCOMPLETE).mkdir(exist_ok=True)
    summary = Paths(Path(outdir)).summary
    if summary.exists() and folders and not (here / RECORDS / _place(str(summary))).exists():
        log.warning(
            "%s: no record says with which settings its files were made. Snakemake kept that in %s. Settings that have "
            "changed since then are not noticed: run once with --forceall, which takes what is finished from the "
            "journals",
            *(outdir, " and in ".join(f"{folder}/{SNAKEMAKE}" for folder in folders)),
        )


def _records(folder: Path, outdir: str) -> Iterator[tuple[str, Path]]:
    """The records in a folder of files below `outdir`: each file's name there, and the path of its record."""
    for path, _, names in os.walk(folder):
        above = "".join(part.removeprefix("@") for part in Path(path).relative_to(folder).parts)
        for name in names:
            try:
                file = urlsafe_b64decode(above + name).decode()
            except (NoBase64, UnicodeDecodeError):  # no record
                continue
            if file.startswith(f"{outdir}/"):
                yield file.removeprefix(f"{outdir}/"), Path(path, name)


def _place(file: str) -> Path:
    """Where in its folder the record of a file is."""
    text = urlsafe_b64encode(file.encode()).decode()
    parts = [text[start : start + LONGEST] for start in range(0, len(text), LONGEST)]
    return Path(*(f"@{part}" for part in parts[:-1]), parts[-1])


def _bring(record: Path, to: Path, theirs: str, outdir: str) -> None:
    """Copy a record with its time, unless that which is here is as new. Its paths get the spelling of here."""
    if to.exists() and to.stat().st_mtime_ns >= record.stat().st_mtime_ns:
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    new = to.with_name(f".{os.getpid()}.new")  # the name of the record may be as long as names can be
    shutil.copy2(record, new)
    if theirs != outdir:
        status = new.stat()
        before, after = (json.dumps(f"{spelling}/")[:-1] for spelling in (theirs, outdir))
        new.write_text(new.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
        os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
    new.replace(to)
