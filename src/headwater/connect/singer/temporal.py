"""ISO 8601 texts to dates, times and instants."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pyarrow.compute as pc

from headwater.connect import types

_FIRST_INSTANT = -62_135_596_800_000_000  # 0001-01-01T00:00:00Z in µs
_LAST_INSTANT = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z


def dates(strings: pa.Array) -> pa.Array | None:
    try:
        dates = strings.cast(types.DATE)
    except pa.ArrowInvalid:
        return None
    years = pc.year(dates)
    return dates if pc.all(pc.greater_equal(years, 1)).as_py() is not False else None


def times(strings: pa.Array) -> pa.Array | None:
    try:
        return pc.binary_join_element_wise("1970-01-01T", strings, "").cast(pa.timestamp("us")).cast(types.TIME)
    except pa.ArrowInvalid:
        return None


def timestamps(strings: pa.Array, *, exact: bool) -> tuple[pa.Array | None, int]:
    """ISO 8601 texts as instants and how many lost digits below a microsecond; None when one is something else.

    Without an offset they are UTC, whatever the machine's zone is.
    """
    instants = _by_arrow(strings)
    if instants is not None:
        return instants, 0
    below = pc.sum(pc.match_substring_regex(strings, r"\.\d{6}\d*[1-9]")).as_py() or 0
    if below and exact:
        return None, 0
    trimmed = pc.replace_substring_regex(strings, r"(\.\d{6})\d+", r"\1")
    instants = _by_arrow(trimmed)
    if instants is None:
        instants = _one_by_one(trimmed)
    return (instants, below) if instants is not None else (None, 0)


def _by_arrow(strings: pa.Array) -> pa.Array | None:
    for zone in (types.TIMESTAMP, pa.timestamp("us")):
        try:
            instants = strings.cast(zone)
        except pa.ArrowInvalid:
            continue
        numbers = instants.cast(types.INT64)
        span = pc.min_max(numbers)
        if len(strings) == strings.null_count or (
            span["min"].as_py() >= _FIRST_INSTANT and span["max"].as_py() <= _LAST_INSTANT
        ):
            return numbers.cast(types.TIMESTAMP)
        return None
    return None


_ISO = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)(?:[Tt ](\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d{1,6}))?)?)?)?"
    r"\s?([Zz]|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _one_by_one(strings: pa.Array) -> pa.Array | None:
    encoded = strings.dictionary_encode()
    micros: list[int] = []
    for text in encoded.dictionary.to_pylist():
        micro = _micros(text)
        if micro is None:
            return None
        micros.append(micro)
    return pa.array(micros, types.INT64).cast(types.TIMESTAMP).take(encoded.indices)


def _micros(text: str) -> int | None:
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    fraction, zone = (match[7] or "").ljust(6, "0"), match[8]
    offset = timedelta()
    if zone and zone not in "Zz":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:].lstrip(":") or 0)) * (-1 if zone[0] == "-" else 1)
    try:
        instant = datetime(year, month, day, hour, minute, second, int(fraction), timezone(offset)) - _EPOCH
    except (ValueError, OverflowError):
        return None
    micro = instant // timedelta(microseconds=1)
    return micro if _FIRST_INSTANT <= micro <= _LAST_INSTANT else None
