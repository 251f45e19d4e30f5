"""MySQL's column types as the contract's: what is selected for a column, and what becomes of what comes back."""

from __future__ import annotations

import re
from enum import Enum, auto

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct
from msgspec.structs import replace

from headwater.connect import types
from headwater.connect.contract import JSON_FIELD
from headwater.connect.destinations.mysql.called import quote
from headwater.connect.staging import as_text

_INTEGERS = frozenset(("tinyint", "smallint", "mediumint", "int", "bigint"))
_TEXTS = frozenset(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"))
_BYTES = frozenset(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"))
_SHAPES = frozenset(
    (
        "geometry",
        "point",
        "linestring",
        "polygon",
        "multipoint",
        "multilinestring",
        "multipolygon",
        "geometrycollection",
        "geomcollection",
    )
)
# Types whose values have an order that a bookmark can go by.
_ORDERED = _INTEGERS | {
    "decimal",
    "float",
    "double",
    "date",
    "datetime",
    "timestamp",
    "year",
    "char",
    "varchar",
    "uuid",
}
_MOST_DIGITS = 38
_MOST_WORD_DIGITS = 18
# The days and microseconds since 1970 from 0001-01-01 to 9999-12-31. What lies beyond (MySQL knows a year 0, and dates
# with zeros in them) no other type of the contract could hold either.
_DAYS = (-719_162, 2_932_896)
_INSTANTS = (-719_162 * 86_400_000_000, 253_402_300_799_999_999)
_DAYS_BEFORE_1970 = 719_528  # since year 0
# Stands for a date that is none.
_NO_DATE = -(2**63) + 1
_CLOCK = r"^([01][0-9]|2[0-3]):"


class Source(Struct, frozen=True, kw_only=True):
    """A column of a table `t` as information_schema has it. `base` is the type's name, `full` with all that belongs to
    it. `not_null` is what the database promises; a view's columns may always be null."""

    name: str
    base: str
    full: str
    precision: int | None = None
    scale: int | None = None
    not_null: bool = False
    is_json: bool = False
    character_set: str | None = None

    @property
    def is_ordered(self) -> bool:
        """Whether rows can be read in the order of this column, and on from a value of it."""
        return self.base in _ORDERED and not self.is_json

    @property
    def is_unsigned(self) -> bool:
        return "unsigned" in self.full


class Form(Enum):
    """As what a value comes: the first ones as words of eight bytes, the others as bytes of any length."""

    INTEGER = auto()
    UNSIGNED = auto()
    FLAG = auto()
    DOUBLE = auto()
    SCALED = auto()  # a decimal as the integer that its digits are
    DATE = auto()
    MOMENT = auto()
    TEXT = auto()
    BYTES = auto()
    DIGITS = auto()
    TIME = auto()


_LENGTHY = (Form.TEXT, Form.BYTES, Form.DIGITS, Form.TIME)


class Column(Struct, frozen=True, kw_only=True):
    """`sql` is the expression to select, never null for a word; `null_sql` is one that is 1 where the column is null,
    None where it never is. `field` says what column of the contract it is; it becomes text when a value asks for it."""

    name: str
    sql: str
    form: Form
    field: pa.Field
    null_sql: str | None = None

    @property
    def is_word(self) -> bool:
        return self.form not in _LENGTHY


def column(source: Source, *, tinyint1_is_bool: bool = True) -> Column:
    name = f"t.{quote(source.name)}"
    form, data_type, sql = _form(source, name, tinyint1_is_bool)
    field = pa.field(source.name, data_type, metadata=JSON_FIELD if _is_json(source) else None)
    found = Column(name=source.name, sql=sql, form=form, field=field)
    return replace(found, null_sql=None if source.not_null else f"isnull({name})") if found.is_word else found


def _form(source: Source, name: str, tinyint1_is_bool: bool) -> tuple[Form, pa.DataType, str]:
    base = source.base
    # `| 0` makes eight bytes of every integer, and changes none of them.
    if base in _INTEGERS or base == "year":
        if base == "tinyint" and tinyint1_is_bool and source.full.startswith("tinyint(1)"):
            return Form.FLAG, types.BOOL, f"coalesce({name}, 0) | 0"
        if base == "bigint" and source.is_unsigned:
            return Form.UNSIGNED, pa.decimal128(20, 0), f"coalesce({name}, cast(0 as unsigned)) | 0"
        return Form.INTEGER, types.INT64, f"coalesce(cast({name} as signed), 0) | 0"
    if base == "bit":
        form = {"bit(1)": Form.FLAG, "bit(64)": Form.UNSIGNED}.get(source.full, Form.INTEGER)
        data_type = {Form.FLAG: types.BOOL, Form.UNSIGNED: pa.decimal128(20, 0)}.get(form, types.INT64)
        return form, data_type, f"coalesce(cast({name} + 0 as unsigned), 0) | 0"
    if base in ("float", "double"):
        return Form.DOUBLE, types.FLOAT64, f"coalesce({name}, 0e0)"
    if base == "decimal":
        return _decimal(source, name)
    if base == "date":
        return Form.DATE, types.DATE, _if_day(name, f"to_days({name}) - {_DAYS_BEFORE_1970}")
    if base in ("datetime", "timestamp"):
        since = f"timestampdiff(microsecond, timestamp'1970-01-01 00:00:00', {name})"
        return Form.MOMENT, types.TIMESTAMP, _if_day(name, since)
    if base == "time":
        return Form.TIME, types.TIME, f"cast({name} as char)"
    if base in _BYTES or base == "vector":
        return Form.BYTES, types.BINARY, name
    if base in _SHAPES:
        return Form.TEXT, types.STRING, f"st_astext({name})"
    if base in _TEXTS or base == "json":
        return Form.TEXT, types.STRING, name
    return Form.TEXT, types.STRING, f"cast({name} as char)"


def is_day(name: str) -> str:
    """SQL for whether a date is one: to the server the 31st of February, which it holds when it is told to, counts as a
    day in March."""
    return f"day({name}) < 29 or from_days(to_days({name})) = date({name})"


def _if_day(name: str, sql: str) -> str:
    return f"if({is_day(name)}, coalesce({sql}, {_NO_DATE}), {_NO_DATE}) | 0"


def _decimal(source: Source, name: str) -> tuple[Form, pa.DataType, str]:
    digits, scale = source.precision or 10, source.scale or 0
    if digits > _MOST_DIGITS:
        return Form.TEXT, types.STRING, f"cast({name} as char)"
    data_type = pa.decimal128(digits, scale)
    if digits > _MOST_WORD_DIGITS:
        return Form.DIGITS, data_type, f"cast({name} as char)"
    return Form.SCALED, data_type, f"coalesce(cast({name} * {10**scale} as signed), 0) | 0"


def _is_json(source: Source) -> bool:
    return source.is_json or source.base == "json"


def widened(wanted: Column, values: pa.Array) -> Column:
    """The column with a field that can hold these values too: text for a time beyond a day, and for a flag that is
    neither 0 nor 1."""
    if wanted.field.type == types.STRING:
        return wanted
    if wanted.form is Form.FLAG:
        found = pc.min_max(values).as_py()
        fits = found["min"] is None or (found["min"] >= 0 and found["max"] <= 1)
    elif wanted.form is Form.TIME:
        fits = pc.all(pc.match_substring_regex(values, _CLOCK)).as_py() is not False
    else:
        return wanted
    return wanted if fits else replace(wanted, field=as_text(wanted.field))


def converted(wanted: Column, values: pa.Array) -> tuple[pa.Array, int]:
    """The values as the column's type, and how many of them it can't hold: those become null, and texts that are none
    in their character set get a replacement character where they go wrong."""
    to = wanted.field.type
    match wanted.form:
        case Form.INTEGER | Form.DOUBLE | Form.BYTES:
            return values, 0
        case Form.UNSIGNED:
            return values.cast(to), 0
        case Form.FLAG:
            return _flags(values, to), 0
        case Form.SCALED:
            whole = values.cast(pa.decimal128(19, 0))
            return pa.Array.from_buffers(to, len(whole), whole.buffers(), null_count=whole.null_count), 0
        case Form.DATE:
            numbers, count = _within(values, _DAYS)
            return numbers.cast(pa.int32()).cast(to), count
        case Form.MOMENT:
            numbers, count = _within(values, _INSTANTS)
            return numbers.cast(pa.timestamp("us")).cast(to), count
        case Form.DIGITS:
            return types.decimals(values.cast(types.STRING), to), 0
        case Form.TIME:
            return _times(values.cast(types.STRING), to), 0
    return _texts(values)


def arrays(columns: tuple[Column, ...], words: list[pa.Array], texts: list[pa.Array]) -> list[pa.Array]:
    """The columns' values out of a block of `selected`, in their order, with their nulls."""
    own = iter(words[: sum(one.is_word for one in columns)])
    flags = words[sum(one.is_word for one in columns) :]
    rest = iter(texts)
    found, number = [], 0
    for one in columns:
        if not one.is_word:
            found.append(next(rest))
            continue
        values = next(own)
        if one.null_sql is not None:
            values = _with_nulls(values, flags[number // _FLAGS], number % _FLAGS)
            number += 1
        found.append(_as_came(one.form, values))
    return found


_FLAGS = 60  # of nulls in one word


def selected(columns: tuple[Column, ...]) -> tuple[list[str], list[str]]:
    """What is selected for them: words, and behind them the words that say where nulls are; and texts."""
    words = [one.sql for one in columns if one.is_word]
    nulls = [one.null_sql for one in columns if one.is_word and one.null_sql is not None]
    for start in range(0, len(nulls), _FLAGS):
        part = nulls[start : start + _FLAGS]
        words.append(" | ".join(f"({sql} << {place})" for place, sql in enumerate(part)))
    return words, [one.sql for one in columns if not one.is_word]


def _with_nulls(values: pa.Array, flags: pa.Array, place: int) -> pa.Array:
    is_there = pc.equal(pc.bit_wise_and(flags, pa.scalar(1 << place, pa.int64())), 0)
    if pc.all(is_there).as_py():
        return values
    return pa.Array.from_buffers(pa.int64(), len(values), [is_there.buffers()[1], values.buffers()[1]])


_STORED = {Form.DOUBLE: pa.float64(), Form.UNSIGNED: pa.uint64()}


def _as_came(form: Form, values: pa.Array) -> pa.Array:
    stored = _STORED.get(form)
    return values if stored is None else values.view(stored)


def _flags(values: pa.Array, to: pa.DataType) -> pa.Array:
    if to == types.BOOL:
        return values.cast(types.BOOL)
    names = pc.if_else(pc.equal(values, 1), "true", "false")
    return pc.if_else(pc.is_in(values, pa.array([0, 1], pa.int64())), names, values.cast(types.STRING))


def _times(texts: pa.Array, to: pa.DataType) -> pa.Array:
    if to == types.STRING:
        return texts
    # Arrow (26) reads moments, but no times.
    return pc.binary_join_element_wise("1970-01-01", texts, " ").cast(pa.timestamp("us")).cast(to)


def _texts(values: pa.Array) -> tuple[pa.Array, int]:
    try:
        return values.cast(types.STRING), 0
    except pa.ArrowInvalid:
        # This loop runs only for a batch with bytes that the server calls text and that are none.
        found = [None if value is None else value.decode("utf-8", "replace") for value in values.to_pylist()]
        whole = pa.array(found, types.STRING)
        return whole, pc.sum(pc.not_equal(whole.cast(pa.binary()), values)).as_py()


def _within(numbers: pa.Array, bounds: tuple[int, int]) -> tuple[pa.Array, int]:
    found = pc.min_max(numbers).as_py()
    if found["min"] is None or (found["min"] >= bounds[0] and found["max"] <= bounds[1]):
        return numbers, 0
    beyond = pc.or_(pc.less(numbers, bounds[0]), pc.greater(numbers, bounds[1]))
    return pc.if_else(beyond, pa.scalar(None, numbers.type), numbers), pc.sum(beyond).as_py()


def normal(full: str) -> str:
    """A type as information_schema gives it, without a display width, which means nothing (but in `tinyint(1)`)."""
    plain = full.lower()
    return (
        plain
        if plain.startswith("tinyint(1)")
        else re.sub(r"^((?:tiny|small|medium|big)?int|year)\(\d+\)", r"\1", plain)
    )
