"""Serve the output folder to the browsers of this machine, so that they play its videos and save decisions in it."""

import argparse
from pathlib import Path

from clipmill.cli import run_step
from clipmill.review.server import serve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--outdir", type=Path, required=True, help="the run's output folder")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 is any free one")
    args = parser.parse_args()
    serve(args.outdir, args.port)


if __name__ == "__main__":
    run_step(main)
