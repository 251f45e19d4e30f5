"""Records to columns by Arrow's own JSON reader, which makes no object for any of them.

It is only asked where it is sure to give what the exact ways give (`layout`, and then member by member), and refuses
what it is not sure of. It reads no value as another type, knows every field, and its doubles are those of the texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from msgspec import Raw, Struct

from headwater.connect import types
from headwater.connect.singer.layout import ABSENT_TEXT, Members
from headwater.connect.singer.schema import Family
from headwater.connect.singer.shape import Column, Node, Shape, tree

_ARROW: Mapping[Family, pa.DataType] = {
    Family.INTEGER: types.INT64,
    Family.NUMBER: types.FLOAT64,
    Family.BOOLEAN: types.BOOL,
    Family.TEXT: types.STRING,
    Family.NULL: types.STRING,
    Family.DECIMAL: types.STRING,
    Family.TIMESTAMP: types.STRING,
    Family.DATE: types.STRING,
    Family.TIME: types.STRING,
}
# What one thread of the reader's takes at a time.
_BLOCK_BYTES = 1 << 20
# A decimal text of up to 15 digits is always exact as a double, if the double is a normal number.
_MOST_DIGITS = 15
_SMALLEST = 1e-290
# Where a value may stand, or in a text after such a sign: then it is left to the other ways.
_LONG_NUMBER = rf"(?:^|[:,\[])[ \t\r\n]*-?[0-9.]{{{_MOST_DIGITS + 1}}}"
_ESCAPED_LETTER = re.compile(rb"\\u00[2-7]")
_MAY_BE_ESCAPED = re.compile(r'["\\/\x00-\x1f\x7f]')


class UnsureError(Exception):
    """The records have to be read another way."""


class Place(Struct, frozen=True):
    """Where a column is: the indices that lead to it through the objects. `raw` columns are kept as JSON text."""

    column: int
    indices: tuple[int, ...]
    raw: bool


class Reader(Struct, frozen=True):
    """How the records of a shape are read. `tops` are the top-level fields, `others` the names of all deeper ones;
    `raws` decodes the text of the raw columns, each by the attributes that lead to it."""

    schema: pa.Schema
    places: tuple[Place, ...]
    tops: tuple[str, ...]
    others: frozenset[str]
    raws: Any
    attributes: Mapping[int, tuple[str, ...]]
    has_numbers: bool


def make(shape: Shape) -> Reader | None:
    """None for a shape that can't be read this way."""
    root = tree(shape)
    if shape.walk or shape.extras or not root.members:
        return None
    places: list[Place] = []
    others: set[str] = set()
    try:
        fields = _fields(root.members, shape, (), places, others)
        raws, attributes = _raws(root, {place.column for place in places if place.raw})
    except _UnreadableError:
        return None
    return Reader(
        schema=pa.schema(fields),
        places=tuple(places),
        tops=tuple(root.members),
        others=frozenset(others),
        raws=raws,
        attributes=attributes,
        has_numbers=any(column.family is Family.NUMBER and not _is_raw(column) for column in shape.columns),
    )


def decode(reader: Reader, records: Sequence[Raw], *, presence: bool) -> Members:
    """Decode a batch. Raises UnsureError when a record is not as the shape has it or a value might be changed."""
    text = b"\n".join(records)
    # The reader takes no record that reaches over a whole block.
    block = max(_BLOCK_BYTES, max(map(len, records), default=0) + 1)
    with ThreadPoolExecutor(1, "read JSON") as beside:
        # Arrow needs no lock of Python's: what needs it is done meanwhile.
        reading = beside.submit(_table, reader, text, block)
        if reader.has_numbers:
            _refuse_long_numbers(text)
        raw_texts = _raw_texts(reader, text)
        table = reading.result()
    if table.num_rows != len(records) or table.schema != reader.schema:
        raise UnsureError
    batch = table.combine_chunks().to_batches()[0]
    columns: dict[int, Sequence[Any]] = {}
    levels: dict[tuple[int, ...], list[pa.Array]] = {(): batch.columns}
    for place in reader.places:
        if not place.raw:
            *at, index = place.indices
            values = _level(levels, tuple(at))[index]
            if pa.types.is_floating(values.type):
                _refuse_abnormal(values, text)
            columns[place.column] = values
    absent = _absent(reader, batch, records, text) if presence else {}
    raw = frozenset(reader.attributes)
    return Members(columns | raw_texts, raw, {}, absent)


def _table(reader: Reader, text: bytes, block: int) -> pa.Table:
    try:
        return pj.read_json(
            pa.BufferReader(text),
            read_options=pj.ReadOptions(use_threads=len(text) > block, block_size=block),
            parse_options=pj.ParseOptions(explicit_schema=reader.schema, unexpected_field_behavior="error"),
        )
    except pa.ArrowInvalid as error:
        raise UnsureError from error


def _level(levels: dict[tuple[int, ...], list[pa.Array]], at: tuple[int, ...]) -> list[pa.Array]:
    """The fields of the objects there; null where there is no object."""
    if at not in levels:
        levels[at] = _level(levels, at[:-1])[at[-1]].flatten()
    return levels[at]


class _UnreadableError(Exception):
    pass


def _is_raw(column: Column) -> bool:
    return column.family is Family.JSON or (column.family is Family.NUMBER and column.type != types.FLOAT64)


