from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from msgspec import Struct

from headwater.connect import registry
from headwater.connect.destinations.duckdb.warehouse import DuckDBWarehouse
from headwater.connect.destinations.postgres.settings import Settings as PostgresSettings
from headwater.model.event import Event, ModelBuilt, Outcome
from headwater.run.cancel import Cancel
from headwater.transform.build import Target, build
from headwater.transform.models import plan_models
from headwater.transform.python_run import Place


class Warehouse(Struct):
    """A DuckDB file and a models folder; `build()` returns what happened to each model."""

    root: Path

    @property
    def file(self) -> str:
        return str(self.root / "warehouse.duckdb")

    def write(self, **models: str) -> None:
        (self.root / "models").mkdir(exist_ok=True)
        for name, sql in models.items():
            (self.root / "models" / f"{name}.sql").write_text(sql)

    def describe(self, text: str) -> None:
        (self.root / "models" / "models.yml").write_text(text)

    def sql(self, query: str) -> list[tuple]:
        with duckdb.connect(self.file) as connection:
            return connection.execute(query).fetchall()

    def build(self, *, cancel: Cancel | None = None, full_refresh: bool = False) -> dict[str, str]:
        events: list[Event] = []
        place = DuckDBWarehouse(Path(self.file), who="test", on_wait=lambda _holder: None)
        try:
            build(
                plan_models(self.root / "models", seeds=self.root / "seeds"),
                Target(
                    warehouse=place,
                    schema="analytics",
                    python=Place(root=self.root, venv=None, env=dict(os.environ)),
                ),
                step="models:build",
                emit=events.append,
                cancel=cancel or Cancel(),
                full_refresh=full_refresh,
            )
        finally:
            place.close()
            self.happened = {event.model: _word(event) for event in events if isinstance(event, ModelBuilt)}
        return self.happened

    happened: dict[str, str] = {}


def _word(event: ModelBuilt) -> str:
    if event.skipped:
        return "skipped"
    return "built" if event.outcome is Outcome.SUCCESS else f"{event.outcome}: {event.message}"


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    made = Warehouse(tmp_path)
    made.sql(
        "create schema shop;"
        "create table shop.orders as "
        "from (values (1, 'ann', 10), (2, 'bob', 20), (3, 'ann', 5)) t(id, customer, amount)"
    )
    return made


Write = Callable[..., Path]


@pytest.fixture
def models(tmp_path: Path) -> Write:
    """Writes `models/NAME.sql` for each keyword and returns the folder."""

    def write(**sql: str) -> Path:
        folder = tmp_path / "models"
        folder.mkdir(exist_ok=True)
        for name, text in sql.items():
            (folder / f"{name}.sql").write_text(text)
        return folder

    return write


class Site:
    """A warehouse and the folders of a project; `build` answers with what happened to each model."""

    def __init__(self, root: Path, native: str, settings: object) -> None:
        self.root = root
        self.native = native
        self._settings = settings
        self.events: list = []

    def write(self, **texts: str) -> None:
        """`orders=…` is models/orders.sql; `orders_py`, `orders_csv` and `models_yml` are what they say."""
        for name, text in texts.items():
            stem, _, kind = name.rpartition("_")
            stem, kind = (stem, kind) if kind in ("py", "csv", "yml") else (name, "sql")
            folder = self.root / ("seeds" if kind == "csv" else "models")
            folder.mkdir(exist_ok=True)
            (folder / f"{stem}.{kind}").write_text(text)

    def sql(self, text: str) -> list[tuple]:
        place = self._place()
        try:
            with place.writing("analytics") as session:
                return [session.rows(one) for one in text.split(";") if one.strip()][-1]
        finally:
            place.close()

    def build(self, **options: bool) -> dict[str, str]:
        place = self._place()
        self.events = []
        try:
            models = plan_models(self.root / "models", seeds=self.root / "seeds", dialect=place.dialect)
            python = Place(root=self.root, venv=None, env=dict(os.environ))
            target = Target(warehouse=place, schema="analytics", python=python)
            build(models, target, step="models:build", emit=self.events.append, cancel=Cancel(), **options)
        finally:
            place.close()
        return {event.model: _written(event) for event in self.events if isinstance(event, ModelBuilt)}

    def _place(self):
        module = registry.warehouse(self.native)
        return module.open(self._settings, who="test", plugin="target", on_wait=lambda _holder: None)


def _written(event: ModelBuilt) -> str:
    return "skipped" if event.skipped else f"{event.outcome} {event.rows}"


@pytest.fixture(params=["duckdb", "postgres"])
def site(request, tmp_path) -> Site:
    if request.param == "duckdb":
        duckdb.connect(str(tmp_path / "warehouse.duckdb")).close()
        settings: object = SimpleNamespace(filepath=str(tmp_path / "warehouse.duckdb"))
    else:
        postgres = request.getfixturevalue("postgres")
        postgres.sql("drop database if exists for_models")
        postgres.sql("create database for_models")
        settings = PostgresSettings(
            host=postgres.host,
            port=postgres.port,
            user=postgres.user,
            password=postgres.password,
            database="for_models",
        )
    made = Site(tmp_path, request.param, settings)
    made.sql(
        "create schema shop; create table shop.orders (id int, customer text, amount int);"
        "insert into shop.orders values (1, 'ann', 10), (2, 'bob', 20)"
    )
    return made
