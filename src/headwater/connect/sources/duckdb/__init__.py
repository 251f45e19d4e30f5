"""Reads tables and views of a DuckDB file as Arrow: in full, or what is new by a replication key.

The file is opened to be read only, under a shared lease, and a read shows it as it was at one moment: who loads into it
meanwhile waits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import duckdb
from msgspec import Struct, field

from headwater.base.ahead import Beat, interleaved
from headwater.base.errors import HeadwaterError, InputError, RunFailedError
from headwater.connect import engine, warehouse
from headwater.connect.contract import Message, ReadRequest, Rows
from headwater.connect.names import quote
from headwater.connect.sources import queries
from headwater.connect.sources.bookmarks import Bookmarks, Note, checkpointed
from headwater.connect.sources.delivery import Piece, delivered
from headwater.connect.sources.duckdb import catalog
from headwater.connect.sources.duckdb.columns import asked, converted
from headwater.connect.sources.queries import Method, Nulls, Query
from headwater.model.catalog import Catalog
from headwater.sources.rows import Pace, gathered

__all__ = ["Settings", "discover", "read", "signature"]

PLUGIN = "tap-duckdb"
_LOOK_SECONDS = 60.0  # for whoever loads into the file just now
_MEMORY = 512 << 20
_VECTOR = 2048  # the rows that DuckDB itself makes at a time
# How often it is asked, while no rows come, whether the read is to stop.
_BEAT_SECONDS = 0.5


class Settings(Struct, frozen=True, kw_only=True):
    """Named as those of the public tap-duckdb. `database` changes nothing: a file holds one."""

    path: str
    database: str | None = None
    filter_schemas: list[str] = field(default_factory=list)
    default_replication_method: Method = "FULL_TABLE"
    replication_keys: dict[str, str] = field(default_factory=dict)
    null_replication_keys: Nulls = "once"
    outside_files: bool = False

    @property
    def file(self) -> Path:
        return Path(self.path).expanduser()


def discover(settings: Settings) -> Catalog:
    """A stream `SCHEMA-TABLE` for each table and view, by name."""
    with _opened(settings, "discovery", timeout=_LOOK_SECONDS) as connection:
        found = catalog.tables(connection, tuple(settings.filter_schemas))
    return queries.catalog(
        found, method=settings.default_replication_method, replication_keys=settings.replication_keys
    )


def signature(settings: Settings) -> str:
    """A digest of what the file says of its tables, and the settings."""
    with _opened(settings, "discovery", timeout=_LOOK_SECONDS) as connection:
        return catalog.digest(connection, settings)


def read(settings: Settings, request: ReadRequest) -> Iterator[Message]:
    """Rows of every selected stream, one after the other; a query that has not answered yet is cancelled when the read
    is to stop. Raises InputError, EnvironmentProblemError, RunFailedError."""
    bookmarks = Bookmarks(request.state)
    with _opened(settings, "reading", timeout=request.idle_seconds, request=request) as connection:
        known = {table.stream: table for table in catalog.tables(connection, tuple(settings.filter_schemas))}
        asked_for = queries.of_streams(
            request.catalog.streams, known, bookmarks.all(), tap=PLUGIN, nulls=settings.null_replication_keys
        )
        _check_bookmarks(connection, asked_for)

        def beat() -> None:
            if request.should_stop():
                connection.interrupt()

        found = interleaved(
            [partial(_delivered, query, connection, settings, request) for query in asked_for],
            jobs=1,  # one query takes all cores by itself
            budget_bytes=0,
            size_of=lambda item: int(item.batch.nbytes) if isinstance(item, Rows) else 0,
            beat=Beat(_BEAT_SECONDS, beat),
            unblock=connection.interrupt,
        )
        with contextlib.closing(found):
            yield from checkpointed(found, bookmarks)


@contextlib.contextmanager
def _opened(
    settings: Settings, doing: str, *, timeout: float, request: ReadRequest | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    if not settings.file.is_file():
        raise InputError(
            "file-not-found",
            f"there is no file `{settings.path}`",
            hint=f"headwater config set {PLUGIN} path FILE",
        )
    with warehouse.reading(
        settings.file,
        who=f"{doing} for {PLUGIN}",
        on_wait=(lambda who: request.on_line(f"waiting for {who}")) if request else None,
        timeout=timeout,
        outside_files=settings.outside_files,
        memory_bytes=_MEMORY,
        scratch=request.folder if request else None,
    ) as connection:
        yield connection


def _check_bookmarks(connection: duckdb.DuckDBPyConnection, asked_for: Sequence[Query]) -> None:
    for query in asked_for:
        if query.cursor is None or query.after is None:
            continue
        try:
            connection.execute(f"select {_value(query)} is null").fetchall()
        except duckdb.Error as error:
            raise InputError(
                "bad-bookmark",
                f"the bookmark of stream `{query.stream}` is no value of its replication key",
                why=engine.words(error)[0],
                hint="headwater state list, then headwater state clear ID",
            ) from error


def _delivered(
    query: Query, connection: duckdb.DuckDBPyConnection, settings: Settings, request: ReadRequest
) -> Iterator[Message | Note]:
    if request.should_stop():
        return
    try:
        yield from delivered(query, _pieces(query, connection, request.batch_bytes), should_stop=request.should_stop)
    except duckdb.InterruptException:
        return
    except duckdb.Error as error:
        raise warehouse.trouble(settings.file, error) or _trouble(query, error) from error


def _pieces(query: Query, connection: duckdb.DuckDBPyConnection, batch_bytes: int) -> Iterator[Piece]:
    chosen = ", ".join(asked(one) for one in query.columns)
    # By the table's name: that of a column alone may be what it was made into.
    name = f"t.{quote(query.cursor.name)}" if query.cursor else ""
    pace = Pace(batch_bytes)
    for rest in query.conditions(name, _value(query)):
        where = f"{quote(query.table.schema)}.{quote(query.table.name)} as t{rest}"
        # A relation streams; what `execute` gives has been held as a whole before.
        with connection.sql(f"select {chosen} from {where}").to_arrow_reader(_VECTOR) as reader:
            for batch in gathered(reader, batch_bytes):
                for part in pace.parts(converted(query.columns, batch)):
                    yield Piece(part)


def _value(query: Query) -> str:
    """The bookmark as SQL."""
    if query.cursor is None or query.after is None:
        return ""
    text = str(query.after).replace("'", "''")
    return f"'{text}'::{query.cursor.type}"


def _trouble(query: Query, error: duckdb.Error) -> HeadwaterError:
    said = engine.words(error)[0]
    place = f"{query.table.schema}.{query.table.name}"
    if isinstance(error, duckdb.PermissionException):
        return InputError(
            "outside-files-refused",
            f"the view `{place}` reads files outside of the database",
            why=said,
            hint=f"if you trust it: headwater config set {PLUGIN} outside_files true",
        )
    if isinstance(error, duckdb.CatalogException | duckdb.BinderException):
        return InputError(
            "source-changed",
            f"`{place}` can't be read as it was discovered",
            why=said,
            hint="run it again with --refresh-catalog; a view may name what is gone",
        )
    return RunFailedError("database-error", f"cannot read stream `{query.stream}`", why=said)
