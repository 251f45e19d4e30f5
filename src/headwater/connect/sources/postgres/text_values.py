"""Values as PostgreSQL writes them in text, as Arrow: what the log holds becomes what a copy makes of the table."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from headwater.connect.sources.postgres import columns

# What a date, a moment and a time of the contract look like; infinity, years BC and those of five digits do not.
_DATE = r"^\d{4}-\d\d-\d\d$"
_MOMENT = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?(\+00)?$"
_TIME = r"^([01]\d|2[0-3]):\d\d:\d\d(\.\d+)?$"


def converted(source: columns.Source, wanted: columns.Column, texts: pa.Array) -> tuple[pa.Array, int]:
    """The texts of `source` as the column's type, and how many of them it can't hold: those become null. The session
    that wrote them has the time zone UTC and dates like ISO's."""
    to = wanted.field.type
    if pa.types.is_decimal(to) or pa.types.is_string(to):
        return columns.converted(wanted, texts)
    if pa.types.is_boolean(to):
        return pc.equal(texts, "t"), 0
    if pa.types.is_binary(to):
        # Arrow (26) reads no hex digits.
        return pa.array([None if text is None else bytes.fromhex(text[2:]) for text in texts.to_pylist()], to), 0
    if pa.types.is_date(to):
        held, lost = _like(texts, _DATE)
        return held.cast(to), lost
    if pa.types.is_time(to):
        held, lost = _like(texts, _TIME)
        # Arrow (26) reads no times of day.
        return pc.binary_join_element_wise("1970-01-01", held, " ").cast(pa.timestamp("us")).cast(to), lost
    if pa.types.is_timestamp(to):
        held, lost = _like(texts, _MOMENT)
        plain = pc.replace_substring(held, "+00", "", max_replacements=1)
        return plain.cast(pa.timestamp("us")).cast(to), lost
    # Of a `real` the value, which its text is short for.
    return (texts.cast(pa.float32()) if source.base == "float4" else texts).cast(to), 0


def _like(texts: pa.Array, pattern: str) -> tuple[pa.Array, int]:
    fits = pc.match_substring_regex(texts, pattern)
    if pc.all(fits).as_py() is not False:
        return texts, 0
    return pc.if_else(fits, texts, pa.scalar(None, texts.type)), pc.sum(pc.invert(fits)).as_py()
