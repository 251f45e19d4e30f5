"""Tables that are read from the log: whether they can be, and the publication that has the server log them for us."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from msgspec import Struct

from headwater.base.errors import EnvironmentProblemError, InputError
from headwater.base.text import listed
from headwater.connect.names import quote
from headwater.connect.sources.postgres.orders import Orders

_TABLES = """
with wanted as (
  select w.number, c.oid, c.relkind, c.relpersistence
  from unnest(%s::text[], %s::text[]) with ordinality as w(schema, name, number)
  join pg_namespace n on n.nspname = w.schema join pg_class c on c.relnamespace = n.oid and c.relname = w.name
), leaves as (
  select w.number, w.relkind as kind, w.relpersistence, l.* from wanted w join pg_class l on l.oid = w.oid
  where w.relkind <> 'p'
  union all
  select w.number, w.relkind, w.relpersistence, l.* from wanted w
  cross join lateral pg_partition_tree(w.oid) p join pg_class l on l.oid = p.relid where w.relkind = 'p' and p.isleaf
)
select w.number, w.oid::int8, w.relkind::text, w.relpersistence::text, coalesce(l.relreplident::text, 'd'),
  coalesce(l.oid::regclass::text, ''), array(
    select a.attname::text from pg_index i join pg_attribute a on a.attrelid = l.oid and a.attnum = any(i.indkey)
    where i.indrelid = l.oid and case l.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident end),
  l.oid::int8
from wanted w left join leaves l using (number) order by 1
"""


class Logged(Struct, frozen=True, kw_only=True):
    """A table that is to be read from the log: `keys` tell its rows apart in the destination."""

    schema: str
    name: str
    keys: tuple[str, ...]

    @property
    def stream(self) -> str:
        return f"{self.schema}-{self.name}"

    @property
    def sql(self) -> str:
        return f"{quote(self.schema)}.{quote(self.name)}"


def check(orders: Orders, tables: Sequence[Logged]) -> dict[str, list[int]]:
    """The numbers of each stream's table, and behind it of its partitions. Raises InputError for one whose changes the
    log does not tell."""
    rows = orders.ask("look at its tables", _TABLES, [[one.schema for one in tables], [one.name for one in tables]])
    oids: dict[str, list[int]] = {}
    for number, oid, kind, persistence, identity, leaf, identifying, leaf_oid in rows:
        table = tables[number - 1]
        oids.setdefault(table.stream, [oid]).append(leaf_oid or oid)
        if kind not in ("r", "p") or persistence != "p":
            raise InputError(
                "not-logged",
                f"stream `{table.stream}` asks for LOG_BASED replication, and the server keeps no log of it",
                why="it is an unlogged table" if kind in ("r", "p") else "it is no table but a view, or elsewhere",
                hint=_other_method(table.stream),
            )
        if not table.keys:
            raise InputError(
                "no-key",
                f"stream `{table.stream}` asks for LOG_BASED replication and has no key",
                why="a change says by its key which row it is about",
                hint=f"headwater config set tap-postgres _metadata.{table.stream}.table-key-properties '[\"COLUMN\"]'",
            )
        missing = [key for key in table.keys if key not in identifying]
        if identity != "f" and missing:
            raise InputError(
                "no-replica-identity",
                f"the log does not say which row of `{leaf}` a change is about",
                why=f"its replica identity does not hold {listed(missing)}",
                hint=f"alter table {leaf} replica identity full; or give it a primary key",
            )
    return oids


def publish(orders: Orders, publication: str, tables: Sequence[Logged], known: AbstractSet[str]) -> None:
    """Have the publication hold the tables, and make it when it is missing. Raises EnvironmentProblemError for one of
    the streams `known` that it no longer held, InputError for a publication that leaves out changes."""
    rows = orders.ask(
        "look at its publications",
        "select pubinsert and pubupdate and pubdelete and pubtruncate, pubviaroot from pg_publication "
        "where pubname = %s",
        [publication],
    )
    names = ", ".join(table.sql for table in tables)
    if not rows:
        _check_gap(publication, tables, known)
        orders.order(
            f"create the publication `{publication}`",
            f"create publication {quote(publication)} for table {names} with (publish_via_partition_root = true)",
        )
        return
    ((publishes_all, by_root),) = rows
    if not publishes_all or not by_root:
        option = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
        raise InputError(
            "unfit-publication",
            f"the publication `{publication}` leaves out changes",
            why="it does not publish inserts, updates, deletes and truncates"
            if not publishes_all
            else "it names partitions instead of their table",
            hint=f"alter publication {quote(publication)} set ({option})",
        )
    held = set(
        orders.ask(
            "look at its publications",
            "select schemaname::text, tablename::text from pg_publication_tables where pubname = %s",
            [publication],
        )
    )
    missing = [table for table in tables if (table.schema, table.name) not in held]
    if missing:
        _check_gap(publication, missing, known)
        orders.order(
            f"add tables to the publication `{publication}`",
            f"alter publication {quote(publication)} add table {', '.join(table.sql for table in missing)}",
        )


def _check_gap(publication: str, missing: Sequence[Logged], known: AbstractSet[str]) -> None:
    for table in missing:
        if table.stream in known:
            raise EnvironmentProblemError(
                "not-published",
                f"the publication `{publication}` no longer holds `{table.schema}.{table.name}`",
                why="what changed since it was taken out is not in the replication slot",
                hint=f"headwater run --full-refresh --stream {table.stream} …, which puts it back and copies it anew",
            )


def _other_method(stream: str) -> str:
    return f"headwater config set tap-postgres _metadata.{stream}.replication-method FULL_TABLE"
