"""ingestr: one command a table."""

from __future__ import annotations

import shlex
from pathlib import Path

from loading.arrivals import Check
from loading.bench import Bench, Role, Way, shell
from loading.places import empty_folder, empty_schemas, first
from loading.venvs import binaries, duckdb_driver

NAME = "ingestr"
SCHEMA = "ingestr"


def copy(
    bench: Bench,
    job: str,
    *,
    source: str,
    tables: dict[str, str],
    check: Check,
    target: str | None = None,
    options: tuple[str, ...] = (),
) -> Way:
    """`tables` maps the source's tables to those to be made; `source` and `target` are addresses."""
    place = bench.scratch(f"{job}-{NAME}")
    return Way(
        name=NAME,
        role=Role.PEER,
        command=shell(commands(source, target or address(bench), tables, options)),
        cwd=place,
        check=check,
        before=first(empty_folder(place), empty_schemas(bench.server, SCHEMA, f"{SCHEMA}_staging", "_bruin_staging")),
        env={"INGESTR_DISABLE_TELEMETRY": "true", "PROGRESS": "log", "ADBC_DRIVER_PATH": str(duckdb_driver())},
    )


def commands(source: str, target: str, tables: dict[str, str], options: tuple[str, ...]) -> str:
    program = str(binaries(NAME) / "ingestr")
    both = ("--source-uri", source, "--dest-uri", target, *options)
    return "\n".join(
        shlex.join([program, "ingest", "--yes", *both, "--source-table", there, "--dest-table", here])
        for there, here in tables.items()
    )


def address(bench: Bench) -> str:
    return f"{bench.server.url}?sslmode=disable"


def duckdb_file(bench: Bench, job: str) -> Path:
    return bench.scratch(f"{job}-{NAME}") / "out.duckdb"
