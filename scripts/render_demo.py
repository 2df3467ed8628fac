"""Render the demo's videos into a folder; files that are there already are left alone."""

from __future__ import annotations

import argparse
from pathlib import Path

from clipmill.cli import run_step
from clipmill.demo.videos import render_demo_videos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder for the videos, created if missing")
    render_demo_videos(parser.parse_args().folder)


if __name__ == "__main__":
    run_step(main)
