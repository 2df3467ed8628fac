"""Snakemake started from a process that has imported it already: a fork of it saves two thirds of the time of a start.

What runs is `python -m snakemake` with the same arguments, environment, working directory and output. Nothing of
clipmill is imported before the fork, and Snakemake has done nothing but look for its plugins. The tools of its jobs are
forks too: see `warm_jobs`. Starts that a test interrupts, shows on a terminal or gives variables of its own are real
ones, with real jobs.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, TextIO

import warm_jobs

PATIENCE = 600  # seconds
OWN = "PYTEST_CURRENT_TEST"  # pytest sets it anew for each test


class Server:
    """The process that forks. It ends when its input does."""

    def __init__(self) -> None:
        self.environment = environment()
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
        )
        atexit.register(self.process.communicate)

    def run(self, arguments: list[str], cwd: Path) -> tuple[int, str]:
        """The exit code of Snakemake, and what it printed."""
        assert self.process.stdin and self.process.stdout
        with tempfile.NamedTemporaryFile() as output:
            print(json.dumps([arguments, str(cwd), output.name]), file=self.process.stdin, flush=True)
            code = int(self.process.stdout.readline())
            return code, output.read().decode("utf-8")


@cache
def server() -> Server:
    return Server()


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != OWN}


def can_start(options: dict[str, Any]) -> bool:
    """Whether a call asks for nothing that needs a Python of its own, such as variables that are read at its start."""
    return not options and server().environment == environment()


def serve(calls: TextIO) -> None:
    """Fork for each of the `calls`, and print the exit code of the child."""
    for call in calls:
        if not (child := os.fork()):
            become_snakemake(*json.loads(call))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def become_snakemake(arguments: list[str], cwd: str, output: str) -> None:
    """Do what `python -m snakemake` does. A run that takes longer than PATIENCE hangs, and is killed."""
    signal.alarm(PATIENCE)
    os.chdir(cwd)
    sys.path[0] = cwd
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, output, os.O_WRONLY | os.O_APPEND)):
        opened = os.open(path, flags)
        os.dup2(opened, number)
        os.close(opened)
    os.dup2(1, 2)
    sys.argv[1:] = arguments
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    tools = warm_jobs.start()  # meanwhile
    import jsonschema  # noqa: F401
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401
    import smart_open  # noqa: F401
    import snakemake.cli
    import snakemake.report.html_reporter
    import yte  # noqa: F401

    snakemake.cli.get_argument_parser()  # imports the plugins, and remembers them
    os.environ |= tools
    serve(sys.stdin)
