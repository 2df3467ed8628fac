"""One process an item, some at a time: a crash in a decoder costs the item that caused it, nothing else."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

from clipmill.errors import ItemError, SetupError

_PR_SET_PDEATHSIG = 1


def each(items: list[Any], function: Callable[[Any], Any], workers: int) -> Iterator[tuple[Any, Any]]:
    """Call `function(item)` in a process of its own for each item, `workers` at a time.

    Yields (item, result) as they finish; the result is an ItemError where the item failed or its process crashed.
    Any other exception is raised here. The children die with this process.
    """
    context = multiprocessing.get_context("fork")
    todo = iter(items)
    running: dict[Connection, tuple[Any, multiprocessing.Process]] = {}

    def start() -> bool:
        try:
            item = next(todo)
        except StopIteration:
            return False
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(function, item, theirs, os.getpid()))
        process.start()
        theirs.close()
        running[ours] = (item, process)
        return True

    try:
        while len(running) < workers and start():
            pass
        while running:
            for pipe in wait(list(running)):
                item, process = running.pop(pipe)
                result = _outcome(pipe, process)
                start()
                yield item, result
    finally:
        for _, process in running.values():
            process.kill()
            process.join()


def _child(function: Callable[[Any], Any], item: Any, pipe: Connection, parent: int) -> None:
    _die_with(parent)
    try:
        pipe.send((True, function(item)))
    except BaseException as error:
        trace = traceback.format_exc()
        try:
            pipe.send((False, (error, trace)))
        except Exception:  # an exception that cannot be pickled
            pipe.send((False, (RuntimeError(str(error)), trace)))


def _outcome(pipe: Connection, process: multiprocessing.Process) -> Any:
    try:
        fine, value = pipe.recv()
    except (EOFError, OSError):  # it died before, or while, it sent the result
        process.join()
        return _crashed(process.exitcode)
    finally:
        pipe.close()
    process.join()
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


def _die_with(parent: int) -> None:
    """Ask Linux to kill this process when the parent dies; elsewhere children end when their pipe breaks."""
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (AttributeError, OSError):
        return
    if os.getppid() != parent:
        os._exit(1)
