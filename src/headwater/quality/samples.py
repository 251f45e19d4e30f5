"""Some of the rows that break a check, named by their keys, and nothing personal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from headwater.base.redact import MASK
from headwater.connect.names import quote
from headwater.connect.warehouses import Session, SqlError
from headwater.quality.checks import OF_TABLE, Check, Relation, counted, failing_rows, literal

MOST = 20
_SHOWN = 3
_LONGEST = 100
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_PERSONAL = frozenset(
    (
        *("address", "birth", "birthdate", "birthday", "card", "dob", "email", "iban", "ip", "mail", "mobile", "name"),
        *("firstname", "fullname", "lastname", "passport", "phone", "ssn", "street", "surname", "username"),
    )
)
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")

Sample = tuple[dict[str, str | None], ...]


def is_personal(column: str) -> bool:
    """Whether a column's name says that it holds personal data: `customer_email`, `lastName`."""
    return not _PERSONAL.isdisjoint(word.lower() for word in _WORD.findall(column))


def sample(session: Session, check: Check) -> Sample:
    """Up to `MOST` rows that break a check, in the order of their keys: only the columns that name a row, what is
    personal masked. Empty where nothing names them, or when the query names a column twice."""
    query = failing_rows(check)
    if check.kind in OF_TABLE:
        columns = list(session.columns(query))
    elif check.kind == "unique":
        columns = [*check.columns, counted(check)]
    else:
        present = {name.casefold(): name for name in session.columns(query)}
        keys = check.keys or loaded_by(session, check.relation)
        columns = [present[key.casefold()] for key in keys if key.casefold() in present]
    private = {name.casefold() for name in columns if check.pii.get(name.casefold(), is_personal(name))}
    if not columns or private.issuperset(name.casefold() for name in columns):
        return ()
    shown = ", ".join(quote(name) for name in columns)
    places = ", ".join(str(number) for number in range(1, len(columns) + 1))
    try:
        rows = session.rows(f"select {shown} from ({query}) as failing order by {places} limit {MOST}")  # noqa: S608 - a check's own SQL
    except SqlError:  # that rows are wrong is known all the same
        return ()
    return tuple(
        {name: MASK if name.casefold() in private else _text(value) for name, value in zip(columns, row, strict=True)}
        for row in rows
    )


def named(rows: Sample) -> str:
    """` (id=3; id=7 …)`; empty for no rows."""
    if not rows:
        return ""
    more = " …" if len(rows) > _SHOWN else ""
    return f" ({'; '.join(_name(row) for row in rows[:_SHOWN])}{more})"


def loaded_by(session: Session, relation: Relation) -> tuple[str, ...]:
    """The keys that a load has for the table."""
    if ("_headwater", "tables") not in session.relations():
        return ()
    schema, name = literal(relation.schema.lower()), literal(relation.name.lower())
    found = session.rows(
        "select keys from _headwater.tables "  # noqa: S608 - literals are quoted
        f"where lower(schema_name) = {schema} and lower(table_name) = {name}"
    )
    return tuple(found[0][0]) if found else ()


def _name(row: Mapping[str, str | None]) -> str:
    return ", ".join(f"{column}={'null' if value is None else value}" for column, value in row.items())


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = str(value)
    if _MAIL.search(text):
        return MASK
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
