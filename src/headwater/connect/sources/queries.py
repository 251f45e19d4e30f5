"""What is asked of the tables of a database that is read by plain queries: in full, or by a replication key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace

from headwater.base.errors import InputError
from headwater.base.text import did_you_mean
from headwater.connect.sources import tables
from headwater.connect.stages.select import table_keys, taken
from headwater.model.catalog import Catalog, CatalogStream

Method = Literal["FULL_TABLE", "INCREMENTAL"]
Nulls = Literal["once", "always", "never"]


class Column(Struct, frozen=True, kw_only=True):
    """`type` is what the database calls it, `field` the column that it becomes. `is_ordered` when rows can be read in
    its order, and on from a value of it."""

    name: str
    type: str
    field: pa.Field
    is_ordered: bool = False
    not_null: bool = False


class Table(Struct, frozen=True, kw_only=True):
    """`lies_by` names the column in whose order its rows lie, if that is known: a full read that was stopped goes on
    behind the last value of it."""

    schema: str
    name: str
    is_view: bool = False
    columns: tuple[Column, ...]
    keys: tuple[str, ...] = ()
    lies_by: str | None = None

    @property
    def stream(self) -> str:
        return stream_name(self.schema, self.name)

    def column(self, name: str) -> Column:
        """Raises StopIteration when there is none."""
        return next(one for one in self.columns if one.name == name)


def stream_name(schema: str, table: str) -> str:
    return f"{schema}-{table}" if schema else table


class Query(Struct, frozen=True, kw_only=True):
    """What is asked of one stream. `cursor` is the column that its rows are ordered by, if any: with `is_full` that in
    whose order they lie, read on behind `after`; else the replication key, read on from `after` (inclusive). `nulls`
    says whether rows without a replication key are read too, before all others."""

    table: Table
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    cursor: Column | None = None
    is_full: bool = True
    after: Any = None
    nulls: bool = False

    @property
    def stream(self) -> str:
        return self.table.stream

    @property
    def replaces(self) -> bool:
        """Without a key a row can't be told from one that came before: the stream's whole content is replaced."""
        return self.is_full and not self.keys

    def conditions(self, name: str, value: str) -> list[str]:
        """What to ask for, one query after the other, as the SQL that follows `from TABLE`. `name` is the cursor's and
        `value` that of `after` as SQL; rows without a cursor come first, for no bookmark can say that they came."""
        if self.cursor is None:
            return [""]
        asked = []
        if self.nulls and not self.cursor.not_null:
            asked.append(f" where {name} is null")
        where = ""
        if self.after is not None:
            where = f" where {name} {'>' if self.is_full else '>='} {value}"
        elif not self.cursor.not_null:
            where = f" where {name} is not null"
        return [*asked, f"{where} order by {name}"]


def of_streams(
    entries: Sequence[CatalogStream],
    known: Mapping[str, Table],
    bookmarks: Mapping[str, dict[str, Any]],
    *,
    tap: str,
    nulls: Nulls,
) -> list[Query]:
    """One for each selected stream, those that replace what was there last: nothing can be committed for good after
    them before the end. Raises InputError for what the catalog asks for and the database does not have."""
    found = [
        of_stream(entry, _table(entry, known), bookmarks.get(entry.tap_stream_id, {}), tap=tap, nulls=nulls)
        for entry in entries
        if taken(entry) is not None
    ]
    return sorted(found, key=lambda query: query.replaces)


def of_stream(entry: CatalogStream, table: Table, bookmark: Mapping[str, Any], *, tap: str, nulls: Nulls) -> Query:
    """For a stream that is selected. Raises InputError (`no-log-based`, `no-replication-key`, `source-changed`)."""
    selection = taken(entry)
    assert selection is not None
    method, cursor = method_of(entry)
    keys = tuple(table_keys(entry) or ())
    if method not in ("FULL_TABLE", "INCREMENTAL"):
        raise InputError(
            "no-log-based",
            f"stream `{table.stream}` can't be read from a log",
            why=f"`{tap}` asks its database for rows, in full or by a replication key",
            hint=f"headwater config set {tap} _metadata.{table.stream}.replication-method INCREMENTAL",
        )
    by = tables.replication_key(tap, table.stream, table.columns, cursor) if method == "INCREMENTAL" else None
    wanted = tuple(one for one in table.columns if selection.takes(one.name) or one.name in (*keys, by))
    for key in keys:
        if all(one.name != key for one in table.columns):
            raise InputError(
                "source-changed",
                f"the key `{key}` is no column of stream `{table.stream}`",
                hint="run it again with --refresh-catalog",
            )
    asked = Query(table=table, columns=wanted, keys=keys)
    if by is None:
        # Only where it is a key the rows that a stopped read had brought stay.
        if table.lies_by is None or keys != (table.lies_by,):
            return asked
        after = bookmark.get("full_table_after") if bookmark.get("full_table_key") == table.lies_by else None
        return replace(asked, cursor=table.column(table.lies_by), after=after)
    value = bookmark.get("replication_key_value") if bookmark.get("replication_key", by) == by else None
    return replace(
        asked,
        cursor=table.column(by),
        is_full=False,
        after=value,
        nulls=nulls == "always" or (nulls == "once" and value is None),
    )


def method_of(entry: CatalogStream) -> tuple[str | None, str | None]:
    """How the catalog's user wants a stream to be read, and by which replication key."""
    top: dict[str, Any] = next((mark.metadata for mark in entry.metadata if not mark.breadcrumb), {})
    method = top.get("forced-replication-method") or top.get("replication-method") or entry.replication_method
    return method, top.get("replication-key") or entry.replication_key


def _table(entry: CatalogStream, known: Mapping[str, Table]) -> Table:
    table = known.get(entry.tap_stream_id)
    if table is None:
        guess = did_you_mean(entry.tap_stream_id, known)
        raise InputError(
            "source-changed",
            f"there is no table `{entry.tap_stream_id.replace('-', '.', 1)}` that can be read",
            hint=f"did you mean `{guess}`?" if guess else "run it again with --refresh-catalog",
        )
    return table


def catalog(found: Iterable[Table], *, method: Method, replication_keys: Mapping[str, str]) -> Catalog:
    """`method` is how streams are read that `replication_keys` does not name."""
    return Catalog(
        streams=[
            tables.entry(
                table,
                (one.field for one in table.columns),
                (one.type for one in table.columns),
                method=method,
                cursor=replication_keys.get(table.stream),
            )
            for table in found
        ]
    )
