"""Column types, and how one becomes another without losing a value.

Every column in motion has one of the types below (see `contract.Schema`). A column only ever gets wider. `LATTICE`
is the whole list of changes there are; what it does not list is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from headwater.connect.contract import JSON_FIELD

BOOL = pa.bool_()
INT64 = pa.int64()
FLOAT64 = pa.float64()
STRING = pa.string()
BINARY = pa.binary()
DATE = pa.date32()
TIME = pa.time64("us")
TIMESTAMP = pa.timestamp("us", "UTC")
# Integers beyond 64 bits. 38 digits are what Arrow's 128 bits and most databases' NUMERIC hold.
BIG_INTEGER = pa.decimal128(38, 0)

# A column's type can be wider than its schema says, because a value asked for it. The field then names the type
# that was declared, so a destination can tell a source that keeps its word from one that changed it.
DECLARED = b"headwater.declared"

Stored = Literal["always", "when exact"]


class Widening(NamedTuple):
    """`old` becomes `to` when `new` arrives. `stored` says whether every value already stored survives it:
    `always`, or only `when exact`: then a destination casts the stored values with `cast` (never by SQL, which
    rounds) and takes text when one does not survive."""

    old: str
    new: str
    to: str
    stored: Stored


LATTICE: tuple[Widening, ...] = (
    Widening("bool", "string", "string", "always"),
    Widening("int64", "decimal", "decimal", "always"),
    Widening("int64", "float64", "float64", "when exact"),
    Widening("int64", "string", "string", "always"),
    Widening("decimal", "decimal", "decimal", "when exact"),
    Widening("decimal", "float64", "decimal", "always"),
    Widening("decimal", "string", "string", "always"),
    Widening("float64", "decimal", "decimal", "when exact"),
    Widening("float64", "string", "string", "always"),
    Widening("date32", "timestamp", "timestamp", "always"),
    Widening("date32", "string", "string", "always"),
    Widening("time64", "string", "string", "always"),
    Widening("timestamp", "string", "string", "always"),
)
_RULES: Mapping[tuple[str, str], Widening] = {(rule.old, rule.new): rule for rule in LATTICE}


def kind(data_type: pa.DataType) -> str:
    """The type's name in `LATTICE`: `decimal` for every precision and scale."""
    if pa.types.is_decimal(data_type):
        return "decimal"
    if pa.types.is_timestamp(data_type):
        return "timestamp"
    return {BOOL: "bool", INT64: "int64", FLOAT64: "float64", STRING: "string", DATE: "date32", TIME: "time64"}.get(
        data_type, str(data_type)
    )


def widening(old: pa.DataType, new: pa.DataType) -> Widening | None:
    """The rule for a column of type `old` that is now declared `new`; None when the change is unsupported."""
    return _RULES.get((kind(old), kind(new)))


def widen(old: pa.DataType, new: pa.DataType) -> pa.DataType | None:
    """The type that holds both, `old` itself when nothing has to change, None when the change is unsupported.

    See `Widening.stored` for what a destination must check before it changes a column that has rows.
    """
    if old == new or (old == BIG_INTEGER and new == INT64):
        return old
    rule = widening(old, new)
    if rule is None:
        return None
    match rule.to:
        case "string":
            return STRING
        case "float64":
            return FLOAT64
        case "timestamp":
            return TIMESTAMP
    if kind(new) == "float64":
        return old
    if kind(old) == "float64":
        return new
    return _decimal_of_both(pa.decimal128(19, 0) if kind(old) == "int64" else old, new)


def _decimal_of_both(old: pa.DataType, new: pa.DataType) -> pa.DataType:
    scale = max(old.scale, new.scale)
    digits = max(old.precision - old.scale, new.precision - new.scale)
    return pa.decimal128(min(38, digits + scale), scale)


def is_sure(old: pa.DataType, to: pa.DataType) -> bool:
    """Whether every value of type `old` survives becoming `to`, by the types alone."""
    if old == to or kind(to) == "string":
        return True
    if kind(to) == "decimal":
        if kind(old) == "int64":
            return bool(to.precision - to.scale >= 19)
        return kind(old) == "decimal" and to.scale >= old.scale and to.precision - to.scale >= old.precision - old.scale
    return kind(old) == "date32" and kind(to) == "timestamp"


def is_json(column: pa.Field) -> bool:
    """Whether the column's text is JSON."""
    return bool(column.metadata) and column.metadata.get(b"headwater.type") == JSON_FIELD[b"headwater.type"]


def declared(column: pa.Field) -> str:
    """The type the source's schema gave, as text; the column's own unless a value widened it."""
    stated = column.metadata.get(DECLARED) if column.metadata else None
    return stated.decode() if stated else str(column.type)


def cast(array: pa.Array, to: pa.DataType) -> pa.Array:
    """The same values in another type, exactly. Raises pa.ArrowInvalid when one of them does not survive.

    Text forms: `5`, `1.5` (the shortest that reads back as the same double), `true`, `2024-01-31`,
    `2024-01-31T10:00:00.000000Z`.
    """
    if array.type == to:
        return array
    if kind(array.type) == "timestamp" and kind(to) == "string":
        # Arrow (26) takes 50 times as long for the text of an instant with a zone, even when the zone is UTC.
        plain = array.cast(TIMESTAMP).cast(pa.timestamp("us")).cast(STRING)
        return pc.binary_join_element_wise(pc.replace_substring(plain, " ", "T", max_replacements=1), "Z", "")
    if kind(to) == "decimal" and not (kind(array.type) == "decimal" and is_sure(array.type, to)):
        # Through text: Arrow (26) rounds a float to the scale, wants room for 19 digits of any integer, and does not
        # notice a decimal that overflows.
        return decimals(array.cast(STRING), to)
    if kind(array.type) == "decimal" and kind(to) == "float64":
        return _exact_floats(array)
    if kind(array.type) == "decimal" and kind(to) == "string":
        # Arrow writes 1E-9. This loop runs when a column changes its type, not on the ordinary path.
        return pa.array([None if value is None else f"{value:f}" for value in array.to_pylist()], STRING)
    return array.cast(to)


def decimals(strings: pa.Array, to: pa.DataType) -> pa.Array:
    """Number texts as decimals, exactly. Raises pa.ArrowInvalid when one of them does not fit.

    Arrow (26) does not notice when a text overflows its 128 bits: `35` as decimal128(38, 37) becomes 0.97…, `4E38` some
    other number. So a text that could do that is compared with what became of it.
    """
    array = strings.cast(to)
    length, point = pc.binary_length(strings), pc.find_substring(strings, ".")
    whole = pc.if_else(pc.less(point, 0), length, point)
    doubtful = pc.or_(pc.greater(whole, to.precision - to.scale), pc.greater(length, 38))
    doubtful = pc.or_(doubtful, pc.match_substring(strings, "e", ignore_case=True))
    if pc.any(doubtful).as_py():
        pairs = zip(strings.filter(doubtful).to_pylist(), array.filter(doubtful).to_pylist(), strict=True)
        if not all(text is None or Decimal(text) == value for text, value in pairs):
            raise pa.ArrowInvalid(f"a number does not fit {to}")
    return array


def _exact_floats(array: pa.Array) -> pa.Array:
    floats = array.cast(FLOAT64)
    if not pc.all(pc.equal(cast(floats, array.type), array)).as_py() and array.null_count < len(array):
        raise pa.ArrowInvalid("a decimal is not exact as a double")
    return floats
