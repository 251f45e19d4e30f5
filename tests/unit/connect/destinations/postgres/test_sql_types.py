"""Stored values become what new values of the same kind become."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import pyarrow as pa
import pytest

from headwater.connect import types
from headwater.connect.destinations.postgres.sql_types import conversion, field_of, reached_sql, sql_type

MOMENT = dt.datetime(2026, 1, 31, 10, 0, 0, 5, dt.UTC)
SURE = [
    (types.BOOL, types.STRING, [True, False, None]),
    (types.INT64, types.STRING, [-5, 2**62]),
    (types.FLOAT64, types.STRING, [0.5, 5.0, 1e-7, 1e300, -2.5e-9]),
    (types.DATE, types.STRING, [dt.date(2026, 1, 31), dt.date(1, 1, 1)]),
    (types.TIME, types.STRING, [dt.time(1, 2, 3, 4), dt.time(1, 2)]),
    (types.TIMESTAMP, types.STRING, [MOMENT]),
    (pa.decimal128(10, 2), types.STRING, [Decimal("1.50"), Decimal("-0.01")]),
    (types.DATE, types.TIMESTAMP, [dt.date(2026, 1, 31)]),
    (types.INT64, types.BIG_INTEGER, [-(2**63), 2**63 - 1]),
]
CHECKED = [
    (types.INT64, pa.decimal128(10, 2), [12345678, 123456789, -99999999]),
    (types.INT64, types.FLOAT64, [2**53, 2**53 + 1, -(2**53)]),
    (pa.decimal128(20, 4), pa.decimal128(20, 6), [Decimal("1.5000"), Decimal("9999999999999999.9999")]),
    (types.FLOAT64, pa.decimal128(20, 2), [1.25, 1.125, 1e30, math.nan, math.inf, 0.1]),
]


@pytest.mark.parametrize(("old", "new", "values"), SURE, ids=lambda part: str(part)[:30])
def test_what_always_survives_looks_as_new_values_do(shop, old, new, values):
    column = pa.field("", new)
    using, lossy = conversion("v", sql_type(pa.field("", old)), column)
    assert lossy is None
    assert converted(shop, old, values, using) == types.cast(pa.array(values, old), new).to_pylist()


@pytest.mark.parametrize(("old", "new", "values"), CHECKED, ids=lambda part: str(part)[:30])
def test_what_may_not_survive_is_found_before(shop, old, new, values):
    using, lossy = conversion("v", sql_type(pa.field("", old)), pa.field("", new))
    assert converted(shop, old, values, f"coalesce(({lossy}), false)") == [not survives(v, old, new) for v in values]
    kept = [value for value in values if survives(value, old, new)]
    assert converted(shop, old, kept, using) == types.cast(pa.array(kept, old), new).to_pylist()


def survives(value, old, new):
    try:
        types.cast(pa.array([value], old), new)
    except pa.ArrowInvalid:
        return False
    return True


def converted(shop, old, values, sql):
    with shop.server.connect("unit") as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"create temp table t (o serial, v {sql_type(pa.field('', old))})")
        for value in values:
            connection.execute("insert into t (v) values (%s)", [value])
        return [value for (value,) in connection.execute(f"select {sql} from t order by o")]


@pytest.mark.parametrize("sql", ["json", "character varying", "timestamp without time zone", "text", "jsonb", "bytea"])
def test_types_of_other_tools_stay_when_they_will_do(sql):
    assert reached_sql(sql, field_of(sql)) == sql


@pytest.mark.parametrize("sql", ["character(3)", "interval", "text[]", "numeric(50,2)", "point"])
def test_types_without_a_like_are_not_touched(sql):
    assert field_of(sql) is None
