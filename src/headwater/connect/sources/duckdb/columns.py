"""How each type of DuckDB is asked for, and the column that it becomes."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from headwater.connect import types
from headwater.connect.contract import JSON_FIELD
from headwater.connect.names import quote
from headwater.connect.sources.queries import Column

_INTEGERS = frozenset(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"))
_LARGE = {"UBIGINT": pa.decimal128(20, 0), "HUGEINT": types.BIG_INTEGER, "UHUGEINT": types.BIG_INTEGER}
_MOMENTS = frozenset(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE"))
_PLAIN = {
    "BOOLEAN": types.BOOL,
    "FLOAT": types.FLOAT64,
    "DOUBLE": types.FLOAT64,
    "VARCHAR": types.STRING,
    "BLOB": types.BINARY,
    "DATE": types.DATE,
    "TIME": types.TIME,
    "TIME_NS": types.TIME,
} | dict.fromkeys(_MOMENTS, types.TIMESTAMP)
_UNORDERED = frozenset(("BOOLEAN", "BLOB", "TIME", "TIME_NS"))
_DECIMAL = re.compile(r"DECIMAL\(([0-9]+),([0-9]+)\)")
_NESTED = re.compile(r"(JSON|VARIANT)$|(STRUCT|MAP|UNION)\(|.*\]$", re.DOTALL)
_TOO_LARGE = Decimal(10) ** 38
# What JSON has no word for.
_NO_NUMBER = "NaN|Infinity|nan|inf"


def column(name: str, kind: str, *, not_null: bool) -> Column:
    """`kind` is the type as DuckDB writes it."""
    return Column(
        name=name,
        type=kind,
        field=_field(name, kind),
        is_ordered=kind == "UUID" or (_is_asked_as_it_is(kind) and kind not in _UNORDERED),
        not_null=not_null,
    )


def asked(one: Column) -> str:
    """The column as SQL, of a type that `converted` takes."""
    name, source = quote(one.name), f"t.{quote(one.name)}"
    if types.is_json(one.field) and one.type != "JSON":
        return f"to_json({source})::varchar as {name}"
    if one.type == "TIME_NS":
        return f"{source}::time as {name}"
    is_plain = _is_asked_as_it_is(one.type) and one.type != "UHUGEINT"
    return f"{source}{'' if is_plain else '::varchar'} as {name}"


def converted(columns: tuple[Column, ...], batch: pa.RecordBatch) -> pa.RecordBatch:
    """What DuckDB sends for them, in types that say what the values are."""
    arrays = [_array(one, values) for one, values in zip(columns, batch.columns, strict=True)]
    fields = [
        pa.field(one.name, values.type, metadata=one.field.metadata)
        for one, values in zip(columns, arrays, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _field(name: str, kind: str) -> pa.Field:
    if _NESTED.match(kind):
        return pa.field(name, types.STRING, metadata=JSON_FIELD)
    if found := _DECIMAL.fullmatch(kind):
        return pa.field(name, pa.decimal128(int(found[1]), int(found[2])))
    return pa.field(name, types.INT64 if kind in _INTEGERS else _LARGE.get(kind) or _PLAIN.get(kind, types.STRING))


def _is_asked_as_it_is(kind: str) -> bool:
    return kind in _INTEGERS or kind in _LARGE or kind in _PLAIN or _DECIMAL.fullmatch(kind) is not None


def _array(one: Column, values: pa.Array) -> pa.Array:
    if types.is_json(one.field):
        return _without_nan(values)
    if one.type == "UHUGEINT":
        try:
            return types.decimals(values, types.BIG_INTEGER)
        except pa.ArrowInvalid:
            return values
    if one.type == "HUGEINT":
        bounds = pc.min_max(values).as_py()
        if bounds["max"] is not None and max(abs(bounds["min"]), abs(bounds["max"])) >= _TOO_LARGE:
            return pa.array([None if value is None else f"{value:f}" for value in values.to_pylist()], types.STRING)
    return values


def _without_nan(texts: pa.Array) -> pa.Array:
    """DuckDB writes NaN and infinity into JSON, which has neither: they are null, as everywhere."""
    odd = pc.match_substring_regex(texts, _NO_NUMBER)
    if not pc.any(odd).as_py():
        return texts
    return pc.replace_with_mask(texts, pc.fill_null(odd, False), pa.array(map(_valid, texts.filter(odd).to_pylist())))


def _valid(text: str) -> str:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        read = json.loads(text, parse_float=Decimal, parse_constant=lambda _word: None)
        return msgspec.json.Encoder(decimal_format="number").encode(read).decode()
    return text
