"""Say what a run will do, before it runs: videos, hours, jobs, core-hours and disk, each number with its source."""

import argparse
import json
from pathlib import Path

from clipmill.base.files import write_json
from clipmill.cli import run_step
from clipmill.plan.plan import make_plan
from clipmill.plan.text import as_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--outdir", type=Path, required=True, help="the run's output folder")
    parser.add_argument("--settings", type=json.loads, required=True, help="what the plan depends on, as JSON")
    parser.add_argument("--sample", type=int, default=200, help="videos whose headers are read, at most")
    parser.add_argument("--output", type=Path, help="write the plan as JSON too")
    args = parser.parse_args()
    plan = make_plan(args.outdir, args.settings, args.sample)
    print("\n" + as_text(plan), flush=True)
    if args.output:
        write_json(args.output, plan)


if __name__ == "__main__":
    run_step(main)
