"""DuckDB with its own PostgreSQL extension: one statement, no state, no merge."""

from __future__ import annotations

from pathlib import Path

from loading.arrivals import Check
from loading.bench import Bench, Role, Way
from loading.places import empty_folder, empty_schemas, first
from loading.venvs import binaries

NAME = "DuckDB's extension"
SCHEMA = "by_duckdb"
SCRIPT = Path(__file__).parent.parent / "scripts" / "duckdb_copy.py"


def into_postgres(bench: Bench, job: str, check: Check) -> Way:
    return _way(bench, job, check, ":memory:", f"create table pg.{SCHEMA}.events as from pg.truth.events")


def into_duckdb(bench: Bench, job: str, check: Check) -> Way:
    return _way(bench, job, check, str(duckdb_file(bench, job)), "create table events as from pg.truth.events")


def duckdb_file(bench: Bench, job: str) -> Path:
    return bench.scratch(f"{job}-duckdb-extension") / "out.duckdb"


def _way(bench: Bench, job: str, check: Check, file: str, statement: str) -> Way:
    place = bench.scratch(f"{job}-duckdb-extension")
    return Way(
        name=NAME,
        role=Role.BESIDE,
        command=[str(binaries("duckdb") / "python"), str(SCRIPT), file, bench.server.url, statement],
        cwd=place,
        check=check,
        before=first(empty_folder(place), empty_schemas(bench.server, SCHEMA)),
    )
