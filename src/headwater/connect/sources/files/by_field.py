"""Columns of JSON values, as formats have them whose records need not all be alike.

Nested objects flatten to `a__b`, down to five levels; arrays and deeper objects stay JSON text. A value that is
an object in one row and something else in another has both the flattened columns and its own. ISO dates and
timestamps in strings become such columns when all values are; other strings stay text, whatever they look like.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from headwater.connect.sources import text_types
from headwater.connect.sources.files.find import DataFile
from headwater.connect.sources.files.format import Bad, Piece
from headwater.connect.sources.files.lines import malformed, wrong_byte
from headwater.connect.sources.files.open import changed_while_read
from headwater.connect.sources.text_types import NOTHING, TEXT, Kind, Look
from headwater.connect.types import is_json

DEPTH = 5
RECORDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
RECORD_LIST = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_STRINGS = msgspec.json.Decoder(list[str])
_ABSENT = msgspec.Raw(b"")

# A column's values as they stand in the file, JSON text each; null where a row does not have the field at all.
Fields = dict[str, pa.Array]


class Block(msgspec.Struct, frozen=True):
    """Some records in a row, what could not be read among them, and their size in bytes."""

    fields: Fields
    rows: int
    size: int
    bad: tuple[Bad, ...] = ()


def looks(blocks: Iterator[Block], takes: Callable[[str], bool], most: int | None) -> dict[str, Look]:
    """As in `format.Format`."""
    seen: dict[str, Look] = {}
    looked_at_bytes = 0
    for block in blocks:
        for name, values in block.fields.items():
            if takes(name):
                seen[name] = text_types.joined(seen.get(name, NOTHING), looked_at(values))
        looked_at_bytes += block.size
        if most is not None and looked_at_bytes >= most:
            break
    return seen


def pieces(file: DataFile, blocks: Iterator[Block], columns: pa.Schema) -> Iterator[Piece]:
    """As `batches` in `format.Format`; fields that a row does not have are told from nulls."""
    for block in blocks:
        nothing = pa.nulls(block.rows, pa.string())
        values = [block.fields.get(field.name, nothing) for field in columns]
        arrays = [converted(file, field, texts) for field, texts in zip(columns, values, strict=True)]
        yield Piece(
            batch=pa.RecordBatch.from_arrays(arrays, schema=columns),
            size=block.size,
            missing=missing(columns.names, values, block.rows),
            bad=block.bad,
        )


def spread(
    file: DataFile,
    records: list[dict[str, msgspec.Raw]],
    prefix: str,
    places: pa.Array | None,
    fields: Fields,
    depth: int = DEPTH,
) -> None:
    """Adds a column for each field of the records; `places` says which record each row has, None: its own. Raises
    RunFailedError (`malformed-row`)."""
    for name in dict.fromkeys(itertools.chain.from_iterable(records)):
        raw = map(operator.methodcaller("get", name, _ABSENT), records)
        texts = _utf8(file, pa.array(list(map(bytes, raw)), pa.binary()))
        texts = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
        texts = texts if places is None else texts.take(places)
        nested = _is_nested_object(texts) if depth else None
        if nested is None:
            _add(file, fields, prefix + name, texts)
            continue
        plain = pc.if_else(nested, pa.scalar(None, pa.string()), texts)
        if plain.null_count < len(plain):
            _add(file, fields, prefix + name, plain)
        inner = RECORD_LIST.decode(b"[" + b",".join(texts.filter(nested).cast(pa.binary()).to_pylist()) + b"]")
        position = pc.subtract(pc.cumulative_sum(nested.cast(pa.int64())), 1)
        inner_places = pc.if_else(nested, position, pa.scalar(None, pa.int64()))
        spread(file, inner, f"{prefix}{name}__", inner_places, fields, depth - 1)


def _is_nested_object(texts: pa.Array) -> pa.Array | None:
    """Which values are objects with anything in them; None when none is."""
    objects = pc.and_(
        pc.fill_null(pc.starts_with(texts, "{"), fill_value=False),
        pc.invert(pc.fill_null(pc.match_substring_regex(texts, r"^\{\s*\}$"), fill_value=False)),
    )
    return objects if pc.any(objects).as_py() else None


def _add(file: DataFile, fields: Fields, name: str, texts: pa.Array) -> None:
    if name in fields:
        both = pc.and_(fields[name].is_valid(), texts.is_valid())
        if pc.any(both).as_py():
            raise malformed(file, f"a row has two values for `{name}`: a field of that name and a nested one", 0)
        texts = pc.coalesce(fields[name], texts)
    fields[name] = texts


def _utf8(file: DataFile, values: pa.Array) -> pa.Array:
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid as error:
        raise wrong_byte(file, str(error)) from error


def _given(values: pa.Array) -> pa.Array:
    """The values with JSON's null as null."""
    return pc.if_else(pc.equal(values, "null"), pa.scalar(None, pa.string()), values)


def looked_at(values: pa.Array) -> Look:
    values = _given(values).drop_null()
    if not len(values):
        return NOTHING
    strings = pc.starts_with(values, '"')
    nested = pc.or_(pc.starts_with(values, "{"), pc.starts_with(values, "["))
    if pc.all(nested).as_py():
        return Look(Kind.JSON)
    if pc.all(strings).as_py():
        return text_types.looked_at_moments(_unquoted(values))
    if pc.any(pc.or_(strings, nested)).as_py():
        return TEXT
    return text_types.looked_at(values)


def converted(file: DataFile, field: pa.Field, values: pa.Array) -> pa.Array:
    values = _given(values)
    try:
        if is_json(field):
            return values
        if pa.types.is_string(field.type) or pa.types.is_temporal(field.type):
            return text_types.converted(_unquoted(values), field.type)
        return text_types.converted(values, field.type)
    except pa.ArrowInvalid as error:
        raise changed_while_read(file, str(error)) from error


def _unquoted(values: pa.Array) -> pa.Array:
    """JSON strings as the text they stand for; anything else as it is written."""
    strings = pc.fill_null(pc.starts_with(values, '"'), fill_value=False)
    escaped = pc.and_(strings, pc.fill_null(pc.match_substring(values, "\\"), fill_value=False))
    texts = pc.if_else(strings, pc.utf8_slice_codeunits(values, 1, -1), values)
    if not pc.any(escaped).as_py():
        return texts
    joined = b",".join(values.filter(escaped).cast(pa.binary()).to_pylist())
    return pc.replace_with_mask(texts, escaped, pa.array(_STRINGS.decode(b"[" + joined + b"]"), pa.string()))


def missing(names: list[str], values: list[pa.Array], rows: int) -> pa.Array | None:
    """For each row the list of columns it does not have; None when every row has all."""
    lacking = [(name, texts.is_null()) for name, texts in zip(names, values, strict=True) if texts.null_count]
    if not lacking:
        return None
    positions = pa.array(range(rows), pa.int64())
    row = pa.concat_arrays([positions.filter(mask) for _, mask in lacking])
    column = pa.concat_arrays([pa.array([name]).take(pa.repeat(0, _count(mask))) for name, mask in lacking])
    order = pc.sort_indices(pa.table({"row": row}), sort_keys=[("row", "ascending")])
    counts = pa.repeat(pa.scalar(0, pa.int64()), rows)
    for _, mask in lacking:
        counts = pc.add(counts, mask.cast(pa.int64()))
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(counts)]).cast(pa.int32())
    return pa.ListArray.from_arrays(offsets, column.take(order), mask=pc.equal(counts, 0))


def _count(mask: pa.Array) -> int:
    return int(pc.sum(mask).as_py())
