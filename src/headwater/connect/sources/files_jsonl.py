"""JSON lines: one object a line, read in blocks; no number passes through a float on the way.

Nested objects flatten to `a__b`, down to five levels; arrays and deeper objects stay JSON text. A value that is
an object in one row and something else in another has both the flattened columns and its own. ISO dates and
timestamps in strings become such columns when all values are; other strings stay text, whatever they look like.
"""

from __future__ import annotations

import codecs
import itertools
import operator
from collections.abc import Callable, Iterator

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from headwater.base.errors import RunFailedError, Where
from headwater.connect.sources import text_types
from headwater.connect.sources.files_csv import decoder
from headwater.connect.sources.files_find import DataFile
from headwater.connect.sources.files_format import Piece
from headwater.connect.sources.files_open import changed_while_read, opened
from headwater.connect.sources.text_types import NOTHING, TEXT, Kind, Look
from headwater.connect.types import is_json

_DEPTH = 5
_BLOCK = 8 << 20
_LONGEST_LINE = 128 << 20
_RECORDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_STRINGS = msgspec.json.Decoder(list[str])
_ABSENT = msgspec.Raw(b"")

# A column's values as they stand in the file, JSON text each; null where a row does not have the field at all.
_Fields = dict[str, pa.Array]


def looks(file: DataFile, takes: Callable[[str], bool], most: int | None = None) -> dict[str, Look]:
    """As in `files_format.Format`."""
    seen: dict[str, Look] = {}
    looked_at = 0
    for fields, _rows, size in _blocks(file, min(_BLOCK, most or _BLOCK)):
        for name, values in fields.items():
            if takes(name):
                seen[name] = text_types.joined(seen.get(name, NOTHING), _looked_at(values))
        looked_at += size
        if most is not None and looked_at >= most:
            break
    return seen


def batches(file: DataFile, columns: pa.Schema, batch_bytes: int) -> Iterator[Piece]:
    """As in `files_format.Format`; fields that a row does not have are told from nulls."""
    for fields, rows, size in _blocks(file, batch_bytes):
        nothing = pa.nulls(rows, pa.string())
        values = [fields.get(field.name, nothing) for field in columns]
        arrays = [_converted(file, field, texts) for field, texts in zip(columns, values, strict=True)]
        yield Piece(
            batch=pa.RecordBatch.from_arrays(arrays, schema=columns),
            size=size,
            missing=_missing(columns.names, values, rows),
        )


def _blocks(file: DataFile, block: int) -> Iterator[tuple[_Fields, int, int]]:
    """Fields, number of rows and size of each block of whole lines."""
    line = 1
    for data in _lines(file, block):
        records = _records(file, data, line)
        line += data.count(b"\n")
        fields: _Fields = {}
        _spread(file, records, "", None, fields, _DEPTH)
        yield fields, len(records), len(data)


def _lines(file: DataFile, block: int) -> Iterator[bytes]:
    """UTF-8 text in pieces that end with a line."""
    decode = None if file.dialect.encoding.lower() in {"utf-8", "utf8"} else decoder(file.dialect.encoding)
    with opened(file) as unpacked:
        rest, first = b"", True
        while data := unpacked.read(block):
            try:
                text = data if decode is None else decode.decode(data).encode()
            except UnicodeDecodeError as error:
                raise _malformed(file, str(error), 0) from error
            rest += text
            rest, first = rest.removeprefix(codecs.BOM_UTF8) if first else rest, False
            end = rest.rfind(b"\n") + 1
            if end:
                yield rest[:end]
                rest = rest[end:]
            elif len(rest) > _LONGEST_LINE:
                raise _malformed(file, f"a line is longer than {_LONGEST_LINE >> 20} MiB", 0)
        if rest.strip():
            yield rest


def _records(file: DataFile, data: bytes, line: int) -> list[dict[str, msgspec.Raw]]:
    try:
        records = _RECORDS.decode_lines(data)
        # One object a line: neither two in one, nor one over several.
        if len(records) == sum(map(bool, map(bytes.strip, data.split(b"\n")))):
            return records
    except (msgspec.MsgspecError, RecursionError):
        pass
    raise _first_fault(file, data, line)


def _first_fault(file: DataFile, data: bytes, line: int) -> RunFailedError:
    for number, text in enumerate(data.split(b"\n"), start=line):
        if not text.strip():
            continue
        try:
            _RECORDS.decode(text)
        except (msgspec.MsgspecError, RecursionError) as error:
            return _malformed(file, f"{error}: {text[:80].decode(errors='replace')}", number)
    return _malformed(file, "one object spans several lines", line)


def _spread(
    file: DataFile,
    records: list[dict[str, msgspec.Raw]],
    prefix: str,
    places: pa.Array | None,
    fields: _Fields,
    depth: int,
) -> None:
    """Adds a column for each field of the records; `places` says which record each row has, None: its own."""
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
        inner = _RECORDS.decode_lines(b"\n".join(texts.filter(nested).cast(pa.binary()).to_pylist()))
        position = pc.subtract(pc.cumulative_sum(nested.cast(pa.int64())), 1)
        inner_places = pc.if_else(nested, position, pa.scalar(None, pa.int64()))
        _spread(file, inner, f"{prefix}{name}__", inner_places, fields, depth - 1)


def _is_nested_object(texts: pa.Array) -> pa.Array | None:
    """Which values are objects with anything in them; None when none is."""
    objects = pc.and_(
        pc.fill_null(pc.starts_with(texts, "{"), fill_value=False),
        pc.invert(pc.fill_null(pc.match_substring_regex(texts, r"^\{\s*\}$"), fill_value=False)),
    )
    return objects if pc.any(objects).as_py() else None


def _add(file: DataFile, fields: _Fields, name: str, texts: pa.Array) -> None:
    if name in fields:
        both = pc.and_(fields[name].is_valid(), texts.is_valid())
        if pc.any(both).as_py():
            raise _malformed(file, f"a row has two values for `{name}`: a field of that name and a nested one", 0)
        texts = pc.coalesce(fields[name], texts)
    fields[name] = texts


def _utf8(file: DataFile, values: pa.Array) -> pa.Array:
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid as error:
        raise _malformed(file, f"it is not {file.dialect.encoding}: {error}", 0) from error


def _given(values: pa.Array) -> pa.Array:
    """The values with JSON's null as null."""
    return pc.if_else(pc.equal(values, "null"), pa.scalar(None, pa.string()), values)


def _looked_at(values: pa.Array) -> Look:
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


def _converted(file: DataFile, field: pa.Field, values: pa.Array) -> pa.Array:
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


def _missing(names: list[str], values: list[pa.Array], rows: int) -> pa.Array | None:
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


def _malformed(file: DataFile, why: str, line: int) -> RunFailedError:
    return RunFailedError(
        "malformed-row",
        f"`{file.label}` has a line that cannot be read",
        where=Where(str(file.path), line),
        why=why,
        hint="mend the file; JSON lines hold one object each",
    )
