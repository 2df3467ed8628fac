"""Work on items in other processes, where a crash costs only the item that caused it, and in threads, which wait."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from clipmill.base.errors import ItemError, SetupError, item_error
from clipmill.base.processes import die_with

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_processes(
    items: Iterable[Item], function: Callable[[Item], Result], workers: int
) -> Iterator[tuple[Item, Result | ItemError]]:
    """Call `function(item)` for each item in one of `workers` processes; a process that crashes is replaced.

    An item is taken when a process is free for it, so `items` may be an iterator that waits for them.
    Yields (item, result) as they finish; the result is an ItemError where the item failed, for whatever reason, or its
    process crashed. Exceptions that concern all items are raised here: see `item_error`. The children die with this
    process.
    """
    todo = iter(items)
    running: dict[Connection, tuple[Item, BaseProcess]] = {}

    def send(item: Item, pipe: Connection, process: BaseProcess) -> None:
        running[pipe] = item, process
        with contextlib.suppress(OSError):  # the process died meanwhile: reading from its pipe will show that
            pipe.send(item)

    def give(pipe: Connection, process: BaseProcess) -> None:
        """Give a process the next item; end the process if there is none."""
        for item in todo:
            send(item, pipe, process)
            return
        pipe.close()
        process.join()

    try:
        for item in islice(todo, workers):
            send(item, *_start(function, list(running)))
        while running:
            for pipe in wait(list(running)):
                assert isinstance(pipe, Connection)  # one of `running`
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


def map_in_threads(
    items: Iterable[Item], function: Callable[[Item], Result], threads: int
) -> Iterator[tuple[Item, Result | ItemError]]:
    """Call `function(item)` for each item in one of `threads` threads: for work that waits for servers.

    An item is taken when a thread is free for it, and no more than `threads` of them are ahead of the reader.
    Yields (item, result) as they finish; the result is an ItemError where the item failed, for whatever reason.
    Exceptions that concern all items are raised here: see `item_error`.
    """
    todo = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        running: dict[Future[Result], Item] = {}

        def start(most: int) -> None:
            running.update({pool.submit(function, item): item for item in islice(todo, most)})

        try:
            start(threads)
            while running:
                for future in wait_for(running, return_when=FIRST_COMPLETED).done:
                    item, result = running.pop(future), _result_of(future)
                    start(1)
                    yield item, result
        finally:
            pool.shutdown(cancel_futures=True)


def _result_of(future: Future[Result]) -> Result | ItemError:
    error = future.exception()
    if error is None:
        return future.result()
    if (found := item_error(error)) is None:
        raise error
    return found


def in_another_process(function: Callable[[], Iterator[Result]]) -> Iterator[Result]:
    """What `function()` yields, each made in another process when it is asked for; errors are raised here.

    The process is a fork, so that the threads and connections which `function` needs are in no process that forks.
    """
    steps = map_in_processes(iter(int, 1), _stepping(function), 1)
    for _, result in steps:
        if isinstance(result, ItemError):
            raise result
        if result is None:
            return
        yield result[0]


def _stepping(function: Callable[[], Iterator[Result]]) -> Callable[[int], tuple[Result] | None]:
    """A function that returns the next value of `function()` at each call, in a tuple; None when there is no more."""
    iterator: Iterator[Result] | None = None

    def step(_: int) -> tuple[Result] | None:
        nonlocal iterator
        if iterator is None:
            iterator = function()
        return next(((value,) for value in iterator), None)

    return step


def _start(function: Callable[[Any], Any], others: list[Connection]) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(function, theirs, [ours, *others], os.getpid()))
    process.start()
    theirs.close()
    return ours, process


def _work(function: Callable[[Any], Any], pipe: Connection, foreign: list[Connection], parent: int) -> None:
    """The loop of a worker process. `foreign`: ends of other pipes that it inherited by the fork, to be closed."""
    die_with(parent)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's handler would make the signal an error of the item
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
            pipe.send((False, (item_error(error) or error, trace)))
        except Exception:  # an exception that cannot be pickled
            pipe.send((False, (RuntimeError(str(error)), trace)))


def tune_for_pictures() -> None:
    """Prepare this process for work on many pictures.

    The garbage collector no longer searches the imported modules. Memory of freed pictures is kept for the next ones:
    by default glibc gives it back to the system each time, and getting it again costs more than some of the work on a
    picture.
    """
    gc.freeze()
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # not glibc
        return
    mallopt(_M_MMAP_THRESHOLD, 32 << 20)
    mallopt(_M_TRIM_THRESHOLD, 256 << 20)


def _outcome(pipe: Connection, process: BaseProcess) -> Any:
    try:
        fine, value = pipe.recv()
    except (EOFError, OSError):  # it died before, or while, it sent the result
        process.join()
        assert process.exitcode is not None  # since it has ended
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
