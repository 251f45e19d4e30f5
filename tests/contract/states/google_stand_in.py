"""As much of Google Cloud Storage's XML interface as states and sources need: objects, conditions on generations and
tags, listing."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "lake"
BEGIN = 1_767_225_600  # 2026-01-01


def _moment(generation: int) -> str:
    return datetime.fromtimestamp(BEGIN + generation, UTC).isoformat().replace("+00:00", "Z")


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: dict[str, tuple[bytes, int]] = {}  # noqa: RUF012 - one store for all requests
    lock = threading.Lock()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        if bucket != BUCKET:
            return self._answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        if not key:
            return self._list(parse_qs(parts.query).get("prefix", [""])[0])
        found = self.objects.get(key)
        if found is None:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        expected = self.headers["If-Match"]
        if expected is not None and expected != f'"{found[1]}"':
            return self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        data, generation = found
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or ""):
            start, end = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
            part = f"bytes {start}-{end}/{len(data)}"
            return self._answer(206, data[start : end + 1], generation, {"Content-Range": part})
        return self._answer(200, data, generation)

    do_HEAD = do_GET  # noqa: N815 - as the standard library calls it

    def do_PUT(self) -> None:
        key = self._key()
        data = self.rfile.read(int(self.headers["Content-Length"]))
        with self.lock:
            generation = self.objects[key][1] if key in self.objects else 0
            expected = self.headers["x-goog-if-generation-match"]
            if expected is not None and int(expected) != generation:
                return self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            self.objects[key] = (data, generation + 1)
        return self._answer(200, b"", generation + 1)

    def do_DELETE(self) -> None:
        with self.lock:
            known = self.objects.pop(self._key(), None)
        return self._answer(204 if known else 404)

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]

    def _list(self, prefix: str) -> None:
        entry = (
            "<Contents><Key>{}</Key><Size>{}</Size><ETag>&quot;{}&quot;</ETag>"
            "<LastModified>{}</LastModified></Contents>"
        )
        found = [(key, *self.objects[key]) for key in sorted(self.objects) if key.startswith(prefix)]
        entries = "".join(
            entry.format(escape(key), len(data), generation, _moment(generation)) for key, data, generation in found
        )
        self._answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode())

    def _answer(self, status: int, body: bytes = b"", generation: int = 0, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        # A moment for each generation, the one that the listing tells.
        self.send_header("Last-Modified", formatdate(BEGIN + generation, usegmt=True))
        self.send_header("ETag", f'"{generation}"')
        self.send_header("x-goog-generation", str(generation))
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Quiet."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    print(server.server_port, flush=True)  # noqa: T201 - who started it waits for this
    server.serve_forever()
