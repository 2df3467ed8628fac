"""What can go wrong with a file elsewhere: an ItemError that also says whether a further try may help."""

from __future__ import annotations

import re

from clipmill.base.errors import ItemError

NOT_FOUND, FORBIDDEN, CHANGED, NOT_ALLOWED = "not_found", "forbidden", "changed", "not_allowed"
TIMED_OUT, UNREACHABLE, FAILED = "timed_out", "unreachable", "failed"

_QUERY = re.compile(r"\?[^\s'\"<>),]*=[^\s'\"<>),:]*")
_BUSY = {408, 425, 429, 500, 502, 503, 504}


class RemoteError(ItemError):
    """A file elsewhere cannot be listed, read or written.

    `again`: whether the same request may succeed in a moment; then it may do so at the next start too, so that the
    failure does not last. `wait_seconds`: how long the server asks to wait, 0 if it asks nothing. The message must hold
    no query of an address.
    """

    def __init__(self, kind: str, message: str, again: bool = False, wait_seconds: float = 0.0):
        super().__init__(kind, message, lasting=not again)
        self.again, self.wait_seconds = again, wait_seconds

    def __reduce__(self) -> tuple[type[ItemError], tuple[str, str, bool]]:
        return (ItemError, (self.kind, str(self), self.lasting))


def without_queries(text: str) -> str:
    """A message of another library without the queries of addresses in it, which may hold signatures."""
    return _QUERY.sub("", text)


def of_status(status: int, where: str, wait_seconds: float = 0.0) -> RemoteError:
    """The error for an answer of a server with this status, which is none of success."""
    if status in (401, 403):
        return RemoteError(FORBIDDEN, f"{where}: the server refuses it (status {status}); check your rights and keys")
    if status in (404, 410):
        return RemoteError(NOT_FOUND, f"{where}: there is no such file (status {status}); correct the address")
    if status in (412, 416):
        return RemoteError(CHANGED, f"{where}: it is another file by now (status {status})", again=True)
    if status in _BUSY:
        return RemoteError(FAILED, f"{where}: the server is busy or failing (status {status})", True, wait_seconds)
    return RemoteError(FAILED, f"{where}: the server answers with status {status}")
