"""A comparison beside a copy: does it take less time to know that a table is equal than to load it again?

    python benchmarks/verify.py [--rows 200000] [--loader duckdb|postgres] [--rounds 3] [--url postgresql://…]

A table of an event log in PostgreSQL (12 columns, a bigint key), loaded with `headwater run`, then verified; then ten
rows are changed at the destination, and it is verified again. Each is the command as a user starts it, the start of
Python included. The server is one from a wheel, with its defaults, unless `--url` names another. Goal: equal in less
time than the copy takes. At full size:

    python benchmarks/verify.py --rows 5000000 --rounds 1
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import psycopg
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
        copies = [seconds(folder, "run", "--full-refresh", *pipeline) for _ in range(options.rounds)]
        equal = [seconds(folder, "verify", *pipeline) for _ in range(options.rounds)]
        spoil(options.loader, folder, url, options.rows)
        differing = [seconds(folder, "verify", *pipeline, code=1) for _ in range(options.rounds)]
    print(f"{options.rows:,} rows, PostgreSQL → {options.loader}, medians of {options.rounds}")
    copy, same, other = map(statistics.median, (copies, equal, differing))
    for what, took in (("copy", copy), ("verify, equal", same), ("verify, 10 rows differ", other)):
        print(f"  {what:<24} {took:6.2f} s  {options.rows / took:12,.0f} rows/s  {took / copy:5.2f} × copy")
    return 0 if same < copy else 1


def seconds(folder: Path, *words: str, code: int = 0) -> float:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "headwater", *words], cwd=folder, env=dict(os.environ), capture_output=True, check=False
    )
    took = time.perf_counter() - started
    if done.returncode != code:
        sys.exit(f"headwater {' '.join(words)} ended with {done.returncode}:\n{done.stderr.decode()}")
    return took


def spoil(loader: str, folder: Path, url: str, rows: int) -> None:
    changed = ", ".join(str(1 + number * (rows // 10)) for number in range(10))
    if loader == "duckdb":
        with duckdb.connect(str(folder / "warehouse.duckdb")) as connection:
            connection.execute(f'update loaded."bench_verify-events" set other = 0 where id in ({changed})')
        return
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'update bench_loaded."bench_verify-events" set other = 0 where id in ({changed})'.encode())


if __name__ == "__main__":
    sys.exit(main())
