"""What the command line tools share: how they start and end, their common flags, and settings given as JSON."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from clipmill import backends, gpu, tables, thresholds
from clipmill.errors import SetupError, explain_os_error
from clipmill.workers import tie

log = logging.getLogger("clipmill")

tie()  # where a library has spawned this process, it imports the tool and ends up here


def step_parser(description: str | None, one_shard: bool = True) -> argparse.ArgumentParser:
    """A parser with the flags that every step has."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--outdir", type=Path, required=True, help="the run's output folder")
    if one_shard:
        parser.add_argument("--shard", required=True, help="name of the shard, six digits")
    parser.add_argument("--settings", type=json.loads, required=True, help="the step's settings as JSON")
    parser.add_argument("--threads", type=int, default=1, help="cores to use")
    parser.add_argument("--max-error-rate", type=float, default=1.0, help="share of bad items that stops the job")
    return parser


def model_parser(description: str | None, one_shard: bool = True) -> argparse.ArgumentParser:
    """The same for steps whose backend may be a model."""
    parser = step_parser(description, one_shard)
    parser.add_argument("--gpu", type=int, default=0, help="GPUs to use; 0 is the CPU")
    parser.add_argument(
        "--batch", type=int, default=0, help="frames, clips or requests at once; 0 is the backend's own choice"
    )
    return parser


def group_parser(description: str | None) -> argparse.ArgumentParser:
    """The same for steps that serve several shards in one job."""
    parser = model_parser(description, one_shard=False)
    parser.add_argument("--shards", nargs="+", required=True, help="names of the shards, six digits each")
    return parser


def add_thresholds(parser: argparse.ArgumentParser) -> None:
    """The flag of steps that give verdicts."""
    parser.add_argument("--thresholds", type=Path, nargs="*", default=[], help="values of those that are quantiles")


def settled(settings: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """`settings`, which has `filters`, with numbers in place of quantiles."""
    return {**settings, "filters": thresholds.settled(settings["filters"], thresholds.read(args.thresholds))}


def means(step: str) -> dict[str, Any]:
    """The settings of a step's backend that change no result: they come by the environment, and re-run nothing."""
    return json.loads(os.environ.get("CLIPMILL_MEANS", "{}")).get(step, {})


@contextlib.contextmanager
def naming(step: str, settings: dict[str, Any]) -> Iterator[None]:
    """Inside, a SetupError names the step and its backend."""
    try:
        yield
    except SetupError as error:
        raise SetupError(f"{step}, backend {settings['backend']}: {error}") from error


@contextlib.contextmanager
def held(step: str, settings: dict[str, Any], gpus: int, threads: int) -> Iterator[Any]:
    """The backend of a step, on so many GPUs as long as they are held, and on so many cores."""
    backends.check_package(step, settings["backend"])
    with gpu.lease(gpus):
        backend = backends.load(step, settings, means(step))
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(threads)
        yield backend


@contextlib.contextmanager
def loaded(step: str, settings: dict[str, Any], args: argparse.Namespace) -> Iterator[Any]:
    """The backend of a step, on the device and in the batches that `args` of a `model_parser` say."""
    with held(step, settings, args.gpu, args.threads) as backend:
        if args.batch and backend is not None:
            getattr(backend, "chat", backend).batch = args.batch
        if os.environ.get("CLIPMILL_COMPILE") == "1" and hasattr(backend, "compile"):
            backend.compile = True
        yield backend


def read_scores(paths: list[Path]) -> dict[str, list[dict]]:
    """Rows of score tables, by the metric that their folder is named after."""
    by_metric = {table.path.split("/")[-2]: table for table in tables.ALL if "/scores/" in table.path}
    return {path.parent.name: by_metric[path.parent.name].rows(path) for path in paths}


class _Stopped(SystemExit):
    """The scheduler or an operator wants this job to end. Of its kind, since asyncio swallows all others."""


def _stop(*_: object) -> None:
    """End by way of all `with` and `finally`, which write what is finished to the journals."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: a second one must not break into them
    raise _Stopped


def run_step(main: Callable[[], None]) -> None:
    """Run a step's `main`; set-up faults end it with one line on stderr and status 1, bugs with a traceback."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    tables.spare_pandas()
    signal.signal(signal.SIGTERM, _stop)
    try:
        main()
    except KeyboardInterrupt:
        log.error("stopped by the user; the same command goes on from here")
        sys.exit(130)
    except _Stopped:
        log.error("stopped by SIGTERM; the same command goes on from here")
        sys.exit(128 + signal.SIGTERM)
    except SetupError as error:
        log.error("%s", error)
        sys.exit(1)
    except OSError as error:
        line = explain_os_error(error)
        if line is None:
            raise
        log.error("%s", line)
        sys.exit(1)
