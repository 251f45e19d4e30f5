"""A stand-in for ClickHouse: chdb, which is its engine, behind HTTP. Prints where it listens,
and ends with its input.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from chdb.session import Session


class Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine: Session
    turn = threading.Lock()

    def do_POST(self) -> None:
        words = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
        body = self.body().decode()
        sql = "\n".join(part for part in (words.get("query"), body) if part)
        form = words.get("default_format") or self.headers.get("X-ClickHouse-Format") or "TabSeparated"
        try:
            with self.turn:
                if database := words.get("database"):
                    self.engine.query(f"use `{database}`")
                found = self.engine.query(sql, form).bytes() or b""
        except Exception as error:  # noqa: BLE001 - whatever the engine says is the answer
            self.answer(500, str(error).encode(), form)
        else:
            self.answer(200, found, form)

    def do_GET(self) -> None:
        self.do_POST()

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def answer(self, status: int, content: bytes, form: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-ClickHouse-Format", form)
        self.send_header("X-ClickHouse-Timezone", "UTC")
        self.send_header("X-ClickHouse-Summary", "{}")
        if status != 200:
            self.send_header("X-ClickHouse-Exception-Code", "1")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_words: object) -> None:
        """Says nothing."""


with tempfile.TemporaryDirectory(prefix="clickhouse-") as folder:
    Door.engine = Session(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    print(json.dumps({"host": "127.0.0.1", "port": server.server_port}), flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve_forever()
