"""The tables of the source, for a comparison with what was loaded from them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from headwater.connect import types
from headwater.connect.contract import IDLE_SECONDS, ReadRequest
from headwater.connect.destinations.mysql.called import quote
from headwater.connect.destinations.mysql.digest import WORDS
from headwater.connect.destinations.mysql.settings import Settings as Address
from headwater.connect.destinations.mysql.wire import connected
from headwater.connect.digest import Column, Relation
from headwater.connect.sources.bookmarks import Bookmarks
from headwater.connect.sources.mysql import catalog, columns
from headwater.connect.sources.mysql.address import address_of
from headwater.connect.sources.mysql.columns import Form, Source
from headwater.connect.sources.mysql.link import BEGIN, opened
from headwater.connect.sources.mysql.query import Query, literal, queries
from headwater.connect.sources.mysql.session import ERRORS, Session
from headwater.connect.sources.mysql.settings import Settings
from headwater.connect.sources.mysql.trouble import cannot_look
from headwater.model.catalog import Catalog

_INTERRUPT_SECONDS = 15.0


def open(settings: Settings, request: ReadRequest) -> MySQLSource:  # noqa: A001 - the contract's word
    """Raises EnvironmentProblemError as a read does, and InputError for what the catalog asks for and the database does
    not have."""
    address = address_of(settings, request.folder)
    session = opened(address, settings, application="headwater: verify", idle_seconds=IDLE_SECONDS)
    try:
        return MySQLSource(session, address, settings, request.catalog, Bookmarks(request.state))
    except BaseException:
        session.close()
        raise


class MySQLSource:
    """As `digest.Tables` says, all of one snapshot."""

    words = WORDS

    def __init__(
        self, session: Session, address: Address, settings: Settings, entries: Catalog, bookmarks: Bookmarks
    ) -> None:
        self._session, self._address, self._settings, self._bookmarks = session, address, settings, bookmarks
        with self._told():
            known = {table.stream: table for table in catalog.tables(session, settings)}
            found = queries(entries.streams, known, {}, settings)
            session.run(BEGIN)
        self._queries = {query.stream: query for query in found}

    def checkpoint(self) -> bytes | None:
        """A source has none."""
        return None

    def relation(self, stream: str) -> Relation | None:
        query = self._queries.get(stream)
        if query is None:
            return None
        where, later, remarks = self._moment(query)
        return Relation(
            place=f"{query.table.schema}.{query.table.name}",
            sql=f"{quote(query.table.schema)}.{quote(query.table.name)} as t",
            columns={one.name: _column(query.table.column(one.name), one) for one in query.columns},
            keys=query.keys,
            where=where,
            later=later,
            remarks=remarks,
        )

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with self._told():
            return self._session.rows(query)

    def interrupt(self) -> None:
        with contextlib.suppress(*ERRORS):  # it has ended by itself
            wire = connected(self._address, "headwater: verify", _INTERRUPT_SECONDS)
            with contextlib.closing(wire), wire.cursor() as cursor:
                cursor.execute(f"kill query {self._session.number}")

    def close(self) -> None:
        self._session.close()

    def _moment(self, query: Query) -> tuple[str | None, str | None, tuple[str, ...]]:
        """Which rows were there when the data was last loaded, and which came later."""
        if query.is_full:
            return None, None, ("a full table, compared as it is now: what has changed since the last run differs",)
        bookmark = self._bookmarks.of(query.stream)
        cursor = query.cursor or ""
        value = bookmark.get("replication_key_value") if bookmark.get("replication_key", cursor) == cursor else None
        name = f"t.{quote(cursor)}"
        if value is None:
            return None, None, ("nothing says how far it was loaded, so all of it is compared",)
        bound = literal(query.stream, query.table.column(cursor), str(value))
        nulls = f" or {name} is null" if self._settings.null_replication_keys != "never" else ""
        return (
            f"({name} <= {bound}{nulls})",
            f"{name} > {bound}",
            (f"rows up to {cursor} = {value}; a row that was deleted at the source is extra",),
        )

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except ERRORS as error:
            raise cannot_look(self._address, error) from error


def _column(source: Source, made: columns.Column) -> Column:
    """As `columns.column` and `columns.converted` read it."""
    name = f"t.{quote(source.name)}"
    kind = "json" if types.is_json(made.field) else types.kind(made.field.type)
    match made.form:
        case Form.DATE | Form.MOMENT:
            # What is no day, or one of the year 0, comes as null.
            sql = f"if(({columns.is_day(name)}) and year({name}) > 0, {name}, null)"
        case Form.FLAG | Form.INTEGER | Form.UNSIGNED if source.base == "bit":
            sql = f"cast({name} + 0 as unsigned)"
        case Form.TEXT:
            sql = made.sql
        case _:
            sql = name  # as an index has it
    return Column(sql=sql, kind=kind, type=source.full)
