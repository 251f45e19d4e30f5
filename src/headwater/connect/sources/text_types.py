"""Which type holds every value of a column exactly, and the conversion of text to it.

`looked_at` describes one array, `joined` adds descriptions up, `field_of` names the type, `converted` converts. A
type is chosen only when no value would change: `007` is text, a number is float64 only when its digits survive,
a date is an ISO date of the years 1 to 9999. A text with more than that in it stays text, untouched.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from headwater.connect.contract import JSON_FIELD

TIMESTAMP = pa.timestamp("us", "UTC")
MOST_DIGITS = 38  # of a decimal128

# Arrow reads `1`, `t` or `TRUE` as booleans; only words that nobody writes for anything else count as such here.
_BOOLEANS = pa.array(["true", "false", "True", "False", "TRUE", "FALSE"])
_NUMBER = r"^-?(0|[1-9][0-9]*)?(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
_ZONE = r":[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
_FIRST_DAY = pa.scalar(-719162, pa.int32())  # 0001-01-01
_FIRST_INSTANT = pa.scalar(-719162 * 86_400_000_000, pa.int64())
_LAST_INSTANT = pa.scalar(253_402_300_799_999_999, pa.int64())  # 9999-12-31T23:59:59.999999Z
_EXACT_DIGITS = 15  # up to so many significant ones, every decimal number has a float64 of its own
_EXACT_INTEGER = 2**53  # the integers up to here have a float64 of their own
# A failed cast costs as much as one that works, and most columns are told apart by their first values.
_PROBE = 16


class Kind(StrEnum):
    NULL = "null"
    BOOL = "bool"
    NUMBER = "number"
    DATE = "date"
    TIMESTAMP = "timestamp"
    TIME = "time"
    BINARY = "binary"
    JSON = "json"
    TEXT = "text"


class Seen(NamedTuple):
    """A look at values, and these in the type in which they were looked at."""

    look: Look
    values: pa.Array


class Look(Struct, frozen=True, omit_defaults=True):
    """What was seen of a column. The rest is of numbers: `whole`: only integers; `int64`: they fit; `floats`: each
    survives as float64; `plain`: none has an exponent; `digits` before and `scale` after the decimal point."""

    kind: Kind
    whole: bool = True
    int64: bool = True
    floats: bool = True
    plain: bool = True
    digits: int = 1
    scale: int = 0


_TYPES = {
    Kind.NULL: pa.string(),
    Kind.BOOL: pa.bool_(),
    Kind.DATE: pa.date32(),
    Kind.TIMESTAMP: TIMESTAMP,
    Kind.TIME: pa.time64("us"),
    Kind.BINARY: pa.binary(),
    Kind.JSON: pa.string(),
    Kind.TEXT: pa.string(),
}

NOTHING = Look(Kind.NULL)
TEXT = Look(Kind.TEXT)


def looked_at(values: pa.Array) -> Look:
    """Describes a string array."""
    return _first_that_fits(values, (_integers, _numbers, _booleans, _dates, _timestamps))


def looked_at_moments(values: pa.Array) -> Look:
    """Describes a string array whose values are known to be text: at most dates or timestamps."""
    return _first_that_fits(values, (_dates, _timestamps))


def _first_that_fits(values: pa.Array, looks: tuple[Callable[[pa.Array], Seen | None], ...]) -> Look:
    values = values.drop_null()
    if not len(values):
        return NOTHING
    probe = values.slice(0, _PROBE) if len(values) > 2 * _PROBE else values
    for look in looks:
        if look(probe) is not None and (seen := look(values)) is not None:
            return seen.look
    return TEXT


def joined(one: Look, other: Look) -> Look:
    """What both together are."""
    if Kind.NULL in (one.kind, other.kind):
        return other if one.kind is Kind.NULL else one
    if {one.kind, other.kind} == {Kind.DATE, Kind.TIMESTAMP}:
        return Look(Kind.TIMESTAMP)
    if one.kind is not other.kind:
        return TEXT
    return Look(
        kind=one.kind,
        whole=one.whole and other.whole,
        int64=one.int64 and other.int64,
        floats=one.floats and other.floats,
        plain=one.plain and other.plain,
        digits=max(one.digits, other.digits),
        scale=max(one.scale, other.scale),
    )


def fitted(values: pa.Array, look: Look) -> Seen | None:
    """A string array as the type of that look, and the look at both; None when that would be of another type."""
    kind = field_of("", look).type
    if look.kind is Kind.TEXT:
        return Seen(look, values)
    if values.null_count == len(values):
        return Seen(look, pa.nulls(len(values), kind))
    seen: Seen | None = None
    if look.kind is Kind.NUMBER:
        seen = _integers(values) if pa.types.is_integer(kind) else _written_shortest(values) or _numbers(values)
    elif look.kind is Kind.BOOL:
        seen = _booleans(values)
    elif look.kind is Kind.DATE:
        seen = _dates(values)
    elif look.kind is Kind.TIMESTAMP:
        seen = _timestamps(values)
    if seen is None or field_of("", both := joined(look, seen.look)).type != kind:
        return None
    return Seen(both, seen.values if seen.values.type == kind else values.cast(kind))


def field_of(name: str, look: Look) -> pa.Field:
    """The narrowest column that holds it all; text when there is no value yet."""
    if look.kind is Kind.NUMBER:
        return pa.field(name, _number_type(look))
    return pa.field(name, _TYPES[look.kind], metadata=JSON_FIELD if look.kind is Kind.JSON else None)


def converted(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """A string array as `kind`. Raises pyarrow.ArrowInvalid for a text that is no such value."""
    if pa.types.is_timestamp(kind):
        return _as_timestamps(values)
    return values.cast(kind)


def _number_type(look: Look) -> pa.DataType:
    if look.whole and look.int64:
        return pa.int64()
    if not look.whole and look.floats:
        return pa.float64()
    if look.plain and look.digits + look.scale <= MOST_DIGITS:
        return pa.decimal128(look.digits + look.scale, look.scale)
    return pa.string()


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array | None:
    try:
        return values.cast(kind)
    except pa.ArrowInvalid:
        return None


def _all(condition: pa.Array) -> bool:
    return bool(pc.all(condition, min_count=0).as_py())


def _any(condition: pa.Array) -> bool:
    return bool(pc.any(condition, min_count=0).as_py())


def _holds(values: pa.Array, *signs: bytes) -> bool:
    """Whether one of the texts may hold one of the characters: a look at their bytes, which costs next to nothing."""
    data = values.buffers()[2]
    if data is None:
        return False
    first, last = values.offset, values.offset + len(values)
    offsets = memoryview(values.buffers()[1]).cast("i")
    text = memoryview(data)[offsets[first] : offsets[last]].tobytes()
    return any(sign in text for sign in signs)


def _leads_with_zero(values: pa.Array, whole_part: pa.Array) -> bool:
    """Whether a number has a zero too much at its start; `whole_part` is the length before the decimal point."""
    for zero in ("0", "-0") if _holds(values, b"-") else ("0",):
        leads = pc.starts_with(values, zero)
        if _any(leads) and _any(pc.and_(leads, pc.greater(whole_part, len(zero)))):
            return True
    return False


def _largest(values: pa.Array) -> int:
    return int(pc.max(values).as_py())


def _integers(values: pa.Array) -> Seen | None:
    numbers = _cast(values, pa.int64())
    # `007`, `-0` and `0x1F` are integers to Arrow.
    if numbers is None or _leads_with_zero(values, pc.binary_length(values)):
        return None
    if _holds(values, b"-") and _any(pc.equal(values, "-0")):
        return None
    bounds = pc.min_max(numbers).as_py()
    size = max(abs(bounds["min"]), abs(bounds["max"]))
    return Seen(Look(Kind.NUMBER, floats=size <= _EXACT_INTEGER, digits=len(str(size))), numbers)


def _numbers(values: pa.Array) -> Seen | None:
    numbers = _cast(values, pa.float64())
    if numbers is None or not _all(pc.is_finite(numbers)):
        return None
    point = pc.find_substring(values, ".")
    length = pc.binary_length(values)
    whole_part = pc.if_else(pc.less(point, 0), length, point)
    plain = not _holds(values, b"e", b"E")
    if plain and _largest(length) <= _EXACT_DIGITS:
        # Cheaper than to write them back: so short, every number survives that is written as one.
        floats = True
        if _holds(values, b"+") or _leads_with_zero(values, whole_part) or _any(pc.ends_with(values, ".")):
            return None
    else:
        back = numbers.cast(pa.string())
        differs = pc.not_equal(back, values)
        odd = values.filter(differs)
        if not _all(pc.match_substring_regex(odd, _NUMBER)):
            return None
        floats = _survives(odd, back.filter(differs), numbers.filter(differs))
    scale = pc.if_else(pc.less(point, 0), 0, pc.subtract(pc.subtract(length, point), 1))
    if _holds(values, b"-"):
        whole_part = pc.subtract(whole_part, pc.starts_with(values, "-").cast(pa.int32()))
    look = Look(
        kind=Kind.NUMBER,
        whole=plain and _largest(scale) == 0,
        int64=False,
        floats=floats,
        plain=plain,
        digits=max(1, _largest(whole_part)),
        scale=_largest(scale),
    )
    return Seen(look, numbers)


def _written_shortest(values: pa.Array) -> Seen | None:
    """As `_numbers`, and faster, where each text has a point and is just what Arrow would write for its double."""
    probe = values.slice(0, _PROBE)
    for some in (probe, values):
        numbers = _cast(some, pa.float64())
        if numbers is None or not _all(pc.is_finite(numbers)) or not numbers.cast(pa.string()).equals(some):
            return None
    point = pc.find_substring(values, ".")
    if _any(pc.less(point, 0)) or _holds(values, b"e"):
        return None
    sizes = pc.min_max(pc.abs(numbers)).as_py()
    look = Look(
        kind=Kind.NUMBER,
        whole=False,
        int64=False,
        digits=len(str(int(sizes["max"]))),
        scale=_largest(pc.subtract(pc.binary_length(values), point)) - 1,
    )
    return Seen(look, numbers)


def _survives(texts: pa.Array, back: pa.Array, numbers: pa.Array) -> bool:
    """Whether each text and the float64 it became stand for the same number (`1.10` and `1.1` do)."""
    if not len(texts):
        return True
    digits = _significant(texts)
    # Near zero there are fewer floats.
    short = pc.and_(
        pc.less_equal(pc.binary_length(digits), _EXACT_DIGITS),
        pc.or_(pc.greater(pc.abs(numbers), 1e-300), pc.equal(digits, "")),
    )
    return _all(pc.or_(short, pc.equal(digits, _significant(back))))


def _significant(texts: pa.Array) -> pa.Array:
    bare = pc.replace_substring_regex(texts, r"[eE].*$", "")
    return pc.ascii_trim(pc.replace_substring_regex(bare, r"[-.]", ""), "0")


def _booleans(values: pa.Array) -> Seen | None:
    if not _all(pc.or_(values.is_null(), pc.is_in(values, _BOOLEANS))):
        return None
    return Seen(Look(Kind.BOOL), values.cast(pa.bool_()))


def _dates(values: pa.Array) -> Seen | None:
    days = _cast(values, pa.date32())
    if days is None or not _all(pc.greater_equal(days.cast(pa.int32()), _FIRST_DAY)):
        return None
    return Seen(Look(Kind.DATE), days)


def _timestamps(values: pa.Array) -> Seen | None:
    try:
        found = _as_timestamps(values)
    except pa.ArrowInvalid:
        return None
    instants = found.cast(pa.int64())
    within = pc.and_(pc.greater_equal(instants, _FIRST_INSTANT), pc.less_equal(instants, _LAST_INSTANT))
    return Seen(Look(Kind.TIMESTAMP), found) if _all(within) else None


def _as_timestamps(values: pa.Array) -> pa.Array:
    """ISO 8601 texts as instants; a text without a zone is UTC, a date is its midnight in UTC."""
    probe = values.drop_null().slice(0, _PROBE) if values.null_count else values.slice(0, _PROBE)
    # To fail takes Arrow (26) 40 times as long as to succeed.
    for kind in (TIMESTAMP, pa.timestamp("us")):
        if _cast(probe, kind) is not None and (instants := _cast(values, kind)) is not None:
            return instants.view(TIMESTAMP)
    zoned = pc.match_substring_regex(values, _ZONE)
    nothing = pa.scalar(None, pa.string())
    with_zone = pc.if_else(zoned, values, nothing).cast(TIMESTAMP)
    without = pc.if_else(zoned, nothing, values).cast(pa.timestamp("us"))
    return pc.coalesce(with_zone, pc.assume_timezone(without, "UTC").cast(TIMESTAMP))
