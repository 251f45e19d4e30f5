"""Arrow columns as rows of PostgreSQL's binary COPY format, without a step of Python for any row.

A row is the number of its fields, then each field as its length and its bytes, all big-endian; a null has the length
-1 and no bytes. Each column becomes a few binary arrays (or scalars) that Arrow joins row by row.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from headwater.connect import types
from headwater.connect.destinations.postgres import copy_fields
from headwater.connect.destinations.postgres.tables import Column, Target

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"

_BINARY = pa.binary()
_NOTHING = pa.scalar(b"", _BINARY)


def rows(columns: Sequence[tuple[pa.Array, str]]) -> pa.Buffer:
    """The rows that these columns make, each column given with its SQL type. Together they hold less than 2 GiB."""
    pieces = [piece for values, sql in columns for piece in copy_fields.field(_whole(values), sql)]
    parts = copy_fields.in_binary(len(columns).to_bytes(2, "big"), pieces)
    if len(parts) == 1:  # all rows are the same: nulls
        parts.append(pa.repeat(_NOTHING, len(columns[0][0])))
    return _joined(parts)


def completed(rows: pa.Array, count: int, columns: Sequence[tuple[pa.Array, str]]) -> pa.Buffer:
    """Rows that are encoded already, with those columns behind their own: `count` of them in all. A column of one value
    has that in every row."""
    parts: list[pa.Array | pa.Scalar] = [pc.binary_replace_slice(rows, 0, 2, count.to_bytes(2, "big"))]
    for values, sql in columns:
        own = copy_fields.in_binary(b"", copy_fields.field(_whole(values), sql))
        parts += [part[0] if isinstance(part, pa.Array) else part for part in own] if len(values) == 1 else own
    return _joined(parts)


def takes(table: Target, columns: pa.Schema) -> bool:
    """Whether rows that came encoded, with those columns of the contract, are as `rows` would make them for the table:
    each value in the bytes of the table's own type, or of one with the same bytes."""
    return (
        [one.source for one in table.columns] == columns.names
        and not (table.is_versioned or table.is_hashed or table.merged)
        and all(_has_bytes_of(one, columns.field(one.source)) for one in table.columns)
    )


def _has_bytes_of(column: Column, came: pa.Field) -> bool:
    if types.is_json(came) or types.is_json(column.type):
        return types.is_json(came) and column.sql_type == "jsonb"
    kind = types.kind(came.type)
    return kind == types.kind(column.type.type) and (kind == "decimal" or came.type == column.type.type)


def _whole(values: pa.Array) -> pa.Array:
    """The array, beginning where its buffers do."""
    return pa.concat_arrays([values]) if values.offset else values


def _joined(parts: list[pa.Array | pa.Scalar]) -> pa.Buffer:
    joined = pc.binary_join_element_wise(*parts, _NOTHING, null_handling="replace", null_replacement=b"")
    return joined.buffers()[2]
