"""Arrow columns as rows of PostgreSQL's binary COPY format, without a step of Python for any row.

A row is the number of its fields, then each field as its length and its bytes, all big-endian; a null has the length
-1 and no bytes. Each column becomes a few binary arrays (or scalars) that Arrow joins row by row.
"""

from __future__ import annotations

import array
import sys
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from headwater.connect import types
from headwater.connect.destinations.postgres.tables import Column, Target

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"

_BINARY = pa.binary()
_NOTHING = pa.scalar(b"", _BINARY)
_NULL = pa.scalar(b"\xff\xff\xff\xff", _BINARY)
_TRUE = pa.scalar(b"\x00\x00\x00\x01\x01", _BINARY)
_FALSE = pa.scalar(b"\x00\x00\x00\x01\x00", _BINARY)
_JSONB_VERSION = pa.scalar(b"\x01", _BINARY)
# PostgreSQL counts from 2000-01-01.
_EPOCH_DAYS = 10_957
_EPOCH_MICROSECONDS = _EPOCH_DAYS * 86_400_000_000


def rows(columns: Sequence[tuple[pa.Array, str]]) -> pa.Buffer:
    """The rows that these columns make, each column given with its SQL type. Together they hold less than 2 GiB."""
    parts: list[pa.Array | pa.Scalar] = [pa.scalar(len(columns).to_bytes(2, "big"), _BINARY)]
    for values, sql in columns:
        parts += _parts(pa.concat_arrays([values]) if values.offset else values, sql)
    joined = pc.binary_join_element_wise(*parts, _NOTHING, null_handling="replace", null_replacement=b"")
    return joined.buffers()[2]


def completed(rows: pa.Array, count: int, columns: Sequence[tuple[pa.Array, str]]) -> pa.Buffer:
    """Rows that are encoded already, with those columns behind their own: `count` of them in all. A column of one value
    has that in every row."""
    parts: list[pa.Array | pa.Scalar] = [pc.binary_replace_slice(rows, 0, 2, count.to_bytes(2, "big"))]
    for values, sql in columns:
        of_one = _parts(values, sql)
        parts += [part[0] if isinstance(part, pa.Array) else part for part in of_one] if len(values) == 1 else of_one
    joined = pc.binary_join_element_wise(*parts, _NOTHING, null_handling="replace", null_replacement=b"")
    return joined.buffers()[2]


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


def _parts(values: pa.Array, sql: str) -> list[pa.Array | pa.Scalar]:
    kind = types.kind(values.type)
    match kind:
        case "int64" | "float64":
            return [_prefix(values, 8), _big_endian(values, "q")]
        case "bool":
            chosen = pc.if_else(values, _TRUE, _FALSE)
            return [pc.fill_null(chosen, _NULL) if values.null_count else chosen]
        case "timestamp":
            moments = pc.subtract_checked(values.view(pa.int64()), _EPOCH_MICROSECONDS)
            return [_prefix(values, 8), _big_endian(moments, "q")]
        case "time64":
            return [_prefix(values, 8), _big_endian(values, "q")]
        case "date32":
            days = pc.subtract_checked(values.view(pa.int32()), pa.scalar(_EPOCH_DAYS, pa.int32()))
            return [_prefix(values, 4), _big_endian(days, "i")]
        case "decimal":
            return _numeric(values)
    return _text(values, is_jsonb=sql == "jsonb")


def _text(values: pa.Array, *, is_jsonb: bool) -> list[pa.Array | pa.Scalar]:
    lengths = pc.binary_length(values)
    if is_jsonb:
        lengths = pc.add(lengths, pa.scalar(1, pa.int32()))
    if values.null_count:
        lengths = pc.fill_null(lengths, -1)
    parts: list[pa.Array | pa.Scalar] = [_big_endian(lengths, "i")]
    if is_jsonb:
        parts.append(pc.if_else(values.is_valid(), _JSONB_VERSION, _NOTHING) if values.null_count else _JSONB_VERSION)
    return [*parts, values.cast(_BINARY)]


def _numeric(values: pa.Array) -> list[pa.Array | pa.Scalar]:
    """Counts of digits, weight, sign and scale in 2 bytes each, then the digits to the base 10000 in 2 bytes each.

    All values of a column get the same number of digits, four times as many as there are limbs of 16 decimal digits;
    PostgreSQL strips the zeros at both ends.
    """
    precision, scale = values.type.precision, values.type.scale
    padding = -scale % 4
    limbs = -(-(precision + padding) // 16)
    digits = 4 * limbs
    unscaled = pa.Array.from_buffers(pa.decimal128(38, 0), len(values), values.buffers())
    weight = digits - (scale + padding) // 4 - 1
    fixed = int.from_bytes(b"".join(part.to_bytes(2, "big", signed=True) for part in (digits, weight, 0, scale)), "big")
    head = pc.if_else(pc.less(unscaled, pa.scalar(0, unscaled.type)), fixed + (0x4000 << 16), fixed)
    if precision + padding <= 18:
        size = pc.abs(unscaled.cast(pa.int64()))
        whole = pc.multiply(size, 10**padding)
        pieces = [whole] if limbs == 1 else [pc.divide(whole, 10**16), _remainder(whole, 10**16)]
    else:
        # Longer numbers are cut as text.
        plain = pc.abs(unscaled).cast(pa.string())
        text = pc.binary_join_element_wise(plain, "0" * padding, "") if padding else plain
        text = pc.utf8_lpad(text, 16 * limbs, "0")
        pieces = [pc.utf8_slice_codeunits(text, 16 * n, 16 * n + 16).cast(pa.int64()) for n in range(limbs)]
    return [
        _prefix(values, 8 + 2 * digits),
        _big_endian(head, "q"),
        *(_big_endian(_base_10000(piece), "q") for piece in pieces),
    ]


def _base_10000(limb: pa.Array) -> pa.Array:
    """Four digits of 16 bits each in one integer, from a number of at most 16 decimal digits."""
    high, low = pc.divide(limb, 10**8), _remainder(limb, 10**8)
    packed = [pc.add(pc.shift_left(pc.divide(half, 10**4), 16), _remainder(half, 10**4)) for half in (high, low)]
    return pc.add(pc.shift_left(packed[0], 32), packed[1])


def _remainder(dividend: pa.Array, divisor: int) -> pa.Array:
    return pc.subtract(dividend, pc.multiply(pc.divide(dividend, divisor), divisor))


def _prefix(values: pa.Array, width: int) -> pa.Array | pa.Scalar:
    """The length of each field."""
    length = pa.scalar(width.to_bytes(4, "big"), _BINARY)
    return pc.if_else(values.is_valid(), length, _NULL) if values.null_count else length


def _big_endian(values: pa.Array, code: str) -> pa.Array:
    """Fixed-width values as the bytes of their big-endian form; nulls stay null."""
    validity, data = values.buffers()
    words = array.array(code)
    words.frombytes(memoryview(data)[: len(values) * words.itemsize])
    if sys.byteorder == "little":
        words.byteswap()
    cells = pa.Array.from_buffers(pa.binary(words.itemsize), len(values), [validity, pa.py_buffer(words)])
    return cells.cast(_BINARY)
