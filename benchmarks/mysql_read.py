"""A read of MariaDB into Arrow beside its limit, the server's own client that throws its rows away, and connectorx.

    python benchmarks/mysql_read.py [--rows 1000000] [--rounds 3]

Rows as in `mysql_load.py`: 12 columns, a bigint primary key, times, texts of low and high cardinality, doubles and a
decimal. The ways alternate; medians of the wall clock and of CPU seconds, those of the server apart, are printed, for
on shared cores the wall clock shows the neighbours. connectorx is measured where it is installed; it opens sessions of
its own, so it can show no moment of several tables, and it makes `decimal(12,2)` a `decimal(38,10)`.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pymysql
from mysql_load import BATCH, events, forget, load, run, server

from headwater.connect.contract import ReadRequest, Rows
from headwater.connect.sources import mysql

USER, PASSWORD = "reader", "reader-canary-31"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    batches = [events(start, min(BATCH, options.rows - start)) for start in range(0, options.rows, BATCH)]
    columns = ", ".join(batches[0].schema.names)
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with server(folder, takes_files=True) as address:
            forget(address)
            load(address, folder, batches)
            run(address, f"create user {USER} identified by '{PASSWORD}'", f"grant select on *.* to {USER}")
            run(address, "drop user if exists ''@'localhost'")
            ((port, pid),) = _asked(address, "select @@port, @@pid_file")
            ways = {
                "limit: mariadb --batch > /dev/null": lambda: client(address, columns),
                "headwater": lambda: arrow(port, folder),
            }
            if _has_connectorx():
                ways["connectorx"] = lambda: connectorx(port, columns)
            report(ways, options.rounds, int(Path(pid).read_text()))
    return 0


def client(address: Path, columns: str) -> None:
    query = f"select {columns} from bench.events"
    words = ["mariadb", "--no-defaults", "-uroot", f"--socket={address}", "--batch", "--quick", "-e", query]
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True)


def arrow(port: int, folder: Path) -> None:
    settings = mysql.Settings(host="127.0.0.1", port=port, user=USER, password=PASSWORD, database="bench")
    catalog = mysql.discover(settings)
    (stream,) = [one for one in catalog.streams if one.table_name == "events"]
    stream.metadata = [mark for mark in stream.metadata if mark.breadcrumb[-1:] != ["__loaded_at"]]
    stream.schema["properties"].pop("__loaded_at")
    catalog.streams[:] = [stream]
    request = ReadRequest(catalog=catalog, state=None, folder=folder / "read")
    assert sum(one.batch.num_rows for one in mysql.read(settings, request) if isinstance(one, Rows))


def connectorx(port: int, columns: str) -> None:
    import connectorx as cx

    url = f"mysql://{USER}:{PASSWORD}@127.0.0.1:{port}/bench"
    assert cx.read_sql(url, f"select {columns} from events", return_type="arrow").num_rows


def report(ways: dict[str, Callable[[], None]], rounds: int, pid: int) -> None:
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            before = (time.perf_counter(), _own_seconds(), _seconds(pid))
            way()
            after = (time.perf_counter(), _own_seconds(), _seconds(pid))
            found[name].append(tuple(end - start for start, end in zip(before, after, strict=True)))
    print("seconds of                                 wall clock   CPU here   CPU of the server")
    for name, figures in found.items():
        wall, own, theirs = (statistics.median(column) for column in zip(*figures, strict=True))
        print(f"{name:42} {wall:10.2f} {own:10.2f} {theirs:19.2f}")


def _own_seconds() -> float:
    of = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in of)


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _has_connectorx() -> bool:
    import importlib.util

    return importlib.util.find_spec("connectorx") is not None


def _asked(address: Path, query: str) -> list[tuple]:
    with (
        pymysql.connect(unix_socket=str(address), user="root", charset="utf8mb4") as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(query)
        return list(cursor.fetchall())


if __name__ == "__main__":
    raise SystemExit(main())
