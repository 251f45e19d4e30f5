"""Arrow columns as the text of JSON lines, by a few calls of Arrow for each column and none for any row."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from headwater.connect import types

_NULL = "null"
# Arrow writes decimals with more places as 1E-9 when they are small.
_PLAIN = 6
_NOT_ESCAPED = bytes(sorted(set(range(256)) - set(range(0x20)) - set(b'"\\')))
_SHORT = {0x22: '\\"', 0x5C: "\\\\", 0x08: "\\b", 0x09: "\\t", 0x0A: "\\n", 0x0C: "\\f", 0x0D: "\\r"}


def lines(columns: Sequence[tuple[pa.Field, pa.Array]], encode: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """A JSON object for each row, with its line end. NaN and infinity are null; `encode` makes base64 of bytes."""
    pieces: list[pa.Array | pa.Scalar] = []
    between = "{"
    for field, values in columns:
        text, is_quoted = _text(field, values, encode)
        label = f"{between}{json.dumps(field.name, ensure_ascii=False)}:"
        if is_quoted and not text.null_count:
            pieces += [_scalar(f'{label}"'), text]
            between = '",'
            continue
        if is_quoted:
            text = pc.binary_join_element_wise('"', text, '"', "")  # null stays null
        pieces += [_scalar(label), text]
        between = ","
    pieces.append(_scalar('"}\n' if between == '",' else "}\n"))
    return pc.binary_join_element_wise(*pieces, "", null_handling="replace", null_replacement=_NULL)


def lost(columns: Sequence[tuple[pa.Field, pa.Array]]) -> int:
    """How many values have no form in JSON."""
    floats = [values for _, values in columns if pa.types.is_floating(values.type)]
    return sum(len(values) - values.null_count - (pc.sum(pc.is_finite(values)).as_py() or 0) for values in floats)


def _scalar(text: str) -> pa.Scalar:
    return pa.scalar(text, types.STRING)


def _text(field: pa.Field, values: pa.Array, encode: Callable[[pa.Array], pa.Array]) -> tuple[pa.Array, bool]:
    """The values as text, and whether it stands between quotes."""
    if types.is_json(field):
        return _on_one_line(values), False
    match types.kind(field.type):
        case "bool" | "int64":
            return values.cast(types.STRING), False
        case "float64":
            return _floats(values), False
        case "decimal":
            return types.cast(values, types.STRING) if field.type.scale > _PLAIN else values.cast(types.STRING), False
        case "timestamp":
            return types.cast(values, types.STRING), True
        case "date32":
            return values.cast(types.STRING), True
        case "time64":
            return _without_zeros(values.cast(types.STRING)), True
        case "binary":
            return encode(values), True
    return escaped(values), True


def escaped(texts: pa.Array) -> pa.Array:
    """The texts as they stand in JSON between quotes."""
    for sign in sorted(set(_content(texts).translate(None, _NOT_ESCAPED)), key=lambda sign: sign != ord("\\")):
        texts = pc.replace_substring(texts, chr(sign), _SHORT.get(sign, f"\\u{sign:04x}"))
    return texts


def _on_one_line(texts: pa.Array) -> pa.Array:
    """A line break can only stand between tokens of JSON: inside a string it is escaped."""
    content = _content(texts)
    for sign in ("\n", "\r"):
        if sign.encode() in content:
            texts = pc.replace_substring(texts, sign, " ")
    return texts


def _content(texts: pa.Array) -> bytes:
    """All texts one after another."""
    if not len(texts):
        return b""
    _, offsets, data = texts.buffers()
    bounds = memoryview(offsets).cast("i")[texts.offset : texts.offset + len(texts) + 1]
    return b"" if data is None else memoryview(data)[bounds[0] : bounds[-1]].tobytes()


def _floats(values: pa.Array) -> pa.Array:
    """As the shortest number that reads back as the same double, always with a sign of being none of the integers."""
    texts = pc.if_else(pc.is_finite(values), values, pa.scalar(None, types.FLOAT64)).cast(types.STRING)
    whole = pc.invert(pc.match_substring_regex(texts, "[.e]"))
    if pc.any(whole).as_py():
        texts = pc.if_else(whole, pc.binary_join_element_wise(texts, ".0", ""), texts)
    return texts


def _without_zeros(times: pa.Array) -> pa.Array:
    """`10:00:00.500000` → `10:00:00.5`, `10:00:00.000000` → `10:00:00`."""
    return pc.utf8_rtrim(pc.replace_substring_regex(times, r"(\.\d*?)0+$", r"\1"), ".")
