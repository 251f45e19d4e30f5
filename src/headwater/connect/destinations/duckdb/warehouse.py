"""The DuckDB file as the place where models are built: sessions of several threads share one lease."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from headwater.base.clock import monotonic
from headwater.connect import engine, warehouse
from headwater.connect.destinations.duckdb import books
from headwater.connect.destinations.duckdb.sql_types import sql_type
from headwater.connect.names import quote
from headwater.connect.warehouses import Session, SqlError

# So long the file is held while there is more to do. Then it is given free, and whoever waits gets it.
_HOLD_SECONDS = 1.0
_BATCH_ROWS = 65_536


class DuckDBSession:
    """`may_stay`: it finds everything by its bare name that there will be."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path, *, may_stay: bool = False) -> None:
        self.may_stay = may_stay
        self._connection = connection
        self._path = path

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self._told():
            found: list[tuple[Any, ...]] = self._connection.execute(sql).fetchall()
        return found

    def run(self, sql: str) -> int:
        found = self.rows(sql)
        return found[0][0] if found and isinstance(found[0][0], int) else 0

    def columns(self, query: str) -> dict[str, str]:
        return {row[0]: row[1] for row in self.rows(f"describe {query}")}

    def relations(self) -> dict[tuple[str, str], str]:
        rows = self.rows(
            "select schema_name, table_name, 'table' from duckdb_tables() "
            "where database_name = current_database() and not temporary union all "
            "select schema_name, view_name, 'view' from duckdb_views() "
            "where database_name = current_database() and not internal and not temporary"
        )
        return {(schema.casefold(), name.casefold()): kind for schema, name, kind in rows}

    def version(self, relation: str) -> str:
        """At 20 million wide rows a second and core, without `__loaded_at`."""
        columns = self.columns(f"select * from {relation}")
        hashed = quote("__loaded_at") if "__loaded_at" in columns else "t"
        return f"{columns} {self.rows(f'select count(*), sum(hash({hashed}))::varchar from {relation} as t')}"

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        with self._told():
            reader = self._connection.sql(query).to_arrow_reader(_BATCH_ROWS)
            yield pa.RecordBatch.from_pylist([], schema=reader.schema)
            yield from reader

    def create(self, table: str, columns: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
        listed = ", ".join(f"{quote(field.name)} {sql_type(field)}" for field in columns)
        self.run(f"create {table} ({listed})")
        into = table.removeprefix("temp ").removeprefix("table ")
        count = 0
        for batch in batches:
            with self._told():
                self._connection.register("headwater_arrow", pa.Table.from_batches([batch], columns))
            try:
                count += self.run(f"insert into {into} select * from headwater_arrow")
            finally:
                self._connection.unregister("headwater_arrow")
        return count

    def drop(self, kind: str, schema: str, name: str, *, ours: frozenset[str]) -> None:  # noqa: ARG002 - see `Session`
        """A view of DuckDB does not hold on to what it reads."""
        self.run(f"drop {kind} {quote(schema)}.{quote(name)}")

    def make_books(self) -> None:
        with self._told():
            books.make(self._connection)

    def interrupt(self) -> None:
        self._connection.interrupt()

    def leave(self) -> None:
        """Undo what was not committed."""
        with contextlib.suppress(duckdb.Error):  # nothing is open
            self._connection.rollback()

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            problem = warehouse.trouble(self._path, error)
            if problem is not None:
                raise problem from error
            raise SqlError(*engine.words(error)) from error


class DuckDBWarehouse:
    """Writers share a connection, and with it one lease that is given free every second, also when nobody works."""

    dialect = "duckdb"
    main = "main"

    def __init__(self, path: Path, *, who: str, on_wait: Callable[[str], None]) -> None:
        self.place = path.name
        self._path = path
        self._who = who
        self._on_wait = on_wait
        self._turn = threading.Condition()
        self._opened = contextlib.ExitStack()
        self._root: duckdb.DuckDBPyConnection | None = None
        self._since = 0.0
        self._users = 0
        self._idle: list[DuckDBSession] = []
        self._timer: threading.Timer | None = None

    def exists(self) -> bool:
        return self._path.exists()

    @contextlib.contextmanager
    def reading(self, schema: str) -> Iterator[Session]:
        with warehouse.reading(self._path, who=self._who, on_wait=self._on_wait, outside_files=True) as connection:
            yield self._session(connection, schema)

    @contextlib.contextmanager
    def writing(self, schema: str) -> Iterator[Session]:
        session = self._entered(schema)
        try:
            yield session
        except BaseException:
            with contextlib.suppress(duckdb.Error):  # after a fatal error it may refuse even this
                session.close()
            self._left(None)
            raise
        self._left(session)

    def close(self) -> None:
        with self._turn:
            if self._timer is not None:
                self._timer.cancel()
            self._release()

    def _session(self, connection: duckdb.DuckDBPyConnection, schema: str) -> DuckDBSession:
        connection.execute("set TimeZone = 'UTC'")
        try:
            connection.execute("set search_path = ?", [f"{quote(schema)},{self.main}"])
        except duckdb.CatalogException:  # nothing was built there yet
            connection.execute("set search_path = ?", [self.main])
            return DuckDBSession(connection, self._path)
        return DuckDBSession(connection, self._path, may_stay=True)

    def _entered(self, schema: str) -> DuckDBSession:
        with self._turn:
            self._turn.wait_for(lambda: not self._users or not self._is_long())
            if self._root is not None and self._is_long():
                self._release()
            if self._root is None:
                self._root = self._opened.enter_context(
                    warehouse.writing(self._path, who=self._who, on_wait=self._on_wait, outside_files=True)
                )
                self._since = monotonic()
            # To make a connection takes longer than most statements.
            session = self._idle.pop() if self._idle else self._session(self._root.cursor(), schema)
            self._users += 1
            return session

    def _left(self, session: DuckDBSession | None) -> None:
        with self._turn:
            self._users -= 1
            if session is not None and session.may_stay:
                session.leave()
                self._idle.append(session)
            elif session is not None:
                session.close()
            if self._users:
                return
            self._turn.notify_all()
            if self._timer is None:
                self._timer = threading.Timer(_HOLD_SECONDS, self._rest)
                self._timer.daemon = True
                self._timer.start()

    def _rest(self) -> None:
        with self._turn:
            self._timer = None
            if not self._users:
                self._release()

    def _release(self) -> None:
        while self._idle:
            # After a fatal error DuckDB may refuse this; what was done is committed, and the file is to be given free.
            with contextlib.suppress(duckdb.Error):
                self._idle.pop().close()
        self._root = None
        self._opened.close()

    def _is_long(self) -> bool:
        return monotonic() - self._since > _HOLD_SECONDS


def open(settings: Any, *, who: str, plugin: str, on_wait: Callable[[str], None]) -> DuckDBWarehouse:  # noqa: A001, ARG001 - the contract's words
    return DuckDBWarehouse(Path(settings.filepath), who=who, on_wait=on_wait)
