"""A hub on this machine: the standard library's server, a thread for each connection, nothing that can be changed."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from headwater.base.errors import EnvironmentProblemError, HeadwaterError
from headwater.store import hub_pages

_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9a-fA-F:]+\](:\d+)?")
_BELOW = f"/{hub_pages.PLUGINS}/"
_MISSING = b'{"message": "there is no such page"}\n'


class Definitions:
    """The definitions of files and folders, read anew when one of them has changed. What cannot be read then is told
    to `note`, and the former ones stay."""

    def __init__(self, places: Iterable[Path], note: Callable[[str], None]) -> None:
        self._places = tuple(places)
        self._note = note
        self._lock = threading.Lock()
        self._seen = self._signature()
        self._shelf = hub_pages.read(self._places)

    def shelf(self) -> hub_pages.Shelf:
        with self._lock:
            seen = self._signature()
            if seen != self._seen:
                self._seen = seen
                try:
                    self._shelf = hub_pages.read(self._places)
                except HeadwaterError as error:
                    where = f"{error.where}: " if error.where else ""
                    self._note(f"{where}{error.what}: serving what stood there before")
            return self._shelf

    def _signature(self) -> frozenset[tuple[str, int, int]]:
        files = (file for place in self._places for file in [place, *place.rglob("*")] if file.is_file())
        return frozenset((str(file), (stat := file.stat()).st_mtime_ns, stat.st_size) for file in files)


def server(definitions: Definitions, *, host: str, port: int, url: str | None = None) -> ThreadingHTTPServer:
    """A server that is bound and waits for `serve_forever`. Without `url` the addresses in its pages are what the
    asking program called it. Raises EnvironmentProblemError (`cannot-listen`)."""

    class Pages(BaseHTTPRequestHandler):
        server_version = "headwater-hub"
        sys_version = ""
        protocol_version = "HTTP/1.1"
        timeout = 30  # seconds without a request, then the connection ends

        def do_GET(self) -> None:
            self._answer(send_body=True)

        def do_HEAD(self) -> None:
            self._answer(send_body=False)

        def _answer(self, *, send_body: bool) -> None:
            before, _, path = self.path.partition("?")[0].partition(_BELOW)
            found = None if before else hub_pages.page(definitions.shelf(), path, self._url())
            body = _MISSING if found is None else found
            etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            if found is not None and self.headers.get("If-None-Match") == etag:
                status, body = 304, b""
            else:
                status = 404 if found is None else 200
            self.send_response(status)
            if found is not None:
                self.send_header("ETag", etag)
                self.send_header("Cache-Control", "no-cache")
            if status != 304:
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if send_body:
                self.wfile.write(body)

        def _url(self) -> str:
            asked = self.headers.get("Host", "")
            here = f"{host}:{self.connection.getsockname()[1]}"
            return url or f"http://{asked if _HOST.fullmatch(asked) else here}"

        def log_message(self, *_: object) -> None:
            """Nothing is written of a request."""

    try:
        return ThreadingHTTPServer((host, port), Pages)
    except OSError as error:
        raise EnvironmentProblemError(
            "cannot-listen",
            f"cannot listen on `{host}:{port}`: {(error.strerror or str(error)).lower()}",
            hint="choose another port: --port 0 takes a free one",
        ) from error
