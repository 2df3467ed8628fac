"""Print the summary of a run."""

import argparse
import json
import sys
from pathlib import Path

from clipmill.base.errors import SetupError
from clipmill.cli import run_step
from clipmill.dataset.summary import as_text
from clipmill.store.layout import Paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("outdir", type=Path, help="the run's output folder")
    outdir = parser.parse_args().outdir
    try:
        summary = json.loads(Paths(outdir).summary.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SetupError(f"{outdir}: no summary.json; the run has not finished") from None
    print(as_text(summary, outdir, links=sys.stdout.isatty()))


if __name__ == "__main__":
    run_step(main)
