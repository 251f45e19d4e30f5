"""What log-based replication needs on the server: a publication of the tables, and a slot that keeps the log for us."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import psycopg
from msgspec import Struct

from headwater.base.clock import monotonic
from headwater.base.errors import EnvironmentProblemError, HeadwaterError, InputError, RunFailedError
from headwater.base.text import listed
from headwater.connect.destinations.postgres.address import Address
from headwater.connect.destinations.postgres.connection import execute, literal, trouble
from headwater.connect.destinations.postgres.patient import PatientConnection, Watch
from headwater.connect.names import quote
from headwater.connect.sources.postgres.catalog import DOMAINS, IS_ARRAY

_PLUGIN = "pgoutput"
_LEAST_VERSION = 130_000
# How long a session that has died may still hold the slot.
_PATIENCE_SECONDS = 10.0
_POLL_SECONDS = 0.2

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
_SLOT = """
select plugin::text, database::text, active_pid, to_jsonb(s)->>'wal_status', to_jsonb(s)->>'invalidation_reason',
  pg_wal_lsn_diff(confirmed_flush_lsn, '0/0')::int8, database = current_database(),
  pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::int8
from pg_replication_slots s where slot_name = %s
"""
_TYPES = f"""
{DOMAINS}
select w.oid::int8, b.typname::text, b.typtype::text, {IS_ARRAY}, d.modifier, format_type(w.oid, null)
from unnest(%s::oid[]) as w(oid) join domains d on d.oid = w.oid join pg_type b on b.oid = d.of_type
"""
_WRITERS = """
select distinct l.pid, l.virtualtransaction from pg_locks l
where l.locktype = 'relation' and l.relation = any(%s::oid[]) and l.granted and l.pid <> pg_backend_pid()
  and l.database = (select oid from pg_database where datname = current_database())
  and l.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
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


class Slot(Struct, frozen=True, kw_only=True):
    """`safe` is up to where its changes were confirmed: what came before, the server no longer has. `lag` is how many
    bytes of log it holds back, `tables` the streams by the numbers that the log knows their tables by."""

    name: str
    publication: str
    safe: int
    lag: int
    tables: dict[int, str]


class StopError(Exception):
    """The read is to stop."""


class _Stopping:
    """A watch that also ends a wait when the read is to stop."""

    def __init__(self, watch: Watch | None, should_stop: Callable[[], bool]) -> None:
        self._watch = watch
        self._should_stop = should_stop

    def begin(self) -> None:
        if self._watch is not None:
            self._watch.begin()

    def tick(self) -> None:
        if self._should_stop():
            raise StopError
        if self._watch is not None:
            self._watch.tick()


