"""What a person sees of a run: bars or lines of progress, one sentence per failed job, and the summary last.

Snakemake logs each event of a run to its logger. In the main process `take_over` puts a handler of ours in the place of
the one that writes to the terminal. All other handlers stay: Snakemake's log file and those of logger plugins. The
handler knows Snakemake's records by the names of their fields and imports nothing of it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection
from types import TracebackType

from clipmill.terminal.handler import Terminal
from clipmill.terminal.screen import is_terminal, on_stream
from clipmill.terminal.short import ShortLists

__all__ = ["Terminal", "is_terminal", "shorten_lists", "take_over"]

SNAKEMAKES = "DefaultStreamHandler"  # the name of the handler that Snakemake writes to the terminal with


def take_over(logger: logging.Logger, silent: Collection[str], speaking: Collection[str]) -> Terminal | None:
    """Show the run instead of Snakemake. None if a logger plugin writes to the terminal.

    `silent`: rules without a job of their own, which are not shown. `speaking`: rules whose jobs write to the terminal
    themselves.
    """
    original = _find(logger)
    if original is None:
        return None
    screen = on_stream(original.stream, color=not getattr(original, "nocolor", False))
    terminal = Terminal(original, screen, silent, speaking)
    logger.removeHandler(original)
    logger.addHandler(terminal)
    _explain_interrupts(terminal)
    return terminal


def shorten_lists(logger: logging.Logger) -> None:
    """Leave the format to Snakemake, but cut its long lists of files."""
    original = _find(logger)
    if original is not None and original.formatter is not None:
        original.setFormatter(ShortLists(original.formatter))


def _find(logger: logging.Logger) -> logging.StreamHandler | None:
    found = (one for one in logger.handlers if one.name == SNAKEMAKES and isinstance(one, logging.StreamHandler))
    return next(found, None)


def _explain_interrupts(terminal: Terminal) -> None:
    """Snakemake catches Ctrl-C only while it schedules jobs. Before that, Python would print a traceback."""
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            terminal.interrupted()
        else:
            before(kind, error, trace)

    sys.excepthook = hook
