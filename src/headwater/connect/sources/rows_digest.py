"""The rows of a source that has no checksums to ask for, for a comparison with what was loaded from them.

They are read as a run reads them, into a DuckDB database in the scratch folder, and that is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from headwater.base.errors import EnvironmentProblemError
from headwater.connect import engine
from headwater.connect.contract import Message, Rows, Schema
from headwater.connect.destinations.duckdb.digest import WORDS, column
from headwater.connect.destinations.duckdb.sql_types import sql_type
from headwater.connect.digest import Relation
from headwater.connect.names import quote
from headwater.connect.sources.bookmarks import Bookmarks


class ReadRows:
    """As `digest.Tables` says. `remark` is what to know of rows that no bookmark parts from later ones; `bookmarks` are
    of streams that have such."""

    words = WORDS

    def __init__(self, path: Path, *, remark: str, bookmarks: Bookmarks | None = None) -> None:
        self._path = path
        self._remark = remark
        self._bookmarks = bookmarks or Bookmarks(None)
        self._connection = duckdb.connect(
            str(path), config={"memory_limit": "256MiB", "autoload_known_extensions": False}
        )
        self._connection.execute("set TimeZone = 'UTC'")
        self._columns: dict[str, dict[str, pa.Field]] = {}
        self._said: dict[str, Schema] = {}

    def take(self, messages: Iterable[Message]) -> None:
        """Put rows into tables."""
        for message in messages:
            if isinstance(message, Schema):
                self._shape(message)
            elif isinstance(message, Rows):
                self._connection.register("incoming", pa.Table.from_batches([message.batch]))
                self.ask(f"insert into {quote(message.stream)} by name select * from incoming")  # noqa: S608 - quoted
                self._connection.unregister("incoming")

    def checkpoint(self) -> bytes | None:
        """A source has none."""
        return None

    def relation(self, stream: str) -> Relation | None:
        columns = self._columns.get(stream)
        if columns is None:
            return None
        where, later, remark = self._moment(stream)
        return Relation(
            place=stream,
            sql=f"{quote(stream)} as t",
            columns={name: column(f"t.{quote(name)}", sql_type(field)) for name, field in columns.items()},
            keys=self._said[stream].keys,
            where=where,
            later=later,
            remarks=(remark,),
        )

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        try:
            found: list[tuple[Any, ...]] = self._connection.execute(query).fetchall()
        except duckdb.Error as error:
            raise EnvironmentProblemError(
                "no-scratch-space",
                "the rows of the source can't be read into the scratch folder",
                why=engine.words(error)[0],
                hint=f"free space there: df -h {self._path.parent}",
            ) from error
        return found

    def interrupt(self) -> None:
        self._connection.interrupt()

    def close(self) -> None:
        self._connection.close()

    def _moment(self, stream: str) -> tuple[str | None, str | None, str]:
        """Which rows were there when the data was last loaded, which came later, and what to know of it."""
        cursor, bookmark = self._said[stream].cursor, self._bookmarks.of(stream)
        value = bookmark.get("replication_key_value") if bookmark.get("replication_key") == cursor else None
        if cursor is None or value is None:
            return None, None, self._remark
        text = str(value).replace("'", "''")
        bound = f"try_cast('{text}' as {sql_type(self._columns[stream][cursor])})"
        if self.ask(f"select {bound} is null") == [(True,)]:
            return None, None, self._remark
        name = f"t.{quote(cursor)}"
        remark = f"rows up to {cursor} = {value}; a row that was deleted at the source is extra"
        return f"({name} <= {bound} or {name} is null)", f"{name} > {bound}", remark

    def _shape(self, schema: Schema) -> None:
        """Make the stream's table, or have it hold what comes from here on."""
        table, before = quote(schema.stream), self._columns.get(schema.stream)
        self._said[schema.stream] = schema
        self._columns[schema.stream] = (before or {}) | {field.name: field for field in schema.columns}
        if before is None:
            columns = ", ".join(f"{quote(field.name)} {sql_type(field)}" for field in schema.columns)
            self.ask(f"create table {table} ({columns})")
            return
        for field in schema.columns:
            name = quote(field.name)
            if field.name not in before:
                self.ask(f"alter table {table} add column {name} {sql_type(field)}")
            elif before[field.name].type != field.type:
                self.ask(f"alter table {table} alter column {name} type {sql_type(field)}")


def of_database(messages: Iterable[Message], state: bytes | None, folder: Path) -> ReadRows:
    """The rows of tables, those of incremental streams up to the bookmarks in `state`."""
    folder.mkdir(parents=True, exist_ok=True)
    remark = "a table is compared as it is now: what has changed since the last run differs"
    rows = ReadRows(folder / "rows.duckdb", remark=remark, bookmarks=Bookmarks(state))
    try:
        rows.take(messages)
    except BaseException:
        rows.close()
        raise
    return rows
