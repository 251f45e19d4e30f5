from __future__ import annotations

import datetime as dt
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest

from headwater.connect import types
from headwater.connect.destinations.duckdb.sql_types import conversion, field_of, sql_type

SAMPLES = {
    pa.bool_(): [True, False, None],
    pa.int64(): [5, -7, 2**62, None],
    pa.float64(): [5.0, 1.5, 1e300, 0.1, 1e16, 1e-7, -2.5e-310, None],
    pa.decimal128(10, 2): [Decimal("1.50"), Decimal("-0.01"), Decimal("0.00"), None],
    pa.date32(): [dt.date(2024, 1, 2), dt.date(1, 1, 1), dt.date(9999, 12, 31), None],
    pa.time64("us"): [dt.time(1, 2, 3), dt.time(1, 2, 3, 45), None],
    pa.timestamp("us", "UTC"): [dt.datetime(2024, 1, 2, 3, 4, 5, 6, dt.UTC), dt.datetime(1, 1, 1, tzinfo=dt.UTC), None],
}


def stored(array, expression):
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.register("incoming", pa.table({"v": array}))
        connection.execute(f'create table t ("v" {sql_type(pa.field("v", array.type))})')
        connection.execute("insert into t from incoming")
        return connection.sql(f"select {expression} as v from t").to_arrow_table().column("v").to_pylist()


@pytest.mark.parametrize("data_type", SAMPLES, ids=str)
def test_stored_values_turn_into_the_text_that_new_values_turn_into(data_type):
    array = pa.array(SAMPLES[data_type], data_type)
    using, lossy = conversion('"v"', data_type, pa.string())
    assert lossy is None
    assert stored(array, using) == types.cast(array, pa.string()).to_pylist()


@pytest.mark.parametrize(
    ("old", "new", "values", "changed"),
    [
        (pa.int64(), pa.float64(), [1, 2**53 + 1, None], [False, True, False]),
        (pa.int64(), pa.decimal128(5, 2), [999, 1000], [False, True]),
        (pa.float64(), pa.decimal128(10, 2), [1.25, 0.1, 1.005, 1e300, None], [False, False, True, True, False]),
        (pa.decimal128(38, 0), pa.decimal128(38, 9), [Decimal(1), Decimal(10**37)], [False, True]),
    ],
)
def test_a_value_that_would_change_is_found(old, new, values, changed):
    _, lossy = conversion('"v"', old, new)
    assert stored(pa.array(values, old), lossy) == changed


@pytest.mark.parametrize("data_type", [*SAMPLES, pa.string(), pa.binary(), pa.decimal128(38, 9)], ids=str)
def test_types_go_there_and_back(data_type):
    assert field_of(sql_type(pa.field("v", data_type))).type == data_type
