"""Where the output goes: to a terminal with bars at its end, or line by line to anything else."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Any, TextIO

from clipmill.base.human import duration
from clipmill.terminal.state import Jobs

BAR = 24  # columns
MOST_DETAILS = 4  # lines of running jobs below the bars
STYLES = {"error": "bold red", "warning": "yellow", "": ""}


class Lines:
    """One line after another. Progress is a line now and then, with the time in front of it."""

    bars = False
    seconds_between_looks = 10.0  # at the logs of running jobs

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str, style: str = "") -> None:
        """Write text as it is."""
        self.stream.write(f"{text}\n")
        self.stream.flush()

    def note(self, text: str) -> None:
        """Write a line about the progress of the run."""
        self.write(f"{time.strftime('%H:%M:%S')} {text}")

    def show(self, jobs: Jobs, now: float, begun: float) -> None:
        """Show how far the jobs are, where there are bars."""

    def hide(self) -> None:
        """Take the bars away. What is written to the terminal after this, by anybody, stands where it should."""


class Bars(Lines):
    """Bars at the end of a terminal. Lines are written above them."""

    bars = True
    seconds_between_looks = 2.0

    def __init__(self, stream: TextIO, color: bool = True):
        from rich.console import Console

        super().__init__(stream)
        self._console = Console(file=stream, force_terminal=True, no_color=not color or None, highlight=False)
        # A run that is killed must not leave a terminal without a cursor.
        self._console.show_cursor = lambda show=True: False  # type: ignore[method-assign]
        self._live: Any = None

    def write(self, text: str, style: str = "") -> None:
        if self._live is None and not style:
            super().write(text)
        else:
            self._console.print(text, style=STYLES[style], markup=False, emoji=False, soft_wrap=True)

    def note(self, text: str) -> None:
        self.write(text)

    def show(self, jobs: Jobs, now: float, begun: float) -> None:
        from rich.live import Live

        if self._live is None:
            self._live = Live(
                console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
        self._live.update(_picture(jobs, now, begun), refresh=True)

    def hide(self) -> None:
        if self._live is not None:
            live, self._live = self._live, None
            live.stop()


def is_terminal(stream: TextIO) -> bool:
    """Whether a stream ends in a terminal that knows escape sequences."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def on_stream(stream: TextIO, color: bool = True) -> Lines:
    """Bars on a terminal, if `rich` is there to draw them; lines on everything else."""
    if is_terminal(stream):
        try:
            return Bars(stream, color)
        except ImportError:
            pass
    return Lines(stream)


def _picture(jobs: Jobs, now: float, begun: float) -> Any:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(width=BAR)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    under_way = jobs.under_way
    for rule in under_way:
        bar = ProgressBar(total=1.0, completed=rule.share, width=BAR, complete_style="cyan")
        table.add_row(Text(rule.name), bar, Text(rule.counts()), Text(rule.left(now), style="cyan"))
    if len(jobs.rules) > 1:
        whole = ProgressBar(total=max(jobs.total, 1), completed=jobs.done, width=BAR, complete_style="green")
        count = Text(f"{jobs.done:,} of {jobs.total:,}")
        table.add_row(Text("all jobs", style="bold"), whole, count, Text(f"after {duration(now - begun)}", style="dim"))
    details: Iterable[str] = (f"  {rule.name} {detail}" for rule in under_way for detail in rule.details())
    lines = [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in details]
    return Group(table, *lines[:MOST_DETAILS])
