"""The two kinds of errors: a bad item costs only itself, a bad set-up stops the job.

An `ItemError` becomes a row in the errors table; a `SetupError` ends the program with one line.
"""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("clipmill")

MIN_ITEMS_FOR_RATE = 20
_ADDRESS = re.compile(r" (?:@|at) 0x[0-9a-f]{6,}\b", re.IGNORECASE)


class ItemError(Exception):
    """One video or clip cannot be used. `kind` is a short fixed word, the message says what to do.

    `lasting` is False if a second try may succeed (the file vanished, or changed while it was read): then the journal
    does not remember the failure.
    """

    def __init__(self, kind: str, message: str, lasting: bool = True):
        super().__init__(without_addresses(message))
        self.kind = kind
        self.lasting = lasting

    def __reduce__(self) -> tuple[type[ItemError], tuple[str, str, bool]]:
        return (ItemError, (self.kind, str(self), self.lasting))


class SetupError(Exception):
    """The run cannot go on: the message names the file or key and what to do."""


def check_error_rate(bad: int, seen: int, max_rate: float, what: str) -> None:
    """Raise SetupError if more than the share `max_rate` of the items failed. `what` names the items.

    The share of a few items says little, so it is checked from MIN_ITEMS_FOR_RATE items on.
    """
    if seen >= MIN_ITEMS_FOR_RATE and bad > max_rate * seen:
        raise SetupError(
            f"{bad} of {seen} {what} failed, more than max_error_rate {max_rate} allows; the log "
            "says why. Repair the cause, or raise max_error_rate in the config."
        )


def without_addresses(text: str) -> str:
    """`text` without addresses in memory, as in FFmpeg's `[mov @ 0x55d0c8]`: they differ from run to run."""
    return _ADDRESS.sub("", text)


def in_line(error: BaseException, most: int = 200) -> str:
    """The message of an error of another library, in one line of at most `most` characters, without addresses."""
    return " ".join(without_addresses(f"{type(error).__name__}: {error}").split())[:most]


def item_error(error: BaseException) -> ItemError | None:
    """The ItemError that stands for any `error` in the work on one item: an unforeseen one costs that item alone.

    None if other items would meet it too: a SetupError, a package that is missing, a full disk and what else
    `explain_os_error` knows, a lack of memory, and the end of the program. Other errors of the operating system may be
    gone at the next try. The log gets the traceback of an unforeseen error.
    """
    if isinstance(error, ItemError):
        return error
    if not isinstance(error, Exception) or isinstance(error, SetupError | MemoryError | ImportError):
        return None
    if isinstance(error, OSError) and explain_os_error(error):
        return None
    log.error("an unforeseen error:", exc_info=error)
    message = f"an unforeseen error ({in_line(error)}); the log shows where: report it, or leave this item out"
    return ItemError("failed", message, lasting=not isinstance(error, OSError))


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Errors that pass through name `what` was worked on."""
    try:
        yield
    except Exception as error:
        error.add_note(what)
        raise


def explain_os_error(error: OSError) -> str | None:
    """One line for an error of the operating system that a user can repair; None if a bug may have caused it."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"no space left on the disk{where}; free some space and run the same command again"
    if error.errno == errno.EDQUOT:
        return f"the disk quota is used up{where}; free some space and run the same command again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"no permission to write or read{where}: {error.strerror}; check the owner and mode of the folder"
    if error.errno == errno.EMFILE:
        return "too many open files; raise the limit with `ulimit -n 4096` and run again"
    return None
