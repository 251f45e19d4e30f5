"""Rows as batches: the narrowest type that changes no value."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import pyarrow as pa
import pytest

from headwater.sources import Bookmark
from headwater.sources.rows import MISSING, Pace, RowError, batch_of, pieces

UTC = dt.UTC
DAY, NOON = dt.date(2026, 1, 1), dt.datetime(2026, 1, 1, 12, tzinfo=UTC)


class Colour(enum.Enum):
    RED = "red"


def column(*values):
    array = batch_of([{"x": value} for value in values]).column("x")
    return str(array.type), array.to_pylist()


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        ((1, None), "int64", [1, None]),
        ((True, False), "bool", [True, False]),
        ((1, 2.5), "double", [1.0, 2.5]),
        ((2**53 + 1, 2.5), "string", ["9007199254740993", "2.5"]),
        ((2**70,), "decimal128(38, 0)", [2**70]),
        ((10**40,), "string", [str(10**40)]),
        ((1, "a"), "string", ["1", "a"]),
        ((True, 1), "string", ["true", "1"]),
        ((Decimal("1.50"), 2), "decimal128(3, 2)", [Decimal("1.50"), Decimal("2.00")]),
        ((Decimal("NaN"),), "string", ["NaN"]),
        ((Decimal("0.1"), 0.1), "string", ["0.1", "0.1"]),
        ((DAY,), "date32[day]", [DAY]),
        ((DAY, NOON), "timestamp[us, tz=UTC]", [dt.datetime(2026, 1, 1, tzinfo=UTC), NOON]),
        ((NOON.replace(tzinfo=None),), "timestamp[us, tz=UTC]", [NOON]),
        ((NOON, "soon"), "string", ["2026-01-01T12:00:00.000000Z", "soon"]),
        ((dt.time(1, 2),), "time64[us]", [dt.time(1, 2)]),
        ((b"\0",), "binary", [b"\0"]),
        ((uuid.UUID(int=1),), "string", ["00000000-0000-0000-0000-000000000001"]),
        ((Colour.RED,), "string", ["red"]),
        (([1, "a"], None), "string", ['[1,"a"]', None]),
        (({"a": 1}, 2), "string", ['{"a":1}', "2"]),
        (({},), "string", ["{}"]),
        ((None,), "null", [None]),
    ],
)
def test_a_column_has_the_narrowest_type_that_changes_no_value(values, kind, found):
    assert column(*values) == (kind, found)


def test_objects_become_columns():
    batch = batch_of([{"a": {"b": 1, "c": {"d": "x"}}}, {"a": None}])
    assert batch.to_pylist() == [{"a__b": 1, "a__c__d": "x"}, {"a__b": None, "a__c__d": None}]


def test_a_field_that_was_not_sent_is_told_from_one_that_is_null():
    batch = batch_of([{"a": 1, "b": None}, {"a": 2}])
    assert batch.column(MISSING).to_pylist() == [None, ["b"]]


def test_a_row_may_be_an_object_with_fields():
    @dataclass
    class One:
        a: int

    class Two(NamedTuple):
        a: int
        b: str

    found = list(pieces([One(1), Two(2, "x"), {"a": 3}], None, Pace(1 << 20)))
    assert [row["a"] for batch in found for row in batch.to_pylist()] == [1, 2, 3]


def test_pages_tables_and_bookmarks_keep_their_order():
    table = pa.table({"a": [3, 4]})
    found = list(pieces([{"a": 0}, Bookmark(1), [{"a": 1}, {"a": 2}], table, Bookmark(2)], None, Pace(1 << 20)))
    assert [one.value if isinstance(one, Bookmark) else one.column("a").to_pylist() for one in found] == [
        [0],
        1,
        [1, 2],
        [3, 4],
        2,
    ]


def test_rows_before_an_error_come_before_it():
    def failing():
        yield {"a": 1}
        yield {"a": 2}
        raise ValueError

    found = []
    with pytest.raises(ValueError):
        found.extend(pieces(failing(), None, Pace(1 << 20)))
    assert [row["a"] for batch in found for row in batch.to_pylist()] == [1, 2]


def test_batches_are_bounded_by_bytes():
    sizes = [batch.nbytes for batch in pieces(({"a": "x" * 1000} for _ in range(5000)), None, Pace(100_000))]
    assert max(sizes) < 150_000
    assert len(sizes) < 100


def test_a_large_table_comes_in_parts():
    table = pa.table({"a": ["x" * 100] * 10_000})
    parts = list(pieces([table], None, Pace(100_000)))
    assert max(batch.nbytes for batch in parts) <= 110_000
    assert sum(batch.num_rows for batch in parts) == 10_000


def test_what_is_no_row_is_refused():
    with pytest.raises(RowError, match="a row is a `int`"):
        list(pieces([5], None, Pace(1000)))


DECLARED = pa.schema(
    [("id", pa.int64()), ("at", pa.timestamp("us", "UTC")), ("price", pa.decimal128(38, 9)), ("share", pa.float64())]
)


def test_a_declared_column_reads_iso_texts_and_numbers():
    batch = batch_of([{"id": 1, "at": "2026-01-01T12:00:00Z", "price": 1.1, "share": 1}], DECLARED)
    assert batch.to_pylist() == [{"id": 1, "at": NOON, "price": Decimal("1.100000000"), "share": 1.0}]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"id": "1"}, "it is of type `str`"),
        ({"id": 1.5}, "it is of type `float`"),
        ({"id": True}, "it is of type `bool`"),
        ({"id": 2**70}, "`id` is declared as int64"),
        ({"at": "soon"}, "Invalid isoformat string"),
        ({"price": Decimal("0.1234567891")}, "more than 9 decimal places"),
        ({"share": 2**53 + 1}, "an integer is not exact as a double"),
    ],
)
def test_a_value_that_does_not_fit_its_declared_type_is_refused(row, why):
    with pytest.raises(RowError, match=why):
        batch_of([row], DECLARED)
