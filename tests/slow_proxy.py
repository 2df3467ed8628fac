"""A way to a server on the loopback that lets only so many bytes per second through, all connections together."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

PIECE = 1 << 14  # bytes that go through at once


class SlowProxy:
    """`rate`: bytes per second from the server, None for as many as there are. `sent`: bytes from it so far.

    `most`: bytes from the server after which all connections stand still, until it is raised.
    """

    def __init__(self, url: str, rate: float | None):
        target = urlsplit(url)
        self._target = (target.hostname, target.port)
        self.rate, self.sent, self._free_at = rate, 0, 0.0
        self.most = math.inf
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for one, other, slow in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._pump, args=(one, other, slow), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, slow: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE):
                if slow:
                    self._wait(len(piece))
                target.sendall(piece)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _wait(self, count: int) -> None:
        while self.sent > self.most:
            time.sleep(0.01)
        with self._lock:
            self.sent += count
            if self.rate is None:
                return
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + count / self.rate
            pause = self._free_at - now
        if pause > 0.002:
            time.sleep(pause)

    def close(self) -> None:
        self._listener.close()


@contextmanager
def slow_proxy(url: str, rate: float | None) -> Iterator[SlowProxy]:
    proxy = SlowProxy(url, rate)
    try:
        yield proxy
    finally:
        proxy.close()
