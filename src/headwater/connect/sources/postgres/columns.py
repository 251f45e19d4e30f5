"""PostgreSQL's column types as the contract's: what is selected for a column, and what becomes of what comes back."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from headwater.connect import types
from headwater.connect.contract import JSON_FIELD
from headwater.connect.names import quote

_DIRECT = {
    "bool": types.BOOL,
    "int2": types.INT64,
    "int4": types.INT64,
    "int8": types.INT64,
    "oid": types.INT64,
    "float4": types.FLOAT64,
    "float8": types.FLOAT64,
    "text": types.STRING,
    "varchar": types.STRING,
    "bpchar": types.STRING,
    "name": types.STRING,
    "bytea": types.BINARY,
    "date": types.DATE,
    "time": types.TIME,
    "timestamp": types.TIMESTAMP,  # without a zone: taken as UTC
    "timestamptz": types.TIMESTAMP,
}
_JSON = frozenset({"json", "jsonb"})
# Types that the values of a bookmark may have.
_ORDERED = frozenset(
    (
        "int2",
        "int4",
        "int8",
        "numeric",
        "float4",
        "float8",
        "date",
        "timestamp",
        "timestamptz",
        "text",
        "varchar",
        "uuid",
    )
)
_MOST_DIGITS = 38
# The days and microseconds since 1970 from 0001-01-01 to 9999-12-31. What lies beyond (PostgreSQL knows infinity, and
# years before and after) no other type of the contract could hold either.
_DAYS = (-719_162, 2_932_896)
_INSTANTS = (-719_162 * 86_400_000_000, 253_402_300_799_999_999)
_DAY = 86_400_000_000


class Source(Struct, frozen=True, kw_only=True):
    """A column of a table `t` as the catalog of the database has it. `base` is the type's name, that of a domain's own
    type for a domain; `kind` is pg_type.typtype of it, `is_array` tells arrays; `precision` and `scale` are those of a
    numeric. `not_null` is what the database promises; a view's columns may always be null."""

    name: str
    base: str
    kind: str = "b"
    is_array: bool = False
    precision: int | None = None
    scale: int | None = None
    not_null: bool = False

    @property
    def is_ordered(self) -> bool:
        """Whether rows can be read in the order of this column, and on from a value of it."""
        return self.base in _ORDERED and self.kind == "b" and not self.is_array


class Column(Struct, frozen=True, kw_only=True):
    """`sql` is the expression to select, `field` what a column of the contract it is. `is_open` is true for a numeric
    without a declared size: its field grows with what comes."""

    name: str
    sql: str
    field: pa.Field
    is_open: bool = False


def column(source: Source) -> Column:
    name = f"t.{quote(source.name)}"
    if source.is_array or source.kind == "c":
        return Column(name=source.name, sql=f"to_jsonb({name})::text", field=_json(source.name))
    if source.base in _JSON:
        return Column(name=source.name, sql=f"{name}::text", field=_json(source.name))
    if source.base == "numeric":
        return _numeric(source, name)
    found = _DIRECT.get(source.base) if source.kind == "b" else None
    if found is None:
        return Column(name=source.name, sql=f"{name}::text", field=pa.field(source.name, types.STRING))
    # A domain is told from its own type by the driver; the cast costs nothing.
    sql = f"{name}::pg_catalog.int8" if source.base == "oid" else f"{name}::pg_catalog.{source.base}"
    return Column(name=source.name, sql=sql, field=pa.field(source.name, found))


def _json(name: str) -> pa.Field:
    return pa.field(name, types.STRING, metadata=JSON_FIELD)


def _numeric(source: Source, name: str) -> Column:
    sql = f"{name}::text"
    if source.precision is None:
        return Column(name=source.name, sql=sql, field=pa.field(source.name, pa.decimal128(20, 0)), is_open=True)
    scale = max(0, source.scale or 0)
    digits = max(source.precision - (source.scale or 0), 0) + scale
    if digits > _MOST_DIGITS:
        return Column(name=source.name, sql=sql, field=pa.field(source.name, types.STRING))
    return Column(name=source.name, sql=sql, field=pa.field(source.name, pa.decimal128(max(digits, 1), scale)))


def widened(wanted: Column, values: pa.Array) -> Column:
    """The column with a field that can hold these values too; text when 38 digits are not enough. Only an open one
    changes."""
    if not wanted.is_open or pa.types.is_string(wanted.field.type):
        return wanted
    numbers = _plain(values)
    numbers = numbers.filter(pc.invert(_is_not_finite(numbers)))
    if not len(numbers) or numbers.null_count == len(numbers):
        return wanted
    point = pc.find_substring(numbers, ".")
    length = pc.binary_length(numbers)
    scale = pc.max(pc.if_else(pc.less(point, 0), 0, pc.subtract(pc.subtract(length, point), 1))).as_py()
    whole = pc.if_else(pc.less(point, 0), length, point)
    negative = pc.starts_with(numbers, "-").cast(pa.int32())
    digits = pc.max(pc.subtract(whole, negative)).as_py()
    held = wanted.field.type
    scale, digits = max(scale, held.scale), max(digits, held.precision - held.scale)
    if scale + digits > _MOST_DIGITS:
        field = pa.field(wanted.name, types.STRING)
    elif (scale, digits) == (held.scale, held.precision - held.scale):
        return wanted
    else:
        field = pa.field(wanted.name, pa.decimal128(scale + digits, scale))
    return Column(name=wanted.name, sql=wanted.sql, field=field, is_open=True)


def converted(wanted: Column, values: pa.Array) -> tuple[pa.Array, int]:
    """The values as the column's type, and how many of them it can't hold: those become null."""
    plain = _plain(values)
    to = wanted.field.type
    if pa.types.is_decimal(to):
        lost = _is_not_finite(plain)
        count = pc.sum(lost).as_py() or 0
        if count:
            plain = pc.if_else(lost, pa.scalar(None, plain.type), plain)
        return types.decimals(plain, to), count
    if pa.types.is_timestamp(to):
        numbers, count = _within(plain.cast(pa.int64()), _INSTANTS)
        return numbers.cast(pa.timestamp("us")).cast(to), count
    if pa.types.is_date(to):
        numbers, count = _within(plain.cast(pa.int32()), _DAYS)
        return numbers.cast(to), count
    if pa.types.is_time(to):
        numbers, count = _within(plain.cast(pa.int64()), (0, _DAY - 1))  # 24:00:00 is a time there
        return numbers.cast(to), count
    return plain.cast(to), 0


def _plain(values: pa.Array) -> pa.Array:
    return values.storage if isinstance(values, pa.ExtensionArray) else values


def _is_not_finite(texts: pa.Array) -> pa.Array:
    return pc.is_in(texts, pa.array(["NaN", "Infinity", "-Infinity"]))


def _within(numbers: pa.Array, bounds: tuple[int, int]) -> tuple[pa.Array, int]:
    found = pc.min_max(numbers).as_py()
    if found["min"] is None or (found["min"] >= bounds[0] and found["max"] <= bounds[1]):
        return numbers, 0
    beyond = pc.or_(pc.less(numbers, bounds[0]), pc.greater(numbers, bounds[1]))
    return pc.if_else(beyond, pa.scalar(None, numbers.type), numbers), pc.sum(beyond).as_py()


def type_modifier(modifier: int) -> tuple[int | None, int | None]:
    """Precision and scale of a numeric's type modifier, as `pg_attribute.atttypmod` holds it."""
    if modifier < 4:
        return None, None
    packed = modifier - 4
    scale = packed & 0x7FF
    return (packed >> 16) & 0xFFFF, scale - 0x800 if scale >= 0x400 else scale
