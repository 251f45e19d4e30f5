"""Reading the warehouse with SQL."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from msgspec import Struct

from headwater.base.errors import EnvironmentProblemError, InputError
from headwater.connect import engine, warehouse
from headwater.connect.warehouses import SqlError
from headwater.model.plan import Block
from headwater.model.plugin import PluginKind
from headwater.ops import planning
from headwater.ops.workspace import Workspace
from headwater.plan import alone, programs
from headwater.run import native


class Answer(Struct, frozen=True, kw_only=True):
    """`cut` says that there were more rows than asked for."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    cut: bool


def query(
    workspace: Workspace,
    sql: str,
    *,
    loader: str | None = None,
    limit: int = 1000,
    on_wait: Callable[[str], None] | None = None,
) -> Answer:
    """The rows of one statement, read-only and without a way to other files.

    Raises InputError: `bad-sql`, `no-warehouse`; EnvironmentProblemError `warehouse-missing` before the first load.
    """
    block = _block(workspace, loader)
    if block.native != "duckdb":
        return _of_server(workspace, block, sql, limit)
    path = Path(block.config["filepath"])
    if not path.exists():
        raise EnvironmentProblemError(
            "warehouse-missing", f"there is no warehouse at `{path}` yet", hint="headwater run TAP TARGET fills it"
        )
    with warehouse.reading(path, who="headwater query", on_wait=on_wait) as connection:
        try:
            if len(connection.extract_statements(sql)) > 1:
                raise InputError(
                    "bad-sql", "more than one statement: only one can be answered", hint="leave out the `;`"
                )
            # By way of Arrow: DuckDB itself needs one more library to make a Python value of an instant.
            found = connection.sql(sql)
            columns, rows = _rows(found.limit(limit + 1).to_arrow_table()) if found is not None else ((), ())
        except duckdb.Error as error:
            if (trouble := warehouse.trouble(path, error)) is not None:
                raise trouble from error
            raise InputError("bad-sql", "the warehouse refuses this SQL", why=engine.words(error)[0]) from error
    return Answer(columns=columns, rows=rows[:limit], cut=len(rows) > limit)


def _rows(table: pa.Table) -> tuple[tuple[str, ...], tuple[tuple[Any, ...], ...]]:
    values = [column.to_pylist() for column in table.columns]
    return tuple(table.column_names), tuple(zip(*values, strict=True))


def _of_server(workspace: Workspace, block: Block, sql: str, limit: int) -> Answer:
    place = native.warehouse(block, root=workspace.root, who="headwater query", on_wait=lambda _holder: None)
    with closing(place), place.reading(place.main) as session:
        try:
            text = sql.strip().rstrip(";")
            columns = tuple(session.columns(text))
            rows = session.rows(f"select * from ({text}\n) q limit {limit + 1}")  # noqa: S608 - the user's own
        except SqlError as error:
            raise InputError("bad-sql", "the warehouse refuses this SQL", why=str(error)) from error
    return Answer(columns=columns, rows=tuple(rows[:limit]), cut=len(rows) > limit)


def _block(workspace: Workspace, loader: str | None) -> Block:
    if loader is not None:
        planning.plugin(workspace, loader, PluginKind.LOADER)  # says what is wrong with an unknown name
    facts = planning.facts(workspace)
    found = alone.warehouses(facts, loader) or alone.warehouses(facts, loader, of=alone.BUILT_IN)
    if len(found) != 1:
        names = ", ".join(f"`{item.plugin.name}`" for item in found) or "none"
        raise InputError(
            "no-warehouse",
            f"one native loader of DuckDB or PostgreSQL is needed to read from, found {names}",
            hint="headwater query --loader NAME SQL" if found else "headwater add target-duckdb",
        )
    return programs.block(facts, found[0])
