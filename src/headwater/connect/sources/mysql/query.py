"""What is asked of each stream: which rows, in which order, and from where on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace as _replace

from headwater.base.errors import InputError
from headwater.base.text import did_you_mean
from headwater.connect.destinations.mysql.called import quote
from headwater.connect.sources.mysql import catalog, columns
from headwater.connect.sources.mysql.rows import Layout
from headwater.connect.sources.mysql.settings import Settings
from headwater.connect.sources.tables import replication_key
from headwater.connect.stages.select import table_keys, taken
from headwater.model.catalog import CatalogStream

_WHOLE_NUMBERS = frozenset(("tinyint", "smallint", "mediumint", "int", "bigint"))
_FLOATS = frozenset(("float", "double"))
_NUMBERS = _WHOLE_NUMBERS | _FLOATS | {"decimal", "year"}
_MOMENTS = frozenset(("datetime", "timestamp"))
# The values of a row's key.
Key = tuple[Any, ...]

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


class Query(Struct, frozen=True, kw_only=True):
    """What is asked of one stream. `cursor` is the column that its rows are ordered by, if any: with `is_full` that is
    the key of a full table, read on behind `after`; else the replication key, read on from `after` (inclusive) less
    `lookback`, which is SQL. `nulls` says whether rows without a replication key are read too. With `is_logged` the
    stream goes on from the binary log once all of it has been copied, and `mark` is its bookmark then. With `is_anew`
    nothing stays of what was there before."""

    table: catalog.Table
    columns: tuple[columns.Column, ...]
    keys: tuple[str, ...]
    cursor: str | None = None
    is_full: bool = True
    is_logged: bool = False
    after: str | None = None
    lookback: str = ""
    nulls: bool = False
    is_anew: bool = False
    mark: dict[str, Any] | None = None

    @property
    def stream(self) -> str:
        return self.table.stream

    @property
    def replaces(self) -> bool:
        """Without a key a row can't be told from one that came before: the stream's whole content is replaced."""
        return self.is_anew or (self.is_full and not self.keys)

    def layout(self, mark: bytes) -> Layout:
        words, texts = columns.selected(self.columns)
        return Layout(words=len(words), texts=len(texts), mark=mark)

    def statements(self, mark: bytes) -> Iterator[str]:
        """In the layout that `rows` reads. Rows without a replication key come first: no bookmark can say that they
        came, so until one is set a read that was stopped begins again."""
        query = self._select(mark)
        if self.cursor is None:
            yield query
            return
        name = f"t.{quote(self.cursor)}"
        source = self.table.column(self.cursor)
        if self.nulls and not source.not_null:
            yield f"{query} where {name} is null"
        where = ""
        if self.after is not None:
            value = f"{literal(self.stream, source, self.after)}{self.lookback}"
            where = f" where {name} {'>' if self.is_full else '>='} {value}"
        elif not source.not_null:
            where = f" where {name} is not null"
        yield f"{query}{where} order by {name}"

    def of_keys(self, mark: bytes, wanted: Sequence[Key]) -> str:
        """The rows with these keys, in no order."""
        sources = [self.table.column(key) for key in self.keys]
        names = ", ".join(f"t.{quote(key)}" for key in self.keys)
        rows = ", ".join(
            f"({', '.join(key_literal(*pair) for pair in zip(sources, key, strict=True))})" for key in wanted
        )
        return f"{self._select(mark)} where ({names}) in ({rows})"

    def _select(self, mark: bytes) -> str:
        words, texts = columns.selected(self.columns)
        sign = f"x'{mark.hex()}'"
        chosen = ", ".join([*words, sign, *(f"{text}, {sign}" for text in texts)])
        return f"select {chosen} from {quote(self.table.schema)}.{quote(self.table.name)} as t"


def key_literal(source: columns.Source, value: Any) -> str:
    """A key's value as SQL."""
    if isinstance(value, bytes):
        return f"x'{value.hex()}'" if value else "''"
    if isinstance(value, str):
        return f"_utf8mb4 x'{value.encode().hex()}'" if value else "_utf8mb4 ''"
    if isinstance(value, datetime):
        return f"timestamp'{value.replace(tzinfo=None).isoformat(sep=' ', timespec='microseconds')}'"
    return f"date'{value}'" if source.base == "date" else str(value)


