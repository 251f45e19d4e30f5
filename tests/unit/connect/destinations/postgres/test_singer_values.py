"""What taps send, down to the stored value: the cases in which the database itself would change it."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pytest

from headwater.connect.contract import Rejected, Rows, Schema
from headwater.connect.singer.parse import ParseOptions, messages

INTEGER, NUMBER, TEXT = {"type": "integer"}, {"type": "number"}, {"type": "string"}
MOMENT = {"type": "string", "format": "date-time"}
ANY = {}


def loaded(shop, schema, *values, run_id="run-1"):
    """The stored values of a column `v` that was sent as these JSON texts."""
    shape = {"type": "object", "properties": {"id": INTEGER, "v": schema}}
    lines = [json.dumps({"type": "SCHEMA", "stream": "s", "schema": shape, "key_properties": ["id"]})]
    lines += [
        f'{{"type":"RECORD","stream":"s","record":{{"id":{number},"v":{value}}}}}'
        for number, value in enumerate(values)
    ]
    session = shop.open(run_id)
    for message in messages(["\n".join(lines).encode() + b"\n"], ParseOptions(), lambda _: None):
        match message:
            case Schema():
                session.prepare(message)
            case Rows():
                session.stage(message)
            case Rejected():
                session.reject(message)
    session.commit(None, final=True)
    session.close()
    return [value for (value,) in shop.sql("select v from shop.s order by id")]


def test_the_last_moment_there_is_does_not_become_year_10000(shop):
    last = dt.datetime(9999, 12, 31, 23, 59, 59, 999999, dt.UTC)
    assert loaded(shop, MOMENT, '"9999-12-31T23:59:59.9999999Z"', '"0001-01-01T00:00:00Z"') == [
        last,
        dt.datetime(1, 1, 1, tzinfo=dt.UTC),
    ]


def test_offsets_are_instants(shop):
    (value,) = loaded(shop, MOMENT, '"2024-01-01T00:00:00+05:30"')
    assert value == dt.datetime(2023, 12, 31, 18, 30, tzinfo=dt.UTC)


def test_a_fraction_in_an_integer_column_is_kept(shop):
    assert [Decimal(value) for value in loaded(shop, INTEGER, "1", "1.5", "3.0")] == [1, Decimal("1.5"), 3]


@pytest.mark.parametrize("value", ["9007199254740993", "9223372036854775808", "12345678901234567890.123456789"])
def test_numbers_are_exact(shop, value):
    (found,) = loaded(shop, NUMBER, value)
    assert Decimal(found) == Decimal(value)


def test_texts_that_look_like_nothing_stay_texts(shop):
    texts = ["", "NULL", "\\N", "NaN", "tab\tline\ncr\r", "\u2028", "😈", "\\u0000"]
    assert loaded(shop, TEXT, *map(json.dumps, texts)) == texts


def test_lone_surrogates_and_nul_become_replacement_characters(shop):
    assert loaded(shop, TEXT, '"\\ud800"', '"a\\u0000b"') == ["\ufffd", "a\ufffdb"]


def test_json_of_any_kind_is_stored_as_it_is(shop):
    values = ['{"b":[1,null,{"c":"\\u0000"}]}', '"plain"', "7", "[]"]
    assert loaded(shop, ANY, *values) == [{"b": [1, None, {"c": "\ufffd"}]}, "plain", 7, []]


def test_an_integer_that_turns_into_text_keeps_what_was_stored(shop):
    loaded(shop, INTEGER, "5")
    assert loaded(shop, TEXT, "null", '"x"', run_id="run-2") == [None, "x"]
    assert shop.type_of("v", "s") == "text"
