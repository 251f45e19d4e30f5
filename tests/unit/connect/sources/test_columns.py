"""Columns of a source's own code: any Arrow type comes in, types only get wider, no value changes."""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal

import pyarrow as pa
import pytest

from headwater.base.errors import RunFailedError
from headwater.connect import types
from headwater.connect.sources.columns import Columns, wider
from headwater.sources.rows import batch_of


def taken(*blocks):
    """The type of `x` after each block of its values, and the values as they were delivered."""
    columns = Columns("s", {})
    found = []
    for values in blocks:
        batch, _ = columns.take(batch_of([{"x": value} for value in values]))
        if "x" in batch.schema.names:
            found.append((str(batch.schema.field("x").type), batch.column("x").to_pylist()))
    return found


@pytest.mark.parametrize(
    ("blocks", "last"),
    [
        (([1], [None], [2]), ("int64", [2])),
        (([1], [2.5]), ("double", [2.5])),
        (([2.5], [1]), ("double", [1.0])),
        (([2.5], [2**53 + 1]), ("string", ["9007199254740993"])),
        (([1], [2**70]), ("decimal128(38, 0)", [2**70])),
        (([2**70], [1]), ("decimal128(38, 0)", [1])),
        (([Decimal("1.5")], [2]), ("decimal128(20, 1)", [Decimal("2.0")])),
        (([True], [1]), ("string", ["1"])),
        (([dt.date(2026, 1, 1)], ["x"]), ("string", ["x"])),
        (([1], ["x"], [2]), ("string", ["2"])),
        ((["x"], [[1]]), ("string", ["[1]"])),
        (([[1]], ["x"]), ("string", ['"x"'])),
    ],
)
def test_a_type_only_gets_wider(blocks, last):
    assert taken(*blocks)[-1] == last


def test_a_column_appears_with_its_first_value():
    assert taken([None], [None]) == []


def test_bytes_among_texts_are_refused():
    with pytest.raises(RunFailedError, match="`x` of stream `s` holds bytes and other values"):
        taken(["x"], [b"\xff"])


DRAWN = [lambda r: r.randint(-9, 9), lambda r: r.random(), lambda r: 2**60 + r.randint(0, 9), lambda r: None]
DRAWN += [lambda r: Decimal(r.randint(0, 999)) / 100, lambda r: str(r.randint(0, 9)), lambda r: r.random() < 0.5]


@pytest.mark.parametrize("seed", range(200))
def test_whatever_comes_no_value_is_lost(seed):
    drawn = random.Random(seed)  # noqa: S311 - a test that can be played again
    blocks = [[drawn.choice(DRAWN)(drawn) for _ in range(drawn.randint(1, 4))] for _ in range(4)]
    columns = Columns("s", {})
    for block in blocks:
        before = columns.schema
        batch, _ = columns.take(batch_of([{"x": value} for value in block]))
        if "x" not in batch.schema.names:
            continue
        for given, found in zip(block, batch.column("x").to_pylist(), strict=True):
            assert (given is None) == (found is None)
            if given is not None:
                assert found == given or str(found) in (str(given), str(given).lower()) or Decimal(found) == given
        if "x" in before.names and before.field("x").type != batch.schema.field("x").type:
            assert types.widening(before.field("x").type, batch.schema.field("x").type) is not None


@pytest.mark.parametrize(
    ("array", "kind", "values"),
    [
        (pa.array([1], pa.int8()), "int64", [1]),
        (pa.array([2**64 - 1], pa.uint64()), "decimal128(20, 0)", [2**64 - 1]),
        (pa.array([1.5], pa.float32()), "double", [1.5]),
        (pa.array(["a"], pa.large_string()), "string", ["a"]),
        (pa.array(["a"]).dictionary_encode(), "string", ["a"]),
        (pa.array([b"a"], pa.binary(1)), "binary", [b"a"]),
        (pa.array([[1, 2]]), "string", ["[1,2]"]),
        (pa.array([1], pa.timestamp("s")), "timestamp[us, tz=UTC]", [dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC)]),
        (pa.array([86_400_000], pa.date64()), "date32[day]", [dt.date(1970, 1, 2)]),
        (pa.array([61], pa.time32("s")), "time64[us]", [dt.time(0, 1, 1)]),
        (pa.array([90], pa.duration("s")), "string", ["0:01:30"]),
    ],
)
def test_tables_may_have_any_arrow_type(array, kind, values):
    batch, repaired = Columns("s", {}).take(pa.record_batch({"x": array}))
    assert (str(batch.schema.field("x").type), batch.column("x").to_pylist(), repaired) == (kind, values, {})


def test_structs_flatten_and_lost_nanoseconds_are_counted():
    columns = Columns("s", {})
    batch, repaired = columns.take(
        pa.record_batch({"a": pa.array([{"b": 1}, None]), "t": pa.array([1000, 1001], pa.timestamp("ns"))})
    )
    assert (batch.schema.names, repaired) == (["a__b", "t"], {"t": 1})


def test_columns_are_remembered():
    columns = Columns("s", {})
    columns.take(batch_of([{"a": 1, "b": Decimal("1.5"), "c": [1]}]))
    assert columns.named() == {"a": "int64", "b": "decimal(2,1)", "c": "json"}
    assert Columns("s", columns.named()).schema.equals(columns.schema, check_metadata=True)


def test_wider_is_never_narrower():
    assert wider(types.INT64, types.FLOAT64) == types.FLOAT64
    assert wider(types.FLOAT64, types.INT64) == types.FLOAT64
    assert wider(types.DATE, types.INT64) == types.STRING
