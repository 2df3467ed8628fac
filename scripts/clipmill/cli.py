"""Common to the command line tools: how they start and end, their flags, and settings given as JSON."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from clipmill.base.errors import ItemError, SetupError, explain_os_error
from clipmill.base.processes import die_with_parent
from clipmill.base.usage import Usage, starting
from clipmill.fetch.files import FetchSettings, LocalFiles
from clipmill.filters.quantiles import read_resolved, with_resolved_quantiles
from clipmill.models import backends, leases
from clipmill.steps import score_table
from clipmill.store import benchmarks, table
from clipmill.store.layout import Paths

log = logging.getLogger("clipmill")

die_with_parent()  # vLLM spawns child processes that import this module; make them die with their parent


def step_parser(description: str | None, one_shard: bool = True, settings: bool = True) -> argparse.ArgumentParser:
    """A parser with the flags that every step has. `settings`: whether it has some that change its results."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--outdir", type=Path, required=True, help="the run's output folder")
    if one_shard:
        parser.add_argument("--shard", required=True, help="name of the shard, six digits")
    if settings:
        parser.add_argument("--settings", type=json.loads, required=True, help="the step's settings as JSON")
    parser.add_argument("--threads", type=int, default=1, help="cores to use")
    parser.add_argument("--max-error-rate", type=float, default=1.0, help="share of bad items that stops the job")
    return parser


def model_parser(description: str | None, one_shard: bool = True) -> argparse.ArgumentParser:
    """`step_parser`, with the flags of steps whose backend may be a model."""
    parser = step_parser(description, one_shard)
    parser.add_argument("--gpu", type=int, default=0, help="GPUs to use; 0 is the CPU")
    parser.add_argument(
        "--batch", type=int, default=0, help="frames, clips or requests at once; 0 is the backend's own choice"
    )
    return parser


def group_parser(description: str | None) -> argparse.ArgumentParser:
    """`model_parser`, for steps that serve several shards in one job."""
    parser = model_parser(description, one_shard=False)
    parser.add_argument("--shards", nargs="+", required=True, help="names of the shards, six digits each")
    return parser


def add_thresholds(parser: argparse.ArgumentParser) -> None:
    """The flag of steps that give verdicts."""
    parser.add_argument("--thresholds", type=Path, nargs="*", default=[], help="files with numbers for quantiles")


def add_duplicates(parser: argparse.ArgumentParser) -> None:
    """The flag of steps that leave out duplicates and clips beyond a limit."""
    parser.add_argument("--duplicates", type=Path, nargs="*", default=[], help="table of duplicates, if the run has it")


def with_numbers(settings: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """`settings`, with numbers in place of the quantiles in its `filters`."""
    resolved = read_resolved(args.thresholds)
    return {**settings, "filters": with_resolved_quantiles(settings["filters"], resolved)}


def runtime_settings(step: str) -> dict[str, Any]:
    """Settings of a step's backend that change no result. An environment variable holds them: they re-run nothing."""
    return json.loads(os.environ.get("CLIPMILL_RUNTIME_SETTINGS", "{}")).get(step, {})


def local_files(outdir: Path, shard: str, failed: Mapping[str, ItemError] | None = None) -> LocalFiles:
    """The files of a shard's videos on this machine. The section `fetch` is in the environment: it re-runs nothing.

    `failed`: as in LocalFiles.
    """
    return LocalFiles.of_shard(outdir, shard, FetchSettings(**json.loads(os.environ["CLIPMILL_FETCH"])), failed)


@contextlib.contextmanager
def naming(step: str, settings: dict[str, Any]) -> Iterator[None]:
    """Inside, a SetupError names the step and its backend."""
    try:
        yield
    except SetupError as error:
        raise SetupError(f"{step}, backend {settings['backend']}: {error}") from error


@contextlib.contextmanager
def backend_on_device(
    step: str, settings: dict[str, Any], gpus: int, threads: int, batch: int = 0, compiled: bool = True
) -> Iterator[Any]:
    """Yield the backend of a step, on `gpus` GPUs that no other job uses meanwhile (0: the CPU), and `threads` cores.

    `batch`: units in a batch; 0 is the backend's own choice. `compiled`: whether it is compiled if the config says so,
    which takes minutes. Yields None for a backend without work.
    """
    backends.check_package(step, settings["backend"])
    with leases.lease(gpus):
        with starting():
            backend = backends.load(step, settings, runtime_settings(step))
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(threads)
        if batch and backend is not None:
            getattr(backend, "chat", backend).batch = batch
        if hasattr(backend, "threads"):
            backend.threads = threads
        if compiled and os.environ.get("CLIPMILL_COMPILE") == "1" and hasattr(backend, "compile"):
            backend.compile = True
        yield backend


def read_scores(paths: list[Path]) -> dict[str, list[dict[str, Any]]]:
    """Rows of score tables, by the metric that their folder is named after."""
    return {path.parent.name: score_table(path.parent.name).rows(path) for path in paths}


@contextlib.contextmanager
def measured(outdir: Path, step: str, job: str, threads: int = 1) -> Iterator[None]:
    """Write what the work inside took, as the benchmark of a job that holds `threads` cores; nothing if it fails.

    The first step of a process also counts everything before: the start of Python, and imports.
    """
    global _measured
    before = _measured
    begin = Usage.now()
    if before is None:
        before = Usage(0.0, 0.0, 0.0, begin.start - begin.wall, begin.continued)
    yield
    _measured = after = Usage.now()
    job_took = benchmarks.Benchmark(
        after.wall - before.wall,
        after.processor - before.processor,
        after.start - before.start,
        threads,
        after.memory,
        after.continued == before.continued,
    )
    benchmarks.write(Paths(outdir).benchmark(step, job), job_took)


_measured: Usage | None = None  # what the steps before took, which this process did too


class _Stopped(SystemExit):
    """The scheduler or an operator wants this job to end. A SystemExit, since asyncio swallows other exceptions."""


def _stop(*_: object) -> None:
    """End through all `with` and `finally` blocks, which write finished results to the journals."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second signal must not interrupt these blocks
    raise _Stopped


def run_step(main: Callable[[], None]) -> None:
    """Run a step's `main`. Errors of the set-up end it with one line on stderr and status 1, bugs with a traceback."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    table.spare_pandas()
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
        for fault in str(error).splitlines():
            log.error("%s", fault)
        sys.exit(1)
    except OSError as error:
        line = explain_os_error(error)
        if line is None:
            raise
        log.error("%s", line)
        sys.exit(1)
