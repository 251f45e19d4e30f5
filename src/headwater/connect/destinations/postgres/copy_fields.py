"""Arrow columns as the fields of PostgreSQL's binary COPY format: each a length of 4 bytes, then that many bytes, all
big-endian; a null has the length -1 and no bytes.

A field is a few pieces, which stand one after the other in each row. What has the same size in every row, which is
each length and all numbers without nulls, is pieces of 4 bytes: neighbours of them are put together by arithmetic on
whole columns, and copied into the rows at once.
"""

from __future__ import annotations

import array
import sys
from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from headwater.connect import types

_BINARY = pa.binary()
_NULL = 0xFFFFFFFF
_LOWER = pa.scalar(0xFFFFFFFF, pa.uint64())
_UPPER = pa.scalar(0xFFFFFFFF << 32, pa.uint64())
_HALF = pa.scalar(32, pa.uint64())
_JSONB_VERSION = b"\x01"
# PostgreSQL counts from 2000-01-01.
_EPOCH_DAYS = 10_957
_EPOCH_MICROSECONDS = _EPOCH_DAYS * 86_400_000_000
# A number below 10**8 divided by 10**4 is its product with the first of these, less its lowest 40 bits.
_A_TEN_THOUSANDTH, _ITS_BITS = 109_951_163, 40
# Times so many, they take 10**8 or 10**4 from a number and put 1 above its 32 or 16 bits.
_ABOVE_32_BITS, _ABOVE_16_BITS = (1 << 32) - 10**8, (1 << 16) - 10**4
_MINUS = 0x4000 << 16


class Word(NamedTuple):
    """4 bytes of each row: a number; an array of int32; or one half of each value of an array of uint64."""

    of: int | pa.Array
    half: str = ""


# An array is binary, of any size in each row; where it is null there is nothing.
Piece: TypeAlias = Word | pa.Array


def field(values: pa.Array, sql: str) -> list[Piece]:
    """The pieces of a column of that SQL type. The array begins where its buffers do."""
    if len(values) and values.null_count == len(values):
        return [Word(_NULL)]
    match types.kind(values.type):
        case "int64" | "float64" | "time64":
            return _of_64_bits(values, [values])
        case "timestamp":
            return _of_64_bits(values, [pc.subtract_checked(values.view(pa.int64()), _EPOCH_MICROSECONDS)])
        case "date32":
            days = pc.subtract_checked(values.view(pa.int32()), pa.scalar(_EPOCH_DAYS, pa.int32()))
            return [_length(values, 4), _cells(days.buffers()[1], 4, values) if values.null_count else Word(days)]
        case "bool":
            return [_length(values, 1), _cells(values.cast(pa.uint8()).buffers()[1], 1, values)]
        case "decimal":
            return _of_64_bits(values, _numeric(values))
    return _text(values, is_jsonb=sql == "jsonb")


def in_binary(start: bytes, pieces: Iterable[Piece]) -> list[pa.Array | pa.Scalar]:
    """The same in fewer pieces, behind some bytes with which each row starts: binary arrays, and scalars for what all
    rows have."""
    found: list[pa.Array | pa.Scalar] = []
    constant = start
    for is_word, group in groupby(pieces, lambda piece: isinstance(piece, Word)):
        some = list(group)
        if is_word:
            count = _constants(some)
            constant += b"".join(word.of.to_bytes(4, "big") for word in some[:count])
            some = _together(some[count:])
        if some and constant:
            found.append(pa.scalar(constant, _BINARY))
            constant = b""
        found += some
    return [*found, pa.scalar(constant, _BINARY)] if constant else found


def _constants(words: list[Word]) -> int:
    """How many of them, from the first on, are left as they are: all of them when there is nothing else; or one, where
    the others make pairs then."""
    if all(isinstance(word.of, int) for word in words):
        return len(words)
    return int(len(words) % 2 and isinstance(words[0].of, int))


def _of_64_bits(values: pa.Array, parts: list[pa.Array]) -> list[Piece]:
    """The parts that each value consists of; those of a null are not looked at."""
    length = _length(values, 8 * len(parts))
    if not values.null_count:
        unsigned = [part.view(pa.uint64()) for part in parts]
        return [length, *(Word(part, half) for part in unsigned for half in ("upper", "lower"))]
    whole = [pa.Array.from_buffers(pa.uint64(), len(values), [None, part.buffers()[1]]) for part in parts]
    return [length, _cells(_side_by_side(whole), 8 * len(parts), values)]


def _length(values: pa.Array, size: int) -> Word:
    if not values.null_count:
        return Word(size)
    return Word(pc.if_else(values.is_valid(), pa.scalar(size, pa.int32()), pa.scalar(-1, pa.int32())))


