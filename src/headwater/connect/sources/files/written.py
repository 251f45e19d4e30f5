"""Numbers and dates as people write them: a decimal comma, days in an order of their own. Else as `text_types` has it.

A value counts only when it is written in just that form: a `30.02.2024` is no date, a `1.234` no number where the
comma is the decimal sign.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from headwater.connect.sources import text_types
from headwater.connect.sources.files.dialect import Dialect
from headwater.connect.sources.text_types import NOTHING, TEXT, TIMESTAMP, Kind, Look, Seen

_ZEROS = r"(^|[^0-9])0+([0-9])"
_NO_TEXT = pa.scalar(None, pa.string())


def is_plain(dialect: Dialect) -> bool:
    return dialect.decimal == "." and not dialect.date_format and not dialect.timestamp_format


def looked_at(values: pa.Array, dialect: Dialect) -> Look:
    """As in `text_types`."""
    if is_plain(dialect):
        return text_types.looked_at(values)
    values = values.drop_null()
    if not len(values):
        return NOTHING
    if dialect.date_format and not _days(values, dialect.date_format).null_count:
        return Look(Kind.DATE)
    if dialect.timestamp_format and not _instants(values, dialect.timestamp_format).null_count:
        return Look(Kind.TIMESTAMP)
    is_comma = dialect.decimal == ","
    points = is_comma and _any(pc.match_substring(values, "."))
    look = text_types.looked_at(_with_points(values) if is_comma and not points else values)
    if look.kind is Kind.NUMBER and points:
        return TEXT
    if look.kind is Kind.DATE and dialect.date_format:
        return TEXT
    if look.kind is Kind.TIMESTAMP and (
        dialect.timestamp_format or (dialect.date_format and _any(pc.less(pc.binary_length(values), 11)))
    ):
        return TEXT
    return look


def fitted(values: pa.Array, look: Look, dialect: Dialect) -> Seen | None:
    """As in `text_types`."""
    if is_plain(dialect) or look.kind is Kind.TEXT:
        return text_types.fitted(values, look)
    kind = text_types.field_of("", look).type
    both = text_types.joined(look, looked_at(values, dialect))
    if text_types.field_of("", both).type != kind:
        return None
    return Seen(both, converted(values, kind, dialect))


def converted(values: pa.Array, kind: pa.DataType, dialect: Dialect) -> pa.Array:
    """As in `text_types`."""
    is_ = pa.types
    if is_plain(dialect) or not (is_.is_temporal(kind) or is_.is_floating(kind) or is_.is_decimal(kind)):
        return text_types.converted(values, kind)
    if not is_.is_temporal(kind):
        return text_types.converted(_with_points(values) if dialect.decimal == "," else values, kind)
    found = pa.nulls(len(values), kind)
    if dialect.timestamp_format and is_.is_timestamp(kind):
        found = _instants(values, dialect.timestamp_format)
    if dialect.date_format:
        days = _days(values, dialect.date_format)
        found = pc.coalesce(found, _midnights(days) if is_.is_timestamp(kind) else days)
    left = pc.if_else(found.is_valid(), _NO_TEXT, values)
    return pc.coalesce(found, text_types.converted(left, kind))


def _with_points(values: pa.Array) -> pa.Array:
    return pc.replace_substring(values, ",", ".")


def _days(values: pa.Array, form: str) -> pa.Array:
    return pc.cast(_parsed(values, form), pa.date32())


def _instants(values: pa.Array, form: str) -> pa.Array:
    parsed = _parsed(values, form)
    return pc.cast(parsed if parsed.type.tz else pc.assume_timezone(parsed, "UTC"), TIMESTAMP)


def _midnights(days: pa.Array) -> pa.Array:
    return pc.assume_timezone(days.cast(pa.timestamp("us")), "UTC").cast(TIMESTAMP)


def _parsed(values: pa.Array, form: str) -> pa.Array:
    """Null where a text is not of that form. Arrow takes the 30th of February for the 1st of March, and a year of two
    digits for one of four: what is not written back as it was, but for zeros before a number, does not count."""
    found = pc.strptime(values, format=form, unit="s", error_is_null=True)
    back = pc.strftime(found, format=form)
    same = pc.equal(_bare(back), _bare(values))
    if "%Y" in form:
        same = pc.and_(same, pc.greater_equal(pc.year(found), 1000))
    return pc.if_else(pc.fill_null(same, fill_value=False), found, pa.scalar(None, found.type))


def _bare(values: pa.Array) -> pa.Array:
    return pc.utf8_lower(pc.replace_substring_regex(values, _ZEROS, r"\1\2"))


def _any(condition: pa.Array) -> bool:
    return bool(pc.any(condition, min_count=0).as_py())
