"""Columns by what SQLite's tables declare and what they hold: SQLite itself takes any value in any column.

A column's type is the declared one. A value of another kind is never dropped: the column becomes one that holds both,
as a rule text. Bytes that are no text are then written as SQL writes them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headwater.connect import types
from headwater.connect.contract import JSON_FIELD
from headwater.connect.names import quote
from headwater.connect.sources.queries import Column
from headwater.connect.sources.text_types import converted

Values = Sequence[Any]
_DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC|DEC|NUMBER)\s*\(\s*([0-9]+)\s*(?:,\s*([0-9]+)\s*)?\)")
# In this order: SQLite looks for these letters anywhere in the declaration, too.
_DECLARED = (
    ("BOOL", types.BOOL),
    ("INTERVAL", types.STRING),
    ("INT", types.INT64),
    ("DATETIME", types.TIMESTAMP),
    ("TIMESTAMP", types.TIMESTAMP),
    ("DATE", types.DATE),
    ("TIME", types.TIME),
    ("CHAR", types.STRING),
    ("CLOB", types.STRING),
    ("TEXT", types.STRING),
    ("STRING", types.STRING),
    ("UUID", types.STRING),
    ("JSON", types.STRING),
    ("BLOB", types.BINARY),
    ("BINARY", types.BINARY),
    ("REAL", types.FLOAT64),
    ("FLOA", types.FLOAT64),
    ("DOUB", types.FLOAT64),
    ("DEC", types.FLOAT64),
    ("NUM", types.FLOAT64),
)
_UNORDERED = (types.BOOL, types.BINARY, types.TIME)
_MISFITS = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeError)


def column(name: str, declared: str, found: frozenset[str], *, not_null: bool) -> Column:
    """`found` are the kinds of values in its first rows, which count where the declaration says nothing."""
    kind = _declared(declared.upper()) or _of_values(found)
    is_json = "JSON" in declared.upper()
    return Column(
        name=name,
        type=declared,
        field=pa.field(name, kind, metadata=JSON_FIELD if is_json else None),
        is_ordered=kind not in _UNORDERED and not is_json,
        not_null=not_null,
    )


def is_declared(declared: str) -> bool:
    """Whether the declaration says what the values are."""
    return _declared(declared.upper()) is not None


def _declared(text: str) -> pa.DataType | None:
    if (found := _DECIMAL.match(text)) and int(found[2] or 0) <= int(found[1]) <= 38 and int(found[1]):
        return pa.decimal128(int(found[1]), int(found[2] or 0))
    return next((kind for word, kind in _DECLARED if word in text), None)


def _of_values(found: frozenset[str]) -> pa.DataType:
    kinds = found - {"null"}
    if kinds == {"integer"}:
        return types.INT64
    if kinds and kinds <= {"integer", "real"}:
        return types.FLOAT64
    return types.BINARY if kinds == {"blob"} else types.STRING


def asked(one: Column) -> str:
    """The column as SQL."""
    name = f"t.{quote(one.name)}"
    if not types.is_json(one.field):
        return name
    if "JSONB" in one.type.upper():
        return f"json({name})"
    # A text that is no JSON becomes a JSON text.
    kept = f"cast(case when json_valid({name}) then {name} else json_quote({name}) end as text)"
    return f"case typeof({name}) when 'null' then null when 'blob' then json_quote(hex({name})) else {kept} end"


def size(columns: Sequence[Column]) -> str:
    """How much a row's texts and bytes are, as SQL."""
    long = [one for one in columns if one.field.type in (types.STRING, types.BINARY)]
    return " + ".join(f"coalesce(length(t.{quote(one.name)}), 0)" for one in long) or "0"


def array(one: Column, values: Values) -> tuple[pa.Array, int]:
    """The values in the column's type, or in one that says what they are instead; and how many were changed to fit."""
    try:
        return _array(one.field.type, values), 0
    except _MISFITS:
        return _misfits(one.field.type, values)


def _array(kind: pa.DataType, values: Values) -> pa.Array:
    if kind in (types.INT64, types.BOOL):
        # Asked for integers, Arrow cuts what a number has behind its point.
        numbers = pa.array(values)
        if numbers.type not in (types.INT64, pa.null()):
            raise pa.ArrowInvalid("no integers")
        if kind == types.INT64:
            return numbers.cast(kind)
        if pc.any(pc.invert(pc.is_in(numbers, pa.array([0, 1, None])))).as_py():
            raise pa.ArrowInvalid("neither 0 nor 1")
        return numbers.cast(kind)
    if pa.types.is_decimal(kind):
        return pa.array(values, types.FLOAT64)  # which becomes one by its digits
    if kind == types.DATE:
        texts = pa.array(values, types.STRING)
        try:
            return converted(texts, kind)
        except pa.ArrowInvalid:
            return converted(texts, types.TIMESTAMP)
    if kind == types.TIMESTAMP:
        return converted(pa.array(values, types.STRING), kind)
    if kind == types.TIME:
        # Arrow (26) reads no times, but moments of a day.
        moments = pc.binary_join_element_wise("1970-01-01T", pa.array(values, types.STRING), "")
        return moments.cast(pa.timestamp("us")).cast(kind)
    return pa.array(values, kind)


def _misfits(kind: pa.DataType, values: Values) -> tuple[pa.Array, int]:
    """One by one: values that are not as declared are rare, or the column is text from here on."""
    if kind == types.BINARY:
        odd = sum(not isinstance(value, bytes | None) for value in values)
        return pa.array([None if value is None else _bytes(value) for value in values], kind), odd
    if kind == types.INT64 and all(isinstance(value, int | float | None) for value in values):
        try:
            return pa.array(values, types.FLOAT64), 0
        except _MISFITS:
            pass
    words = {0: "false", 1: "true"} if kind == types.BOOL else {}
    found = [None if value is None else _text(value, words) for value in values]
    return pa.array([pair and pair[0] for pair in found], types.STRING), sum(
        pair is not None and pair[1] for pair in found
    )


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


def _text(value: Any, words: dict[int, str]) -> tuple[str, bool]:
    """The value as text, and whether it is another one now."""
    if isinstance(value, bytes):
        try:
            return value.decode(), False
        except UnicodeDecodeError:
            return f"X'{value.hex().upper()}'", True
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), True
        return value, False
    return (words.get(value, str(value)) if isinstance(value, int) else repr(value)), False
