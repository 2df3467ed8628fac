"""Write the report of a run: one page with what it found, kept and dropped, and what other thresholds would keep."""

import argparse
import json
import os
from pathlib import Path

from clipmill.cli import add_thresholds, measured, run_step, with_numbers
from clipmill.filters.quantiles import quantiles
from clipmill.report import write_report
from clipmill.split.settings import SplitSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--outdir", type=Path, required=True, help="the run's output folder")
    parser.add_argument("--settings", type=json.loads, required=True, help="filters, their order, cascade; as JSON")
    parser.add_argument("--split", type=json.loads, required=True, help="the section `split` of the config, as JSON")
    parser.add_argument("--output", type=Path, required=True, help="the page to write")
    add_thresholds(parser)
    args = parser.parse_args()
    with measured(args.outdir, "report", "report"):
        config = json.loads(os.environ.get("CLIPMILL_CONFIG", "{}"))  # only shown, so a change re-runs nothing
        settings = {**with_numbers(args.settings, args), "quantiles": quantiles(args.settings["filters"])}
        write_report(args.outdir, settings, SplitSettings(**args.split), config, args.output)


if __name__ == "__main__":
    run_step(main)
