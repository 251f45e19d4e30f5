"""Sessions that read: one that holds the snapshot, and ADBC ones that see the same and answer with Arrow."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

import adbc_driver_manager as adbc
import adbc_driver_postgresql
import psycopg
import pyarrow as pa
from psycopg.conninfo import make_conninfo

from headwater.base.errors import EnvironmentProblemError, HeadwaterError, InputError, RunFailedError
from headwater.connect.destinations.postgres.address import Address
from headwater.connect.destinations.postgres.connection import Connection, execute, literal
from headwater.connect.sources.postgres.copying import CopySession

_BEGIN = "begin transaction isolation level repeatable read read only"
# For the transaction, not the session: a pooler may give the session to someone else afterwards.
_SETTINGS = {
    "search_path": "pg_catalog",
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "statement_timeout": "0",  # a read takes as long as it takes
    "idle_in_transaction_session_timeout": "0",
}
# From PostgreSQL 14 on: a query whose reader has died does not run on.
_ENDS_WITH_US = "select set_config(name, '1s', true) from pg_settings where name = 'client_connection_check_interval'"
_CANCEL_SECONDS = 5.0


_Reader = TypeVar("_Reader", "_Session", CopySession)


def horizon(connection: Connection) -> str:
    """A moment, as a bookmark says it, before which every transaction had begun that a snapshot taken from now on does
    not show. Those of others can be seen only with the rights of `pg_read_all_stats`."""
    row = execute(
        connection,
        "with here as materialized (select clock_timestamp() as at) "
        "select to_char(least((select at from here), "
        "(select min(xact_start) from pg_stat_activity where pid <> pg_backend_pid() "
        "and datname = current_database() and backend_type is distinct from 'autovacuum worker'), "
        "(select min(prepared) from pg_prepared_xacts)) at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    ).fetchone()
    assert row is not None
    return str(row[0])


def snapshot(connection: Connection) -> str:
    """Open the transaction whose view of the data others can share for as long as it lasts."""
    execute(connection, _BEGIN)
    row = execute(connection, "select pg_export_snapshot()").fetchone()
    assert row is not None
    return str(row[0])


class QueryError(Exception):
    """What the driver said of a query. `state` is the SQLSTATE, empty for an error among the rows: Arrow's stream has
    no place for it. `is_lost` says that the connection is gone with it."""

    def __init__(self, error: Exception, *, is_lost: bool) -> None:
        super().__init__(" ".join(str(error).split()))
        self.state: str = getattr(error, "sqlstate", None) or ""
        self.is_lost = is_lost


class Sessions:
    """Sessions that read by one snapshot, one query at a time each. They are opened as they are needed and used again:
    the driver reads the whole of pg_attribute for its first one, which takes seconds where there are many tables."""

    def __init__(self, address: Address, snapshot_id: str, *, is_utf8: bool = False) -> None:
        """`is_utf8` is the server's encoding."""
        self._address = address
        self.is_utf8 = is_utf8
        self._snapshot = snapshot_id
        # By which the server can be asked what they are at.
        self.name = f"headwater: reading {secrets.token_hex(8)}"
        self._database: adbc.AdbcDatabase | None = None
        self._lock = threading.Lock()
        self._idle: list[_Session] = []
        self._copying: list[CopySession] = []  # idle too
        self._busy: list[_Session | CopySession] = []
        self.is_cancelled = False
        self._is_stuck = False

    def batches(self, query: str, batch_bytes: int) -> Generator[pa.RecordBatch, None, None]:
        """The rows of a query in batches of about `batch_bytes`. The server is told when they are not wanted to the
        end. Raises QueryError."""
        return self._read(self._idle, self._opened, lambda session: session.batches(query, batch_bytes))

    def rows(self, query: str, batch_bytes: int, *, in_blocks: bool) -> Generator[pa.Array, None, None]:
        """The same of rows as binary COPY has them: see `CopySession.batches`."""
        return self._read(
            self._copying,
            self._opened_to_copy,
            lambda session: session.batches(query, batch_bytes, in_blocks=in_blocks),
        )

    def _read(
        self, idle: list[_Reader], opened: Callable[[], _Reader], asked: Callable[[_Reader], Iterator[Any]]
    ) -> Generator[Any, None, None]:
        try:
            session = self._taken(idle, opened)
        except (adbc.Error, psycopg.Error) as error:
            raise QueryError(error, is_lost=True) from error
        is_whole = False
        try:
            yield from asked(session)
            is_whole = True
        # Arrow's stream has no errors of its driver.
        except (adbc.Error, psycopg.Error, pa.ArrowException, OSError) as error:
            raise QueryError(error, is_lost=not session.is_alive()) from error
        finally:
            with self._lock:
                self._busy.remove(session)
                if is_whole:
                    idle.append(session)
            if not is_whole:
                if session.cancel():
                    session.close()
                else:
                    self.leave()

    def cancel(self) -> bool:
        """End the queries that run, and let none begin: their readers get an error. False when the server does not take
        it: then readers wait for ever. From any thread."""
        self.is_cancelled = True
        if self._is_stuck or not self._lock.acquire(timeout=_CANCEL_SECONDS):
            self.leave()
            return False
        try:
            told = [session.cancel() for session in self._busy]
            self._is_stuck = not all(told)
        finally:
            self._lock.release()
        return not self._is_stuck

    def leave(self) -> None:
        """The server hangs, and so does who reads from it: nothing is to be waited for."""
        self.is_cancelled = self._is_stuck = True

    def close(self) -> None:
        """When no query runs any more, or none ever ends."""
        if self._is_stuck:
            return
        every: list[_Session | CopySession] = [*self._idle, *self._copying]
        for session in every:
            session.close()
        if self._database is not None:
            with contextlib.suppress(adbc.Error):
                self._database.close()

    def _taken(self, idle: list[_Reader], opened: Callable[[], _Reader]) -> _Reader:
        with self._lock:
            session = idle.pop() if idle else opened()
            self._busy.append(session)
            if self.is_cancelled:
                session.cancel()
            return session

    def _opened(self) -> _Session:
        if self._database is None:
            self._database = _database(self._address, self.name)
        return _Session(self._database, self._snapshot)

    def _opened_to_copy(self) -> CopySession:
        return CopySession(self._address, self.name, _set_up(self._snapshot))


