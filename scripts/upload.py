"""Send the dataset to a bucket or to the Hugging Face hub: what is new or has changed, lists last."""

import argparse
import json
import os
from pathlib import Path

from clipmill.base.files import write_json
from clipmill.cli import measured, run_step
from clipmill.store.layout import Paths
from clipmill.upload.dataset import Dataset, upload_dataset
from clipmill.upload.places import place_at


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--outdir", type=Path, required=True, help="the run's output folder")
    parser.add_argument("--address", required=True, help="where the dataset goes, as s3://bucket/folder")
    parser.add_argument("--settings", type=json.loads, required=True, help="formats and splits of the dataset, as JSON")
    parser.add_argument("--output", type=Path, required=True, help="what was sent, as JSON")
    args = parser.parse_args()
    fetch = json.loads(os.environ["CLIPMILL_FETCH"])
    with measured(args.outdir, "upload", "upload"):
        address, place = place_at(args.address, fetch["timeout_seconds"], fetch["parallel"])
        dataset = Dataset(Paths(args.outdir).dataset, **args.settings)
        write_json(args.output, upload_dataset(args.outdir, address, dataset, place))


if __name__ == "__main__":
    run_step(main)
