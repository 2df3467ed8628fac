"""What finished jobs took: one file below `<outdir>/benchmarks/` per step and job, written by the job itself."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from clipmill.base.files import write_text
from clipmill.store import tables
from clipmill.store.tables import Benchmark

MUCH_START = 0.15  # share of the jobs' time from which their start is said to be much
_NAMES = [column.name for column in tables.BENCHMARKS.columns]
# Up to clipmill 0.2 Snakemake wrote these files, with these names for some of the columns.
_NAMES_BY_SNAKEMAKE = {"wall_seconds": "s", "processor_seconds": "cpu_time", "memory_mib": "max_rss"}


def write(path: Path, job: Benchmark) -> None:
    """Write the file of a job."""
    cells = [_cell(getattr(job, column.name), column.decimals) for column in tables.BENCHMARKS.columns]
    write_text(path, "\t".join(_NAMES) + "\n" + "\t".join(cells) + "\n")


def _cell(value: float | bool | None, decimals: int | None) -> str:
    if value is None:
        return ""
    return str(value) if decimals is None else f"{value:.{decimals}f}"


def read(path: Path) -> Benchmark | None:
    """Read the file of a job; None if it is missing, or if a kill has cut it off."""
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            row = list(csv.DictReader(handle, delimiter="\t"))[-1]
        cells = {name: row.get(name) or row.get(_NAMES_BY_SNAKEMAKE.get(name, "")) for name in _NAMES}
        found = {name: json.loads(text.lower()) for name, text in cells.items() if text and text != "NA"}
        return Benchmark(**found)
    except (OSError, LookupError, TypeError, ValueError):
        return None
