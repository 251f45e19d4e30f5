"""The contract's column types as MySQL's, both ways, and how stored values go from one to another."""

from __future__ import annotations

import re

import pyarrow as pa
from msgspec import Struct

from headwater.connect import types

# Arrow to MySQL; decimals carry their own precision. DATETIME and not TIMESTAMP, which ends in 2038.
_SQL_TYPES = {
    pa.bool_(): "tinyint(1)",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.string(): "longtext",
    pa.binary(): "longblob",
    pa.date32(): "date",
    pa.time64("us"): "time(6)",
    pa.timestamp("us", "UTC"): "datetime(6)",
}
# The other way round also types that other tools make; they grow into ours without loss.
_ARROW_TYPES = {sql: arrow for arrow, sql in _SQL_TYPES.items()} | {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int"), pa.int64()),
    **dict.fromkeys(("tinyint unsigned", "smallint unsigned", "mediumint unsigned", "int unsigned"), pa.int64()),
    **dict.fromkeys(("char", "tinytext", "text", "mediumtext", "varchar", "uuid"), pa.string()),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob"), pa.binary()),
    **dict.fromkeys(("datetime", "timestamp"), pa.timestamp("us", "UTC")),
    "time": pa.time64("us"),
    "float": pa.float64(),
}
_MOST_SCALE = 30  # MySQL's; MariaDB has 38


def sql_type(field: pa.Field, length: int | None = None) -> str:
    """MySQL's type for a column of the contract; text and bytes of a key have a `length`."""
    if types.kind(field.type) == "decimal":
        return f"decimal({field.type.precision},{field.type.scale})"
    if length is not None and pa.types.is_string(field.type):
        return f"varchar({length})"
    if length is not None and pa.types.is_binary(field.type):
        return f"varbinary({length})"
    return _SQL_TYPES[field.type]


def is_too_fine(field: pa.Field) -> bool:
    """Whether the type has more digits after the point than a DECIMAL column can have."""
    return types.kind(field.type) == "decimal" and field.type.scale > _MOST_SCALE


def normal(sql: str) -> str:
    """A type as information_schema gives it, without a display width, which means nothing (but in `tinyint(1)`)."""
    plain = re.sub(r"^((?:tiny|small|medium|big)?int)\(\d+\)", r"\1", sql.lower())
    return "tinyint(1)" if sql.lower() == "tinyint(1)" else plain


def field_of(sql: str) -> pa.Field | None:
    """The contract's type for a MySQL type, None when it has no like."""
    if (match := re.fullmatch(r"decimal\((\d+),(\d+)\)", sql)) and int(match[1]) <= 38:
        return pa.field("", pa.decimal128(int(match[1]), int(match[2])))
    arrow = _ARROW_TYPES.get(sql) or _ARROW_TYPES.get(re.sub(r"\(\d+\)$", "", sql))
    return None if arrow is None else pa.field("", arrow)


def reached_sql(held: str, reached: pa.Field, length: int | None) -> str:
    """The type a column of type `held` must have to take `reached`: `held` itself when it will do as it is."""
    same = field_of(held)
    if held.startswith("varchar(") and pa.types.is_string(reached.type):
        return held
    if length is not None and held.startswith("varbinary(") and pa.types.is_binary(reached.type):
        return held
    if same is not None and same.type == reached.type and held == "longtext":
        return held
    return sql_type(reached, length)


class Conversion(Struct, frozen=True, kw_only=True):
    """How a stored column becomes another type. `expression` is SQL for the new values when ALTER TABLE by itself
    would write them differently from `types.cast`; `lossy` is true for a value that would not survive."""

    expression: str | None = None
    lossy: str | None = None


# More digits than a double has.
_EXACT = "cast(cast({0} as char) as decimal(65,30))"


def conversion(column: str, held: str, reached: pa.Field) -> Conversion:
    """For a quoted column of type `held`. Stored values become what `types.cast` makes of new ones; a test holds both
    together. Doubles become the same number, maybe spelled otherwise: `0.0000001` for `1e-7`."""
    before = field_of(held)
    assert before is not None
    old, new = before.type, reached.type
    if types.kind(new) == "string":
        form = _TEXT.get(types.kind(old))
        return Conversion(expression=form.format(column) if form else None)
    if types.is_sure(old, new) or types.kind(old) == types.kind(new) != "decimal":
        return Conversion()
    if types.kind(new) == "float64":
        return Conversion(lossy=f"{column} not between -9007199254740992 and 9007199254740992")
    limit = "1" + "0" * (new.precision - new.scale)
    if types.kind(old) == "float64":
        exact = _EXACT.format(column)
        changed = f"abs({column}) >= {limit} or round({exact}, {new.scale}) <> {exact} or {exact} + 0e0 <> {column}"
        return Conversion(expression=f"cast({exact} as {sql_type(reached)})", lossy=changed)
    return Conversion(lossy=f"round({column}, {new.scale}) <> {column} or abs({column}) >= {limit}")


_TEXT = {
    "bool": "case {0} when 0 then 'false' when 1 then 'true' else cast({0} as char) end",
    "timestamp": "date_format({0}, '%Y-%m-%dT%H:%i:%s.%fZ')",
}
