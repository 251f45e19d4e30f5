"""The contract's column types as PostgreSQL's, both ways, and how stored values go from one to another."""

from __future__ import annotations

import re

import pyarrow as pa

from headwater.connect import types
from headwater.connect.contract import JSON_FIELD

# Arrow to PostgreSQL, in the words of format_type(); decimals carry their own precision, JSON is told by its metadata.
_SQL_TYPES = {
    pa.bool_(): "boolean",
    pa.int64(): "bigint",
    pa.float64(): "double precision",
    pa.string(): "text",
    pa.binary(): "bytea",
    pa.date32(): "date",
    pa.time64("us"): "time without time zone",
    pa.timestamp("us", "UTC"): "timestamp with time zone",
}
# The other way round also types that other tools make; they grow into ours without loss.
_ARROW_TYPES = {sql: arrow for arrow, sql in _SQL_TYPES.items()} | {
    "smallint": pa.int64(),
    "integer": pa.int64(),
    "real": pa.float64(),
    "uuid": pa.string(),
}
# Types that other tools make and that take our values as they are; a time without a zone is one in UTC.
_AS_THEY_ARE = {
    "json": pa.field("", pa.string(), metadata=JSON_FIELD),
    "character varying": pa.field("", pa.string()),
    "timestamp without time zone": pa.field("", pa.timestamp("us", "UTC")),
}


def sql_type(field: pa.Field) -> str:
    """PostgreSQL's type for a column of the contract."""
    if types.is_json(field):
        return "jsonb"
    if pa.types.is_decimal128(field.type):
        return f"numeric({field.type.precision},{field.type.scale})"
    return _SQL_TYPES[field.type]


def field_of(sql: str) -> pa.Field | None:
    """The contract's type for a PostgreSQL type, None when it has no like."""
    if sql == "jsonb":
        return pa.field("", pa.string(), metadata=JSON_FIELD)
    if sql in _AS_THEY_ARE:
        return _AS_THEY_ARE[sql]
    if re.fullmatch(r"character varying\(\d+\)", sql):
        return pa.field("", pa.string())
    if (match := re.fullmatch(r"numeric\((\d+),(\d+)\)", sql)) and int(match[1]) <= 38 and int(match[2]) <= 38:
        return pa.field("", pa.decimal128(int(match[1]), int(match[2])))
    arrow = _ARROW_TYPES.get(sql)
    return None if arrow is None else pa.field("", arrow)


def reached_sql(held: str, reached: pa.Field) -> str:
    """The type a column of type `held` must have to take `reached`: `held` itself when it will do as it is."""
    as_it_is = _AS_THEY_ARE.get(held)
    if held == "numeric" and types.kind(reached.type) == "decimal":
        return held
    if as_it_is is not None and as_it_is.equals(reached.with_name(""), check_metadata=True):
        return held
    return sql_type(reached)


def conversion(column: str, held: str, reached: pa.Field) -> tuple[str, str | None]:
    """SQL that converts a quoted column of type `held`, and SQL that is true for a value the conversion would change
    (None when it changes none). Stored values become what `types.cast` makes of new ones; a test holds both together.
    """
    before, new = field_of(held), reached.type
    old = types.BIG_INTEGER if before is None else before.type  # `numeric` without a size
    if types.kind(new) == "string":
        if types.is_json(reached):
            return f"{column}::jsonb", None
        form = "naive" if held == "timestamp without time zone" else types.kind(old)
        return _TEXT.get(form, "{0}::text").format(column), None
    after = sql_type(reached)
    if types.is_sure(old, new) or types.kind(old) == types.kind(new) != "decimal":
        return f"{column}::{after}", None
    if types.kind(new) == "float64":
        return f"{column}::{after}", f"{column} not between -9007199254740992 and 9007199254740992"
    # By way of its text: PostgreSQL gives a double's first 15 digits only, and rounds to the scale without a word.
    exact = f"{column}::text::numeric"
    limit = f"1e{new.precision - new.scale}::numeric"
    changed = f"round({exact}, {new.scale}) <> {exact} or abs({exact}) >= {limit}"
    if types.kind(old) == "float64":
        changed = f"case when {column}::text in ('NaN', 'Infinity', '-Infinity') then true else {changed} end"
    return f"{exact}::{after}", changed


_TEXT = {
    # `1e-07` is `1e-7` in the text form of `types.cast`.
    "float64": r"regexp_replace({0}::text, 'e([+-])0', 'e\1')",
    "time64": "to_char({0}, 'HH24:MI:SS.US')",
    "timestamp": """to_char({0} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
    "naive": """to_char({0}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
}
