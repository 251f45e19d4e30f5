"""Every value's text in JSON lines, beside what Python's own reader makes of it."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pyarrow as pa
import pytest

from headwater.connect.contract import JSON_FIELD
from headwater.connect.destinations import json_text, lines

EVERYTHING = "".join(map(chr, [*range(0x250), 0x2028, 0x1F600]))


def written(values, data_type, *, name="v", metadata=None):
    array = pa.array(values, data_type)
    text = json_text.lines([(pa.field(name, data_type, metadata=metadata), array)], lines.base64)
    return text.to_pylist()


@pytest.mark.parametrize(
    ("data_type", "value", "text"),
    [
        (pa.bool_(), True, "true"),
        (pa.int64(), -(2**63), "-9223372036854775808"),
        (pa.float64(), 5.0, "5.0"),
        (pa.float64(), 0.1, "0.1"),
        (pa.float64(), 1e300, "1e+300"),
        (pa.float64(), -0.0, "-0.0"),
        (pa.float64(), float("nan"), "null"),
        (pa.float64(), float("-inf"), "null"),
        (pa.decimal128(38, 2), Decimal("123456789012345678901234567890.10"), "123456789012345678901234567890.10"),
        (pa.decimal128(38, 9), Decimal("0.000000001"), "0.000000001"),
        (pa.date32(), dt.date(1, 1, 31), '"0001-01-31"'),
        (pa.time64("us"), dt.time(10, 0), '"10:00:00"'),
        (pa.time64("us"), dt.time(10, 0, 0, 500_000), '"10:00:00.5"'),
        (pa.time64("us"), dt.time(10, 0, 30), '"10:00:30"'),
        (pa.timestamp("us", "UTC"), dt.datetime(1, 1, 1, tzinfo=dt.UTC), '"0001-01-01T00:00:00.000000Z"'),
        (pa.timestamp("us", "UTC"), dt.datetime(1969, 12, 31, 23, 59, 59, 5, dt.UTC), '"1969-12-31T23:59:59.000005Z"'),
        (pa.binary(), b"\xff\x00", '"/wA="'),
        (pa.string(), "", '""'),
        (pa.string(), "null", '"null"'),
        (pa.string(), 'a"b\\c\n\t\x01/é', '"a\\"b\\\\c\\n\\t\\u0001/é"'),
    ],
)
def test_a_value_has_one_text_with_nulls_beside_it_and_without(data_type, value, text):
    assert written([value], data_type) == [f'{{"v":{text}}}\n']
    assert written([None, value, None], data_type) == ['{"v":null}\n', f'{{"v":{text}}}\n', '{"v":null}\n']


def test_every_character_is_read_back():
    texts = [EVERYTHING, EVERYTHING[::-1], '\\"', "\\n", "\n"]
    found = written(texts, pa.string())
    assert [json.loads(line)["v"] for line in found] == texts
    assert all(line.count("\n") == 1 for line in found)


def test_json_stands_as_it_is_but_on_one_line():
    assert written(['{"a": 1.0,\r\n"b":"\\n"}', None], pa.string(), metadata=JSON_FIELD) == [
        '{"v":{"a": 1.0,  "b":"\\n"}}\n',
        '{"v":null}\n',
    ]


@pytest.mark.parametrize("name", ['say "hi"', "a\\b", "é\n", ""])
def test_names_are_escaped(name):
    assert [json.loads(line) for line in written(["x"], pa.string(), name=name)] == [{name: "x"}]


def test_slices_and_several_columns():
    table = pa.RecordBatch.from_pydict({"a": ["x", 'y"', None], "b": [1, None, 3], "c": ["", "z", "w"]})
    columns = list(zip(table.schema, table.slice(1).columns, strict=True))
    assert json_text.lines(columns, lines.base64).to_pylist() == [
        '{"a":"y\\"","b":null,"c":"z"}\n',
        '{"a":null,"b":3,"c":"w"}\n',
    ]


def test_values_without_a_form_are_counted():
    values = pa.array([1.0, float("nan"), None, float("inf")])
    assert (
        json_text.lost([(pa.field("v", pa.float64()), values), (pa.field("w", pa.string()), pa.array(["x"] * 4))]) == 2
    )
