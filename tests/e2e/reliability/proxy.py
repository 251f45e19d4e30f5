"""A small TCP proxy that can cut a connection at the worst moment: the server has been told to commit, and its answer
never comes."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time

# The word as either database's protocol carries it: the text of a query of its own.
_COMMIT = re.compile(rb"(?:^|[\x00-\x1f])commit(?:$|\x00)", re.IGNORECASE)


class Proxy:
    """Forwards to `port`. The n-th COMMIT (counting from 1) that passes for each n in `cut` loses its connection:
    before the server has seen it when `delivered` is false, else after."""

    def __init__(self, port: int, *, cut: set[int], delivered: bool = True) -> None:
        self._target = port
        self._cut = cut
        self._delivered = delivered
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.commits = 0
        self.losses = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # A thread that waits in accept is not woken by close alone.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                for one, other, watched in ((near, far, True), (far, near, False)):
                    threading.Thread(target=self._forward, args=(one, other, watched), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, watched: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if watched and self._is_to_be_lost(data):
                    if self._delivered:
                        sink.sendall(data)
                        # Long enough for the server to have committed; its answer has nowhere to go.
                        source.shutdown(socket.SHUT_RDWR)
                        time.sleep(0.1)
                    break
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _is_to_be_lost(self, data: bytes) -> bool:
        if len(data) > 200 or not _COMMIT.search(data):
            return False
        with self._lock:
            self.commits += 1
            if self.commits not in self._cut:
                return False
            self.losses += 1
            return True


@contextlib.contextmanager
def proxied(port, **how):
    proxy = Proxy(port, **how)
    try:
        yield proxy
    finally:
        proxy.close()
