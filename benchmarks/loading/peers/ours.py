"""Headwater, as its users run it: a project folder and `headwater run`."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from loading.arrivals import Check
from loading.bench import Bench, Role, Way
from loading.places import empty_folder, empty_schemas, first

PROGRAM = str(Path(sys.executable).with_name("headwater"))
NAME = "headwater"
SCHEMA = "ours"


def postgres(bench: Bench) -> dict[str, Any]:
    return {"name": "target-postgres", "config": {"sqlalchemy_url": bench.server.url, "default_target_schema": SCHEMA}}


def duckdb(folder: Path) -> dict[str, Any]:
    return {
        "name": "target-duckdb",
        "config": {"filepath": str(folder / "out.duckdb"), "default_target_schema": SCHEMA},
    }


def files(folder: Path, target: str) -> dict[str, Any]:
    return {"name": target, "config": {"destination_path": str(folder / "out")}}


def csv(path: Path) -> dict[str, Any]:
    return {"name": "tap-files", "config": {"path": str(path)}}


def tables(bench: Bench, schema: str, names: list[str]) -> dict[str, Any]:
    select = [f"{schema}-{name}.*" for name in names]
    return {"name": "tap-postgres", "config": {"sqlalchemy_url": bench.server.url}, "select": select}


def changed_tables(bench: Bench, schema: str, names: list[str], cursor: str) -> dict[str, Any]:
    """Only what is newer than the last run's highest `cursor`."""
    incremental = {"replication-method": "INCREMENTAL", "replication-key": cursor}
    return {**tables(bench, schema, names), "metadata": {f"{schema}-{name}": incremental for name in names}}


def singer(folder: Path, lines: Path) -> dict[str, Any]:
    """A tap that prints a file: what it costs is next to nothing."""
    script = folder / "tap-lines"
    script.write_text(f"#!/bin/sh\nexec cat {lines}\n")
    script.chmod(0o755)
    return {"name": "tap-lines", "namespace": "tap_lines", "executable": str(script)}


def table(schema: str, name: str) -> str:
    """The destination's table for a table of the server."""
    return f'{SCHEMA}."{prefix(schema)}{name}"'


def prefix(schema: str) -> str:
    """A stream of the server is named after schema and table, and a table after its stream."""
    return f"{schema}-"


def folder(bench: Bench, job: str) -> Path:
    return bench.scratch(f"{job}-ours")


def way(
    bench: Bench, place: Path, extractor: dict[str, Any], loader: dict[str, Any], check: Check, *, name: str = NAME
) -> Way:
    """Every run is a first run: project, tables, files and what the database remembers are gone before it."""
    project = place / "project"
    return Way(
        name=name,
        role=Role.OURS,
        command=[PROGRAM, "run", extractor["name"], loader["name"]],
        cwd=project,
        check=check,
        before=first(
            empty_folder(project),
            lambda: shutil.rmtree(place / "out", ignore_errors=True),
            lambda: (place / "out.duckdb").unlink(missing_ok=True),
            empty_schemas(bench.server, SCHEMA, "_headwater"),
            lambda: write_project(project, extractor, loader),
        ),
    )


def write_project(project: Path, extractor: dict[str, Any], loader: dict[str, Any]) -> None:
    ours = {"variant": "headwater"}
    text = {
        "version": 1,
        "plugins": {
            "extractors": [extractor if "executable" in extractor else {**extractor, **ours}],
            "loaders": [{**loader, **ours}],
        },
    }
    (project / "headwater.yml").write_text(json.dumps(text, indent=2))  # JSON is YAML
