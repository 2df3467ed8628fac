"""Write the report of a run, and the page on which a person reviews its clips."""

import argparse
import json
import os
from pathlib import Path

from clipmill.cli import add_thresholds, measured, run_step, with_numbers
from clipmill.filters.quantiles import quantiles
from clipmill.report import write_report
from clipmill.review import write_review
from clipmill.split.settings import SplitSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--outdir", type=Path, required=True, help="the run's output folder")
    parser.add_argument("--settings", type=json.loads, required=True, help="filters, their order, cascade; as JSON")
    parser.add_argument("--split", type=json.loads, required=True, help="the section `split` of the config, as JSON")
    parser.add_argument("--output", type=Path, required=True, help="the report to write")
    parser.add_argument("--review", type=Path, help="the page of clips to write, if it is wanted")
    add_thresholds(parser)
    args = parser.parse_args()
    with measured(args.outdir, "report", "report"):
        config = json.loads(os.environ.get("CLIPMILL_CONFIG", "{}"))  # only shown, so a change re-runs nothing
        settings = {**with_numbers(args.settings, args), "quantiles": quantiles(args.settings["filters"])}
        write_report(args.outdir, settings, SplitSettings(**args.split), config, args.output)
        if args.review:
            write_review(args.outdir, settings, args.review)


if __name__ == "__main__":
    run_step(main)
