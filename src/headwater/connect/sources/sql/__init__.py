"""Reads any SQL database that SQLAlchemy, an ADBC driver or ODBC reaches: in full, or by a replication key.

The driver is one of the user's packages, so it runs in a process of its own, in the plugin's environment; rows come
from there as Arrow (`headwater.sources.databases`).
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Annotated, Any
from urllib.parse import unquote

import pyarrow as pa
from msgspec import Meta, Struct, field

from headwater.base.errors import HeadwaterError, InputError, RunFailedError
from headwater.connect.contract import IDLE_SECONDS, Message, ReadRequest
from headwater.connect.sources import queries
from headwater.connect.sources.bookmarks import Bookmarks, Note, checkpointed
from headwater.connect.sources.columns import Columns
from headwater.connect.sources.delivery import Piece, delivered
from headwater.connect.sources.python import process
from headwater.connect.sources.queries import Column, Method, Nulls, Query, Table
from headwater.connect.sources.sql import trouble
from headwater.connect.sources.tables import by_stream
from headwater.connect.stages.select import table_keys, taken
from headwater.model.catalog import Catalog, CatalogStream

__all__ = ["Settings", "discover", "read", "signature"]

PLUGIN = trouble.PLUGIN
# Where the child would look for modules first: nowhere.
_NO_FILE = "/nonexistent/source"
# Where a password may stand, and where it may end: whatever holds too much is not found in a text, and hides nothing.
_SECRETS = tuple(
    re.compile(start + end, re.IGNORECASE)
    for start, ends in (
        (r"^adbc:\w+:[^:/@]*:", (r"([^@]*)@", r"(.*)@")),
        (r"://[^:/@]*:", (r"([^@]*)@", r"(.*)@")),
        (r"(?:pwd|password)=\{?", (r"([^;}]+)", r"([^;}&\s]+)")),
    )
    for end in ends
)
_Distance = Annotated[int, Meta(ge=0)]


class Settings(Struct, frozen=True, kw_only=True):
    """`url` is one of SQLAlchemy, `adbc:NAME:ADDRESS`, or `odbc:` and a connection string."""

    url: str
    connect_args: dict[str, Any] = field(default_factory=dict)
    isolation_level: str | None = None
    filter_schemas: list[str] = field(default_factory=list)
    default_replication_method: Method = "FULL_TABLE"
    replication_keys: dict[str, str] = field(default_factory=dict)
    null_replication_keys: Nulls = "once"
    lookback_seconds: _Distance = 0
    lookback_units: _Distance = 0
    root: str = "."
    venv: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Settings(url={self.url.partition(':')[0]!r}, …)"


def discover(settings: Settings) -> Catalog:
    """A stream `SCHEMA-TABLE` for each table and view of the wanted schemas, by name."""
    asked = {"do": "tables", "schemas": settings.filter_schemas}
    with closing(_frames(settings, asked)) as frames:
        found = [_table(frame) for frame in frames]
    listed = by_stream(
        sorted(found, key=lambda table: (table.schema, table.name)),
        place="schema",
        hint=lambda table: f"headwater config set {PLUGIN} filter_schemas '[\"{table.schema}\"]'",
    )
    return queries.catalog(
        listed, method=settings.default_replication_method, replication_keys=settings.replication_keys
    )


def signature(settings: Settings) -> None:
    """Nothing is cheaper to ask than what `discover` asks."""
    del settings


def read(settings: Settings, request: ReadRequest) -> Iterator[Message]:
    """Rows of every selected stream, one after the other over one connection. Raises what `process.frames` does,
    `trouble.failed`, and InputError for what the catalog asks for and the database does not have."""
    bookmarks = Bookmarks(request.state)
    yield from checkpointed(_all(settings, bookmarks, request), bookmarks)


def _all(settings: Settings, bookmarks: Bookmarks, request: ReadRequest) -> Iterator[Message | Note]:
    entries = {entry.tap_stream_id: entry for entry in sorted(_selected(request.catalog), key=_replaces)}
    if not entries:
        return
    asked = {
        "do": "rows",
        "streams": [_asked(entry, bookmarks, settings) for entry in entries.values()],
        "batch_bytes": request.batch_bytes,
    }
    reading: str | None = None
    try:
        with closing(_frames(settings, asked, request)) as frames:
            for frame in frames:
                reading = frame.about["stream"]
                entry = entries[frame.about["stream"]]
                if frame.what == "gone":
                    raise trouble.gone(entry.tap_stream_id)
                query = queries.of_stream(
                    entry,
                    _table(frame),
                    bookmarks.of(entry.tap_stream_id),
                    tap=PLUGIN,
                    nulls=settings.null_replication_keys,
                )
                yield from delivered(query, _pieces(query, frames), should_stop=request.should_stop)
                if request.should_stop():
                    return
    except process.StoppedError:
        return
    except RunFailedError as error:
        raise trouble.of_stream(error, reading) from error


def _selected(catalog: Catalog) -> list[CatalogStream]:
    return [entry for entry in catalog.streams if taken(entry) is not None]


def _replaces(entry: CatalogStream) -> bool:
    """As `Query.replaces` will be."""
    return queries.method_of(entry)[0] != "INCREMENTAL" and not table_keys(entry)


def _pieces(query: Query, frames: Iterator[process.Frame]) -> Iterator[Piece]:
    names = [one.name for one in query.columns]
    for frame in frames:
        if frame.what == "end":
            return
        yield Piece(frame.batch().select(names), frame.about["repaired"])


def _asked(entry: CatalogStream, bookmarks: Bookmarks, settings: Settings) -> dict[str, Any]:
    top: dict[str, Any] = next((mark.metadata for mark in entry.metadata if not mark.breadcrumb), {})
    selection = taken(entry)
    assert selection is not None
    method, key = queries.method_of(entry)
    cursor = key if method == "INCREMENTAL" else None
    bookmark = bookmarks.of(entry.tap_stream_id)
    value = bookmark.get("replication_key_value") if bookmark.get("replication_key", cursor) == cursor else None
    nulls = settings.null_replication_keys
    return {
        "stream": entry.tap_stream_id,
        "schema": top.get("schema-name") or "",
        "table": entry.table_name or entry.stream,
        "is_view": bool(top.get("is-view")),
        "columns": [*selection.columns, *([cursor] if cursor else [])],
        "all": not selection.left_out,
        "cursor": cursor,
        "after": value if cursor else None,
        "nulls": nulls == "always" or (nulls == "once" and value is None),
        "lookback_seconds": settings.lookback_seconds,
        "lookback_units": settings.lookback_units,
    }


def _frames(
    settings: Settings, asked: dict[str, Any], request: ReadRequest | None = None
) -> Generator[process.Frame, None, None]:
    options = {"connect_args": settings.connect_args, "isolation_level": settings.isolation_level}
    waiting: dict[str, Any] = {"idle_seconds": IDLE_SECONDS}
    if request is not None:
        waiting = {
            "idle_seconds": request.idle_seconds,
            "should_stop": request.should_stop,
            "on_line": request.on_line,
        }

    def failed(about: dict[str, Any]) -> HeadwaterError:
        return trouble.failed(about, settings.url)

    return process.frames(
        {"batch_bytes": 0, **asked, "url": settings.url, "options": options, "file": _NO_FILE},
        source=PLUGIN,
        root=settings.root,
        venv=settings.venv,
        env=settings.env,
        secrets=(*settings.secrets, settings.url, *passwords(settings.url)),
        failed=failed,
        **waiting,
    )


def passwords(url: str) -> Iterator[str]:
    """Those of an address, as they stand there and as they are meant: errors of drivers may show either."""
    for found in dict.fromkeys(found for pattern in _SECRETS for found in pattern.findall(url) if found):
        yield from {found, unquote(found)}


def _table(frame: process.Frame) -> Table:
    about, schema = frame.about, frame.schema()
    name = queries.stream_name(about["schema"], about["name"])
    columns = Columns(name, {})
    columns.declare(schema)
    fields: dict[str, pa.Field] = {one.name: one for one in columns.schema}
    _refuse_none(name, about["columns"])
    return Table(
        schema=about["schema"],
        name=about["name"],
        is_view=about["is_view"],
        keys=tuple(about["keys"]),
        columns=tuple(
            Column(
                name=one["name"],
                type=one["type"],
                field=fields[one["name"]],
                is_ordered=one["ordered"],
                not_null=one["not_null"],
            )
            for one in about["columns"]
        ),
    )


def _refuse_none(stream: str, columns: list[Any]) -> None:
    if not columns:
        raise InputError(
            "source-changed", f"stream `{stream}` has no columns that can be read", hint="leave it out with --exclude"
        )
