"""Rows that come in the order of their keys, with none of those keys in the table: nothing is to be folded, and nothing
to be taken out before they go in. A table that is read by its key comes so, commit after commit, and what numbers its
rows."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from headwater.connect import names, types
from headwater.connect.destinations.duckdb.tables import Column, Target
from headwater.connect.staging import MISSING, conformed, has_rider
from headwater.connect.warehouse import first_row

_Keys = list[pa.Array]


def are_new(connection: duckdb.DuckDBPyConnection, table: Target, into: str, batches: Iterable[pa.RecordBatch]) -> bool:
    """Whether each row's key is greater than that of the row before, and `into` holds none from the first to the last.
    False also where it would take long to know, and for rows that came without some of their fields. Raises
    InexactError for a key that its column's type can't hold."""
    columns = [column for key in table.keys for column in table.columns if column.name == key]
    if not all(_is_ordered_alike(column.type.type) for column in columns):
        return False
    bounds = _bounds(table, columns, batches)
    is_empty = table.is_new and into == table.sql
    return bounds is not None and (is_empty or not _holds(connection, columns, into, *bounds))


def _bounds(table: Target, columns: list[Column], batches: Iterable[pa.RecordBatch]) -> tuple[_Keys, _Keys] | None:
    """The first key and the last, as arrays of one value; None when the keys do not rise all the way."""
    wanted = [(column.source, column.type.type) for column in columns]
    first: _Keys | None = None
    last: _Keys | None = None
    for batch in batches:
        if not batch.num_rows:
            continue
        if has_rider(batch, MISSING):
            return None
        keys, _ = conformed(batch, table.stream, wanted)
        lowest, highest = [one.slice(0, 1) for one in keys], [one.slice(batch.num_rows - 1) for one in keys]
        is_behind = last is None or _is_rising([pa.concat_arrays(pair) for pair in zip(last, lowest, strict=True)])
        if not is_behind or not _is_rising(keys):
            return None
        first, last = first or lowest, highest
    return None if first is None or last is None else (first, last)


def _is_rising(keys: _Keys) -> bool:
    if any(values.null_count for values in keys):
        return False
    rising = pa.scalar(value=False)
    for values in reversed(keys):
        before, after = values.slice(0, len(values) - 1), values.slice(1)
        rising = pc.or_(pc.greater(after, before), pc.and_(pc.equal(after, before), rising))
    return bool(pc.all(rising, min_count=0).as_py())


def _is_ordered_alike(data_type: pa.DataType) -> bool:
    """Whether DuckDB has the values in the same order; texts may have a collation there, and doubles a NaN."""
    return types.kind(data_type) in ("int64", "decimal", "date32", "timestamp")


def _holds(connection: duckdb.DuckDBPyConnection, columns: list[Column], into: str, first: _Keys, last: _Keys) -> bool:
    keys = ", ".join(names.quote(column.name) for column in columns)
    marks = [f"?::{column.sql_type}" for column in columns]
    # DuckDB knows the least and the greatest value of a column in each group of rows, but none of a whole key.
    query = (
        f"select 1 from {into} where {names.quote(columns[0].name)} between {marks[0]} and {marks[0]} "
        f"and row({keys}) >= row({', '.join(marks)}) limit 1"
    )
    low, high = ([types.cast(values, types.STRING)[0].as_py() for values in bound] for bound in (first, last))
    return first_row(connection, query, [low[0], high[0], *low]) is not None
