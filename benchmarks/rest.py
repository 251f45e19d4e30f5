"""A million records of a REST API, a thousand a page: the REST source beside a bare client loop.

    python benchmarks/rest.py [--records 1000000] [--rounds 3]

The server is a process of its own, on this machine, and has its pages ready. The bare loop asks for page after page
with one kept connection and decodes each with the standard library's `json`; it keeps nothing. Headwater is measured
twice: its source alone, to Arrow batches, and a whole `headwater run` into DuckDB, each as a whole process.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import measure

SIZE = 1000  # records a page
GOAL = 1.5

BARE = """
import json, sys, httpx2
url, seen, page = sys.argv[1], 0, 1
with httpx2.Client() as client:
    while True:
        records = json.loads(client.get(f"{url}/orders", params={"page": page}).content)["data"]
        if not records:
            break
        seen += len(records)
        page += 1
assert seen == int(sys.argv[2]), seen
"""
SOURCE = """
import sys
from pathlib import Path
from headwater.connect.contract import ReadRequest, Rows
from headwater.connect.sources import rest
settings = rest.Settings(source="sources/shop.yml", given={"url": sys.argv[1]})
request = ReadRequest(catalog=rest.discover(settings), state=None, folder=Path())
seen = sum(m.batch.num_rows for m in rest.read(settings, request) if isinstance(m, Rows))
assert seen == int(sys.argv[2]), seen
"""
YAML = """
base_url: "{{ config.url }}"
pagination: {type: page}
streams:
  orders: {path: /orders, records: data, keys: id}
"""
PROJECT = """
plugins:
  extractors:
    - {name: tap-shop, source: sources/shop.yml, config: {url: URL}}
  loaders:
    - {name: target-duckdb, config: {path: out.duckdb}}
"""


def record(number: int) -> dict[str, object]:
    return {
        "id": number,
        "customer": f"customer {number % 50_021}",
        "amount": round(number * 0.37 % 1000, 2),
        "currency": "EUR" if number % 3 else "USD",
        "paid": number % 7 > 0,
        "created_at": f"2025-{number % 12 + 1:02}-{number % 28 + 1:02}T{number % 24:02}:15:00Z",
        "note": None if number % 5 else "please ring twice",
        "address": {"city": "Bonn", "zip": f"{number % 99_999:05}"},
    }


def serve(records: int) -> None:
    """Print the port, then answer until standard input ends."""
    pages = [
        json.dumps({"data": [record(n) for n in range(at, min(at + SIZE, records))]}, separators=(",", ":")).encode()
        for at in range(0, records, SIZE)
    ]
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(server, pages), daemon=True).start()
    sys.stdout.write(f"{server.getsockname()[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()


def _accept(server: socket.socket, pages: list[bytes]) -> None:
    while True:
        connection, _ = server.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_answer, args=(connection, pages), daemon=True).start()


def _answer(connection: socket.socket, pages: list[bytes]) -> None:
    with connection, connection.makefile("rb") as lines:
        while request := lines.readline():
            while lines.readline().strip():
                pass
            page = int(request.split(b"page=")[1].split(b" ")[0].split(b"&")[0])
            body = pages[page - 1] if page <= len(pages) else b'{"data":[]}'
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.records)
        return
    command = [sys.executable, __file__, "--serve", "--records", str(given.records)]
    folder = Path(tempfile.mkdtemp(prefix="headwater-rest-"))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            compare(folder, url, given.records, given.rounds)
        finally:
            assert server.stdin is not None
            server.stdin.close()
            shutil.rmtree(folder)


def compare(folder: Path, url: str, records: int, rounds: int) -> None:
    (folder / "sources").mkdir()
    (folder / "sources" / "shop.yml").write_text(YAML)
    (folder / "headwater.yml").write_text(PROJECT.replace("URL", url))
    arguments = [url, str(records)]
    headwater = str(Path(sys.executable).with_name("headwater"))
    commands = {
        "bare loop": [sys.executable, "-c", BARE, *arguments],
        "source": [sys.executable, "-c", SOURCE, *arguments],
        "run into DuckDB": [headwater, "run", "--full-refresh", "tap-shop", "target-duckdb"],
    }
    same = {"cwd": dict.fromkeys(commands, folder), "env": dict.fromkeys(commands)}
    found = measure.alternating(commands, rounds=rounds, **same)
    bare = found["bare loop"].wall
    print(f"{records:,} records, {SIZE:,} a page, median of {rounds}")
    for name, median in found.items():
        print(f"{name:16} {median.wall:6.2f} s  {median.cpu:6.2f} s of CPU  {median.wall / bare:5.2f} ×")
    if found["source"].wall > GOAL * bare:
        raise SystemExit(f"the source takes more than {GOAL} times as long as the bare loop")


if __name__ == "__main__":
    main()