class Server:
    """Asks and orders what has to do with slots, over a session outside of any transaction. Every error of the server
    comes out in our words."""

    def __init__(
        self,
        connection: PatientConnection,
        address: Address,
        *,
        tell: Callable[[str], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._connection = connection
        self._address = address
        self._tell = tell
        self._should_stop = should_stop
        self._asked(
            "set up a session",
            "select set_config('IntervalStyle', 'postgres', false), set_config('extra_float_digits', '1', false), "
            "set_config('bytea_output', 'hex', false)",
        )

    def slot(self, name: str, publication: str, tables: Sequence[Logged], known: AbstractSet[str]) -> Slot:
        """The slot, with all tables in the publication. Both are made when they are missing, unless a state goes on
        from them: that of the streams `known`. Raises StopError, EnvironmentProblemError, InputError, RunFailedError.
        """
        watch = self._connection.watch
        self._connection.watch = _Stopping(watch, self._should_stop)
        try:
            return self._ready(name, publication, tables, known)
        finally:
            self._connection.watch = watch

    def _ready(self, name: str, publication: str, tables: Sequence[Logged], known: AbstractSet[str]) -> Slot:
        self._check_server()
        oids = self._check_tables(tables)
        self._publish(publication, tables, known)
        found = self._held(name)
        if found is None:
            if known:
                raise lost(name, "there is none of that name")
            self._create(name)
            found = self._held(name)
            assert found is not None
        else:
            self._outwait([oid for stream, held in oids.items() if stream not in known for oid in held])
        safe, lag = found
        streams = {held[0]: stream for stream, held in oids.items()}
        return Slot(name=name, publication=publication, safe=safe, lag=lag, tables=streams)

    def mark(self) -> int:
        """Write a mark into the log; what is sent beyond it was committed later. The log moves on with it also where
        nothing else does, so that the slot keeps none of it for long."""
        message = "pg_logical_emit_message(true, 'headwater', '')"
        ((lsn,),) = self._asked("write into the log", f"select pg_wal_lsn_diff({message}, '0/0')::int8")
        return int(lsn)

    def types(self, oids: Sequence[int]) -> Sequence[tuple[int, str, str, bool, int, str]]:
        """Of each type that still exists: what a domain is made of, and its name in SQL."""
        return self._asked("look at its types", _TYPES, [list(oids)])

    def json_of(self, type_name: str, texts: Sequence[str | None]) -> list[str | None]:
        """Values that the log holds as text, as the JSON that a copy of the table makes of them."""
        query = (
            f"select pg_catalog.to_jsonb(u.v::{type_name})::text from unnest(%s::text[]) with ordinality as u(v, n) "
            "order by u.n"
        )
        return [row[0] for row in self._asked("read values of the log", query, [list(texts)])]

    def values(
        self, schema: str, name: str, wanted: Sequence[str], keys: Mapping[str, object]
    ) -> Sequence[str | None] | None:
        """What a row holds now, as text like the log's; None when it is gone."""
        columns = [f"t.{quote(one)}".replace("%", "%%") for one in wanted]
        texts = ", ".join(f"case when {one} is not null then format('%%s', {one}) end" for one in columns)
        # A text of no type of its own is taken for one of the column's.
        where = " and ".join(f"t.{quote(key).replace('%', '%%')} = %s" for key in keys)
        table = f"{quote(schema)}.{quote(name)}".replace("%", "%%")
        rows = self._asked("look up a row", f"select {texts} from {table} as t where {where}", list(keys.values()))
        return rows[0] if rows else None

    def lag(self, safe: int) -> int:
        """Bytes of log written since."""
        ((bytes_behind,),) = self._asked(
            "look at its log", "select (pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') - %s)::int8", [safe]
        )
        return max(0, int(bytes_behind))

    def _check_server(self) -> None:
        version = self._connection.info.server_version
        if version < _LEAST_VERSION:
            raise EnvironmentProblemError(
                "old-server",
                f"log-based replication needs PostgreSQL 13, and {self._address.server} is {version // 10_000}",
                hint="set the replication-method of its streams to INCREMENTAL or FULL_TABLE",
            )
        ((level,),) = self._asked("look at its settings", "select current_setting('wal_level')")
        if level != "logical":
            raise EnvironmentProblemError(
                "log-not-logical",
                f"PostgreSQL at {self._address.server} does not write a log that changes can be read from",
                why=f"its wal_level is {level}",
                hint="alter system set wal_level = logical, and restart the server; a managed server has a setting of "
                "its own for it, such as rds.logical_replication",
            )

    def _check_tables(self, tables: Sequence[Logged]) -> dict[str, list[int]]:
        """The numbers of each stream's table, and behind it of its partitions."""
        rows = self._asked(
            "look at its tables", _TABLES, [[one.schema for one in tables], [one.name for one in tables]]
        )
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
                    hint=f"headwater config set tap-postgres _metadata.{table.stream}.table-key-properties "
                    "'[\"COLUMN\"]'",
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

    def _publish(self, publication: str, tables: Sequence[Logged], known: AbstractSet[str]) -> None:
        rows = self._asked(
            "look at its publications",
            "select pubinsert and pubupdate and pubdelete, pubviaroot from pg_publication where pubname = %s",
            [publication],
        )
        names = ", ".join(table.sql for table in tables)
        if not rows:
            _check_gap(publication, tables, known)
            self._order(
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
                why="it does not publish inserts, updates and deletes"
                if not publishes_all
                else "it names partitions instead of their table",
                hint=f"alter publication {quote(publication)} set ({option})",
            )
        held = set(
            self._asked(
                "look at its publications",
                "select schemaname::text, tablename::text from pg_publication_tables where pubname = %s",
                [publication],
            )
        )
        missing = [table for table in tables if (table.schema, table.name) not in held]
        if missing:
            _check_gap(publication, missing, known)
            self._order(
                f"add tables to the publication `{publication}`",
                f"alter publication {quote(publication)} add table {', '.join(table.sql for table in missing)}",
            )

    def _held(self, name: str) -> tuple[int, int] | None:
        """Where the slot stands and what it holds back, once nobody else uses it."""
        until = monotonic() + _PATIENCE_SECONDS
        while rows := self._asked("look at its replication slots", _SLOT, [name]):
            ((plugin, database, pid, status, reason, safe, is_here, lag),) = rows
            if plugin != _PLUGIN or not is_here:
                raise InputError(
                    "unfit-slot",
                    f"the replication slot `{name}` can't be used",
                    why=f"it is of database `{database}`" if plugin == _PLUGIN else f"its output plugin is {plugin}",
                    hint="headwater config set tap-postgres replication_slot_name NAME",
                )
            if status == "lost" or reason or safe is None:
                raise lost(name, f"the server has dropped its log: {reason or 'max_slot_wal_keep_size was exceeded'}")
            if pid is None:
                return safe, lag
            if monotonic() >= until:
                raise RunFailedError(
                    "slot-in-use",
                    f"somebody else reads the replication slot `{name}`",
                    why=f"process {pid} of the server",
                    hint="give each pipeline a slot of its own, by the setting `replication_slot_name`; a session that "
                    f"has died: select pg_terminate_backend({pid})",
                )
            time.sleep(_POLL_SECONDS)
        return None

    def _create(self, name: str) -> None:
        self._tell(f"creating the replication slot {name}; it waits for transactions that run now")
        self._order(
            f"create the replication slot `{name}`",
            f"select pg_create_logical_replication_slot({literal(name)}, '{_PLUGIN}')",
        )

    def _outwait(self, oids: Sequence[int]) -> None:
        """Until nobody who wrote to the tables before they were published is still at it: the log does not show us what
        they wrote, and a copy that begins before they commit would not either. That a run published them which was
        killed before it had waited can't be seen, so every table that is to be copied is waited for."""
        query = _WRITERS
        waiting = set(self._asked("look at its locks", query, [list(oids)]))
        if waiting:
            self._tell("waiting for transactions that write to tables that are read from the log from now on")
        while waiting:
            if self._should_stop():
                raise StopError
            time.sleep(_POLL_SECONDS)
            waiting &= set(self._asked("look at its locks", query, [list(oids)]))

    def _asked(self, doing: str, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query.encode(), values or None).fetchall()
        except psycopg.Error as error:
            raise trouble(self._address, error, doing=doing) from error

    def _order(self, doing: str, command: str) -> None:
        try:
            execute(self._connection, command)
        except psycopg.Error as error:
            raise self._refused(doing, command, error) from error

    def _refused(self, doing: str, command: str, error: psycopg.Error) -> HeadwaterError:
        if error.sqlstate == "42501":
            return EnvironmentProblemError(
                "no-permission",
                f"`{self._address.user}` may not {doing}",
                why=self._address.without_secrets(str(error.diag.message_primary)),
                hint=f"as the owner of the tables: {command}"
                if "publication" in doing
                else f"alter role {self._address.user} replication",
            )
        if error.sqlstate == "53400":
            return EnvironmentProblemError(
                "too-many-slots",
                f"PostgreSQL at {self._address.server} has no more replication slots",
                why=str(error.diag.message_primary),
                hint="drop one that nobody reads: select slot_name from pg_replication_slots where not active; or "
                "raise max_replication_slots",
            )
        return trouble(self._address, error, doing=doing)


def _check_gap(publication: str, missing: Sequence[Logged], known: AbstractSet[str]) -> None:
    for table in missing:
        if table.stream in known:
            raise EnvironmentProblemError(
                "not-published",
                f"the publication `{publication}` no longer holds `{table.schema}.{table.name}`",
                why="what changed since it was taken out is not in the replication slot",
                hint=f"headwater run --full-refresh --stream {table.stream} …, which puts it back and copies it anew",
            )


def lost(name: str, why: str) -> EnvironmentProblemError:
    return EnvironmentProblemError(
        "slot-lost",
        f"the replication slot `{name}` can't go on from where the last run ended",
        why=why,
        hint=f"select pg_drop_replication_slot({literal(name)}) if it is there, then headwater run --full-refresh …, "
        "which makes another and copies the tables anew",
    )


def behind(stream: str, name: str) -> RunFailedError:
    """The slot is ahead of what the state says."""
    return RunFailedError(
        "slot-ahead",
        f"changes of stream `{stream}` are no longer in the replication slot `{name}`",
        why="it was confirmed further than this state, as when two pipelines share a slot, or a state was put back",
        hint=f"headwater run --full-refresh --stream {stream} …; give each pipeline a slot of its own, by the setting "
        "`replication_slot_name`",
    )


def _other_method(stream: str) -> str:
    return f"headwater config set tap-postgres _metadata.{stream}.replication-method FULL_TABLE"
