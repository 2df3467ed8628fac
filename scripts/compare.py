"""Compare two finished runs: a page with clips only in one, verdicts that differ, and captions to choose between."""

import argparse
import json
from pathlib import Path

from clipmill.cli import run_step
from clipmill.compare import write_comparison


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--a", type=Path, required=True, help="the output folder of one run")
    parser.add_argument("--b", type=Path, required=True, help="that of the other one")
    parser.add_argument("--settings", type=json.loads, required=True, help="the section `compare`, as JSON")
    parser.add_argument("--output", type=Path, required=True, help="the page to write")
    args = parser.parse_args()
    write_comparison(args.a, args.b, args.settings, args.output)
    print(f"\n{args.output}", flush=True)


if __name__ == "__main__":
    run_step(main)
