"""Say what is wrong with config files that Snakemake cannot read: the file, the line and what to do."""

import argparse
from pathlib import Path

from clipmill.cli import run_step
from clipmill.config_files import check_files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("files", type=Path, nargs="+", help="the files, as they are given to --configfile")
    check_files(parser.parse_args().files)
    print("can be read; the keys and their values are checked at each start")


if __name__ == "__main__":
    run_step(main)
