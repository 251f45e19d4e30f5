"""What was built from what, kept in the warehouse itself: `_headwater.models`, one row a model.

A model is up to date while its code and everything it read are as they were when it was built.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from msgspec import Struct

from headwater.connect.names import quote
from headwater.connect.warehouses import Session, SqlError
from headwater.transform.models import Model
from headwater.transform.references import Reference

_TABLE = """
create table if not exists _headwater.models (
  schema_name varchar not null,
  name varchar not null,
  materialized varchar not null,
  code_hash varchar not null,
  inputs_hash varchar not null,
  built_at varchar not null,
  "rows" bigint,
  checked varchar,
  primary key (schema_name, name)
)
"""


class Built(Struct, frozen=True):
    """A model as it was last built here. `built_at` is RFC 3339 in UTC; `rows` is None for a view, and what was written
    last for a table that grows. `checked` identifies the checks that it has passed since, None when one failed."""

    materialized: str
    code: str
    inputs: str
    built_at: str
    rows: int | None
    checked: str | None = None

    @property
    def relation(self) -> str:
        return "view" if self.materialized == "view" else "table"


def recorded(session: Session, schema: str) -> dict[str, Built]:
    """Every model built in `schema`, by name; also those whose file is gone."""
    if ("_headwater", "models") not in session.relations():
        return {}
    checked = "checked" if "checked" in session.columns("select * from _headwater.models") else "null"
    rows = session.rows(
        f'select name, materialized, code_hash, inputs_hash, built_at, "rows", {checked} '  # noqa: S608 - of ours
        f"from _headwater.models where schema_name = {literal(schema)}"
    )
    return {row[0]: Built(*row[1:]) for row in rows}


def prepare(session: Session, schema: str) -> None:
    """Make what building needs, in one transaction: the schema of the models, and the table of what was built."""
    session.rows("begin")
    session.make_books()
    session.rows(f"create schema if not exists {quote(schema)}")
    session.rows(_TABLE)
    session.rows("alter table _headwater.models add column if not exists checked varchar")
    session.rows("commit")


def record(session: Session, schema: str, name: str, built: Built, *, is_new: bool = False) -> None:
    """Replace the model's row, in the transaction that is open. `is_new`: there is none."""
    where = f"schema_name = {literal(schema)} and name = {literal(name)}"
    values = [schema, name, built.materialized, built.code, built.inputs, built.built_at, built.rows, built.checked]
    if not is_new:
        session.rows(f"delete from _headwater.models where {where}")  # noqa: S608 - literals
    names = 'schema_name, name, materialized, code_hash, inputs_hash, built_at, "rows", checked'
    session.rows(f"insert into _headwater.models ({names}) values ({', '.join(map(_value, values))})")  # noqa: S608 - likewise


def note_checked(session: Session, schema: str, name: str, checked: str | None) -> None:
    session.rows(
        f"update _headwater.models set checked = {_value(checked)} "  # noqa: S608 - literals
        f"where schema_name = {literal(schema)} and name = {literal(name)}"
    )


def inputs(model: Model, built: Mapping[str, Built], versions: Mapping[str, str | None]) -> str:
    """A hash of what the model reads. `versions` are those of the source tables, by their words; None for one that
    can't be read, which equals nothing."""
    parts = [f"model {name} {built[name].built_at if name in built else '-'}" for name in sorted(model.parents)]
    for source in sorted(model.sources, key=lambda item: item.words):
        version = versions.get(source.words)
        if version is None:
            return ""
        parts.append(f"source {source.words} {version}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def version(session: Session, source: Reference) -> str | None:
    """None when it can't be read, such as a view that lost its table: building will say so, with the line."""
    try:
        return session.version(relation(source))
    except SqlError:
        return None


def relation(source: Reference) -> str:
    """The table as SQL text."""
    return ".".join(quote(part) for part in (source.catalog, source.schema, source.table) if part)


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _value(value: str | int | None) -> str:
    if value is None:
        return "null"
    return str(value) if isinstance(value, int) else literal(value)
