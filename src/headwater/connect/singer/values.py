"""The values of one column: from JSON to an Arrow array, exactly.

A column keeps its type while every value survives it. The first value that does not makes the column wider, never
the value poorer. What belongs to another family altogether (`"abc"` among numbers) makes its record bad.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from headwater.connect import types
from headwater.connect.singer import numeric, repair, temporal
from headwater.connect.singer.schema import Family

# How each family is decoded where records are ordinary. Numbers are not in it: they stay text until Arrow reads
# them, because a double in between could change them. JSON stays as it came.
DECODED: dict[Family, type] = {
    Family.INTEGER: int,
    Family.BOOLEAN: bool,
    Family.TEXT: str,
    Family.NULL: str,
    Family.DECIMAL: str,
    Family.TIMESTAMP: str,
    Family.DATE: str,
    Family.TIME: str,
}
_LISTS = {family: msgspec.json.Decoder(list[python | None]) for family, python in DECODED.items()}  # type: ignore[valid-type]  # a type made at run time
_NUMERIC = frozenset({Family.INTEGER, Family.NUMBER, Family.DECIMAL})
_IS_NUMBER = re.compile(numeric.NUMBER, re.ASCII)
MAX_DEPTH = 100


class Fitted(NamedTuple):
    """`array.type` may be wider than was asked for. `repaired` counts values that were changed to fit; `bad` says
    by row why a value cannot be loaded at all. `loose` tells that values did not come as their family does."""

    array: pa.Array
    repaired: int = 0
    bad: dict[int, str] | None = None
    loose: bool = False


def from_values(family: Family, wanted: pa.DataType, values: Sequence[object], *, exact: bool) -> Fitted:
    """From decoded values; NaN objects and None are null. `exact` forbids repairs: for keys and cursors."""
    if family is Family.INTEGER:
        return _integers(wanted, values)
    python = types.BOOL if family is Family.BOOLEAN else types.STRING
    return from_array(family, wanted, pa.array(values, python, from_pandas=True), exact=exact)


def from_array(family: Family, wanted: pa.DataType, array: pa.Array, *, exact: bool) -> Fitted:
    """From integers, doubles, booleans, or else texts. Raises pa.ArrowInvalid for integers that `wanted` can't hold."""
    if not pa.types.is_string(array.type):
        return Fitted(types.cast(array, wanted))
    if family is not Family.DECIMAL:
        return _fit(family, wanted, array, exact=exact)
    found = numeric.exactly(array, wanted)
    if found is None:
        return _from_plain(family, wanted, [_encoded(value) for value in array.to_pylist()], exact=exact)
    return Fitted(found)


def from_tokens(
    family: Family, wanted: pa.DataType, tokens: Sequence[bytes], *, exact: bool, loose: bool, marked: bool
) -> Fitted:
    """From JSON texts; `` and `null` are null. `loose`: look at each value; `marked`: so do, for repairs."""
    if loose or marked:
        return _from_plain(family, wanted, tokens, exact=exact)
    if family is Family.JSON:
        strings = nulled(texts(tokens))
        return Fitted(strings, bad=_too_deep(strings))
    if family is Family.NUMBER:
        array = numeric.exactly(nulled(texts(tokens)), wanted)
        return Fitted(array) if array is not None else _from_plain(family, wanted, tokens, exact=exact)
    try:
        values = _LISTS[family].decode(b"[" + b",".join([token or b"null" for token in tokens]) + b"]")
    except msgspec.DecodeError:
        return _from_plain(family, wanted, tokens, exact=exact)._replace(loose=True)
    return from_values(family, wanted, values, exact=exact)


def texts(tokens: Sequence[bytes]) -> pa.Array:
    """JSON texts as one string array. Raises pa.ArrowInvalid for what is no UTF-8."""
    offsets = pa.array(list(accumulate(map(len, tokens), initial=0)), pa.int32()).buffers()[1]
    strings = pa.Array.from_buffers(types.STRING, len(tokens), [None, offsets, pa.py_buffer(b"".join(tokens))])
    strings.validate(full=True)
    return strings


def nulled(strings: pa.Array) -> pa.Array:
    """Without the texts that stand for nothing: `null`, and the empty text of a missing field."""
    nothing = pc.or_(pc.equal(strings, "null"), pc.equal(strings, ""))
    return pc.if_else(nothing, pa.scalar(None, types.STRING), strings) if pc.any(nothing).as_py() else strings


