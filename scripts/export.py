"""Put the dataset together from all shards, with the table of verdicts, the errors and the summary."""

import argparse
import json
from pathlib import Path

from clipmill.cli import run_step
from clipmill.export import export_dataset
from clipmill.index import shard_names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--outdir", type=Path, required=True, help="the run's output folder")
    parser.add_argument("--settings", type=json.loads, required=True, help="what the summary names, as JSON")
    args = parser.parse_args()
    export_dataset(args.outdir, shard_names(args.outdir), args.settings)


if __name__ == "__main__":
    run_step(main)
