"""What a PostgreSQL database offers: a stream for each table and view that the user may read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import groupby

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from headwater.connect.destinations.postgres.connection import Connection
from headwater.connect.sources.postgres import columns
from headwater.connect.sources.postgres.columns import Source
from headwater.connect.sources.postgres.settings import Settings
from headwater.connect.sources.tables import by_stream, entry
from headwater.model.catalog import Catalog, CatalogStream

_IS_VIEW = {"v": True, "m": True}
_RELATIONS = """
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
  and n.nspname not in ('pg_catalog', 'information_schema', '_headwater') and n.nspname not like 'pg\\_%%'
  and (cardinality(%(schemas)s::text[]) = 0 or n.nspname = any(%(schemas)s::text[]))
"""
# What each type is made of, domains of domains too.
DOMAINS = """
with recursive domains as (
  select oid, oid as of_type, -1 as modifier from pg_type where typtype <> 'd'
  union all
  select t.oid, d.of_type, greatest(t.typtypmod, d.modifier)
  from pg_type t join domains d on t.typbasetype = d.oid where t.typtype = 'd'
)
"""
# An array, but not one of the fixed length that the server's own catalog has.
IS_ARRAY = "b.typcategory = 'A' and b.typelem <> 0 and b.typlen = -1"
_COLUMNS = f"""
{DOMAINS}select n.nspname, c.relname, c.relkind::text, a.attname, b.typname, b.typtype::text,
  {IS_ARRAY}, greatest(a.atttypmod, d.modifier), a.attnotnull,
  coalesce(array_position(i.indkey::int[], a.attnum::int) + 1, 0) -- an int2vector counts from 0
from pg_class c join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join domains d on d.oid = a.atttypid
join pg_type b on b.oid = d.of_type
left join pg_index i on i.indrelid = c.oid and i.indisprimary
where c.oid in (select c.oid {_RELATIONS}) and has_schema_privilege(n.oid, 'usage')
  and (has_table_privilege(c.oid, 'select') or has_column_privilege(c.oid, a.attnum, 'select'))
order by n.nspname collate "C", c.relname collate "C", a.attnum
"""
_DIGEST = f"""
select md5(coalesce(string_agg(line, '|' order by line collate "C"), '')) from (
  select concat_ws(':', n.nspname, c.relname, c.relkind, a.attname, a.atttypid, a.atttypmod, a.attnum,
    a.attnotnull, i.indkey) as line
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  left join pg_index i on i.indrelid = c.oid and i.indisprimary
  where c.oid in (select c.oid {_RELATIONS}) and has_schema_privilege(n.oid, 'usage')
    and (has_table_privilege(c.oid, 'select') or has_column_privilege(c.oid, a.attnum, 'select'))
) found
"""


class Table(Struct, frozen=True, kw_only=True):
    """A table or view; `keys` are those of its primary key, in the key's order."""

    schema: str
    name: str
    is_view: bool
    columns: tuple[Source, ...]
    keys: tuple[str, ...]

    @property
    def stream(self) -> str:
        return f"{self.schema}-{self.name}"

    def column(self, name: str) -> Source:
        """Raises StopIteration when there is none."""
        return next(one for one in self.columns if one.name == name)


def tables(connection: Connection, settings: Settings) -> list[Table]:
    """All that the user may read, by schema and name. One query, however many there are.

    Raises InputError (`ambiguous-stream`) for two tables that would have one name as streams.
    """
    return by_stream(
        _tables(connection, settings),
        place="schema",
        hint=lambda table: f"headwater config set tap-postgres filter_schemas '[\"{table.schema}\"]'",
    )


def digest(connection: Connection, settings: Settings) -> str:
    """Changes when `tables` would."""
    row = connection.execute(_DIGEST.encode(), {"schemas": settings.filter_schemas}).fetchone()
    assert row is not None
    return hashlib.sha256(msgspec.json.encode((replace(settings, env={}), row[0]))).hexdigest()


def catalog(found: list[Table], settings: Settings) -> Catalog:
    return Catalog(streams=[_stream(table, settings) for table in found if table.columns])


def _tables(connection: Connection, settings: Settings) -> Iterator[Table]:
    rows = connection.execute(_COLUMNS.encode(), {"schemas": settings.filter_schemas}).fetchall()
    for (schema, name, kind), group in groupby(rows, lambda row: row[:3]):
        members = list(group)
        keyed = sorted((position, column) for _, _, _, column, *_, position in members if position)
        yield Table(
            schema=schema,
            name=name,
            is_view=_IS_VIEW.get(kind, False),
            columns=tuple(source(*row[3:9]) for row in members),
            keys=tuple(column for _, column in keyed),
        )


def source(name: str, base: str, kind: str, is_array: bool, modifier: int, not_null: bool) -> Source:
    precision, scale = columns.type_modifier(modifier) if base == "numeric" else (None, None)
    return Source(
        name=name, base=base, kind=kind, is_array=is_array, precision=precision, scale=scale, not_null=not_null
    )


def _stream(table: Table, settings: Settings) -> CatalogStream:
    return entry(
        table,
        (columns.column(one).field for one in table.columns),
        (one.base for one in table.columns),
        method=settings.default_replication_method,
        cursor=settings.replication_keys.get(table.stream),
        database=settings.database,
    )
