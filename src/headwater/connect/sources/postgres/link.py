"""Sessions that read: one that holds the snapshot, and ADBC ones that see the same and answer with Arrow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import adbc_driver_manager as adbc
import adbc_driver_postgresql
import pyarrow as pa
from psycopg.conninfo import make_conninfo

from headwater.base.errors import EnvironmentProblemError, HeadwaterError, InputError, RunFailedError
from headwater.connect.destinations.postgres.address import Address
from headwater.connect.destinations.postgres.connection import Connection, execute

_SETTINGS = (
    "set search_path = pg_catalog",
    "set timezone = 'UTC'",
    "set datestyle = 'ISO'",
    "set intervalstyle = 'postgres'",
    "set extra_float_digits = 1",
    "set statement_timeout = 0",
)
_BEGIN = "begin transaction isolation level repeatable read read only"


def snapshot(connection: Connection) -> str:
    """Open the transaction whose view of the data others can share for as long as it lasts."""
    execute(connection, _BEGIN)
    row = execute(connection, "select pg_export_snapshot()").fetchone()
    assert row is not None
    return str(row[0])


class Reader:
    """A session that reads by one snapshot. One query at a time; closing it ends the query that runs."""

    def __init__(self, address: Address, snapshot_id: str) -> None:
        self._address = address
        self._database = adbc.AdbcDatabase(
            driver=adbc_driver_postgresql._driver_path(),  # noqa: SLF001 - the package offers no other way past dbapi
            uri=make_conninfo("", **address.parameters, application_name="headwater: reading"),
        )
        try:
            self._connection = adbc.AdbcConnection(self._database)
        except adbc.Error:
            self._database.close()
            raise
        for statement in (*_SETTINGS, _BEGIN, f"set transaction snapshot '{snapshot_id}'"):
            self._run(statement)

    def batches(self, query: str, batch_bytes: int) -> Iterator[pa.RecordBatch]:
        """The rows of a query in batches of about `batch_bytes`. Raises adbc_driver_manager.Error."""
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

    def close(self) -> None:
        with contextlib.suppress(adbc.Error):
            self._connection.close()
        with contextlib.suppress(adbc.Error):
            self._database.close()

    def _run(self, statement: str) -> None:
        one = adbc.AdbcStatement(self._connection)
        try:
            one.set_sql_query(statement)
            one.execute_update()
        finally:
            one.close()


def trouble(address: Address, error: Exception, stream: str) -> HeadwaterError:
    """What an error of a query or of its rows says, in our words."""
    state = getattr(error, "sqlstate", None) or ""
    text = address.without_secrets(" ".join(str(error).split()))
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
    if state == "22P02" or state.startswith("22"):
        return InputError(
            "bad-bookmark",
            f"the bookmark of stream `{stream}` is no value of its replication key",
            why=text,
            hint="headwater state list, then headwater state clear ID",
        )
    if state in ("57014", "40001"):
        return RunFailedError("query-cancelled", f"the server ended the query of stream `{stream}`", why=text)
    if state[:2] in ("08", "57") or not state:
        return EnvironmentProblemError(
            "connection-lost",
            f"the connection to PostgreSQL at {address.server} was lost while stream `{stream}` was read",
            why=text,
            hint="run it again: it goes on from the last checkpoint",
        )
    return RunFailedError("database-error", f"cannot read stream `{stream}`", why=f"{text} (SQLSTATE {state})")
