"""Items worked on in other processes: a crash in a decoder costs the item that caused it, nothing else."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

from clipmill.base.errors import ItemError, SetupError
from clipmill.base.processes import die_with

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h


def map_in_processes(items: list[Any], function: Callable[[Any], Any], workers: int) -> Iterator[tuple[Any, Any]]:
    """Call `function(item)` for each item in one of `workers` processes; one that crashes is replaced.

    Yields (item, result) as they finish; the result is an ItemError where the item failed or its process crashed.
    Any other exception is raised here. The children die with this process.
    """
    todo = iter(items)
    running: dict[Connection, tuple[Any, multiprocessing.Process]] = {}

    def give(pipe: Connection, process: multiprocessing.Process) -> None:
        """The next item, or the end of the work."""
        for item in todo:
            running[pipe] = item, process
            with contextlib.suppress(OSError):  # it has died meanwhile: reading from it will tell
                pipe.send(item)
            return
        pipe.close()
        process.join()

    try:
        for _ in range(min(workers, len(items))):
            give(*_start(function, list(running)))
        while running:
            for pipe in wait(list(running)):
                item, process = running[pipe]
                result = _outcome(pipe, process)
                del running[pipe]
                if process.exitcode is None:
                    give(pipe, process)
                else:
                    pipe.close()
                    give(*_start(function, list(running)))
                yield item, result
    finally:
        for _, process in running.values():
            process.kill()
            process.join()


def _start(function: Callable[[Any], Any], others: list[Connection]) -> tuple[Connection, multiprocessing.Process]:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(function, theirs, [ours, *others], os.getpid()))
    process.start()
    theirs.close()
    return ours, process


def _work(function: Callable[[Any], Any], pipe: Connection, foreign: list[Connection], parent: int) -> None:
    """A worker's life. `foreign` are ends of pipes that it took over and that are not its own."""
    die_with(parent)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's handler would take it for an item's error
    for other in foreign:
        other.close()
    tune_for_pictures()
    while True:
        try:
            item = pipe.recv()
        except EOFError:
            return
        _answer(pipe, function, item)


def _answer(pipe: Connection, function: Callable[[Any], Any], item: Any) -> None:
    try:
        pipe.send((True, function(item)))
    except BaseException as error:
        trace = traceback.format_exc()
        try:
            pipe.send((False, (error, trace)))
        except Exception:  # an exception that cannot be pickled
            pipe.send((False, (RuntimeError(str(error)), trace)))


def tune_for_pictures() -> None:
    """Make this process fit for much work on pictures.

    What was imported is not searched for garbage again and again, and memory of freed pictures is kept for the next
    ones: by default glibc gives each back to the system, and its return costs more than some of the work on it.
    """
    gc.freeze()
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # not glibc
        return
    mallopt(_M_MMAP_THRESHOLD, 32 << 20)
    mallopt(_M_TRIM_THRESHOLD, 256 << 20)


def _outcome(pipe: Connection, process: multiprocessing.Process) -> Any:
    try:
        fine, value = pipe.recv()
    except (EOFError, OSError):  # it died before, or while, it sent the result
        process.join()
        return _crashed(process.exitcode)
    if fine:
        return value
    error, trace = value
    if isinstance(error, ItemError):
        return error
    error.add_note(trace)
    raise error


def _crashed(exit_code: int) -> ItemError:
    if exit_code == -signal.SIGKILL:
        raise SetupError(
            "a worker process was killed, most likely because the memory ran out; "
            "give the job more memory (resources.<step>.mem_mb) or fewer threads, and run again"
        )
    name = signal.Signals(-exit_code).name if exit_code < 0 else f"exit code {exit_code}"
    return ItemError("crashed", f"the decoder crashed on this file ({name}); repair or remove it")