def _fields(
    members: Mapping[str, Node], shape: Shape, at: tuple[int, ...], places: list[Place], others: set[str]
) -> list[pa.Field]:
    fields = []
    for index, (name, member) in enumerate(members.items()):
        if at:
            others.add(name)
        if member.members is not None:
            if member.column is not None:
                raise _UnreadableError
            inner = _fields(member.members, shape, (*at, index), places, others)
            fields.append(pa.field(name, pa.struct(inner)))
            continue
        assert member.column is not None
        column = shape.columns[member.column]
        # Of JSON only lists of one kind of value: what else there might be has no end.
        found = column.items if column.family is Family.JSON else _ARROW[column.family]
        if found is None or column.loose:
            raise _UnreadableError
        fields.append(pa.field(name, found))
        places.append(Place(member.column, (*at, index), _is_raw(column)))
    return fields


def _raws(root: Node, wanted: set[int]) -> tuple[Any, dict[int, tuple[str, ...]]]:
    """A decoder for nothing but the wanted columns, and the attributes that lead to each."""
    attributes: dict[int, tuple[str, ...]] = {}

    def struct(node: Node, at: tuple[str, ...]) -> type[Struct] | None:
        fields: list[tuple[str, Any, Any]] = []
        rename: dict[str, str] = {}
        for number, (name, member) in enumerate((node.members or {}).items()):
            label = f"f{number}"
            inner = struct(member, (*at, label)) if member.members is not None else None
            if inner is not None:
                fields.append((label, inner | None, None))
            elif member.column in wanted:
                fields.append((label, Raw, ABSENT_TEXT))
                attributes[member.column] = (*at, label)
            else:
                continue
            rename[label] = name
        return msgspec.defstruct("Raws", fields, rename=rename, gc=False) if fields else None

    try:
        found = struct(root, ())
    except ValueError as error:  # msgspec takes no quote, backslash or control character in a name
        raise _UnreadableError from error
    return (None if found is None else msgspec.json.Decoder(found)), attributes


def _raw_texts(reader: Reader, text: bytes) -> dict[int, Sequence[Any]]:
    if reader.raws is None:
        return {}
    try:
        decoded: Sequence[Any] = reader.raws.decode_lines(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnsureError from error
    found: dict[int, Sequence[Any]] = {}
    for column, attributes in reader.attributes.items():
        values = decoded
        for label in attributes:
            values = list(map(getattr, values, repeat(label), repeat(ABSENT_TEXT)))
        found[column] = values
    return found


def _refuse_long_numbers(text: bytes) -> None:
    """Raise UnsureError when a number has more digits than every double keeps."""
    offsets = pa.array([0, len(text)], types.INT64).buffers()[1]
    whole = pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(text)])
    if pc.match_substring_regex(whole, _LONG_NUMBER)[0].as_py():
        raise UnsureError


def _refuse_abnormal(values: pa.Array, text: bytes) -> None:
    """Raise UnsureError when a text may have been beyond the range of doubles, or where they keep fewer digits."""
    if len(values) == values.null_count:
        return
    sizes = pc.abs(values)
    bounds = pc.min_max(sizes)
    if not bounds["max"].as_py() < float("inf"):
        raise UnsureError
    if bounds["min"].as_py() < _SMALLEST and (b"e-" in text or b"E-" in text):
        raise UnsureError


def _absent(reader: Reader, batch: pa.RecordBatch, records: Sequence[Raw], text: bytes) -> dict[str, list[bool]]:
    """Flags for the records that do not have a top-level field. For Arrow those have null, and so have those that say
    so: these hold `"name": null` as text, which within a string would have backslashes before its quotes."""
    absent: dict[str, list[bool]] = {}
    lines: pa.Array | None = None
    for name, values in zip(reader.tops, batch.columns, strict=True):
        if not values.null_count:
            continue
        if name in reader.others:
            raise UnsureError
        quoted = msgspec.json.encode(name)
        said = text.count(quoted + b":null")
        # Programs write it one way: where that says it all, the other one is not looked for.
        if said == values.null_count or said + text.count(quoted + b": null") == values.null_count:
            continue
        if not _is_spelled_one_way(name, text):
            raise UnsureError
        if lines is None:
            lines = _lines(records, text)
        says = pc.match_substring_regex(lines, rf'"{re.escape(name)}"\s*:\s*null')
        flags = pc.and_(values.is_null(), pc.invert(says))
        if pc.any(flags).as_py():
            absent[name] = flags.to_pylist()
    return absent


def _is_spelled_one_way(name: str, text: bytes) -> bool:
    """Whether the name can't be written with escapes in there."""
    if _MAY_BE_ESCAPED.search(name):
        return False
    if not name.isascii():
        return b"\\u" not in text
    return b"\\u00" not in text or _ESCAPED_LETTER.search(text) is None


def _lines(records: Sequence[Raw], text: bytes) -> pa.Array:
    """The records as they are in the text they were joined to, each with its line end."""
    lengths = pa.array(list(map(len, records)), types.INT64)
    ends = pc.cumulative_sum(pc.add(lengths, 1))
    offsets = pa.concat_arrays([pa.array([0], types.INT64), ends]).cast(pa.int32()).buffers()[1]
    return pa.Array.from_buffers(types.STRING, len(records), [None, offsets, pa.py_buffer(text + b"\n")])
