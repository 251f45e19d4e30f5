"""A web server for the tests of sources: a function answers each call, and what was asked is kept."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit


class Asked(NamedTuple):
    """One call; of a parameter that came several times `query` has the last value."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Reply(NamedTuple):
    """`body` is JSON unless it is bytes. `cut`: the connection ends after so many bytes of it."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed
    cut: int | None = None


class Api:
    """`answer` may be replaced at any time; what it returns is a Reply (`api.reply`), or the body of one."""

    reply = Reply

    def __init__(self, port: int, scheme: str = "http") -> None:
        self.url = f"{scheme}://127.0.0.1:{port}"
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Any] = lambda _asked: []

    def paths(self) -> list[str]:
        return [one.path for one in self.asked]

    @staticmethod
    def over_tls(context: ssl.SSLContext) -> AbstractContextManager[Api]:
        """Another one, that speaks TLS."""
        return serving(context)


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Api]:
    """With a context, over TLS."""
    server = _Server(("127.0.0.1", 0), _Answering)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.api = api = Api(server.server_port, "http" if context is None else "https")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    api: Api

    def handle_error(self, *_: object) -> None:
        """Whoever asked went away."""


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement of its headers

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        asked = Asked(self.command, parts.path, query, headers, body)
        assert isinstance(self.server, _Server)
        api = self.server.api
        api.asked.append(asked)
        found = api.answer(asked)
        reply = found if isinstance(found, Reply) else Reply(found)
        content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in {"content-type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content if reply.cut is None else content[: reply.cut])
        self.close_connection = self.close_connection or reply.cut is not None

    do_POST = do_HEAD = do_GET  # noqa: N815 - as the standard library calls it

    def log_message(self, *_: object) -> None:
        pass
