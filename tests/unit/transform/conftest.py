from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from msgspec import Struct

from headwater.connect.destinations.duckdb.warehouse import DuckDBWarehouse
from headwater.model.event import Event, ModelBuilt, Outcome
from headwater.run.cancel import Cancel
from headwater.transform.build import Target, build
from headwater.transform.models import plan_models
from headwater.transform.python_models import Place


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
