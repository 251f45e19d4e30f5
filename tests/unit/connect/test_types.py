"""The lattice, and that no value is lost on it. Numbers are those of the loading cases."""

import datetime as dt
import random
from decimal import Decimal

import pyarrow as pa
import pytest

from headwater.connect import types
from headwater.connect.types import BIG_INTEGER, BOOL, DATE, FLOAT64, INT64, STRING, TIME, TIMESTAMP

MONEY = pa.decimal128(12, 2)


@pytest.mark.parametrize(
    ("old", "new", "both"),
    [
        (INT64, INT64, INT64),
        (INT64, FLOAT64, FLOAT64),  # 120
        (INT64, MONEY, pa.decimal128(21, 2)),
        (INT64, STRING, STRING),  # 121
        (BOOL, STRING, STRING),
        (FLOAT64, INT64, None),  # 122
        (STRING, INT64, None),  # 123
        (BOOL, INT64, None),
        (DATE, TIMESTAMP, TIMESTAMP),  # 124
        (TIMESTAMP, DATE, None),
        (TIMESTAMP, STRING, STRING),  # 125
        (TIME, STRING, STRING),
        (BIG_INTEGER, INT64, BIG_INTEGER),
        (MONEY, FLOAT64, MONEY),
        (FLOAT64, MONEY, MONEY),
        (MONEY, pa.decimal128(10, 4), pa.decimal128(14, 4)),
    ],
)
def test_the_lattice(old, new, both):
    assert types.widen(old, new) == both


def test_every_rule_of_the_lattice_is_what_widen_does():
    examples = {
        "bool": BOOL,
        "int64": INT64,
        "float64": FLOAT64,
        "string": STRING,
        "date32": DATE,
        "time64": TIME,
        "timestamp": TIMESTAMP,
        "decimal": MONEY,
    }
    other = {**examples, "decimal": pa.decimal128(20, 10)}
    for rule in types.LATTICE:
        assert types.kind(types.widen(examples[rule.old], other[rule.new])) == rule.to
        if rule.stored == "always":
            to = types.widen(examples[rule.old], other[rule.new])
            assert types.is_sure(examples[rule.old], to)


@pytest.mark.parametrize(
    ("value", "old", "text"),
    [
        (5, INT64, "5"),
        (True, BOOL, "true"),
        (0.1, FLOAT64, "0.1"),
        (Decimal("0.000000001"), pa.decimal128(38, 9), "0.000000001"),
        (dt.date(2024, 1, 31), DATE, "2024-01-31"),
        (dt.datetime(2024, 1, 31, 10, tzinfo=dt.UTC), TIMESTAMP, "2024-01-31T10:00:00.000000Z"),
    ],
)
def test_values_as_text(value, old, text):
    assert types.cast(pa.array([value, None], old), STRING).to_pylist() == [text, None]


@pytest.mark.parametrize(
    ("value", "old", "to"),
    [
        (2**53 + 1, INT64, FLOAT64),
        (0.1234567890123, FLOAT64, pa.decimal128(38, 9)),
        (1e300, FLOAT64, pa.decimal128(38, 9)),
        (Decimal("0.1234567890123456789"), pa.decimal128(38, 19), FLOAT64),
        (Decimal(10**20), BIG_INTEGER, pa.decimal128(38, 19)),
        ("35", STRING, pa.decimal128(38, 37)),
        ("4E38", STRING, BIG_INTEGER),
        ("1e-30", STRING, MONEY),
    ],
)
def test_what_would_change_a_value_is_refused(value, old, to):
    with pytest.raises(pa.ArrowInvalid):
        types.cast(pa.array([value], old), to)


@pytest.mark.parametrize("seed", range(20))
def test_no_cast_between_numbers_changes_one(seed):
    dice = random.Random(seed)  # noqa: S311 - a seeded test
    decimals = [pa.decimal128(38, scale) for scale in (0, 18, 37)] + [MONEY]
    for _ in range(100):
        digits = "".join(dice.choices("0123456789", k=dice.randint(1, 45)))
        text = (
            dice.choice(["", "-"])
            + digits
            + dice.choice(["", f".{dice.randint(0, 10**9)}", f"e{dice.randint(-60, 60)}"])
        )
        for middle in decimals:
            for to in (*decimals, INT64, FLOAT64, STRING):
                try:
                    value = types.cast(types.cast(pa.array([text]), middle), to)[0].as_py()
                except pa.ArrowInvalid:
                    continue
                assert Decimal(repr(value) if isinstance(value, float) else value) == Decimal(text)


def test_a_field_says_what_was_declared():
    assert types.declared(pa.field("a", STRING)) == "string"
    assert types.declared(pa.field("a", STRING, metadata={types.DECLARED: b"int64"})) == "int64"
