"""Propose thresholds from a person's decisions about the clips of a run: a config file, and a page about it."""

import argparse
import json
from pathlib import Path

from clipmill.base.files import write_text
from clipmill.cli import add_thresholds, measured, run_step, with_numbers
from clipmill.filters.learned import as_yaml, learn, read_decided, scores_of
from clipmill.report.learned import write_page
from clipmill.store.index import removed_videos, shard_sizes
from clipmill.store.layout import Paths
from clipmill.store.review import read_review


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--outdir", type=Path, required=True, help="the run's output folder")
    parser.add_argument("--settings", type=json.loads, required=True, help="the filters and their order, as JSON")
    parser.add_argument("--wishes", type=json.loads, required=True, help="the section `calibrate`, as JSON")
    parser.add_argument("--config", type=Path, required=True, help="the config file to write")
    parser.add_argument("--page", type=Path, required=True, help="the page to write")
    add_thresholds(parser)
    args = parser.parse_args()
    with measured(args.outdir, "thresholds", "learned"):
        settings, wishes = with_numbers(args.settings, args), args.wishes
        decisions, gone = read_review(Paths(args.outdir).decisions), removed_videos(args.outdir)
        names = scores_of(settings["order"])
        decided = read_decided(args.outdir, shard_sizes(args.outdir), names, decisions, gone)
        learned = learn(decided, settings["filters"], wishes["precision"], wishes["loosen"], wishes["seed"])
        write_text(args.config, as_yaml(learned, args.config))
        write_page(learned, args.page)


if __name__ == "__main__":
    run_step(main)
