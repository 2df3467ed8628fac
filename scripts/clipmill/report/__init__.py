"""The report: one page that shows what a run found, kept and dropped, and what other thresholds would keep."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from clipmill.base.files import write_text
from clipmill.filters import verdict
from clipmill.filters.columns import WORDS
from clipmill.report import page, pictures, shots, whatif
from clipmill.report.collect import MOST_ROWS, collect, columns, look, with_originals
from clipmill.report.costs import costs
from clipmill.report.judge import ANSWERS, DUPLICATES, GONE_ON, Judge
from clipmill.split.settings import SplitSettings
from clipmill.store.layout import Paths

LARGEST = 1e300  # stands for infinity, which JSON does not have


def write_report(
    outdir: Path, settings: Mapping[str, Any], split: SplitSettings, config: Mapping[str, Any], output: Path
) -> None:
    """Write the report of the finished run in `outdir` to `output`, one file that needs no other.

    `settings`: the `filters` of the run, with numbers for quantiles, their `order`, whether there was a `cascade`, and
    the `quantiles` that some of the bounds were; `drops` if duplicates or limits drop clips; `calibrates` if the run is
    one on a calibration sample. `split`: how the run has split videos. `config`: the whole config, to
    be shown. Raises SetupError if a table is unreadable.
    """
    filters = {
        name: bound if name in WORDS else {end: _finite(value) for end, value in bound.items()}
        for name, bound in settings["filters"].items()
    }
    paths = Paths(outdir)
    summary = json.loads(paths.summary.read_text(encoding="utf-8"))
    beside = {DUPLICATES: settings.get("drops"), ANSWERS: summary.get("answers")}
    judge = Judge(filters, settings["order"], settings["cascade"], [name for name, there in beside.items() if there])
    models = json.loads(paths.models.read_text(encoding="utf-8"))
    collected = collect(paths.final_verdicts, judge, MOST_ROWS)

    rows = with_originals(paths.final_verdicts, collected.shown())
    wanted = list(dict.fromkeys([*columns(judge), *pictures.ABOUT, *pictures.TEXTS]))
    shown = one_batch(judge.table.take(paths.final_verdicts, rows, wanted))
    looked = look(shown, judge)

    table, scales = whatif.tabulate(collected, looked, whatif.offered(collected, config))
    found = _found(settings["filters"], settings["quantiles"])
    cards = page.filters(collected, scales, found, summary["settings"])
    clips = page.clips(pictures.look_at(outdir, shown.to_pylist()))
    view = {
        "calibrates": settings.get("calibrates", False),
        "collected": collected,
        "summary": summary,
        "models": models,
        "sampled": table["rows"] < table["clips"],
        "table": table,
        "funnel": page.funnel(collected, summary),
        "cards": cards,
        "not_offered": [name for name in judge.filters if name not in scales],
        "clips": clips,
        "copies": page.copies(clips),
        "overlap": page.overlap(collected),
        "shots": shots.section(outdir, split),
        "durations": page.plot(collected.seconds, collected.fate == GONE_ON),
        "sizes": page.distribution(collected.sizes.items(), lambda size: f"{size[0]} × {size[1]}"),
        "shapes": page.distribution(collected.sizes.items(), page.shape),
        "rates": page.distribution(collected.rates.items(), lambda rate: f"{rate:g}"),
        "lengths": page.plot(np.array(collected.lengths)),
        "words": page.words(collected.words, max(1, collected.worded)),
        "errors": page.errors(outdir, summary),
        "costs": page.costs(costs(outdir)),
        "config": page.as_yaml(config),
        "data": page.data(collected, scales, table, cards, looked),
    }
    write_text(output, page.render(view))


def _found(filters: verdict.Bounds, quantiles: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """The `quantiles` that have a value; one over no clips has none."""
    return {
        name: {end: quantile for end, quantile in ends.items() if math.isfinite(filters[name][end] or 0)}
        for name, ends in quantiles.items()
    }


def _finite(value: float | None) -> float | None:
    return None if value is None else max(-LARGEST, min(LARGEST, value))


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """A small table in one piece."""
    return pa.RecordBatch.from_arrays([column.combine_chunks() for column in table.columns], schema=table.schema)
