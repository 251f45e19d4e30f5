"""Headwater's loads beside their limits and beside other tools, in one run, from nothing.

    python benchmarks/loading.py [--rows 5000000] [--records 500000] [--rounds 4] [--jobs csv-postgres,…] [--quick]

Makes the data, starts a PostgreSQL of its own and builds every tool's environment from PyPI; what can be kept is kept
in ~/.cache/headwater-benchmarks. Figures go to benchmarks/results/ and RESULTS.md, except with --quick, which is for
seeing that all is right. Exits with 1 when a goal is missed or something arrived wrong from us.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import msgspec
import results
from loading import data, report, truth
from loading.bench import Bench
from loading.jobs import JOBS
from loading.measuring import measure
from loading.results import JobResult, keep, kept
from loading.servers import server
from loading.venvs import CACHE

FIGURES = results.PARTS / "loading"
FEWER = 10  # slow programs get a tenth of the records


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--jobs", default=",".join(JOBS), help="with commas between")
    parser.add_argument("--only", default="", help="ways, with commas between: all by default")
    parser.add_argument("--quick", action="store_true", help="200,000 rows, 50,000 records, one round, nothing kept")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.records, options.rounds = 200_000, 50_000, 1
    names = options.jobs.split(",")
    if unknown := set(names) - set(JOBS):
        parser.error(f"no such job: {', '.join(sorted(unknown))}; there are: {', '.join(JOBS)}")
    keeps = not options.quick and not options.only
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the server ends with us
    found = run(options, names, keeps=keeps)
    shown = kept(FIGURES, list(JOBS)) if keeps else found
    text = report.report(shown)
    if keeps:
        results.write("loading", text)
    print(text)
    return 0 if all(verdict.holds is not False for result in found for verdict in report.verdicts(result)) else 1


def run(options: argparse.Namespace, names: list[str], *, keeps: bool) -> list[JobResult]:
    """The jobs one after the other, at one server. A job's figures are kept as soon as it is done."""
    print(f"the data, in {CACHE}", file=sys.stderr)
    events = data.events(CACHE / "data", options.rows)
    orders = data.orders(CACHE / "data", options.records)
    few = data.orders(CACHE / "data", options.records // FEWER)
    only = set(options.only.split(",")) if options.only else None
    scratch = Path(tempfile.mkdtemp(prefix="headwater-benchmarks-", dir="/var/tmp"))
    found = []
    try:
        with server() as postgres:
            truth.fill(postgres, events, orders)
            bench = Bench(server=postgres, folder=scratch, events=events, orders=orders, few_orders=few)
            when = dt.datetime.now(dt.UTC)
            load = f"rounds: {options.rounds}, load of the machine before: {os.getloadavg()[0]:.1f}"
            setting = f"{when:%Y-%m-%d}, {results.machine()}, {postgres.version}, {load}"
            for name in names:
                print(name, file=sys.stderr)
                job = JOBS[name](bench)
                if only:
                    job.ways[:] = [way for way in job.ways if way.name in only]
                result = msgspec.structs.replace(measure(bench, job, options.rounds), setting=setting)
                if keeps:
                    keep(FIGURES, result)
                found.append(result)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
