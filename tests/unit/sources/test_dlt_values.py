"""Settings as arguments of dlt's functions, and what its column hints say of rows."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from headwater.sources.dlt_values import Coercion, argument, declared
from headwater.sources.rows import JSON_FIELD

HINTS = {
    "id": {"name": "id", "data_type": "bigint"},
    "at": {"name": "at", "data_type": "timestamp"},
    "day": {"name": "day", "data_type": "date"},
    "raw": {"name": "raw", "data_type": "json"},
}


class Resource:
    """What is asked of a resource."""

    def compute_table_schema(self):
        return {"columns": HINTS}


class Dynamic:
    """Its hints depend on the row."""

    def compute_table_schema(self):
        raise ValueError("an item is needed")


@pytest.mark.parametrize(
    ("hint", "given", "expected"),
    [
        (dt.date, "2026-01-02", dt.date(2026, 1, 2)),
        (dt.datetime | None, "2026-01-02T03:04:05", dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)),
        (Decimal, 1.5, Decimal("1.5")),
        (str, 5, "5"),
        ("Unknown", "as it is", "as it is"),
        (list[str], ["a"], ["a"]),
    ],
)
def test_a_setting_is_handed_on_as_the_parameter_asks(hint, given, expected):
    assert argument(hint, given) == expected


def test_hints_count_where_they_say_more_than_values():
    schema = declared(HINTS)
    assert [(field.name, str(field.type)) for field in schema] == [
        ("at", "timestamp[us, tz=UTC]"),
        ("day", "date32[day]"),
        ("raw", "string"),
    ]
    assert schema.field("raw").metadata == JSON_FIELD
    assert declared({"id": {"data_type": "bigint"}}) is None


def test_a_number_in_a_moments_place_is_seconds():
    rows = Coercion(Resource()).of([{"at": 1_700_000_000}, {"at": "2026-01-01T00:00:00Z"}, {}])
    assert rows == [{"at": dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC)}, {"at": "2026-01-01T00:00:00Z"}, {}]


def test_hints_that_only_a_row_can_tell_declare_nothing():
    coercion = Coercion(Dynamic())
    assert (coercion.schema, coercion.of([{"at": 1}])) == (None, [{"at": 1}])
