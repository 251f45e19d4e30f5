"""Number texts to the narrowest numeric type that holds them, exactly."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from itertools import starmap
from operator import eq

import pyarrow as pa
import pyarrow.compute as pc

from headwater.connect import types

NUMBER = r"-?\d+(\.\d+)?([eE][+-]?\d+)?"
# A decimal text of up to 15 digits is always exact as a double; only longer ones need a look.
_SURELY_EXACT = 15


def exactly(strings: pa.Array, wanted: pa.DataType) -> pa.Array | None:
    """Number texts as the type wanted; None unless every one survives it."""
    if wanted == types.STRING:
        fine = pc.all(pc.match_substring_regex(strings, f"^{NUMBER}$")).as_py()
        return strings if fine or strings.null_count == len(strings) else None
    try:
        if wanted == types.FLOAT64:
            floats = strings.cast(types.FLOAT64)
            return floats if _are_exact(strings, floats) else None
        if wanted == types.INT64:
            try:
                return strings.cast(types.INT64)
            except pa.ArrowInvalid:  # `3.0` is an integer too
                return types.decimals(strings, types.BIG_INTEGER).cast(types.INT64)
        return types.decimals(strings, wanted)
    except (pa.ArrowInvalid, InvalidOperation):
        return None


def _are_exact(strings: pa.Array, floats: pa.Array) -> bool:
    """Whether each double is the very number its text says, for the shortest text that reads back as that double."""
    long = pc.or_(
        pc.greater(pc.binary_length(strings), _SURELY_EXACT), pc.match_substring(strings, "e", ignore_case=True)
    )
    if not pc.any(long).as_py():
        return True
    strings, shortest = strings.filter(long), floats.filter(long).cast(types.STRING)
    differ = pc.not_equal(strings, shortest)
    pairs = zip(strings.filter(differ).to_pylist(), shortest.filter(differ).to_pylist(), strict=True)
    try:
        return all(starmap(eq, ((Decimal(text), Decimal(short)) for text, short in pairs)))
    except InvalidOperation:
        return False


def wider(strings: pa.Array, narrow: pa.DataType) -> pa.Array:
    """Number texts that do not fit `narrow` as the next type of the lattice that holds them, at last as text."""
    candidates = []
    if narrow == types.INT64:
        candidates = [types.BIG_INTEGER]
        if pc.any(pc.match_substring_regex(strings, "[.eE]")).as_py():  # integers alone never become doubles
            candidates.append(types.FLOAT64)
    room = _decimal_for(strings)
    if room is not None:
        both = types.widen(narrow, room)
        candidates.append(both if both is not None else types.STRING)
    for candidate in candidates:
        array = exactly(strings, candidate)
        if array is not None:
            return array
    return strings


def _decimal_for(strings: pa.Array) -> pa.DataType | None:
    """A decimal type with room for these numbers, and with some to spare on both sides where 38 digits allow."""
    whole, places = 0, 0
    try:
        for text in pc.unique(strings.drop_null()).to_pylist():
            _, digits, exponent = Decimal(text).as_tuple()
            if not isinstance(exponent, int):
                return None
            whole = max(whole, len(digits) + exponent)
            places = max(places, -exponent)
    except InvalidOperation:
        return None
    if whole + places > 38:
        return None
    return pa.decimal128(38, max(places, min(18, 38 - whole)))
