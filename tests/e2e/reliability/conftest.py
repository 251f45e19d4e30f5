"""Pipelines that are hurt on purpose, and what must stand in their destination afterwards.

A short form runs with all other tests. `HEADWATER_RELIABILITY=long` runs the long one, `HEADWATER_RELIABILITY=0.25` a
quarter of it, and `HEADWATER_FIGURES=FILE` writes down how much was tried (see scripts/reliability.py).
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from headwater.base.errors import InputError
from headwater.ops import states, workspace

# The share of the long form that is tried; 0 is the short form.
SHARE = float(os.environ.get("HEADWATER_RELIABILITY", "0").replace("long", "1"))
IS_LONG = SHARE > 0
FIGURES = os.environ.get("HEADWATER_FIGURES")
SEED = int(os.environ.get("HEADWATER_SEED", "1"))

LAST = 600  # the numbers that the source has
EVERY = 25  # between two states
PADDING = 200  # of each row's text, in characters
DATABASES = ("duckdb", "postgres", "mysql")
METHODS = {"append": "append-only", "upsert": "upsert", "replace": "overwrite", "history": "history"}


def times(short: int, long: int) -> int:
    """How often to try: `short`, or the wanted share of `long` when that is more."""
    return max(short, round(long * SHARE))


def kills(method: str) -> int:
    """How often to hurt the loads of one cell. What a version of a row is comes on top of what `upsert` shows."""
    return times(1 if method == "history" else 5, 100)


def tries(wanted: int) -> int:
    """How many loads may be started to hurt so many: a load is over before its time has come more often than not on a
    fast machine."""
    return 8 * wanted + 20


class Figures:
    """How often each thing was tried, by figure and cell; and what it showed, where that is a number of its own."""

    def __init__(self) -> None:
        self.tried: Counter[tuple[str, str]] = Counter()
        self.seen: dict[tuple[str, str], float] = {}
        self.versions = {"DuckDB": duckdb.__version__}

    def __call__(self, figure: str, cell: str, count: int = 1) -> None:
        self.tried[figure, cell] += count

    def most(self, figure: str, what: str, number: float) -> None:
        """The largest of these numbers is worth telling."""
        self.seen[figure, what] = max(number, self.seen.get((figure, what), 0))

    def lines(self) -> Iterator[dict[str, Any]]:
        for (figure, cell), tried in self.tried.items():
            yield {"figure": figure, "cell": cell, "tried": tried}
        for (figure, what), number in self.seen.items():
            yield {"figure": figure, "what": what, "most": number}
        for name, version in self.versions.items():
            yield {"program": name, "version": version}


@pytest.fixture(scope="session")
def figures() -> Iterator[Figures]:
    kept = Figures()
    yield kept
    if FIGURES:
        with Path(FIGURES).open("a") as file:
            file.writelines(f"{json.dumps(line)}\n" for line in kept.lines())


class Warehouse:
    """A database of the tests, as a loader is told of it and as a reader sees it."""

    def __init__(self, name: str, server: Any, root: Path) -> None:
        self.name = name
        self.server = server
        self.keeps_history = False
        self._file = root / "warehouse.duckdb"
        if name == "postgres":
            server.sql("drop database if exists reliability with (force)")
            server.sql("create database reliability")
        elif name == "mysql":
            server.sql("drop database if exists reliability")

    def config(self, method: str) -> dict[str, Any]:
        self.keeps_history = method == "history"
        config: dict[str, Any] = {"load_method": METHODS[method]}
        if self.name != "duckdb":
            at = self.server
            config |= {"host": at.host, "port": at.port, "user": at.user, "password": at.password}
            config |= {"database": "reliability"}
        return config

    def query(self, sql: str) -> list[tuple]:
        """Rows; none when what is asked for does not exist yet."""
        if self.name == "duckdb":
            if not self._file.exists():
                return []
            try:
                with duckdb.connect(str(self._file), read_only=True) as connection:
                    return connection.sql(sql).fetchall()
            except duckdb.CatalogException:
                return []
        try:
            return [tuple(row) for row in self.server.sql(sql, "reliability")]
        except Exception as error:
            if "exist" in str(error) or "Unknown database" in str(error):
                return []
            raise

    def rows(self) -> list[tuple[int, str]]:
        """`id` and `name` of each row, as often as it stands there, in order; of each row's versions the current."""
        current = " where __valid_to is null" if self.keeps_history else ""
        found = self.query(f"select id, name from {self._table}{current}")
        return sorted((int(number), name) for number, name in found)

    def versions(self) -> list[tuple[Any, ...]]:
        """`id`, `name` and the time of every version, the former before the later; its end is None while it holds."""
        times = ("__valid_from", "__valid_to")
        if self.name == "duckdb":  # whose driver asks for another library to give times with zones
            times = tuple(f"epoch_us({column})" for column in times)
        found = self.query(f"select id, name, {', '.join(times)} from {self._table}")
        return sorted(found, key=lambda version: (version[0], version[2]))

    def reached(self) -> int:
        """The number that the checkpoint beside the data vouches for; 0 when there is none."""
        return self.checkpoint()[0]

    def checkpoint(self) -> tuple[int, int]:
        """That number, and how many commits there have been."""
        book = "_headwater_checkpoint" if self.name == "mysql" else "_headwater.checkpoint"
        found = [row for row in self.query(f"select state, sequence from {book}") if row[0]]
        return (json.loads(found[0][0])["bookmarks"]["numbers"]["id"], found[0][1]) if found else (0, 0)

    @property
    def _table(self) -> str:
        return "numbers" if self.name == "mysql" else "numbers.numbers"


