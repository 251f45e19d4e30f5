"""What a server offers: a stream for each table and view that the user may read, by a few queries however many."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec
from msgspec import Struct

from headwater.connect.destinations.mysql.called import PREFIX
from headwater.connect.sources.mysql import columns
from headwater.connect.sources.mysql.columns import Source
from headwater.connect.sources.mysql.session import Session
from headwater.connect.sources.mysql.settings import Settings
from headwater.connect.sources.tables import by_stream, entry
from headwater.model.catalog import Catalog, CatalogStream

_OWN = ("information_schema", "mysql", "performance_schema", "sys")
_KINDS = ("BASE TABLE", "SYSTEM VERSIONED", "VIEW")
_TABLES = "select table_schema, table_name, table_type, engine from information_schema.tables where {where}"
_COLUMNS = (
    "select table_schema, table_name, ordinal_position, column_name, lower(data_type), column_type, numeric_precision, "
    "numeric_scale, is_nullable, character_set_name from information_schema.columns where {where}"
)
_KEYS = (
    "select table_schema, table_name, ordinal_position, column_name from information_schema.key_column_usage "
    "where constraint_name = 'PRIMARY' and {where}"
)
# MariaDB's JSON is a text with such a check.
_CHECKS = (
    "select constraint_schema, table_name, check_clause from information_schema.check_constraints "
    "where constraint_schema {databases} and check_clause like 'json\\_valid(%%'"
)
_JSON_CHECK = re.compile(r"json_valid\(`((?:[^`]|``)+)`\)")


class Table(Struct, frozen=True, kw_only=True):
    """A table or view; `keys` are those of its primary key, in the key's order. `is_clustered` says that its rows lie
    in that order."""

    schema: str
    name: str
    is_view: bool
    is_clustered: bool
    columns: tuple[Source, ...]
    keys: tuple[str, ...]

    @property
    def stream(self) -> str:
        return f"{self.schema}-{self.name}"

    def column(self, name: str) -> Source:
        """Raises StopIteration when there is none."""
        return next(one for one in self.columns if one.name == name)


def tables(session: Session, settings: Settings) -> list[Table]:
    """All that the user may read, by database and name.

    Raises InputError (`ambiguous-stream`) for two tables that would have one name as streams.
    """
    return by_stream(
        _tables(session, settings),
        place="database",
        hint=lambda table: f"headwater config set tap-mysql filter_dbs {table.schema}",
    )


def digest(session: Session, settings: Settings) -> str:
    """Changes when `tables` would."""
    return hashlib.sha256(msgspec.json.encode((settings, _looked_up(session, settings)))).hexdigest()


def catalog(found: list[Table], settings: Settings) -> Catalog:
    return Catalog(streams=[_stream(table, settings) for table in found])


_Rows = list[tuple[Any, ...]]
_place = itemgetter(0, 1)
_number = itemgetter(0, 1, 2)


def _looked_up(session: Session, settings: Settings) -> tuple[_Rows, _Rows, _Rows, _Rows]:
    databases, values = _databases(settings)
    where = f"table_schema {databases}"
    kinds = ", ".join(f"'{kind}'" for kind in _KINDS)
    checks = session.rows(_CHECKS.format(databases=databases), values) if session.is_mariadb else []
    # Sorted here: to the server some names are the same that are not.
    return (
        sorted(session.rows(_TABLES.format(where=f"{where} and table_type in ({kinds})"), values), key=_place),
        sorted(session.rows(_COLUMNS.format(where=where), values), key=_number),
        sorted(session.rows(_KEYS.format(where=where), values), key=_number),
        sorted(checks),
    )


def _databases(settings: Settings) -> tuple[str, list[str]]:
    """What follows the name of a column for databases, and its values. The server opens no table of others."""
    names = list(settings.databases)
    if len(names) == 1:
        return "= %s", names
    listed = ", ".join(["%s"] * len(names or _OWN))
    return (f"in ({listed})", names) if names else (f"not in ({listed})", list(_OWN))


def _tables(session: Session, settings: Settings) -> Iterator[Table]:
    tables, listed, keyed, checks = _looked_up(session, settings)
    kinds = {_place(row): row[2:] for row in tables}
    keys: dict[tuple[str, str], list[str]] = {}
    for schema, name, _, column in keyed:
        keys.setdefault((schema, name), []).append(column)
    json = {
        (schema, name, found[1].replace("``", "`"))
        for schema, name, clause in checks
        if (found := _JSON_CHECK.fullmatch(clause))
    }
    for at, rows in groupby(listed, _place):
        if at not in kinds or at[1].startswith(PREFIX):
            continue
        kind, engine = kinds[at]
        is_view = kind == "VIEW"
        yield Table(
            schema=at[0],
            name=at[1],
            is_view=is_view,
            is_clustered=engine == "InnoDB",
            columns=tuple(_source(row, is_view=is_view, is_json=(*at, row[3]) in json) for row in rows),
            keys=tuple(keys.get(at, ())),
        )


def _source(row: tuple[Any, ...], *, is_view: bool, is_json: bool) -> Source:
    _, _, _, name, base, full, precision, scale, nullable, character_set = row
    return Source(
        name=name,
        base=base,
        full=columns.normal(full),
        precision=None if precision is None else int(precision),
        scale=None if scale is None else int(scale),
        not_null=nullable == "NO" and not is_view,
        is_json=is_json,
        character_set=character_set,
    )


def _stream(table: Table, settings: Settings) -> CatalogStream:
    return entry(
        table,
        (columns.column(one, tinyint1_is_bool=settings.tinyint1_is_bool).field for one in table.columns),
        (one.full for one in table.columns),
        method=settings.default_replication_method,
        cursor=settings.replication_keys.get(table.stream),
        database=table.schema,
    )
