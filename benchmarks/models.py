"""500 SQL models: how long planning takes, and what building them costs beside the bare statements.

    python benchmarks/models.py [--models 500] [--rounds 3] [--jobs 4] [--url postgresql://…]

The bare statements are the same SELECTs as `create table … as`, one after the other, over one connection of the same
driver. Both sides build from nothing in a new warehouse each round; `again` is a second build that finds nothing to do.
`CPU` is that of a plan: on a busy machine its wall time says little. Plans and builds run in this process: what the
program itself takes to start is not among the figures. PostgreSQL is one from a wheel unless `--url` names another.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import psycopg
import results
from postgres_load import server

from headwater.connect import registry
from headwater.connect.destinations.postgres.settings import Settings as PostgresSettings
from headwater.connect.warehouses import Warehouse
from headwater.run.cancel import Cancel
from headwater.transform.build import Target, build
from headwater.transform.models import Model, plan_models
from headwater.transform.python_run import Place

ORDERS = "create table shop.orders as select n as id, n % 97 as customer, n % 13 as amount from {} as t(n)"
FULL = 500
TEXT = """\
## Models without dbt

{machine}. {models} SQL models, {jobs} at a time, medians of {rounds}. Seconds of wall time, but for the plan's CPU;
`over` is what a model costs on top of its bare statement, in ms (goal: below 10). A plan should take less than 1 s.

| | plan | plan, CPU | bare statements | build | over, ms | build again, nothing to do |
|---|---|---|---|---|---|---|
{lines}
"""
SERIES = {"duckdb": "range(1000)", "postgres": "generate_series(0, 999)"}
MODEL = """\
with recent as (
  select id, customer, amount from shop.orders where amount > {0}
)
select r.customer, count(*) as orders, sum(r.amount) as amount, max(p.orders) as before
from recent as r left join {1} as p on p.customer = r.customer
group by r.customer
"""


def write(folder: Path, count: int) -> None:
    """Models in layers of 20: each reads the loaded table and a model of the layer below."""
    folder.mkdir()
    for number in range(count):
        parent = f"m{number - 20:03}" if number >= 20 else "(select 0 as customer, 0 as orders)"
        (folder / f"m{number:03}.sql").write_text(MODEL.format(number % 7, parent))


@contextmanager
def in_duckdb() -> Iterator[tuple[Callable[[], Warehouse], Callable[[], Any]]]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "warehouse.duckdb"
        settings = SimpleNamespace(filepath=str(path))
        yield lambda: opened("duckdb", settings), lambda: duckdb.connect(str(path))


@contextmanager
def in_postgres(url: str) -> Iterator[tuple[Callable[[], Warehouse], Callable[[], Any]]]:
    settings = PostgresSettings(sqlalchemy_url=url)
    try:
        yield lambda: opened("postgres", settings), lambda: psycopg.connect(url, autocommit=True)
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            for schema in ("shop", "analytics", "bare", "_headwater"):
                for (table,) in connection.execute(
                    "select table_name from information_schema.tables where table_schema = %s", [schema]
                ).fetchall():  # a few at a time: locks are scarce
                    connection.execute(f'drop table if exists {schema}."{table}" cascade'.encode())
                connection.execute(f"drop schema if exists {schema} cascade".encode())


def opened(native: str, settings: Any) -> Warehouse:
    return registry.warehouse(native).open(settings, who="benchmark", plugin="x", on_wait=lambda _holder: None)


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def one_round(url: str | None, folder: Path, models: tuple[Model, ...], jobs: int) -> dict[str, float]:
    native = "postgres" if url else "duckdb"
    with in_postgres(url) if url else in_duckdb() as (warehouse, connect):
        with closing(connect()) as connection:
            connection.execute("create schema shop")
            connection.execute(ORDERS.format(SERIES[native]))

        def ours() -> None:
            with closing(warehouse()) as at:
                target = Target(
                    warehouse=at, schema="analytics", python=Place(root=folder, venv=None, env={}), jobs=jobs
                )
                build(models, target, step="models", emit=lambda _event: None, cancel=Cancel())

        def bare() -> None:
            with closing(connect()) as connection:
                connection.execute("create schema bare")
                way = "bare,main" if native == "duckdb" else "bare,public"
                connection.execute(f"set search_path = '{way}'" if native == "duckdb" else f"set search_path = {way}")
                for model in models:
                    connection.execute(f"create table {model.name} as {model.sql}")

        return {
            "plan": timed(lambda: plan_models(folder, dialect=native)),
            "CPU": cpu(lambda: plan_models(folder, dialect=native)),
            "bare": timed(bare),
            "build": timed(ours),
            "again": timed(ours),
        }


def median(url: str | None, folder: Path, given: argparse.Namespace) -> dict[str, float]:
    models = plan_models(folder, dialect="postgres" if url else "duckdb")  # what is loaded once is loaded
    rounds = [one_round(url, folder, models, given.jobs) for _ in range(given.rounds)]
    found = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    return {**found, "over": (found["build"] - found["bare"]) / given.models * 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--url")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, server(given.url, Path(name)) as url:
        folder = Path(name) / "models"
        write(folder, given.models)
        found = {"DuckDB": median(None, folder, given), "PostgreSQL": median(url, folder, given)}
    lines = [
        f"| {place} | {one['plan']:.2f} | {one['CPU']:.2f} | {one['bare']:.2f} | {one['build']:.2f} "
        f"| {one['over']:.1f} | {one['again']:.2f} |"
        for place, one in found.items()
    ]
    text = TEXT.format(lines="\n".join(lines), machine=results.machine(), **vars(given))
    print(text)
    if given.models == FULL:
        results.write("models", text)


if __name__ == "__main__":
    main()
