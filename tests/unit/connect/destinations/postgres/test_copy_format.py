"""What is encoded is what PostgreSQL reads."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import pyarrow as pa
import pytest

from headwater.connect.destinations.postgres import copy_format
from headwater.connect.destinations.postgres.sql_types import sql_type


def test_a_row_is_a_count_of_fields_and_each_field_a_length_and_bytes():
    columns = [(pa.array([1, None]), "bigint"), (pa.array(["é", "x"]), "text"), (pa.array(["{}", None]), "jsonb")]
    first = b"\x00\x03", b"\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x01", b"\x00\x00\x00\x02\xc3\xa9"
    second = b"\x00\x00\x00\x03\x01{}", b"\x00\x03", b"\xff\xff\xff\xff", b"\x00\x00\x00\x01x", b"\xff\xff\xff\xff"
    assert copy_format.rows(columns).to_pybytes() == b"".join((*first, *second))


def test_neighbours_of_any_size_stand_side_by_side():
    columns = [
        (pa.array([dt.date(2000, 1, 2), dt.date(1999, 12, 31)]), "date"),
        (pa.array([1, -2]), "bigint"),
        (pa.array([3, 4]), "bigint"),
        (pa.array([True, None]), "boolean"),
        (pa.array([1.5, -0.0]), "double precision"),
        (pa.nulls(2, pa.string()), "text"),
        (pa.array([None, dt.date(2000, 1, 1)]), "date"),
        (pa.array([None, Decimal("-1.25")], pa.decimal128(5, 2)), "numeric(5, 2)"),
    ]
    null, eight = b"\xff" * 4, (8).to_bytes(4, "big")
    first = (
        b"\x00\x08\x00\x00\x00\x04\x00\x00\x00\x01" + eight + bytes(7) + b"\x01" + eight + bytes(7) + b"\x03",
        b"\x00\x00\x00\x01\x01" + eight + b"\x3f\xf8" + bytes(6) + null * 3,
    )
    second = (
        b"\x00\x08\x00\x00\x00\x04" + null + eight + b"\xff" * 7 + b"\xfe" + eight + bytes(7) + b"\x04",
        null + eight + b"\x80" + bytes(7) + null + b"\x00\x00\x00\x04" + bytes(4),
        b"\x00\x00\x00\x10\x00\x04\x00\x02\x40\x00\x00\x02" + bytes(4) + b"\x00\x01\x09\xc4",
    )
    assert copy_format.rows(columns).to_pybytes() == b"".join((*first, *second))
    assert copy_format.rows([(values.slice(1), sql) for values, sql in columns]).to_pybytes() == b"".join(second)
    assert copy_format.rows([(values.slice(0, 1), sql) for values, sql in columns]).to_pybytes() == b"".join(first)


def test_rows_of_nothing_but_nulls_are_as_many_as_came():
    columns = [(pa.nulls(2, pa.int64()), "bigint"), (pa.nulls(2, pa.string()), "jsonb")]
    assert copy_format.rows(columns).to_pybytes() == (b"\x00\x02" + b"\xff" * 8) * 2


def returned(shop, values, data_type):
    sql = sql_type(pa.field("", data_type))
    array = pa.array([values[0], *values], data_type)[1:]  # a slice, as batches are cut
    order = pa.array(range(len(values)), pa.int64())
    with shop.server.connect("unit") as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"create temp table t (o bigint, v {sql})")
        with connection.cursor().copy("copy t from stdin (format binary)") as copy:
            copy.write(copy_format.HEADER)
            copy.write(memoryview(copy_format.rows([(order, "bigint"), (array, sql)])))
            copy.write(copy_format.TRAILER)
        return [value for (value,) in connection.execute("select v from t order by o")]


@pytest.mark.parametrize(
    ("data_type", "values"),
    [
        (pa.int64(), [0, -1, 2**63 - 1, -(2**63)]),
        (pa.float64(), [0.0, 0.1, math.inf, -math.inf, 1e300, 5e-324]),
        (pa.bool_(), [True, False]),
        (pa.string(), ["", "é😈", "\\N", "x" * 100_000]),
        (pa.binary(), [b"", b"\0\xff"]),
        (pa.date32(), [dt.date(1, 1, 1), dt.date(1999, 12, 31), dt.date(9999, 12, 31)]),
        (pa.time64("us"), [dt.time(0), dt.time(23, 59, 59, 999999)]),
        (
            pa.timestamp("us", "UTC"),
            [dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime(9999, 12, 31, 23, 59, 59, 999999, dt.UTC)],
        ),
    ],
    ids=str,
)
def test_every_type_arrives_exactly_with_nulls_and_without(shop, data_type, values):
    assert returned(shop, values, data_type) == values
    assert returned(shop, [*values, None, values[0]], data_type) == [*values, None, values[0]]


def test_not_a_number_arrives(shop):
    assert math.isnan(returned(shop, [math.nan], pa.float64())[0])


@pytest.mark.parametrize("precision", [1, 2, 4, 5, 12, 15, 16, 17, 18, 19, 20, 31, 32, 33, 37, 38])
def test_decimals_of_every_size_arrive_digit_by_digit(shop, precision):
    digits = "98765432109876543210987654321098765432"[:precision]
    for scale in {0, 1, 2, 3, 4, precision // 2, precision}:
        if scale > precision:
            continue
        values = [
            Decimal((sign, tuple(map(int, text)), -scale))
            for sign in (0, 1)
            for text in (digits, "1", "10000"[:precision])
        ]
        found = returned(shop, [*values, Decimal((0, (0,), -scale)), None], pa.decimal128(precision, scale))
        assert [None if value is None else value.as_tuple() for value in found][:-2] == [v.as_tuple() for v in values]
        assert found[-2:] == [0, None]
