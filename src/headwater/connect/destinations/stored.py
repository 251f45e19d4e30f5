"""How a stream stands in a destination, as a load tells it at its end."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from headwater.connect import types
from headwater.connect.contract import Stored, StoredColumn
from headwater.connect.staging import StagedStream


class Place(Struct, frozen=True):
    """A column of a table: the source's name for it, the table's, and the type the table gives it."""

    source: str
    name: str
    type: str


def stored(stream: StagedStream, place: str, columns: Iterable[Place], *, load_method: str) -> Stored:
    """What `place` made of the stream."""
    fields = stream.fields()
    return Stored(
        place=place,
        method=_method(stream, load_method),
        keys=stream.schema.keys,
        cursor=stream.schema.cursor,
        columns=tuple(
            StoredColumn(
                source=column.source,
                name=column.name,
                declared=types.declared(fields[column.source]),
                sent=str(fields[column.source].type),
                type=column.type,
                is_json=types.is_json(fields[column.source]),
                is_inexact=column.source in stream.texts,
            )
            for column in columns
            if column.source in fields
        ),
    )


def _method(stream: StagedStream, load_method: str) -> str:
    if stream.is_replaced and load_method != "history":
        return "overwrite"
    return "append-only" if load_method == "upsert" and not stream.keys else load_method
