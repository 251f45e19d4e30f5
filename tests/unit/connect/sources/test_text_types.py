from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pytest

from headwater.connect.sources.text_types import converted, field_of, joined, looked_at

TYPES = [
    (["1", "-2", None], "int64"),
    (["9223372036854775807"], "int64"),
    (["9223372036854775808"], "decimal128(19, 0)"),
    (["1" * 39], "string"),
    (["007", "1"], "string"),
    (["+1"], "string"),
    (["0x1F"], "string"),
    ([" 1"], "string"),
    (["1.10", "2"], "double"),
    ([".5"], "double"),
    (["5."], "string"),
    (["1e3"], "double"),
    (["1e400"], "string"),
    (["3e-324"], "string"),
    (["10.357019999999999"], "double"),
    (["10.3570199999999990"], "double"),
    (["0.1000000000000000055511"], "decimal128(23, 22)"),
    (["12345678901234567890.123456789"], "decimal128(29, 9)"),
    (["9007199254740993", "0.5"], "decimal128(17, 1)"),
    (["9007199254740993"], "int64"),
    (["NaN"], "string"),
    (["1", "inf"], "string"),
    (["true", "FALSE"], "bool"),
    (["t", "f"], "string"),
    (["0", "1"], "int64"),
    (["2024-02-29", "0001-01-01"], "date32[day]"),
    (["2024-02-30"], "string"),
    (["0000-00-00"], "string"),
    (["20240101"], "int64"),
    (["2024-01-01 10:00"], "timestamp[us, tz=UTC]"),
    (["2024-01-01T10:00:00.123456+05:30"], "timestamp[us, tz=UTC]"),
    (["2024-01-01T10:00:00.1234567Z"], "string"),
    (["9999-12-31T23:59:59-01:00"], "string"),
    (["2024-01-01", "2024-01-01 10:00"], "timestamp[us, tz=UTC]"),
    (["10:00:00"], "string"),
    ([None, None], "string"),
    ([""], "string"),
]


@pytest.mark.parametrize(("texts", "kind"), TYPES)
def test_a_type_is_chosen_only_when_no_value_changes(texts: list[str | None], kind: str) -> None:
    assert str(field_of("c", looked_at(pa.array(texts, "string"))).type) == kind


@pytest.mark.parametrize(("texts", "kind"), TYPES)
def test_one_look_at_all_says_the_same_as_many_looks_joined(texts: list[str | None], kind: str) -> None:
    looks = [looked_at(pa.array([text] * 50, "string")) for text in texts]
    whole = looks[0]
    for look in looks[1:]:
        whole = joined(whole, look)
    assert str(field_of("c", whole).type) == kind


def test_a_value_that_differs_late_counts_as_much_as_the_first() -> None:
    assert str(field_of("c", looked_at(pa.array([*["1"] * 1000, "x"]))).type) == "string"


def test_a_time_without_a_zone_is_utc() -> None:
    texts = pa.array(["2024-01-01", "2024-01-01T10:00", "2024-01-01T10:00:00+05:30", "2024-01-01 10:00:00Z", None])
    instants = converted(texts, pa.timestamp("us", "UTC")).cast("string").to_pylist()
    assert instants == [
        "2024-01-01 00:00:00.000000Z",
        "2024-01-01 10:00:00.000000Z",
        "2024-01-01 04:30:00.000000Z",
        "2024-01-01 10:00:00.000000Z",
        None,
    ]


def test_decimals_never_pass_through_a_float() -> None:
    value = "12345678901234567890.123456789"
    column = field_of("c", looked_at(pa.array([value])))
    assert converted(pa.array([value]), column.type).to_pylist() == [Decimal(value)]
