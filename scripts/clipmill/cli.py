"""What the command line tools share: how they start and end, their common flags, and settings given as JSON."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from clipmill import tables
from clipmill.errors import SetupError, explain_os_error

log = logging.getLogger("clipmill")


def step_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the flags that every shard step has."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--outdir", type=Path, required=True, help="the run's output folder")
    parser.add_argument("--shard", required=True, help="name of the shard, six digits")
    parser.add_argument("--settings", type=json.loads, required=True, help="the step's settings as JSON")
    parser.add_argument("--threads", type=int, default=1, help="cores to use")
    parser.add_argument("--max-error-rate", type=float, default=1.0, help="share of bad items that stops the job")
    return parser


def read_scores(paths: list[Path]) -> dict[str, list[dict]]:
    """Rows of score tables, by the metric that their folder is named after."""
    by_metric = {table.path.split("/")[-2]: table for table in tables.ALL if "/scores/" in table.path}
    return {path.parent.name: by_metric[path.parent.name].rows(path) for path in paths}


def run_step(main: Callable[[], None]) -> None:
    """Run a step's `main`; set-up faults end it with one line on stderr and status 1, bugs with a traceback."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    tables.spare_pandas()
    try:
        main()
    except KeyboardInterrupt:
        log.error("stopped by the user; the same command goes on from here")
        sys.exit(130)
    except SetupError as error:
        log.error("%s", error)
        sys.exit(1)
    except OSError as error:
        line = explain_os_error(error)
        if line is None:
            raise
        log.error("%s", line)
        sys.exit(1)
