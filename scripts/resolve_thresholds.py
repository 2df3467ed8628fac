"""Find the values of the thresholds that are quantiles, over all clips of the run."""

import argparse
import json
import logging
from pathlib import Path

from clipmill.base.files import write_json
from clipmill.cli import measured, run_step
from clipmill.filters.thresholds import resolve
from clipmill.store.index import removed_videos, shard_sizes

log = logging.getLogger("clipmill")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--outdir", type=Path, required=True, help="the run's output folder")
    parser.add_argument("--quantiles", type=json.loads, required=True, help="filter -> min or max -> q0.3, as JSON")
    parser.add_argument("--output", type=Path, required=True, help="the values to write, as JSON")
    args = parser.parse_args()
    with measured(args.outdir, "thresholds", args.output.stem):
        gone = removed_videos(args.outdir)
        resolved = resolve(args.outdir, shard_sizes(args.outdir), args.quantiles, gone)
        for name, bounds in resolved.items():
            for side, found in bounds.items():
                log.info("%s %s: q%s of %d clips is %s", name, side, found["quantile"], found["clips"], found["value"])
        write_json(args.output, resolved)


if __name__ == "__main__":
    run_step(main)
