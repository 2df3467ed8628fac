"""Propose thresholds from the scores of a calibration sample: a config file, and values for the rest of its run."""

import argparse
import json
from pathlib import Path

from clipmill.base.files import write_json, write_text
from clipmill.cli import measured, run_step
from clipmill.filters import verdict
from clipmill.filters.calibrate import CalibrationSample, as_yaml, propose
from clipmill.store.index import removed_videos, shard_sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--outdir", type=Path, required=True, help="the sample's output folder")
    parser.add_argument("--settings", type=json.loads, required=True, help="the filters and their order, as JSON")
    parser.add_argument("--wishes", type=json.loads, required=True, help="the section `calibrate`, as JSON")
    parser.add_argument("--thresholds", type=Path, required=True, help="the values to write, as JSON")
    parser.add_argument("--config", type=Path, required=True, help="the config file to write")
    args = parser.parse_args()
    with measured(args.outdir, "thresholds", "proposed"):
        keep, quantiles = args.wishes["keep"], args.wishes["quantiles"]
        gone = removed_videos(args.outdir)
        order = args.settings["order"]
        filters = {name: args.settings["filters"][name] for name in order}
        names = [name for name in order if name in quantiles or name in verdict.active(filters, order)]
        sample = CalibrationSample.read(args.outdir, shard_sizes(args.outdir), names, gone)
        proposal = propose(sample, {name: filters[name] for name in names}, keep, quantiles, args.wishes["loosen"])
        write_json(args.thresholds, proposal.proposed)
        write_text(args.config, as_yaml(proposal, args.wishes, args.config))


if __name__ == "__main__":
    run_step(main)
