"""A comparison beside a copy: does it take less time to know that a table is equal than to load it again?

    python benchmarks/verify.py [--rows 200000] [--loader duckdb|postgres] [--rounds 3] [--url postgresql://…]

A table of an event log in PostgreSQL (12 columns, a bigint key), loaded with `headwater run`, then verified, in turn;
then ten rows are changed, deleted and added at the destination, and it is verified again: each of them has to be named.
Each is the command as a user starts it, the start of Python included. The server is one from a wheel, with its
defaults, unless `--url` names another. Goal: equal in less time than the copy takes. At full size, which writes the
results:

    python benchmarks/verify.py --rows 5000000 --rounds 1 --loader postgres
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import psycopg
import results
from postgres_load import server

PROJECT = """\
plugins:
  extractors:
  - {{name: tap-postgres, variant: headwater, config: {{sqlalchemy_url: "{url}", filter_schemas: [bench_verify]}}}}
  loaders:
  - {{name: target-duckdb, variant: headwater, config: {{default_target_schema: loaded}}}}
  - name: target-postgres
    variant: headwater
    config: {{sqlalchemy_url: "{url}", default_target_schema: bench_loaded}}
"""
TABLE = """
create table bench_verify.events as select
  i::bigint as id, timestamptz '2024-01-01' + i * interval '1.000003 seconds' as moment, (i % 40)::int as kind,
  'user ' || i % 100000 as who, md5(i::text) as token, i / 7.0::float8 as score,
  (i % 100000 / 100.0)::numeric(12,2) as amount,
  i % 2 = 0 as flag, date '2024-01-01' + (i % 1000)::int as day,
  case when i % 10 = 0 then null else 'note ' || i end as note,
  i * 31 as other, 'v' || i % 7 as version
from generate_series(1, {rows}) i
"""
FULL = 5_000_000
TEXT = """\
## Comparing with the source, {place}

{machine}. {rows:,} rows of 12 columns, PostgreSQL → {place}, medians of {rounds}, copy and comparison in turn.
The ten rows that were changed, deleted and added are all named.

| | seconds | rows/s | × copy |
|---|---|---|---|
{lines}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loader", choices=["duckdb", "postgres"], default="duckdb")
    parser.add_argument("--url")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, server(options.url, Path(name)) as url:
        folder = Path(name) / "project"
        folder.mkdir()
        (folder / "headwater.yml").write_text(PROJECT.format(url=url))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("drop schema if exists bench_loaded cascade")
            connection.execute("drop schema if exists bench_verify cascade")
            connection.execute("create schema bench_verify")
            connection.execute(TABLE.format(rows=options.rows).encode())
            connection.execute("alter table bench_verify.events add primary key (id)")
            connection.execute("vacuum analyze bench_verify.events")
        pipeline = ("tap-postgres", f"target-{options.loader}")
        copies, equal = [], []
        for _ in range(options.rounds):  # in turn: what else the machine does weighs on both
            copies.append(seconds(folder, "run", "--full-refresh", *pipeline))
            equal.append(seconds(folder, "verify", *pipeline))
        planted = spoil(options.loader, folder, url, options.rows)
        differing = [seconds(folder, "verify", *pipeline, code=1) for _ in range(options.rounds)]
        named = found(folder, *pipeline)
    if named != planted:
        sys.exit(f"planted {sorted(planted)}, named {sorted(named)}")
    copy, same, other = map(statistics.median, (copies, equal, differing))
    lines = [
        f"| {what} | {took:.1f} | {options.rows / took:,.0f} | {took / copy:.2f} |"
        for what, took in (("copy", copy), ("verify, equal", same), ("verify, 10 rows differ", other))
    ]
    place = {"duckdb": "DuckDB", "postgres": "PostgreSQL"}[options.loader]
    text = TEXT.format(lines="\n".join(lines), machine=results.machine(), place=place, **vars(options))
    print(text)
    if options.rows >= FULL:
        results.write(f"verify_{options.loader}", text)
    return 0 if same < copy else 1


def seconds(folder: Path, *words: str, code: int = 0) -> float:
    started = time.perf_counter()
    call(folder, *words, code=code)
    return time.perf_counter() - started


def found(folder: Path, *pipeline: str) -> set[tuple[str, str]]:
    """The rows that a comparison names, each with what is wrong with it."""
    streams = json.loads(call(folder, "verify", "--json", *pipeline, code=1))["streams"]
    return {(str(row["key"][0]), row["what"]) for stream in streams for row in stream["compared"]["rows"]}


def call(folder: Path, *words: str, code: int) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "headwater", *words], cwd=folder, env=dict(os.environ), capture_output=True, check=False
    )
    if done.returncode != code:
        sys.exit(f"headwater {' '.join(words)} ended with {done.returncode}:\n{done.stderr.decode()}")
    return done.stdout


def spoil(loader: str, folder: Path, url: str, rows: int) -> set[tuple[str, str]]:
    """Ten rows at the destination: six are changed, two deleted, two added."""
    ids = [1 + number * (rows // 10) for number in range(10)]
    changed, deleted, added = ids[:6], ids[6:8], [rows + 1, 2 * rows]
    table = '"bench_verify-events"'
    columns = "moment, kind, who, token, score, amount, flag, day, note, other, version, __loaded_at"
    statements = [
        f"update {{0}} set other = 0 where id in ({changed[0]}, {changed[1]})",
        f"update {{0}} set note = null where id = {changed[2]}",
        f"update {{0}} set moment = moment + interval '1 microsecond' where id = {changed[3]}",
        f"update {{0}} set amount = amount + 0.01, flag = null where id in ({changed[4]}, {changed[5]})",
        f"delete from {{0}} where id in ({deleted[0]}, {deleted[1]})",
        *(f"insert into {{0}} (id, {columns}) select {new}, {columns} from {{0}} where id = {ids[9]}" for new in added),
    ]
    with contextlib.ExitStack() as stack:
        if loader == "duckdb":
            lake = stack.enter_context(duckdb.connect(str(folder / "warehouse.duckdb")))
            for statement in statements:
                lake.execute(statement.format(f"loaded.{table}"))
        else:
            server = stack.enter_context(psycopg.connect(url, autocommit=True))
            for statement in statements:
                server.execute(statement.format(f"bench_loaded.{table}").encode())
    return {
        *((str(one), "differing") for one in changed),
        *((str(one), "missing") for one in deleted),
        *((str(one), "extra") for one in added),
    }


if __name__ == "__main__":
    sys.exit(main())
