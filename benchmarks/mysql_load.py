"""A load into MariaDB beside its limit: the server's own LOAD DATA INFILE of the same rows, already written as a file.

    python benchmarks/mysql_load.py [--rows 1000000] [--rounds 3]

Rows as in `postgres_load.py`: 12 columns, a bigint primary key, times, texts of low and high cardinality, doubles and a
decimal. The server is the system's, started for this, with its defaults (but 1 GiB of buffer pool, for both ways alike)
and a commit that is flushed. Both ways alternate and end with a primary key and a commit; medians and their ratio are
printed. `--way insert` loads as into a server that takes no LOAD DATA LOCAL. Goal: at most 1.3 times the limit.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pymysql
from postgres_load import BATCH, events, report

from headwater.connect.contract import OpenRequest, Rows, Schema
from headwater.connect.destinations import mysql
from headwater.connect.destinations.mysql import text_format
from headwater.connect.destinations.mysql.sql_types import sql_type

COLLATED = "engine = InnoDB character set utf8mb4 collate utf8mb4_nopad_bin"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=["load-data", "insert"], default="load-data")
    options = parser.parse_args()
    batches = [events(start, min(BATCH, options.rows - start)) for start in range(0, options.rows, BATCH)]
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with server(folder, takes_files=options.way == "load-data") as address:
            file = folder / "rows.tsv"
            start = time.perf_counter()
            with file.open("wb") as out:
                for batch in batches:
                    out.write(encoded(batch))
            file.chmod(0o644)
            print(f"{options.rows:,} rows, {file.stat().st_size / 1e6:.0f} MB as text")
            print(f"encoding and writing alone: {time.perf_counter() - start:.2f} s")
            schema = batches[0].schema
            report(
                "into an empty table with a primary key",
                {
                    "limit: LOAD DATA INFILE": lambda: bare_load(address, file, schema),
                    "headwater": lambda: load(address, folder, batches),
                },
                options.rounds,
                before=lambda: forget(address),
            )
            forget(address)
            load(address, folder, batches, keys=())
            report(
                "appended to a table that has rows, no key",
                {
                    "limit: LOAD DATA INFILE": lambda: bare_append(address, file, schema),
                    "headwater": lambda: load(address, folder, batches, keys=()),
                },
                options.rounds,
                before=lambda: None,
            )
            forget(address)
            load(address, folder, batches)
            report(
                "the same rows once more, all updated",
                {
                    "limit: LOAD DATA INFILE into a temporary table, insert on duplicate": lambda: bare_upsert(
                        address, file, schema
                    ),
                    "headwater": lambda: load(address, folder, batches),
                },
                options.rounds,
                before=lambda: None,
            )
    return 0


def encoded(batch: pa.RecordBatch) -> memoryview:
    moment = pa.repeat(pa.scalar(0, pa.timestamp("us", "UTC")), batch.num_rows)
    return text_format.data(text_format.rows([*batch.columns, moment], text_format.LOAD_DATA))


def body(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {sql_type(field)}" for field in schema) + ", __loaded_at datetime(6) not null"


def bare_load(address: Path, file: Path, schema: pa.Schema) -> None:
    run(
        address,
        f"create table bench.bare ({body(schema)}, primary key (id)) {COLLATED}",
        "start transaction",
        f"load data infile '{file}' into table bench.bare {text_format.LOAD_DATA_CLAUSE}",
        "commit",
    )


def bare_append(address: Path, file: Path, schema: pa.Schema) -> None:
    run(
        address,
        f"create table if not exists bench.bare ({body(schema)}) {COLLATED}",
        "start transaction",
        f"load data infile '{file}' into table bench.bare {text_format.LOAD_DATA_CLAUSE}",
        "commit",
    )


def bare_upsert(address: Path, file: Path, schema: pa.Schema) -> None:
    settings = ", ".join(f"{name} = i.{name}" for name in [*schema.names, "__loaded_at"] if name != "id")
    run(
        address,
        f"create temporary table bench.incoming ({body(schema)}) {COLLATED}",
        "start transaction",
        f"load data infile '{file}' into table bench.incoming {text_format.LOAD_DATA_CLAUSE}",
        f"insert into bench.events select * from bench.incoming i on duplicate key update {settings}",
        "commit",
    )


def load(address: Path, folder: Path, batches: list[pa.RecordBatch], keys: tuple[str, ...] = ("id",)) -> None:
    request = OpenRequest(
        pipeline="bench",
        run_id=str(time.monotonic_ns()),
        source="bench",
        folder=folder / "scratch",
        memory_bytes=2 << 30,
    )
    session = mysql.open(mysql.Settings(unix_socket=str(address), user="root", database="bench"), request)
    try:
        session.prepare(Schema(stream="events", columns=batches[0].schema, keys=keys))
        for batch in batches:
            session.stage(Rows(stream="events", batch=batch))
        session.commit(str(time.monotonic_ns()).encode(), final=True)
    finally:
        session.close()


def forget(address: Path) -> None:
    run(address, "drop database if exists bench", f"create database bench {COLLATED.removeprefix('engine = InnoDB ')}")
    time.sleep(1)  # the server drops the pages in the background


def run(address: Path, *statements: str) -> None:
    with (
        pymysql.connect(unix_socket=str(address), user="root", charset="utf8mb4") as connection,
        connection.cursor() as cursor,
    ):
        for statement in statements:
            cursor.execute(statement)


@contextlib.contextmanager
def server(folder: Path, *, takes_files: bool) -> Iterator[Path]:
    data = folder / "data"
    data.mkdir()
    runner = ["--user=mysql"] if os.geteuid() == 0 else []
    if runner:
        shutil.chown(data, "mysql")
    subprocess.run(
        [
            *("mariadb-install-db", "--no-defaults", *runner, f"--datadir={data}"),
            "--auth-root-authentication-method=normal",
        ],
        check=True,
        capture_output=True,
    )
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port = asked.getsockname()[1]
    process = subprocess.Popen(
        [
            *("mariadbd", "--no-defaults", *runner, f"--datadir={data}", f"--socket={data / 's'}", f"--port={port}"),
            *("--bind-address=127.0.0.1", "--innodb-buffer-pool-size=1G", f"--local-infile={int(takes_files)}"),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        while process.poll() is None:
            with contextlib.suppress(pymysql.err.OperationalError):
                run(data / "s", "select 1")
                break
            time.sleep(0.1)
        yield data / "s"
    finally:
        process.terminate()
        process.wait(60)


if __name__ == "__main__":
    sys.exit(main())
