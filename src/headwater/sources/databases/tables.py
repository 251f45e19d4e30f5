"""Tables as a database describes them, and what is asked of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

from headwater.sources.rows import JSON_FIELD, TIMESTAMP

# What databases keep for themselves.
OWN_SCHEMAS = frozenset(
    (
        *(
            "information_schema",
            "pg_catalog",
            "pg_toast",
            "performance_schema",
            "mysql",
            "sys",
            "system",
            "pg_internal",
        ),
        *(
            "ctxsys",
            "dbsnmp",
            "outln",
            "xdb",
            "mdsys",
            "ordsys",
            "syscat",
            "sysibm",
            "sysibmadm",
            "sysstat",
            "systools",
        ),
        *("db_accessadmin", "db_backupoperator", "db_datareader", "db_datawriter", "db_ddladmin", "db_denydatareader"),
        *("db_denydatawriter", "db_owner", "db_securityadmin", "guest", "_statistics_", "crdb_internal"),
    )
)


class CannotConnectError(Exception):
    """There is no connection; the driver's words."""


class UnknownTableError(Exception):
    """There is no such table."""


class BookmarkError(Exception):
    """A bookmark is no value of its column."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """`type` is what the database calls it, `kind` what it becomes; `handle` is what only the driver's road knows."""

    name: str
    type: str
    kind: pa.DataType
    is_json: bool = False
    not_null: bool = False
    handle: Any = None

    @property
    def field(self) -> pa.Field:
        return pa.field(self.name, self.kind, metadata=JSON_FIELD if self.is_json else None)

    @property
    def is_ordered(self) -> bool:
        of, kind = pa.types, self.kind
        return not self.is_json and any(
            test(kind) for test in (of.is_integer, of.is_floating, of.is_decimal, of.is_date, of.is_timestamp, _is_text)
        )


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


@dataclass(frozen=True, kw_only=True)
class Table:
    schema: str
    name: str
    is_view: bool
    keys: tuple[str, ...]
    columns: tuple[Column, ...]

    def about(self) -> dict[str, Any]:
        columns = [
            {"name": one.name, "type": one.type, "ordered": one.is_ordered, "not_null": one.not_null}
            for one in self.columns
        ]
        return {
            "schema": self.schema,
            "name": self.name,
            "is_view": self.is_view,
            "keys": self.keys,
            "columns": columns,
        }


def stream_schema(table: Table) -> pa.Schema:
    return pa.schema([one.field for one in table.columns])


@dataclass(frozen=True, kw_only=True)
class Ask:
    """The columns that are wanted, and by which of them rows are ordered: from `after` on, or all that have one. With
    `nulls` those without come, too, before all others."""

    columns: tuple[Column, ...]
    cursor: Column | None = None
    after: Any = None
    nulls: bool = False

    @classmethod
    def of(cls, wanted: dict[str, Any], table: Table) -> Ask:
        """Raises BookmarkError."""
        columns = tuple(one for one in table.columns if wanted["all"] or one.name in wanted["columns"])
        cursor = next((one for one in columns if one.name == wanted["cursor"]), None)
        after = None
        if cursor is not None and wanted["after"] is not None:
            after = _less(bookmark(wanted["after"], cursor), wanted)
        return cls(columns=columns, cursor=cursor, after=after, nulls=wanted["nulls"])

    def parts(self) -> Iterator[str]:
        """What to ask for, one after the other: `all` rows, those with `nulls`, those `from` the bookmark on, those
        `without` nulls."""
        if self.cursor is None:
            yield "all"
            return
        if self.nulls and not self.cursor.not_null:
            yield "nulls"
        yield "without" if self.after is None else "from"


def bookmark(text: Any, cursor: Column) -> Any:
    """The value that a state holds, of the column's own kind. What has no zone is UTC. Raises BookmarkError."""
    of, kind = pa.types, cursor.kind
    try:
        if of.is_integer(kind):
            return int(text)
        if of.is_decimal(kind):
            return Decimal(str(text))
        if of.is_floating(kind):
            return float(text)
        if of.is_date(kind):
            return dt.date.fromisoformat(str(text)[:10])
        if of.is_timestamp(kind):
            moment = dt.datetime.fromisoformat(str(text))
            return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise BookmarkError(f"`{text}` is no {cursor.type}") from error
    return str(text)


def _less(value: Any, wanted: dict[str, Any]) -> Any:
    """The value less what is to be read again."""
    if isinstance(value, dt.date):  # or a datetime
        return value - dt.timedelta(seconds=wanted["lookback_seconds"])
    return value - wanted["lookback_units"] if isinstance(value, int | float | Decimal) else value


def conditions(ask: Ask, name: str, value: Callable[[Any], str]) -> Iterator[str]:
    """What follows `from TABLE`, where that is written by hand: `name` is the cursor's, `value` writes one."""
    for part in ask.parts():
        where = {
            "all": "",
            "nulls": f" where {name} is null",
            "without": "" if ask.cursor is None or ask.cursor.not_null else f" where {name} is not null",
            "from": "" if ask.after is None else f" where {name} >= {value(ask.after)}",
        }[part]
        yield f"{where} order by {name}" if part in ("without", "from") else where


def kind_of_decimal(precision: int | None, scale: int | None) -> pa.DataType:
    """Text for one of too many digits."""
    if precision is None:
        return pa.decimal128(38, 9)
    scale = scale or 0
    return pa.decimal128(precision, scale) if 0 < precision <= 38 and 0 <= scale <= precision else pa.string()


KINDS = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "text": pa.string(),
    "bytes": pa.binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "moment": TIMESTAMP,
}
