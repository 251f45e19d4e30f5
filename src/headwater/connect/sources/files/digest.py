"""The rows of files, for a comparison with what was loaded from them.

Files have no SQL of their own, and there are as many ways to write a CSV as there are programs. So they are read
as a run reads them, into a DuckDB database in the scratch folder, and that is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from headwater.base.errors import EnvironmentProblemError
from headwater.connect import engine
from headwater.connect.contract import Message, ReadRequest, Rows, Schema
from headwater.connect.destinations.duckdb.digest import WORDS, column
from headwater.connect.destinations.duckdb.sql_types import sql_type
from headwater.connect.digest import Relation
from headwater.connect.names import quote
from headwater.connect.sources.files import read
from headwater.connect.sources.files.settings import Settings
from headwater.model.catalog import Catalog

_REMARK = "files are compared as they are now: what has changed since the last run differs"


def open(  # noqa: A001 - the contract's word
    settings: Settings, *, catalog: Catalog, state: bytes | None, folder: Path
) -> FileRows:
    """Reads all selected streams. Raises as a read does, and EnvironmentProblemError (`no-scratch-space`)."""
    del state
    folder.mkdir(parents=True, exist_ok=True)
    rows = FileRows(folder / "files.duckdb")
    try:
        rows.take(read(settings, ReadRequest(catalog=catalog, state=None, folder=folder)))
    except BaseException:
        rows.close()
        raise
    return rows


class FileRows:
    """As `digest.Tables` says."""

    words = WORDS

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = duckdb.connect(
            str(path), config={"memory_limit": "256MiB", "autoload_known_extensions": False}
        )
        self._connection.execute("set TimeZone = 'UTC'")
        self._columns: dict[str, dict[str, pa.Field]] = {}
        self._keys: dict[str, tuple[str, ...]] = {}

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
        return Relation(
            place=stream,
            sql=f"{quote(stream)} as t",
            columns={name: column(f"t.{quote(name)}", sql_type(field)) for name, field in columns.items()},
            keys=self._keys[stream],
            remarks=(_REMARK,),
        )

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        try:
            found: list[tuple[Any, ...]] = self._connection.execute(query).fetchall()
        except duckdb.Error as error:
            raise EnvironmentProblemError(
                "no-scratch-space",
                "the files can't be read into the scratch folder",
                why=engine.words(error)[0],
                hint=f"free space there: df -h {self._path.parent}",
            ) from error
        return found

    def interrupt(self) -> None:
        self._connection.interrupt()

    def close(self) -> None:
        self._connection.close()

    def _shape(self, schema: Schema) -> None:
        """Make the stream's table, or have it hold what comes from here on."""
        table, before = quote(schema.stream), self._columns.get(schema.stream)
        self._keys[schema.stream] = schema.keys
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
