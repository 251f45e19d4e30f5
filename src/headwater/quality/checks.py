"""Checks as data, and the SQL that each one is.

A check is a SELECT of the rows that break it. Everything else (count, sample, message) is made from that. Those of
`OF_HISTORY` compare with former runs instead: see `history.py`.
"""

# ruff: noqa: S608 - names are quoted and values are literals; a query of the user is his own

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from headwater.base.errors import Where
from headwater.connect.names import quote

OF_HISTORY = ("row_count_change", "schema_drift", "volume_anomaly", "freshness_anomaly")
# What breaks these is one row about the whole table.
OF_TABLE = ("row_count", "freshness")


class Relation(Struct, frozen=True):
    schema: str
    name: str

    @property
    def words(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        return f"{quote(self.schema)}.{quote(self.name)}"


class Check(Struct, frozen=True, kw_only=True):
    """`kind` is a key of `KINDS`; `columns` are those it looks at, none for a check of the whole table.

    `parameters` as that kind needs them. A failing check of severity `warn` does not fail the run. `only` is SQL: rows
    for which it does not hold are not looked at. `keys` are the columns that name a row, where that is said. `pii` says
    of columns, in small letters, whether they hold personal data.
    """

    name: str
    kind: str
    relation: Relation
    columns: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    severity: str = "error"
    only: str | None = None
    keys: tuple[str, ...] = ()
    pii: dict[str, bool] = field(default_factory=dict)
    where: Where


def failing_rows(check: Check) -> str:
    """A SELECT of the rows that break the check; for `unique` of the keys that occur more than once, with `counted`."""
    given, table = check.parameters, _table(check, "looked_at")
    columns = [quote(column) for column in check.columns]
    match check.kind:
        case "not_null":
            return f"select * from {table} where {columns[0]} is null"
        case "unique":
            keys = ", ".join(columns)
            present = " and ".join(f"{column} is not null" for column in columns)
            rows = quote(counted(check))
            return f"select {keys}, count(*) as {rows} from {table} where {present} group by {keys} having count(*) > 1"
        case "accepted_values":
            values = ", ".join(literal(value) for value in given["values"])
            return f"select * from {table} where {columns[0]} not in ({values})"
        case "range":
            return f"select * from {table} where {_outside(columns[0], given)}"
        case "relationship":
            parent: Relation = given["to"]
            child = check.relation.sql if check.only is None else _filtered(check)
            return (
                f"select child.* from {child} as child where child.{columns[0]} is not null and not exists "
                f"(select 1 from {parent.sql} as parent where parent.{quote(given['field'])} = child.{columns[0]})"
            )
        case "row_count":
            number = f'(select count(*) as "rows" from {table}) as counted'
            return f"select * from {number} where {_outside(quote('rows'), given)}"
        case "freshness":
            newest, age = quote("newest"), f"interval '{given['seconds']} seconds'"
            return (
                f"select * from (select max({columns[0]}) as {newest} from {table}) as found where {newest} is null "
                f"or cast({newest} as timestamp with time zone) < current_timestamp - {age}"
            )
        case _:
            return f"select * from (\n{given['query'].strip().rstrip(';')}\n) as found"


def count(check: Check) -> str:
    """A SELECT of one number: how many rows break the check."""
    number = f"coalesce(sum({quote(counted(check))}), 0)::bigint" if check.kind == "unique" else "count(*)"
    return f"select {number} from ({failing_rows(check)}) as failing"


def counted(check: Check) -> str:
    """The column that says how many rows share a key: one that is no column of the key."""
    return "number of rows" if any(column.casefold() == "rows" for column in check.columns) else "rows"


def sample(check: Check, most: int = 20) -> str:
    """A SELECT to look at some of the rows that break the check."""
    return f"{failing_rows(check)} limit {most}"


def row_count(check: Check) -> str:
    """A SELECT of one number: how many rows the check looks at."""
    return f"select count(*) from {_table(check, 'looked_at')}"


def says(check: Check, failing: int) -> str:
    """What is wrong, in a clause: `3 rows of analytics.orders have no customer`."""
    given, column = check.parameters, ", ".join(check.columns)
    rows = f"{failing:,} row{'s' if failing != 1 else ''} of {check.relation.words}"
    match check.kind:
        case "not_null":
            return f"{rows} without `{column}`"
        case "unique":
            return f"{rows} share their `{column}`"
        case "accepted_values":
            return f"{rows} with a `{column}` that is not accepted"
        case "range":
            return f"{rows} with `{column}` {_bounds_in_words(given)}"
        case "relationship":
            return f"{rows} with a `{column}` that is no `{given['field']}` of {given['to'].words}"
        case "row_count":
            return f"the number of rows of {check.relation.words} is {_bounds_in_words(given)}"
        case "freshness":
            return f"the newest `{column}` of {check.relation.words} is older than {given['max_age']}"
        case _:
            return f"{failing:,} row{'s' if failing != 1 else ''} found by its query"


def literal(value: Any) -> str:
    """A YAML scalar as SQL. Text stays text: DuckDB compares it with dates and numbers by converting it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"


def _table(check: Check, alias: str) -> str:
    return check.relation.sql if check.only is None else f"{_filtered(check)} as {alias}"


def _filtered(check: Check) -> str:
    return f"(select * from {check.relation.sql} where (\n{check.only}\n))"


def _outside(expression: str, given: dict[str, Any]) -> str:
    sides = [(given.get("min"), "<"), (given.get("max"), ">")]
    return " or ".join(f"{expression} {sign} {literal(bound)}" for bound, sign in sides if bound is not None)


def _bounds_in_words(given: dict[str, Any]) -> str:
    sides = [(given.get("min"), "below"), (given.get("max"), "above")]
    return " or ".join(f"{word} {bound}" for bound, word in sides if bound is not None)
