"""The tables of the source, for a comparison with what was loaded from them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg

from headwater.base.errors import HeadwaterError, InputError
from headwater.connect import types
from headwater.connect.contract import IDLE_SECONDS, ReadRequest
from headwater.connect.destinations.postgres.address import Address
from headwater.connect.destinations.postgres.connection import Connection, cannot_connect, connect, literal
from headwater.connect.destinations.postgres.digest import Snapshot
from headwater.connect.digest import Column, Relation
from headwater.connect.names import quote
from headwater.connect.sources.bookmarks import Bookmarks
from headwater.connect.sources.postgres import columns, reached
from headwater.connect.sources.postgres.columns import Source
from headwater.connect.sources.postgres.query import Query, queries
from headwater.connect.sources.postgres.settings import Settings
from headwater.model.catalog import Catalog

_NO_VALUE = ("22P02", "22007", "22008")  # a text that is no value of the type
# What a read makes null, since no type of a stream holds it.
_DATES = "{0} between '0001-01-01' and '9999-12-31'"
_INSTANTS = "{0} between '0001-01-01 00:00:00' and '9999-12-31 23:59:59.999999'"


def open(settings: Settings, request: ReadRequest) -> PostgresSource:  # noqa: A001 - the contract's word
    """Raises EnvironmentProblemError as a read does, and InputError for what the catalog asks for and the database does
    not have."""
    with contextlib.ExitStack() as opened:
        at = opened.enter_context(reached(settings, request.folder))
        try:
            connection = connect(at, application="headwater verify", idle_seconds=IDLE_SECONDS)
        except psycopg.OperationalError as error:
            raise cannot_connect(at, error) from error
        opened.callback(connection.close)
        found = PostgresSource(connection, at, settings, request.catalog, Bookmarks(request.state))
        found.way = opened.pop_all()
        return found


class PostgresSource(Snapshot):
    """As `digest.Tables` says."""

    way: contextlib.ExitStack  # to the database, closed with it

    def __init__(
        self, connection: Connection, at: Address, settings: Settings, catalog: Catalog, bookmarks: Bookmarks
    ) -> None:
        super().__init__(connection, at)
        self._settings, self._bookmarks = settings, bookmarks
        # As a read has them: they change how some types are written.
        self.ask("select set_config('IntervalStyle', 'postgres', true), set_config('extra_float_digits', '1', true)")
        with self.told():
            found = queries(catalog.streams, connection, Bookmarks(None), settings)
        self._queries = {query.stream: query for query in found}

    def close(self) -> None:
        super().close()
        self.way.close()

    def checkpoint(self) -> bytes | None:
        """A source has none."""
        return None

    def relation(self, stream: str) -> Relation | None:
        query = self._queries.get(stream)
        if query is None:
            return None
        names = [one.name for one in query.columns]
        where, later, remarks = self._moment(query)
        return Relation(
            place=f"{query.table.schema}.{query.table.name}",
            sql=f"{quote(query.table.schema)}.{quote(query.table.name)} as t",
            columns={name: _column(query.table.column(name)) for name in names},
            keys=query.keys,
            where=where,
            later=later,
            remarks=remarks,
        )

    def _moment(self, query: Query) -> tuple[str | None, str | None, tuple[str, ...]]:
        """Which rows were there when the data was last loaded, and which came later."""
        if query.is_full:
            return None, None, ("a full table, compared as it is now: what has changed since the last run differs",)
        bookmark = self._bookmarks.of(query.stream)
        cursor = query.cursor or ""
        seen = bookmark.get("replication_key_seen", bookmark.get("replication_key_value"))
        value = seen if bookmark.get("replication_key", cursor) == cursor else None
        name = f"t.{quote(cursor)}"
        if value is None:
            return None, None, ("nothing says how far it was loaded, so all of it is compared",)
        bound = f"{literal(str(value))}::pg_catalog.{query.table.column(cursor).base}"
        nulls = f" or {name} is null" if self._settings.null_replication_keys != "never" else ""
        return (
            f"({name} <= {bound}{nulls})",
            f"{name} > {bound}",
            (f"rows up to {cursor} = {value}; a row that was deleted at the source is extra",),
        )

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        try:
            with super().told():
                yield
        except HeadwaterError as error:
            cause = error.__cause__
            if not isinstance(cause, psycopg.Error) or cause.sqlstate not in _NO_VALUE:
                raise
            raise InputError(
                "bad-bookmark",
                "the bookmark is no value of its replication key",
                why=self._at.without_secrets(" ".join(str(cause).split())),
                hint="headwater state list",
            ) from cause


def _column(source: Source) -> Column:
    """As `columns.column` and `columns.converted` read it."""
    made = columns.column(source)
    name, base = f"t.{quote(source.name)}", source.base
    kind = types.kind(made.field.type)
    if types.is_json(made.field):
        is_text = base in ("json", "jsonb") and not source.is_array
        normal = f"({name}::jsonb)::text" if is_text else f"to_jsonb({name})::text"
        return Column(sql=made.sql, kind="json", type=base, normal=normal)
    match base:
        case "bpchar":
            sql = f"textin(bpcharout({name}))"  # with the blanks at its end
        case "numeric" if kind == "decimal":
            sql = f"case when scale({name}) is not null then {name}::numeric end"  # NaN and infinity have none
        case "date":
            sql = f"case when {_DATES.format(name)} then {name}::date end"
        case "timestamp":
            sql = f"case when {_INSTANTS.format(name)} then {name}::timestamp at time zone 'UTC' end"
        case "timestamptz":
            sql = f"case when {_INSTANTS.format(name)} then {name}::timestamptz end"
        case "time":
            sql = f"nullif({name}::time, '24:00:00')"
        case "int2" | "int4" | "int8":
            sql = name  # as an index has it
        case _:
            sql = made.sql if kind != "string" else f"{name}::text"
    return Column(sql=sql, kind=kind, type=base)
