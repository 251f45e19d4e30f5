"""The shortest script that does a job of Singer lines: no rules, no safety."""

from __future__ import annotations

import sys
from pathlib import Path

from loading.arrivals import Check
from loading.bench import Bench, Role, Way, shell
from loading.places import empty_folder, empty_schemas, first

NAME = "trial"
SCHEMA = "trial"
SCRIPT = Path(__file__).parent.parent / "scripts" / "singer_trial.py"


def way(bench: Bench, job: str, destination: str, check: Check) -> Way:
    """`destination` is the server's address or a DuckDB file."""
    place = bench.scratch(f"{job}-{NAME}")
    return Way(
        name=NAME,
        role=Role.TRIAL,
        command=shell(f"cat {bench.orders.lines} | {sys.executable} {SCRIPT} '{destination}'"),
        cwd=place,
        check=check,
        before=first(empty_folder(place), empty_schemas(bench.server, SCHEMA)),
    )


def duckdb_file(bench: Bench, job: str) -> Path:
    return bench.scratch(f"{job}-{NAME}") / "out.duckdb"