def _integers(wanted: pa.DataType, values: Sequence[object]) -> Fitted:
    try:
        array = pa.array(values, types.INT64, from_pandas=True)
    except OverflowError:
        strings = pa.array([str(value) if isinstance(value, int) else None for value in values], types.STRING)
        return _fit(Family.INTEGER, wanted, strings, exact=True)
    return Fitted(types.cast(array, wanted))


def _from_plain(family: Family, wanted: pa.DataType, tokens: Sequence[bytes], *, exact: bool) -> Fitted:
    """The slow, exact way: each value on its own."""
    plain: list[str | None] = []
    bad: dict[int, str] = {}
    repaired = 0
    for row, token in enumerate(tokens):
        text: str | None = None
        try:
            text, changed = _plain(family, bytes(token), keeps_nan=wanted == types.FLOAT64)
        except ValueError as error:
            bad[row] = str(error)
        else:
            repaired += changed
            if changed and exact:
                bad[row] = "it would have to be changed to fit, and keys and cursors are never changed"
        plain.append(text)
    fitted = _fit(family, wanted, pa.array(plain, types.STRING), exact=exact)
    if family is Family.JSON:
        bad |= _too_deep(fitted.array) or {}
    return fitted._replace(repaired=fitted.repaired + repaired, bad=bad or None)


def _plain(family: Family, token: bytes, *, keeps_nan: bool) -> tuple[str | None, bool]:
    """The value as text and whether that changed it. Raises ValueError with the reason when it does not belong."""
    if token in (b"", b"null"):
        return None, False
    if token in repair.SPECIAL:
        return (repair.SPECIAL[token], False) if keeps_nan else (None, True)
    if family is Family.JSON:
        return repair.mended(token)
    first = token[:1]
    if first == b'"':
        text, changed = repair.mended(token)
        text = msgspec.json.decode(text, type=str)
        if family in _NUMERIC and not _IS_NUMBER.fullmatch(text):
            raise ValueError("it is text, not a number")
        if family is Family.BOOLEAN and text not in ("true", "false"):
            raise ValueError("it is text, not true or false")
        return text, changed
    if family in (Family.TEXT, Family.NULL):
        text, changed = repair.mended(token)
        return text, changed or first in b"{["
    if first in b"{[":
        raise ValueError(f"it is {'an object' if first == b'{' else 'an array'}, not `{family}`")
    if first in b"tf":
        if family is Family.BOOLEAN:
            return token.decode(), False
        raise ValueError(f"it is true or false, not `{family}`")
    if family in _NUMERIC:
        return token.decode(), False
    raise ValueError(f"it is a number, not `{family}`")


def _encoded(value: object) -> bytes:
    return msgspec.json.encode(value) if isinstance(value, str) else b""


def _fit(family: Family, wanted: pa.DataType, strings: pa.Array, *, exact: bool) -> Fitted:
    """Plain texts of a family as the type wanted, or as the next wider one that holds them all."""
    if wanted == types.STRING:
        return Fitted(strings)
    if family is Family.BOOLEAN:
        return Fitted(strings.cast(wanted))
    if family in _NUMERIC:
        array = numeric.exactly(strings, wanted)
        return Fitted(array if array is not None else numeric.wider(strings, wanted))
    if wanted == types.DATE:
        array = temporal.dates(strings)
        if array is not None:
            return Fitted(array)
        wanted = types.TIMESTAMP
    if wanted == types.TIME:
        array = temporal.times(strings)
        return Fitted(strings if array is None else array)
    array, repaired = temporal.timestamps(strings, exact=exact)
    return Fitted(strings) if array is None else Fitted(array, repaired)


def _too_deep(strings: pa.Array) -> dict[int, str] | None:
    """Rows whose JSON nests deeper than `MAX_DEPTH`: every reader has a limit, and most of them crash at theirs."""
    longest = pc.max(pc.binary_length(strings)).as_py()
    if longest is None or longest < 2 * MAX_DEPTH:
        return None
    openings = pc.add(pc.count_substring(strings, "["), pc.count_substring(strings, "{"))
    suspects = pc.indices_nonzero(pc.fill_null(pc.greater(openings, MAX_DEPTH), False)).to_pylist()
    return {
        row: f"it nests deeper than {MAX_DEPTH} levels" for row in suspects if _depth(strings[row].as_py()) > MAX_DEPTH
    }


def _depth(text: str) -> int:
    depth = deepest = 0
    for mark in re.findall(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', text):
        if mark in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in "]}":
            depth -= 1
    return deepest
