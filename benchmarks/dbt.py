"""dbt through headwater beside dbt alone: `python benchmarks/dbt.py [--models 20] [--rounds 5]`.

Makes a project of N views, each of the one before, and a test each on DuckDB, builds an environment for dbt, then runs
in turn: plain `dbt build` and `dbt test`, `headwater run dbt:build` (one command), and runs whose second step, from the
warm worker, is `dbt:test` or `dbt:build` again. Prints medians in seconds. Exit code 1 when the first is above 1.1 ×
plain, or plain is below 3 × the second of either kind. What a node costs is dbt's own, warm or not: with many nodes a
second build comes nearer to a plain one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

HEADWATER = str(Path(sys.executable).with_name("headwater"))
PROJECT = "plugins:\n  loaders:\n  - {name: target-duckdb, variant: headwater}\n"


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--models", type=int, default=20)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    # Else nothing is cached and every start compiles all of dbt again.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory(prefix="headwater-dbt-") as name:
        root = Path(name)
        prepare(root, given.models, env)
        for words in (["run", "dbt:build"], ["run", "dbt:build", "dbt:build"]):  # warm the file cache
            call([HEADWATER, *words], root, env)
        taken: dict[str, list[float]] = {}
        for _ in range(given.rounds):
            for way, measure in WAYS.items():
                taken.setdefault(way, []).append(measure(root, env))
    medians = {way: statistics.median(times) for way, times in taken.items()}
    for way, seconds in medians.items():
        print(f"{way:18} {seconds:6.2f} s")
    first = medians["first, build"] / medians["plain build"]
    again = {word: medians[f"plain {word}"] / medians[f"second, {word}"] for word in ("build", "test")}
    print(f"first {first:.2f} × plain; second {again['build']:.1f} × (build) and {again['test']:.1f} × (test) faster")
    return 0 if first <= 1.1 and min(again.values()) >= 3 else 1


def prepare(root: Path, models: int, env: dict[str, str]) -> None:
    (root / "headwater.yml").write_text(PROJECT)
    call([HEADWATER, "add", "dbt"], root, env)
    folder = root / "transform" / "models"
    for number in range(models):
        source = f"{{{{ ref('m{number - 1}') }}}}" if number else "(select 1 as id)"
        (folder / f"m{number}.sql").write_text(f"select id from {source}\n")
    tests = [{"name": f"m{n}", "columns": [{"name": "id", "data_tests": ["not_null"]}]} for n in range(models)]
    (folder / "models.yml").write_text(json.dumps({"models": tests}))


def plain(word: str, root: Path, env: dict[str, str]) -> float:
    """dbt as a shell starts it, with the variables that it gets from us."""
    folder = root / "transform"
    words = {
        "DBT_PROJECT_DIR": folder,
        "DBT_PROFILES_DIR": folder / "profiles" / "duckdb",
        "DBT_DUCKDB_PATH": root / "warehouse.duckdb",
        "DBT_DUCKDB_SCHEMA": "analytics",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    program = next(root.glob(".headwater/utilities/*/venv/bin/dbt"))
    started = time.perf_counter()
    call([str(program), word], root, {**env, **{name: str(value) for name, value in words.items()}})
    return time.perf_counter() - started


def first(root: Path, env: dict[str, str]) -> float:
    """The whole program, start to end, with one command."""
    started = time.perf_counter()
    call([HEADWATER, "run", "dbt:build"], root, env)
    return time.perf_counter() - started


def second(word: str, root: Path, env: dict[str, str]) -> float:
    """The seconds of the second step of a run."""
    done = call([HEADWATER, "--log-format", "json", "run", "dbt:build", f"dbt:{word}"], root, env)
    steps = [json.loads(line) for line in done.stderr.splitlines() if '"step-finished"' in line]
    return float(steps[-1]["seconds"])


def call(argv: list[str], root: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(argv, cwd=root, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{argv}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done


WAYS: dict[str, Callable[[Path, dict[str, str]], float]] = {
    "plain build": partial(plain, "build"),
    "plain test": partial(plain, "test"),
    "first, build": first,
    "second, build": partial(second, "build"),
    "second, test": partial(second, "test"),
}

if __name__ == "__main__":
    sys.exit(main())
