"""Values that a driver gives, a column at a time, as Arrow."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from headwater.sources.databases.tables import Column
from headwater.sources.rows import JSON_FIELD, TIMESTAMP, Pace, RowError, inferred, text

# What Arrow takes for a type without changing it: asked for integers, it would cut 1.5.
_EXACT: dict[pa.DataType, frozenset[type]] = {
    pa.bool_(): frozenset({bool}),
    pa.int64(): frozenset({int}),
    pa.float64(): frozenset({float}),
    pa.string(): frozenset({str}),
    pa.binary(): frozenset({bytes, bytearray}),
    pa.date32(): frozenset({dt.date}),
    pa.time64("us"): frozenset({dt.time}),
    TIMESTAMP: frozenset({dt.datetime}),
}
# How drivers without booleans say them.
_FLAGS = {None: None, 0: False, 1: True, "0": False, "1": True}
_STEP = 1000  # rows asked of a driver at a time


def batches(rows: Any, columns: Sequence[Column], batch_bytes: int) -> Iterator[tuple[pa.RecordBatch, dict[str, int]]]:
    """What `rows.fetchmany` gives, about `batch_bytes` at a time, and how many values of each column were changed."""
    pace = Pace(batch_bytes)
    held: list[pa.RecordBatch] = []
    repaired: dict[str, int] = {}
    while block := rows.fetchmany(min(pace.rows, _STEP)):
        batch, lost = _batch(block, columns)
        pace.note(batch)
        if held and (held[0].schema != batch.schema or sum(one.nbytes for one in held) >= batch_bytes):
            yield pa.concat_batches(held), repaired
            held, repaired = [], {}
        held.append(batch)
        repaired = {name: repaired.get(name, 0) + lost.get(name, 0) for name in repaired | lost}
    if held:
        yield pa.concat_batches(held), repaired


def _batch(rows: Sequence[Sequence[Any]], columns: Sequence[Column]) -> tuple[pa.RecordBatch, dict[str, int]]:
    arrays, fields, repaired = [], [], {}
    for one, values in zip(columns, zip(*rows, strict=True), strict=True):
        array, is_json, lost = _array(one, list(values))
        arrays.append(array)
        fields.append(pa.field(one.name, array.type, metadata=JSON_FIELD if is_json else None))
        if lost:
            repaired[one.name] = lost
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)), repaired


def _array(one: Column, values: list[Any]) -> tuple[pa.Array, bool, int]:
    """In the column's type; where a value is of another, in the narrowest that holds all. NaN is no decimal and becomes
    null, which is counted."""
    kinds = set(map(type, values)) - {type(None)}
    if one.is_json and kinds <= {str}:
        return pa.array(values, pa.string()), True, 0
    if one.is_json:
        return pa.array([value if value is None else json.dumps(value, default=str) for value in values]), True, 0
    lost = 0
    if Decimal in kinds:
        finite = [None if isinstance(value, Decimal) and not value.is_finite() else value for value in values]
        values, lost = finite, finite.count(None) - values.count(None)
        kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return pa.nulls(len(values), one.kind), False, lost
    exact = frozenset({Decimal}) if pa.types.is_decimal(one.kind) else _EXACT.get(one.kind, frozenset())
    if kinds <= exact:
        try:
            return pa.array(values, one.kind), False, lost
        except (pa.ArrowException, OverflowError, ValueError):
            pass
    if pa.types.is_string(one.kind) and not kinds & {list, tuple, dict, set, frozenset}:
        return pa.array([None if value is None else text(value) for value in values], one.kind), False, lost
    if pa.types.is_boolean(one.kind) and kinds <= {str, int} and all(value in _FLAGS for value in values):
        return pa.array([_FLAGS[value] for value in values], one.kind), False, lost
    if memoryview in kinds:
        values = [bytes(value) if isinstance(value, memoryview) else value for value in values]
        kinds = kinds - {memoryview} | {bytes}
    try:
        array, is_json = inferred(values, kinds)
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
        raise RowError(f"`{one.name}` holds a value that can't be sent on: {error}") from error
    return array, is_json, lost
