"""What the database's books hold of records that were set aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pymysql

from headwater.connect.contract import IDLE_SECONDS
from headwater.connect.destinations.bookkeeping import refuse_older
from headwater.connect.destinations.mysql import books
from headwater.connect.destinations.mysql.connection import Connection
from headwater.connect.destinations.mysql.session import schema_of
from headwater.connect.destinations.mysql.settings import Settings
from headwater.connect.destinations.mysql.trouble import cannot_connect, trouble
from headwater.connect.destinations.quarantine import BookedQuarantine, Words

_ERRORS = (pymysql.err.Error, OSError)


def open(  # noqa: A001 - the contract's word
    settings: Settings, *, source: str, folder: Path, on_wait: Callable[[str], None]
) -> BookedQuarantine:
    """Raises EnvironmentProblemError as a load does."""
    del folder, on_wait
    schema = schema_of(settings, source)
    try:
        connection = Connection(settings, schema, application="headwater rejects", idle_seconds=IDLE_SECONDS)
    except (*_ERRORS, RuntimeError) as error:
        raise cannot_connect(settings, error) from error

    def ask(query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            version = books.format_of(connection)
            if version is None:
                return []
            refuse_older(version)
            return connection.rows(query, values)
        except _ERRORS as error:
            raise trouble(settings, error, schema=schema, doing="read the rejects") from error

    rejects, shapes, tables, columns = (
        books.at(connection, name).replace("%", "%%") for name in ("rejects", "shapes", "tables", "columns")
    )
    words = Words(
        rejects=rejects,
        shapes=shapes,
        declared=f"select source_name, declared from {tables} join {columns} using (table_name) where stream = %s",
        mark="%s",
        micros="cast(timestampdiff(microsecond, '1970-01-01', {}) as signed)",
    )
    return BookedQuarantine(words, ask, close=connection.close)
