"""dlt: a pipeline as its documentation writes it, with the fastest backend and file format for the pair."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from loading.arrivals import Check
from loading.bench import Bench, Role, Way
from loading.places import empty_folder, empty_schemas, first
from loading.venvs import binaries

NAME = "dlt"
SCHEMA = "dlt_data"
SCRIPT = Path(__file__).parent.parent / "scripts" / "dlt_pipeline.py"


def way(bench: Bench, job: str, check: Check, *, name: str = NAME, **options: Any) -> Way:
    """`options` are the script's: what it reads, and where to."""
    place = bench.scratch(f"{job}-{name.replace(' ', '-')}")
    given = {"url": bench.server.url, "schema": SCHEMA, "folder": str(place), **options}
    return Way(
        name=name,
        role=Role.PEER,
        command=[str(binaries(NAME) / "python"), str(SCRIPT), json.dumps(given)],
        cwd=place,
        check=check,
        before=first(empty_folder(place), empty_schemas(bench.server, SCHEMA, f"{SCHEMA}_staging")),
        env={
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "DLT_DATA_DIR": str(place / "dlt"),
            "NORMALIZE__WORKERS": "2",
        },
    )


def duckdb_file(bench: Bench, job: str) -> Path:
    return bench.scratch(f"{job}-{NAME}") / "out.duckdb"
