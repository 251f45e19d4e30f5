"""A table of PostgreSQL into Arrow batches: our source beside ADBC's own fetch and connectorx, each its own process.

    python benchmarks/postgres_read.py [--rows 5000000] [--rounds 3] [--quick]

The table is `events` of the loading benchmark, with a key. The others read it with one query, whole; ours as a run
does, by its catalog, in the order of the key, every value in its exact type. ADBC gives numbers of a declared size as
text and connectorx as doubles; connectorx holds all rows in memory. Figures go to results/ and RESULTS.md, except with
--quick, which takes few rows and one round. Exits with 1 when the goal is missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import results
from loading.bench import environment, shell
from loading.data import EVENTS_COLUMNS, Events, events
from loading.processes import Run, run
from loading.servers import Server, server
from loading.venvs import CACHE, binaries

GOAL = 1.3  # times the best of the others
MOST_MB = 300
SECONDS = 600
QUERY = "select * from public.events"
OURS, ADBC, CONNECTORX = "headwater", "ADBC", "connectorx"
SCRIPTS = {
    OURS: """
import sys
from pathlib import Path
from headwater.connect.contract import ReadRequest, Rows
from headwater.connect.sources import postgres
settings = postgres.Settings(sqlalchemy_url=sys.argv[1])
request = ReadRequest(catalog=postgres.discover(settings), state=None, folder=Path("scratch"))
count = sum(len(one.batch) for one in postgres.read(settings, request) if isinstance(one, Rows))
assert count == int(sys.argv[3]), count
""",
    ADBC: """
import sys
from adbc_driver_postgresql import dbapi
with dbapi.connect(sys.argv[1]) as connection, connection.cursor() as cursor:
    cursor.execute(sys.argv[2])
    count = sum(len(batch) for batch in cursor.fetch_record_batch())
assert count == int(sys.argv[3]), count
""",
    CONNECTORX: """
import sys
import connectorx
count = connectorx.read_sql(sys.argv[1], sys.argv[2], return_type="arrow").num_rows
assert count == int(sys.argv[3]), count
""",
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="200,000 rows, one round, nothing kept")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.rounds = 200_000, 1
    made = events(CACHE / "data", options.rows)
    with tempfile.TemporaryDirectory(prefix="headwater-benchmarks-", dir="/var/tmp") as folder, server() as postgres:
        fill(postgres, made)
        load = f"rounds: {options.rounds}, load of the machine before: {os.getloadavg()[0]:.1f}"
        found = measured(postgres, Path(folder), options.rows, options.rounds)
        setting = f"{options.rows:,} rows; {results.machine()}, {postgres.version}, {load}."
    holds, text = report(found, setting)
    print(text)
    if not options.quick:
        results.write("postgres_read", text)
    return 0 if holds else 1


def fill(postgres: Server, made: Events) -> None:
    postgres.do(f"create table public.events ({EVENTS_COLUMNS})")
    copy = f"\\copy public.events from '{made.csv}' (format csv, header)"
    subprocess.run(shell(f'{postgres.psql} -c "{copy}"'), check=True)
    postgres.do("alter table public.events add primary key (id)", "vacuum analyze public.events")
    postgres.settle()


def measured(postgres: Server, folder: Path, rows: int, rounds: int) -> dict[str, list[Run]]:
    """A first round, in which the server reads the table from the disk, is not counted."""
    peers = str(binaries("arrow") / "python")
    pythons = {OURS: sys.executable, ADBC: peers, CONNECTORX: peers}
    found: dict[str, list[Run]] = {name: [] for name in SCRIPTS}
    for number in range(rounds + 1):
        for name, script in SCRIPTS.items():
            command = [pythons[name], "-c", script, postgres.url, QUERY, str(rows)]
            one = run(command, cwd=folder, env=environment({}), server_cpu=postgres.cpu, seconds=SECONDS)
            sys.stderr.write(f"{name}: {one.wall:.2f} s, CPU {one.cpu:.2f} s, server {one.server:.2f} s\n")
            if number:
                found[name].append(one)
    return found


def report(found: dict[str, list[Run]], setting: str) -> tuple[bool, str]:
    """Whether the goal is reached, and the part of RESULTS.md. Ways are compared round by round: what else the machine
    does changes from one round to the next."""
    medians = {name: Run(*map(statistics.median, zip(*runs, strict=True))) for name, runs in found.items()}
    ours = medians[OURS]
    wall = _beside_best(found, lambda one: one.wall)
    work = _beside_best(found, _work)
    holds = wall <= GOAL and ours.peak_mb <= MOST_MB
    rows = [
        f"| {f'**{name}**' if name == OURS else name} | {one.wall / ours.wall:.2f} | {_work(one) / _work(ours):.2f} "
        f"| {one.wall:.2f} | {one.cpu:.2f} | {one.server:.2f} | {one.peak_mb:.0f} |"
        for name, one in sorted(medians.items(), key=lambda item: item[1].wall)
    ]
    return holds, "\n".join(
        [
            "## PostgreSQL into Arrow",
            "",
            "The source alone, one process each in alternating rounds; medians. Columns as in the section on loading.",
            "",
            "| | × ours | work × | wall s | CPU s | server s | MB |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"Ours takes {wall:.2f} × the wall time of a round's fastest (goal: at most {GOAL}), {work:.2f} × the work",
            f"and {ours.peak_mb:.0f} MB (goal: {MOST_MB}): {'reached' if holds else '**missed**'}.",
            "",
            setting,
        ]
    )


def _beside_best(found: dict[str, list[Run]], figure: Callable[[Run], float]) -> float:
    """The median of the rounds of ours as a multiple of the best of the others."""
    rounds = [[figure(one) for one in runs] for name, runs in found.items() if name != OURS]
    best = map(min, zip(*rounds, strict=True))
    return statistics.median(figure(ours) / one for ours, one in zip(found[OURS], best, strict=True))


def _work(one: Run) -> float:
    return one.cpu + one.server


if __name__ == "__main__":
    sys.exit(main())
