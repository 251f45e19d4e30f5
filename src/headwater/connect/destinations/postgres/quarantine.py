"""What the database's books hold of records that were set aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg

from headwater.connect.contract import IDLE_SECONDS
from headwater.connect.destinations.bookkeeping import refuse_older
from headwater.connect.destinations.postgres import books
from headwater.connect.destinations.postgres.address import address
from headwater.connect.destinations.postgres.connection import cannot_connect, connect, trouble
from headwater.connect.destinations.postgres.settings import Settings
from headwater.connect.destinations.quarantine import BookedQuarantine, Words

_WORDS = Words(
    rejects="_headwater.rejects",
    shapes="_headwater.shapes",
    declared="select source_name, declared from _headwater.tables join _headwater.columns "
    "using (schema_name, table_name) where stream = %s and schema_name = %s",
    mark="%s",
    micros="(extract(epoch from {}) * 1000000)::bigint",
    written=books.written,
    unwritten=books.unwritten,
)


def open(  # noqa: A001 - the contract's word
    settings: Settings, *, source: str, folder: Path, on_wait: Callable[[str], None]
) -> BookedQuarantine:
    """Raises EnvironmentProblemError as a load does."""
    del on_wait
    at = address(settings, folder / "tls")
    try:
        connection = connect(at, application="headwater rejects", idle_seconds=IDLE_SECONDS)
    except psycopg.OperationalError as error:
        raise cannot_connect(at, error) from error

    def ask(query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            if not books.exist(connection):
                return []
            refuse_older(books.check_format(connection))
            return connection.execute(query.encode(), values).fetchall()
        except psycopg.Error as error:
            raise trouble(at, error, doing="read the rejects") from error

    schema = settings.default_target_schema or source
    return BookedQuarantine(_WORDS, ask, schema=schema, close=connection.close)
