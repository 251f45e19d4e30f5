"""A database in which models are built and checks are asked, in the same words whichever it is.

`registry.warehouse` maps names to modules; each has `open`. What differs between databases beyond their SQL (names of
columns, swapping a table, Arrow in and out) are the verbs of a session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import pyarrow as pa


class SqlError(Exception):
    """The database refuses a statement. `line` counts from 1 in the statement's text, 0 when it names none."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


class Session(Protocol):
    """A session of one thread. Statements commit by themselves outside of `begin` and `commit`.

    Every method raises SqlError for what the database says of the SQL, and a HeadwaterError for what it says of
    itself: disk, memory, connection.
    """

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The result of one statement."""
        ...

    def run(self, sql: str) -> int:
        """How many rows a statement wrote; 0 where that means nothing."""
        ...

    def columns(self, query: str) -> dict[str, str]:
        """The columns of a SELECT with their types, without running it."""
        ...

    def relations(self) -> dict[tuple[str, str], str]:
        """`table` or `view` by (schema, name) in small letters: every one that is not the system's."""
        ...

    def version(self, relation: str) -> str:
        """A text that changes whenever the relation's columns or rows do, whoever wrote them.

        A column `__loaded_at` is enough to tell: a row that changed was loaded again, at another instant, and a row
        that is gone is missing in the sum. Without it whole rows are hashed.
        """
        ...

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        """The rows of a SELECT as Arrow; at least one batch, maybe without rows."""
        ...

    def create(self, table: str, columns: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
        """Make a table of rows that have the contract's column types, and say how many there were. `table` is SQL that
        follows `create`: `table x`, `temp table x`."""
        ...

    def drop(self, kind: str, schema: str, name: str, *, ours: frozenset[str]) -> None:
        """Drop a table or view with the views on it, which must be in `schema` and among `ours`.

        Raises SqlError naming another one that reads it.
        """
        ...

    def make_books(self) -> None:
        """Make the schema `_headwater` and what loads keep there, unless it is there."""
        ...

    def interrupt(self) -> None:
        """End the statement that runs; it fails. From any thread, and quick."""
        ...


class Warehouse(Protocol):
    """`dialect` is sqlglot's name of its SQL; `main` the schema in which bare names are looked for behind the models';
    `place` what people call it. It is closed at the end, from any thread, when no session is open."""

    dialect: str
    main: str
    place: str

    def exists(self) -> bool:
        """Whether it can be read: a file has to be made first."""
        ...

    def reading(self, schema: str) -> AbstractContextManager[Session]:
        """A session that writes nothing. Bare names are those of `schema`, then of `main`."""
        ...

    def writing(self, schema: str) -> AbstractContextManager[Session]:
        """A session of this thread; several may be open at a time. What was not committed is rolled back."""
        ...

    def close(self) -> None: ...


class WarehouseModule(Protocol):
    def open(self, settings: Any, *, who: str, plugin: str, on_wait: Callable[[str], None]) -> Warehouse:
        """`who` is what others are told who wait for it, `plugin` whose settings these are; `on_wait` hears for whom
        it waits itself. Connects to nothing yet."""
        ...
