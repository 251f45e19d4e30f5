"""sling: one command a table, or a replication file for many."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from loading.arrivals import Check
from loading.bench import Bench, Role, Way, environment
from loading.places import empty_folder, empty_schemas, first
from loading.venvs import binaries

NAME = "sling"
SCHEMA = "sling"


def copy(
    bench: Bench,
    job: str,
    *,
    source: str,
    stream: str,
    target: str,
    table: str,
    check: Check,
    options: tuple[str, ...] = ("--mode", "full-refresh"),
) -> Way:
    """`source` and `target` are connections: `BENCH` is the server, `FILE` the DuckDB file, `LOCAL` files."""
    place = bench.scratch(f"{job}-{NAME}")
    command = [program(), "run", "--src-conn", source, "--src-stream", stream]
    return Way(
        name=NAME,
        role=Role.PEER,
        command=[*command, "--tgt-conn", target, "--tgt-object", table, *options],
        cwd=place,
        check=check,
        before=first(empty_folder(place), empty_schemas(bench.server, SCHEMA)),
        env=connections(bench, place),
    )


def replicate(bench: Bench, job: str, *, streams: list[str], target: str, table: str, check: Check) -> Way:
    place = bench.scratch(f"{job}-{NAME}")
    file = place.parent / f"{place.name}.yaml"
    defaults = {"mode": "full-refresh", "object": table}
    file.write_text(
        json.dumps({"source": "BENCH", "target": target, "defaults": defaults, "streams": dict.fromkeys(streams)})
    )
    return Way(
        name=NAME,
        role=Role.PEER,
        command=[program(), "run", "-r", str(file)],
        cwd=place,
        check=check,
        before=first(empty_folder(place), empty_schemas(bench.server, SCHEMA)),
        env=connections(bench, place),
    )


def program() -> str:
    """What `sling` on the path would fetch first and then start."""
    found = next(binaries(NAME).parent.glob("lib/*/site-packages/sling_linux_*/bin/sling-linux-*"))
    return str(found)


def home(bench: Bench) -> Path:
    """A home folder with the extensions in it that DuckDB would fetch from elsewhere."""
    place = bench.scratch("sling-home")
    if not (place / ".duckdb").exists():
        add = "from duckdb_extensions import import_extension as add; add('json'); add('httpfs')"
        env = environment({"HOME": str(place)})
        subprocess.run([binaries(NAME) / "python", "-c", add], check=True, env=env, stdout=subprocess.DEVNULL)
    return place


def duckdb_file(bench: Bench, job: str) -> Path:
    return bench.scratch(f"{job}-{NAME}") / "out.duckdb"


def connections(bench: Bench, place: Path) -> dict[str, str]:
    return {
        "BENCH": f"{bench.server.url}?sslmode=disable",
        "FILE": f"duckdb://{place / 'out.duckdb'}",
        "HOME": str(home(bench)),
        "DUCKDB_PATH": str(binaries(NAME) / "duckdb"),
        "SLING_DISABLE_TELEMETRY": "TRUE",
    }
