"""Batches of a query as the contract's messages: widened where a value asks for it, with notes of how far they go."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct, field

from headwater.base.errors import RunFailedError
from headwater.connect import types
from headwater.connect.contract import Message, Rows, Schema
from headwater.connect.sources.bookmarks import Json, Note
from headwater.connect.sources.columns import Columns
from headwater.connect.sources.queries import Query

_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896  # 0001-01-01 and 9999-12-31
_DAY = 86_400_000_000  # microseconds


class Piece(Struct, frozen=True):
    """Rows of a query in its order, with its columns as Arrow has them. `repaired` counts values that were changed to
    fit, by column. `last` is the cursor of the last row as it goes into the state; without it, that is worked out."""

    batch: pa.RecordBatch
    repaired: dict[str, int] = field(default_factory=dict)
    last: Any = None


def delivered(query: Query, pieces: Iterable[Piece], *, should_stop: Callable[[], bool]) -> Iterator[Message | Note]:
    """The stream's schema, again whenever it gets wider, its rows and how far they go. Stopped, it ends without the
    note that it is done. Raises RunFailedError (`value-rejected`, `mixed-types`)."""
    columns = Columns(query.stream, {})
    columns.declare(pa.schema([one.field for one in query.columns]))
    shown = columns.schema
    yield _schema(query, shown)
    noted = last = query.after
    for piece in pieces:
        if piece.batch.num_rows:
            batch, repaired = columns.take(piece.batch)
            batch, lost = _within(batch)
            repaired = _added(_added(repaired, lost), piece.repaired)
            _refuse(query, repaired)
            if not batch.schema.equals(shown, check_metadata=True):
                shown = batch.schema
                yield _schema(query, shown)
            yield Rows(stream=query.stream, batch=batch, repaired=repaired, size=batch.nbytes)
            reached = piece.last if piece.last is not None else _last(query, batch)
            last = last if reached is None else reached
            if last != noted:
                yield Note(query.stream, _bookmark(query, last, is_done=False))
                noted = last
        if should_stop():
            return
    yield Note(query.stream, _bookmark(query, last, is_done=True))


def _schema(query: Query, columns: pa.Schema) -> Schema:
    cursor = None if query.is_full or query.cursor is None else query.cursor.name
    return Schema(stream=query.stream, columns=columns, keys=query.keys, cursor=cursor, replace=query.replaces)


def _within(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, dict[str, int]]:
    """Without the days, moments and times that no type of a stream has (infinity, the year 0, 24:00), which become
    null, and how many those were, by column."""
    lost: dict[str, int] = {}
    arrays = []
    for name, values in zip(batch.schema.names, batch.columns, strict=True):
        fitted = values
        if (bounds := _bounds(values.type)) is not None and len(values) > values.null_count:
            raw, (low, high) = values.cast(bounds[0]), bounds[1]
            span = pc.min_max(raw).as_py()
            if span["min"] < low or span["max"] > high:
                fits = pc.and_(pc.greater_equal(raw, low), pc.less_equal(raw, high))
                fitted = pc.if_else(fits, values, pa.scalar(None, values.type))
                lost[name] = fitted.null_count - values.null_count
        arrays.append(fitted)
    return (pa.RecordBatch.from_arrays(arrays, schema=batch.schema) if lost else batch), lost


def _bounds(kind: pa.DataType) -> tuple[pa.DataType, tuple[int, int]] | None:
    if kind == types.DATE:
        return pa.int32(), (_FIRST_DAY, _LAST_DAY)
    if kind == types.TIMESTAMP:
        return pa.int64(), (_FIRST_DAY * _DAY, (_LAST_DAY + 1) * _DAY - 1)
    if kind == types.TIME:
        return pa.int64(), (0, _DAY - 1)
    return None


def _added(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in one | other}


def _refuse(query: Query, repaired: dict[str, int]) -> None:
    for name in (*query.keys, *((query.cursor.name,) if query.cursor else ())):
        if name in repaired:
            raise _rejected(query, name, "a value that no type of a stream holds unchanged")


def _rejected(query: Query, column: str, what: str) -> RunFailedError:
    return RunFailedError(
        "value-rejected",
        f"`{column}` of stream `{query.stream}` holds {what}",
        why="it is a key or the replication key, and those are never repaired",
        hint="correct it at the source, or choose another key",
    )


def _last(query: Query, batch: pa.RecordBatch) -> str | None:
    """The cursor of the last row as text; None for rows without one, which come by themselves."""
    if query.cursor is None or batch.column(query.cursor.name).null_count:
        return None
    values = batch.column(query.cursor.name)
    values = values.slice(len(values) - 1)
    if pa.types.is_floating(values.type) and not math.isfinite(values[0].as_py()):
        raise _rejected(query, query.cursor.name, "NaN or infinity, after which no value would ever come")
    text: str = types.cast(values, types.STRING)[0].as_py()
    return text


def _bookmark(query: Query, last: Any, *, is_done: bool) -> Json | None:
    if query.cursor is None or (query.is_full and is_done):
        return None
    if query.is_full:
        return {"full_table_key": query.cursor.name, "full_table_after": last}
    return None if last is None else {"replication_key": query.cursor.name, "replication_key_value": last}
