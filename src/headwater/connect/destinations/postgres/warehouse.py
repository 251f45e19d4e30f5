"""A PostgreSQL database as the place where models are built: each thread has a session, which is used again."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import psycopg
import pyarrow as pa

from headwater.base.scratch import scratch
from headwater.connect.contract import IDLE_SECONDS
from headwater.connect.destinations.postgres import books, copy_format
from headwater.connect.destinations.postgres.address import Address, address
from headwater.connect.destinations.postgres.connection import cannot_connect, connect, execute, literal, trouble
from headwater.connect.destinations.postgres.patient import PatientConnection
from headwater.connect.destinations.postgres.sql_types import field_of, sql_type
from headwater.connect.names import quote
from headwater.connect.warehouses import Session, SqlError

_BATCH_ROWS = 16_384
_PIECE_ROWS = 65_536
# What is about the server and not about the SQL: memory, disk, connection, locks, an administrator.
_OF_THE_SERVER = ("08", "40", "53", "55", "57", "58")
_DOING = "build models"
_CANCELLED = "57014"

# Views that read a relation, directly.
_VIEWS_ON = """
select distinct v.oid::bigint, n.nspname, v.relname from pg_catalog.pg_depend d
join pg_catalog.pg_rewrite r on r.oid = d.objid join pg_catalog.pg_class v on v.oid = r.ev_class
join pg_catalog.pg_namespace n on n.oid = v.relnamespace
where d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid = {oid} and v.oid <> {oid}
"""


class PostgresSession:
    def __init__(self, connection: PatientConnection, at: Address) -> None:
        self._connection = connection
        self._address = at

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self._told(sql):
            cursor = execute(self._connection, sql)
            return cursor.fetchall() if cursor.description else []

    def run(self, sql: str) -> int:
        with self._told(sql):
            return max(execute(self._connection, sql).rowcount, 0)

    def columns(self, query: str) -> dict[str, str]:
        with self._told(query):
            result = execute(self._connection, f"select * from ({query}\n) q limit 0").pgresult
        if result is None or not result.nfields:
            return {}
        types = [f"pg_catalog.format_type({result.ftype(n)}, {result.fmod(n)})" for n in range(result.nfields)]
        (found,) = self.rows(f"select {', '.join(types)}")
        names = [(result.fname(n) or b"").decode() for n in range(result.nfields)]
        return dict(zip(names, found, strict=True))

    def relations(self) -> dict[tuple[str, str], str]:
        rows = self.rows(
            "select n.nspname, c.relname, case when c.relkind in ('v', 'm') then 'view' else 'table' end "
            "from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace "
            "where c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relpersistence <> 't' "
            "and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')"
        )
        return {(schema.casefold(), name.casefold()): kind for schema, name, kind in rows}

    def version(self, relation: str) -> str:
        columns = self.columns(f"select * from {relation}")
        hashed = quote("__loaded_at") if "__loaded_at" in columns else "t"
        total = f"sum(pg_catalog.hashtextextended({hashed}::text, 0))"
        return f"{columns} {self.rows(f'select count(*), {total}::text from {relation} as t')}"

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        fields = [_field(name, kind) for name, kind in self.columns(query).items()]
        columns = pa.schema(fields)
        yield pa.RecordBatch.from_pylist([], schema=columns)
        casts = ", ".join(_as_sent(field) for field in fields)
        with self._told(query), self._connection.cursor("headwater_rows", withhold=True) as cursor:
            cursor.itersize = _BATCH_ROWS
            cursor.execute(f"select {casts} from ({query}\n) q".encode())
            while found := cursor.fetchmany(_BATCH_ROWS):
                pairs = zip(zip(*found, strict=True), fields, strict=True)
                yield pa.RecordBatch.from_arrays([_array(values, field) for values, field in pairs], schema=columns)

    def create(self, table: str, columns: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
        types = [(field.name, sql_type(field)) for field in columns]
        self.run(f"create {table} ({', '.join(f'{quote(name)} {kind}' for name, kind in types)})")
        into = table.removeprefix("temp ").removeprefix("table ")
        with self._told(table), self._connection.cursor() as cursor:
            with cursor.copy(f"copy {into} from stdin (format binary)".encode()) as sink:
                sink.write(copy_format.HEADER)
                for batch in batches:
                    for start in range(0, batch.num_rows, _PIECE_ROWS):
                        piece = batch.slice(start, _PIECE_ROWS)
                        pairs = [(values, kind) for values, (_, kind) in zip(piece.columns, types, strict=True)]
                        sink.write(memoryview(copy_format.rows(pairs)))
                sink.write(copy_format.TRAILER)
            return max(cursor.rowcount, 0)

    def drop(self, kind: str, schema: str, name: str, *, ours: frozenset[str]) -> None:
        """A table has the views on it as hostages: those of ours go with it, and are built again behind it."""
        relation = f"{quote(schema)}.{quote(name)}"
        ((oid,),) = self.rows(f"select pg_catalog.to_regclass({literal(relation)})::oid::bigint")
        if oid is None:  # it went with a table that it read
            return
        found, left = {oid}, [oid]
        while left:
            for view, its_schema, its_name in self.rows(_VIEWS_ON.format(oid=left.pop())):
                if its_schema != schema or its_name not in ours:
                    raise SqlError(f"the view {its_schema}.{its_name}, which is no model, reads {schema}.{name}")
                if view not in found:
                    found.add(view)
                    left.append(view)
        self.run(f"drop {kind} {relation} cascade")

    def make_books(self) -> None:
        with self._told(""):
            books.make(self._connection)

    def interrupt(self) -> None:
        with contextlib.suppress(psycopg.Error):
            self._connection.cancel()

    @contextlib.contextmanager
    def _told(self, sql: str) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            state = error.sqlstate or ""
            if state != _CANCELLED and (not state or state[:2] in _OF_THE_SERVER or self._connection.broken):
                raise trouble(self._address, error, doing=_DOING) from error
            message = error.diag.message_primary or str(error)
            hint = f" ({error.diag.message_hint})" if error.diag.message_hint else ""
            raise SqlError(f"{message}{hint}", _line(sql, error.diag.statement_position)) from error


class PostgresWarehouse:
    dialect = "postgres"
    main = "public"

    def __init__(self, at: Address, *, who: str, held: contextlib.ExitStack) -> None:
        self.place = f"{at.database} at {at.server}"
        self._address = at
        self._who = who
        self._held = held
        self._lock = threading.Lock()
        self._idle: list[PatientConnection] = []

    def exists(self) -> bool:
        return True

    @contextlib.contextmanager
    def reading(self, schema: str) -> Iterator[Session]:
        with self._session(schema) as session:
            session.run("set default_transaction_read_only = on")
            try:
                yield session
            finally:
                session.run("set default_transaction_read_only = off")

    @contextlib.contextmanager
    def writing(self, schema: str) -> Iterator[Session]:
        with self._session(schema) as session:
            yield session

    def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        self._held.close()

    @contextlib.contextmanager
    def _session(self, schema: str) -> Iterator[PostgresSession]:
        connection = self._taken(schema)
        try:
            yield PostgresSession(connection, self._address)
        except BaseException:
            connection.close()  # and with it what was not committed
            raise
        if connection.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE:
            connection.close()
            return
        with self._lock:
            self._idle.append(connection)

    def _taken(self, schema: str) -> PatientConnection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        try:
            connection = connect(self._address, application=f"headwater {self._who}"[:63], idle_seconds=IDLE_SECONDS)
            execute(connection, f"set search_path = {quote(schema)}, {self.main}")
            execute(connection, "set lock_timeout = 0")
        except psycopg.OperationalError as error:
            raise cannot_connect(self._address, error) from error
        return connection


def _field(name: str, kind: str) -> pa.Field:
    """The contract's type; what has none comes as its text."""
    if kind == "numeric":
        return pa.field(name, pa.decimal128(38, 9))
    found = field_of(kind)
    return pa.field(name, pa.string()) if found is None else found.with_name(name)


def _array(values: Sequence[Any], field: pa.Field) -> pa.Array:
    try:
        return pa.array(values, field.type)
    except pa.ArrowInvalid as error:
        raise SqlError(f"a value of `{field.name}` does not fit {field.type}: cast it in the SELECT") from error


def _as_sent(field: pa.Field) -> str:
    """JSON and what has no type of the contract comes as text."""
    name = quote(field.name)
    return f"{name}::text" if pa.types.is_string(field.type) else name


def _line(sql: str, position: str | None) -> int:
    return sql[: int(position) - 1].count("\n") + 1 if position else 0


def open(settings: Any, *, who: str, plugin: str, on_wait: Callable[[str], None]) -> PostgresWarehouse:  # noqa: A001, ARG001 - the contract's words
    with contextlib.ExitStack() as held:
        at = address(settings, held.enter_context(scratch()), plugin=plugin)
        return PostgresWarehouse(at, who=who, held=held.pop_all())
