"""What sources that read tables of a database have in common: streams by name, and the key to replicate by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from headwater.base.errors import InputError
from headwater.base.text import did_you_mean, listed
from headwater.connect.singer.schema import json_schema
from headwater.model.catalog import CatalogStream, Metadata


class Ordered(Protocol):
    """A column; `is_ordered` when rows can be read in its order, and on from a value of it."""

    @property
    def name(self) -> str: ...

    @property
    def is_ordered(self) -> bool: ...


class Placed(Protocol):
    """A table, and the name of its stream."""

    @property
    def schema(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def stream(self) -> str: ...


class Known(Placed, Protocol):
    """A table with what its database says of it."""

    @property
    def is_view(self) -> bool: ...

    @property
    def keys(self) -> tuple[str, ...]: ...

    @property
    def columns(self) -> Sequence[Ordered]: ...


AnyTable = TypeVar("AnyTable", bound=Placed)


def by_stream(found: Iterable[AnyTable], *, place: str, hint: Callable[[AnyTable], str]) -> list[AnyTable]:
    """The tables in their order; `place` is what the database calls a schema. Raises InputError (`ambiguous-stream`)
    for two that would have one name as streams, with what `hint` says of the second."""
    streams: dict[str, AnyTable] = {}
    for table in found:
        other = streams.setdefault(table.stream, table)
        if other is not table:
            raise InputError(
                "ambiguous-stream",
                f"two tables would be stream `{table.stream}`",
                why=f"`{table.name}` in {place} `{table.schema}`, and `{other.name}` in {place} `{other.schema}`",
                hint=hint(table),
            )
    return list(streams.values())


def entry(
    table: Known,
    fields: Iterable[pa.Field],
    sql_types: Iterable[str],
    *,
    method: str,
    cursor: str | None,
    database: str | None = None,
) -> CatalogStream:
    """The catalog entry of a table, whose columns become `fields`. `method` is how streams are read that have no
    `cursor`, which is the replication key."""
    method = "INCREMENTAL" if cursor else method
    top: dict[str, Any] = {
        "inclusion": "available",
        "selected-by-default": True,
        "schema-name": table.schema,
        **({} if database is None else {"database-name": database}),
        "is-view": table.is_view,
        "view-key-properties" if table.is_view else "table-key-properties": list(table.keys),
        "valid-replication-keys": [one.name for one in table.columns if one.is_ordered],
        "replication-method": method,
    }
    if cursor:
        top["replication-key"] = cursor
    marks = [Metadata(breadcrumb=[], metadata=top)]
    for one, sql_type in zip(table.columns, sql_types, strict=True):
        inclusion = "automatic" if one.name in (*table.keys, cursor) else "available"
        about = {"inclusion": inclusion, "sql-datatype": sql_type}
        marks.append(Metadata(breadcrumb=["properties", one.name], metadata=about))
    return CatalogStream(
        tap_stream_id=table.stream,
        stream=table.stream,
        table_name=table.name,
        is_view=table.is_view,
        schema=json_schema(pa.schema(list(fields))),
        metadata=marks,
        key_properties=list(table.keys),
        replication_key=cursor,
        replication_method=method,
    )


def replication_key(tap: str, stream: str, columns: Sequence[Ordered], wanted: str | None) -> str:
    """The name of the column, if rows can be read by it. Raises InputError (`no-replication-key`)."""
    names = [one.name for one in columns]
    fitting = [one.name for one in columns if one.is_ordered]
    if wanted in fitting:
        return str(wanted)
    how = f"headwater config set {tap} _metadata.{stream}.replication-key COLUMN"
    if wanted in names:
        raise InputError(
            "no-replication-key",
            f"stream `{stream}` can't be replicated by `{wanted}`: values of its type have no order to go by",
            why=f"these columns can be used: {listed(fitting)}" if fitting else "none of its columns can be used",
            hint=how,
        )
    guess = did_you_mean(wanted, names) if wanted else None
    raise InputError(
        "no-replication-key",
        f"stream `{stream}` is to be replicated by its key `{wanted}`, which is no column of it"
        if wanted
        else f"stream `{stream}` is to be replicated incrementally and has no replication key",
        hint=f"did you mean `{guess}`?" if guess else how,
    )