class _Session:
    def __init__(self, database: adbc.AdbcDatabase, snapshot_id: str) -> None:
        self._connection = adbc.AdbcConnection(database)
        try:
            for statement in _set_up(snapshot_id):
                self._run(statement)
        except BaseException:
            self.close()
            raise

    def batches(self, query: str, batch_bytes: int) -> Generator[pa.RecordBatch, None, None]:
        statement = adbc.AdbcStatement(self._connection)
        try:
            statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(batch_bytes)})
            statement.set_sql_query(query)
            handle, _ = statement.execute_query()
            reader = pa.RecordBatchReader._import_from_c(handle.address)  # noqa: SLF001 - Arrow's C interface
            with contextlib.closing(reader):
                yield from reader
        finally:
            with contextlib.suppress(adbc.Error):
                statement.close()

    def cancel(self) -> bool:
        """False when the server does not take it. The driver would wait for ever, so it waits in a thread of its own;
        the session is not to be closed then."""

        def tell() -> None:
            with contextlib.suppress(adbc.Error):
                self._connection.cancel()

        teller = threading.Thread(target=tell, name="cancel", daemon=True)
        teller.start()
        teller.join(_CANCEL_SECONDS)
        return not teller.is_alive()

    def is_alive(self) -> bool:
        """After an error: in what language the server tells of it is for others to choose."""
        try:
            self._run("rollback")
        except adbc.Error:
            return False
        return True

    def close(self) -> None:
        with contextlib.suppress(adbc.Error):
            self._connection.close()

    def _run(self, statement: str) -> None:
        one = adbc.AdbcStatement(self._connection)
        try:
            one.set_sql_query(statement)
            one.execute_update()
        finally:
            one.close()


def _set_up(snapshot_id: str) -> tuple[str, ...]:
    settings = ", ".join(f"set_config({literal(name)}, {literal(to)}, true)" for name, to in _SETTINGS.items())
    return _BEGIN, f"set transaction snapshot {literal(snapshot_id)}", f"select {settings}", _ENDS_WITH_US


def _database(address: Address, name: str) -> adbc.AdbcDatabase:
    return adbc.AdbcDatabase(
        driver=adbc_driver_postgresql._driver_path(),  # noqa: SLF001 - the package offers no other way past dbapi
        uri=make_conninfo("", **address.parameters, application_name=name),
    )


def value_refused(stream: str, column: str) -> RunFailedError:
    """A value in a key that no type of a stream holds."""
    return RunFailedError(
        "value-rejected",
        f"`{column}` of stream `{stream}` holds a value beyond the years 1 to 9999, or no number",
        why="it is a key or the replication key, and those are never repaired",
        hint="correct it at the source, or choose another key",
    )


def lost(address: Address, error: Exception) -> EnvironmentProblemError:
    return EnvironmentProblemError(
        "connection-lost",
        f"the connection to PostgreSQL at {address.server} was lost",
        why=address.without_secrets(str(error)),
        hint="run it again: it goes on from the last checkpoint",
    )


def trouble(address: Address, error: QueryError, stream: str, *, has_bookmark: bool) -> HeadwaterError:
    """What an error of a query or of its rows says, in our words."""
    state = error.state
    text = address.without_secrets(str(error))
    schema, _, table = stream.partition("-")
    if state == "42501":
        return EnvironmentProblemError(
            "no-permission",
            f"`{address.user}` may not read `{schema}.{table}`",
            why=text,
            hint=f'grant select on "{schema}"."{table}" to {address.user}',
        )
    if state in ("42P01", "42703", "3F000"):
        return InputError(
            "source-changed",
            f"`{schema}.{table}` is not what it was when it was discovered",
            why=text,
            hint="run it again with --refresh-catalog",
        )
    if has_bookmark and state in ("22P02", "22003", "22007", "22008"):
        return InputError(
            "bad-bookmark",
            f"the bookmark of stream `{stream}` is no value of its replication key",
            why=text,
            hint="headwater state list, then headwater state clear ID",
        )
    if state in ("57014", "40001") or "canceling statement" in text:
        return RunFailedError(
            "query-cancelled",
            f"the server ended the query of stream `{stream}`",
            why=text,
            hint="run it again: it goes on from the last checkpoint",
        )
    if state == "53300" or "too many connections" in text or "remaining connection slots" in text:
        return EnvironmentProblemError(
            "too-many-connections",
            f"PostgreSQL at {address.server} takes no more connections",
            why=text,
            hint="lower --jobs: a read needs one connection for each, and one more",
        )
    if error.is_lost or state[:2] in ("08", "57"):
        return EnvironmentProblemError(
            "connection-lost",
            f"the connection to PostgreSQL at {address.server} was lost while stream `{stream}` was read",
            why=text,
            hint="run it again: it goes on from the last checkpoint",
        )
    return RunFailedError(
        "database-error", f"cannot read stream `{stream}`", why=f"{text} (SQLSTATE {state})" if state else text
    )