def _text(values: pa.Array, *, is_jsonb: bool) -> list[Piece]:
    lengths = pc.binary_length(values)
    if is_jsonb:
        lengths = pc.add(lengths, pa.scalar(1, pa.int32()))
    if values.null_count:
        lengths = pc.fill_null(lengths, -1)
    version = [_cells(pa.py_buffer(_JSONB_VERSION * len(values)), 1, values)] if is_jsonb else []
    return [Word(lengths), *version, values.cast(_BINARY)]


def _numeric(values: pa.Array) -> list[pa.Array]:
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
    if precision + padding <= 18:
        number = unscaled.cast(pa.int64(), safe=False)  # so few digits fit
        minus = pc.bit_wise_and(pc.shift_right(number, 62), _MINUS)  # all bits of a negative one are set there
        whole = pc.multiply(pc.abs(number), 10**padding)
        pieces = [whole] if limbs == 1 else [pc.divide(whole, 10**16), _remainder(whole, 10**16)]
    else:
        # Longer numbers are cut as text.
        minus = pc.multiply(pc.less(unscaled, pa.scalar(0, unscaled.type)).cast(pa.int64()), _MINUS)
        plain = pc.abs(unscaled).cast(pa.string())
        text = pc.binary_join_element_wise(plain, "0" * padding, "") if padding else plain
        text = pc.utf8_lpad(text, 16 * limbs, "0")
        pieces = [pc.utf8_slice_codeunits(text, 16 * n, 16 * n + 16).cast(pa.int64()) for n in range(limbs)]
    return [pc.add(minus, fixed), *map(_base_10000, pieces)]


def _base_10000(limb: pa.Array) -> pa.Array:
    """Four digits of 16 bits each in one integer, from a number of at most 16 decimal digits."""
    high = pc.divide(limb, 10**8)
    halves = pc.add(limb, pc.multiply(high, _ABOVE_32_BITS))
    low = pc.bit_wise_and(halves, 0xFFFFFFFF)
    tops = [pc.shift_right(pc.multiply(half, _A_TEN_THOUSANDTH), _ITS_BITS) for half in (high, low)]
    return pc.add(halves, pc.multiply(pc.add(pc.shift_left(tops[0], 32), tops[1]), _ABOVE_16_BITS))


def _remainder(dividend: pa.Array, divisor: int) -> pa.Array:
    return pc.subtract(dividend, pc.multiply(pc.divide(dividend, divisor), divisor))


def _together(words: list[Word]) -> list[pa.Array]:
    """They are of an even number, or a length: one that is an array begins no group, unless it is all there is."""
    if len(words) < 2:
        lengths: list[pa.Array] = [word.of for word in words]
        return [_cells(one.buffers()[1], 4, one) for one in lengths]
    count = next(len(word.of) for word in words if not isinstance(word.of, int))
    pairs = [_pair(left, right, count) for left, right in zip(words[::2], words[1::2], strict=True)]
    return [_cells(_side_by_side(pairs), 8 * len(pairs), pairs[0])]


def _pair(left: Word, right: Word, count: int) -> pa.Array:
    """8 bytes of each row as one number."""
    if left.half == "upper" and right.half == "lower" and left.of is right.of:
        return left.of
    both = pc.bit_wise_or(_on_the_left(left), _on_the_right(right))
    return both if isinstance(both, pa.Array) else pa.repeat(both, count)


def _on_the_left(word: Word) -> pa.Array | pa.Scalar:
    if isinstance(word.of, int):
        return pa.scalar(word.of << 32, pa.uint64())
    if word.half == "upper":
        return pc.bit_wise_and(word.of, _UPPER)
    return pc.shift_left(word.of if word.half else _unsigned(word.of), _HALF)


def _on_the_right(word: Word) -> pa.Array | pa.Scalar:
    if isinstance(word.of, int):
        return pa.scalar(word.of, pa.uint64())
    if word.half == "upper":
        return pc.shift_right(word.of, _HALF)
    return pc.bit_wise_and(word.of, _LOWER) if word.half else _unsigned(word.of)


def _unsigned(words: pa.Array) -> pa.Array:
    return words.view(pa.uint32()).cast(pa.uint64())


def _side_by_side(parts: list[pa.Array]) -> pa.Buffer | memoryview:
    """The numbers of each row one after the other."""
    if len(parts) == 1:
        return parts[0].buffers()[1]
    batch = pa.RecordBatch.from_arrays(parts, [str(number) for number in range(len(parts))])
    return memoryview(batch.to_tensor(row_major=True))


def _cells(data: pa.Buffer | memoryview, size: int, values: pa.Array) -> pa.Array:
    """So many bytes for each value, in numbers of 8, 4 or 1 byte that become big-endian; null where it is null."""
    if size > 1:
        words = array.array("I" if size % 8 else "Q")
        words.frombytes(memoryview(data).cast("B")[: len(values) * size])
        if sys.byteorder == "little":
            words.byteswap()
        data = pa.py_buffer(words)
    validity = values.buffers()[0] if values.null_count else None
    return pa.Array.from_buffers(pa.binary(size), len(values), [validity, data]).cast(_BINARY)
