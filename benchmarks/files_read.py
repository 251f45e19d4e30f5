"""A CSV file into Arrow: the files source beside the readers of DuckDB and polars, one process each, in turn.

    .venv/bin/python benchmarks/files_read.py [--rows 5000000] [--rounds 3] [--events]

All read every value. Ours looks at the whole file before it says a type, or starts over where it took a type for
granted, and takes the file's digest; the others guess from a sample. DuckDB gives batches in one thread, polars the
whole table. `--events` reads the file of the loading benchmark: twelve columns, two of them doubles with all their
digits. Prints wall and CPU seconds, and each as a multiple of DuckDB's.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import duckdb
from loading.data import events
from loading.venvs import CACHE, binaries
from measure import alternating

OURS = """
import sys
from pathlib import Path
from headwater.connect.contract import ReadRequest, Rows
from headwater.connect.sources import files
settings = files.Settings(path=sys.argv[1])
request = ReadRequest(
    catalog=files.discover(settings), state=None, folder=Path(sys.argv[1]).parent, may_start_over=sys.argv[2] == "once"
)
assert sum(len(one.batch) for one in files.read(settings, request) if isinstance(one, Rows)) == int(sys.argv[3])
"""
THEIRS = """
import sys
import duckdb
reader = duckdb.sql(f"from read_csv('{sys.argv[1]}')").to_arrow_reader(100_000)
assert sum(len(batch) for batch in reader) == int(sys.argv[3])
"""
POLARS = """
import sys
import polars
assert polars.read_csv(sys.argv[1], try_parse_dates=True).to_arrow().num_rows == int(sys.argv[3])
"""
CONTENT = """
select n as id, 'customer number ' || n as name, n / 8 as amount, timestamp '2024-01-01' + to_seconds(n) as at,
       n % 3 = 0 as is_new, 'a text, with a comma' as note
from range({rows}) t(n)
"""


def main() -> int:
    asked = argparse.ArgumentParser()
    asked.add_argument("--rows", type=int, default=5_000_000)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--events", action="store_true")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = events(CACHE / "data", given.rows).csv if given.events else Path(folder) / "rows.csv"
        if not given.events:
            duckdb.sql(CONTENT.format(rows=given.rows)).write_csv(str(file))
        commands = {
            "duckdb": [sys.executable, "-c", THEIRS, str(file), "-", str(given.rows)],
            "polars": [str(binaries("polars") / "python"), "-c", POLARS, str(file), "-", str(given.rows)],
            "headwater, once": [sys.executable, "-c", OURS, str(file), "once", str(given.rows)],
            "headwater, twice": [sys.executable, "-c", OURS, str(file), "twice", str(given.rows)],
        }
        here = dict.fromkeys(commands, Path(folder))
        found = alternating(commands, rounds=given.rounds, cwd=here, env=dict.fromkeys(commands))
        print(f"{given.rows:,} rows, {file.stat().st_size >> 20} MiB, median of {given.rounds}")
        base = found["duckdb"]
        for name, one in found.items():
            ratio = f"{one.wall / base.wall:.2f}x wall, {one.cpu / base.cpu:.2f}x CPU"
            print(f"  {name:18} {one.wall:7.2f} s wall {one.cpu:7.2f} s CPU   {ratio}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