# A Singer target of ours as any runner starts it, but one that commits at nearly every state.
TARGET = """#!{python}
import sys
from headwater.cli.main import main
from headwater.connect.singer import faces
faces.serve_target.__kwdefaults__["flush"] = faces.Flush(size=5000)
sys.argv[1:1] = ["target", "{name}", "--pipeline", "{pipeline}"]
main()
"""


class Pipeline:
    """tap-numbers into a database by one load method, in a project of its own. `as_target`: the loader is a Singer
    target, a process of its own, of which nothing is known but what it prints."""

    def __init__(self, hw: Any, warehouse: Warehouse, method: str, *, as_target: bool = False) -> None:
        self.hw = hw
        self.warehouse = warehouse
        self.method = method
        self.loader = f"target-{warehouse.name}"
        self.state_id = f"dev:tap-numbers-to-{self.loader}"
        hw.script("tap_numbers")
        plugins = {
            "extractors": [
                {
                    "name": "tap-numbers",
                    "namespace": "numbers",
                    "executable": "./bin/tap_numbers",
                    "capabilities": ["discover", "catalog", "state"],
                    "settings": [
                        {"name": "upto", "kind": "integer"},
                        {"name": "state_every", "kind": "integer"},
                        {"name": "padding", "kind": "integer"},
                        {"name": "pause"},
                        {"name": "keyed", "kind": "boolean"},
                        {"name": "edition"},
                    ],
                    "config": {
                        "upto": LAST,
                        "state_every": EVERY,
                        "pause": 0.0008,
                        "padding": PADDING,
                        "keyed": method != "append",
                    },
                }
            ],
            "loaders": [self._target() if as_target else self._native()],
        }
        text = {"default_environment": "dev", "environments": [{"name": "dev"}], "plugins": plugins}
        hw.write("headwater.yml", json.dumps(text))

    def _native(self) -> dict[str, Any]:
        # A commit at nearly every state.
        config = self.warehouse.config(self.method)
        return {"name": self.loader, "variant": "headwater", "commit_bytes": 5000, "config": config}

    def _target(self) -> dict[str, Any]:
        text = TARGET.format(python=sys.executable, name=self.warehouse.name, pipeline=self.state_id)
        self.hw.write("bin/target", text).chmod(0o755)
        config = {**self.warehouse.config(self.method), "default_target_schema": "numbers"}
        if self.warehouse.name == "mysql":
            del config["default_target_schema"]
        return {"name": self.loader, "namespace": "numbers", "executable": "./bin/target", "config": config}

    def argv(self, *, anew: bool) -> list[str]:
        return ["run", *(["--full-refresh"] if anew else []), "tap-numbers", self.loader]

    def expected(self, edition: str, upto: int = LAST) -> list[tuple[int, str]]:
        return [(number, f"{edition} {number}{'x' * PADDING}") for number in range(1, upto + 1)]

    def kept_state(self) -> int:
        """The number in the state that the project keeps; 0 when it keeps none. Looked up without another process:
        this is asked for thousands of times."""
        project = workspace.find(self.hw.root)
        project.environ = self.hw.environ
        try:
            text = states.get(project, self.state_id, warn=print)
        except InputError as error:
            if error.reference != "unknown-state":
                raise
            return 0
        state = json.loads(text).get("singer_state", {})
        return state.get("bookmarks", {}).get("numbers", {}).get("id", 0)


@pytest.fixture
def warehouse(request: pytest.FixtureRequest, hw: Any, figures: Figures) -> Warehouse:
    """Of the database that the test is parametrised with."""
    name: str = request.param
    server = None if name == "duckdb" else request.getfixturevalue("postgres" if name == "postgres" else "mariadb")
    if server is not None:
        label = "PostgreSQL" if name == "postgres" else "MariaDB"
        if label not in figures.versions:
            said = str(server.sql("select version()")[0][0])
            figures.versions[label] = said.removeprefix(label).split()[0].partition("-")[0]
    return Warehouse(name, server, hw.root)


@pytest.fixture
def pipeline(hw: Any, warehouse: Warehouse) -> Callable[..., Pipeline]:
    return lambda method, **how: Pipeline(hw, warehouse, method, **how)


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Repeatable for a test and a seed."""
    return random.Random(f"{SEED} {request.node.nodeid}")  # noqa: S311 - no secret


def wait_for_end(process: Any, until: Callable[..., Any], members: Callable[[Path], list[str]], root: Path) -> int:
    """The exit code, once the process and all that it started have gone."""
    code = process.wait(60)
    until(lambda: not members(root), what="the end of what the run had started")
    return int(code)


def rest(seconds: float) -> None:
    time.sleep(seconds)
