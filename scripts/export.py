"""Put the dataset together from all shards, with the table of verdicts, the errors and the summary."""

import argparse
import json
from pathlib import Path

from clipmill.cli import add_duplicates, add_thresholds, measured, run_step, with_numbers
from clipmill.dataset.export import export_dataset
from clipmill.filters.quantiles import read_resolved
from clipmill.store.index import shard_groups, shard_sizes
from clipmill.store.layout import Paths
from clipmill.store.review import read_review


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--outdir", type=Path, required=True, help="the run's output folder")
    parser.add_argument("--settings", type=json.loads, required=True, help="backends, verdicts and formats, as JSON")
    parser.add_argument("--clips-per-caption-job", type=int, help="decides which shards share a table of captions")
    parser.add_argument("--checks", type=Path, nargs="+", required=True, help="results of the checks of the backends")
    add_duplicates(parser)
    add_thresholds(parser)
    args = parser.parse_args()
    with measured(args.outdir, "export", "export"):
        checks = [json.loads(path.read_text(encoding="utf-8")) for path in args.checks]
        groups = shard_groups(shard_sizes(args.outdir), args.clips_per_caption_job)
        settings = {**args.settings, "late": with_numbers(args.settings["late"], args)}
        settings["thresholds"] = read_resolved(args.thresholds)
        settings["duplicates"] = args.duplicates
        if "review" in settings:
            require, decisions = settings["review"]["require"], read_review(Paths(args.outdir).decisions)
            settings["review"] = {"require": require, "decisions": decisions}
        export_dataset(args.outdir, groups, settings, checks)


if __name__ == "__main__":
    run_step(main)