def literal(stream: str, source: columns.Source, value: str) -> str:
    """A bookmark's value as SQL. Raises InputError (`bad-bookmark`)."""
    try:
        if source.base in _NUMBERS:
            if _NUMBER.fullmatch(value):
                return f"{value}e0" if source.base in _FLOATS and "e" not in value.lower() else value
        elif source.base == "date":
            return f"date'{date.fromisoformat(value[:10])}'"
        elif source.base in _MOMENTS:
            moment = datetime.fromisoformat(value)
            plain = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
            return f"timestamp'{plain.isoformat(sep=' ', timespec='microseconds')}'"
        else:
            # The column's own collation compares, since that of a literal counts for less.
            return f"_utf8mb4 x'{value.encode().hex()}'" if value else "_utf8mb4 ''"
    except (ValueError, OverflowError):
        pass
    raise InputError(
        "bad-bookmark",
        f"the bookmark of stream `{stream}` is no value of its replication key",
        why=f"`{value}` is no {source.base}",
        hint="headwater state list, then headwater state clear ID",
    )


def queries(
    entries: Sequence[CatalogStream],
    known: Mapping[str, catalog.Table],
    bookmarks: Mapping[str, dict[str, Any]],
    settings: Settings,
) -> list[Query]:
    """One for each selected stream, those that replace what was there last: nothing can be committed for good after
    them before the end. Raises InputError for what the catalog asks for and the database does not have."""
    found = [
        _query(entry, _table(entry, known), bookmarks.get(entry.tap_stream_id, {}), settings)
        for entry in entries
        if taken(entry) is not None
    ]
    return sorted(found, key=lambda query: query.replaces)


def _table(entry: CatalogStream, known: Mapping[str, catalog.Table]) -> catalog.Table:
    table = known.get(entry.tap_stream_id)
    if table is None:
        guess = did_you_mean(entry.tap_stream_id, known)
        raise InputError(
            "source-changed",
            f"there is no table `{entry.tap_stream_id.replace('-', '.', 1)}` that can be read",
            hint=f"did you mean `{guess}`?" if guess else "run it again with --refresh-catalog",
        )
    return table


def _query(entry: CatalogStream, table: catalog.Table, bookmark: dict[str, Any], settings: Settings) -> Query:
    selection = taken(entry)
    assert selection is not None
    top: dict[str, Any] = next((mark.metadata for mark in entry.metadata if not mark.breadcrumb), {})
    method = top.get("forced-replication-method") or top.get("replication-method") or entry.replication_method
    cursor = top.get("replication-key") or entry.replication_key
    keys = tuple(table_keys(entry) or ())
    if method == "LOG_BASED":
        _check_logged(table, keys)
    by = replication_key("tap-mysql", table.stream, table.columns, cursor) if method == "INCREMENTAL" else None
    wanted = [one for one in table.columns if selection.takes(one.name) or one.name in (*keys, by)]
    made = tuple(columns.column(one, tinyint1_is_bool=settings.tinyint1_is_bool) for one in wanted)
    asked = Query(table=table, columns=made, keys=keys, is_logged=method == "LOG_BASED")
    if by is None:
        if not table.is_clustered or len(keys) != 1 or keys != table.keys:
            return asked
        (key,) = keys
        if table.column(key).base not in _WHOLE_NUMBERS:
            return asked
        after = bookmark.get("full_table_after") if bookmark.get("full_table_key") == key else None
        return _replace(asked, cursor=key, after=None if after is None else str(after))
    value = bookmark.get("replication_key_value") if bookmark.get("replication_key", by) == by else None
    return _replace(
        asked,
        cursor=by,
        is_full=False,
        after=None if value is None else str(value),
        lookback=_lookback(table.column(by).base, settings),
        nulls=settings.null_replication_keys == "always"
        or (settings.null_replication_keys == "once" and value is None),
    )


def _check_logged(table: catalog.Table, keys: tuple[str, ...]) -> None:
    if table.is_view or not keys:
        raise InputError(
            "no-log-based",
            f"stream `{table.stream}` can't be read from the log",
            why="it is a view" if table.is_view else "it has no key to say which row has changed",
            hint=f"headwater config set tap-mysql _metadata.{table.stream}.replication-method FULL_TABLE",
        )


def _lookback(base: str, settings: Settings) -> str:
    if base in (*_MOMENTS, "date") and settings.lookback_seconds:
        return f" - interval {settings.lookback_seconds} second"
    if base in _NUMBERS and settings.lookback_units:
        return f" - {settings.lookback_units}"
    return ""
