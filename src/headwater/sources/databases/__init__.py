"""Any SQL database, read in the process of a source: by SQLAlchemy, an ADBC driver, or ODBC.

An address says which. What comes out are tables, as they describe themselves, and rows as Arrow.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pyarrow as pa

from headwater.sources.databases.tables import Ask, Table, UnknownTableError, stream_schema

# Each is imported where it is asked for: its driver is one of the user's packages.
_ROADS = {"adbc": "by_adbc", "odbc": "by_odbc"}


class Database(Protocol):
    def tables(self, schemas: list[str]) -> Iterator[Table]:
        """All tables and views of these schemas; without any, of all that are not the database's own."""
        ...

    def table(self, schema: str, name: str, *, is_view: bool) -> Table:
        """Raises UnknownTableError."""
        ...

    def rows(self, table: Table, ask: Ask, batch_bytes: int) -> Iterator[tuple[pa.RecordBatch, dict[str, int]]]:
        """In the order that is asked for, and how many values of each column were changed to fit."""
        ...


def serve(request: dict[str, Any], send: Callable[..., None], stream_of: Callable[[Any], Any]) -> None:
    """Answer `tables` with a frame `table` for each, `rows` with such a frame, its rows and an `end` for each stream;
    `gone` where there is no such table any more."""
    with _opened(request) as database:
        if request["do"] == "tables":
            for table in database.tables(request["schemas"]):
                send("table", stream_schema(table).serialize(), **table.about())
            return
        for wanted in request["streams"]:
            name = wanted["stream"]
            try:
                table = database.table(wanted["schema"], wanted["table"], is_view=wanted["is_view"])
            except UnknownTableError:
                send("gone", stream=name)
                continue
            send("table", stream_schema(table).serialize(), stream=name, **table.about())
            ask = Ask.of(wanted, table)
            for batch, repaired in database.rows(table, ask, request["batch_bytes"]):
                send("rows", stream_of(batch), stream=name, repaired=repaired)
            send("end", stream=name)


@contextlib.contextmanager
def _opened(request: dict[str, Any]) -> Iterator[Database]:
    road, _, rest = request["url"].partition(":")
    module = importlib.import_module(f"headwater.sources.databases.{_ROADS.get(road, 'by_sqlalchemy')}")
    with module.opened(rest if road in _ROADS else request["url"], request["options"]) as database:
        yield database
