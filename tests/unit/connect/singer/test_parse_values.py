"""What becomes of each value: the type of its column and the value itself. Numbers are those of the loading cases."""

import datetime as dt
import json
import math
from decimal import Decimal

import pytest

from headwater.base.errors import RunFailedError
from headwater.connect.contract import Rows, Schema

STRING = {"type": ["null", "string"]}
INTEGER = {"type": ["null", "integer"]}
NUMBER = {"type": ["null", "number"]}
BOOLEAN = {"type": ["null", "boolean"]}
OBJECT = {"type": ["null", "object"]}
MOMENT = {"type": ["null", "string"], "format": "date-time"}
DATE = {"type": ["null", "string"], "format": "date"}
TIME = {"type": ["null", "string"], "format": "time"}


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "text",
    ["", "NULL", "\\N", "null", "NaN", "nan", "a\tb\n\r'\"\\", "\u2028😈", "\0", "a\0b", "=cmd()", "x" * 1_000_000],
)
def test_46_to_52_text_stays_as_it_is(tap, text):
    assert tap.column(STRING, json.dumps(text), "null") == ("string", [text, None])


def test_47_nul_in_json_stays_an_escape(tap):
    assert tap.column(OBJECT, r'{"a":["\u0000"]}') == ("string", [r'{"a":["\u0000"]}'])


@pytest.mark.parametrize(
    ("sent", "kept"),
    [(r'"a\ud800b"', "a\ufffdb"), (r'"\udc00"', "\ufffd"), (r'"\\ud800\ud83d\ude08\ud83d"', "\\ud800😈\ufffd")],
)
def test_48_a_lone_surrogate_becomes_the_replacement_and_is_counted(tap, sent, kept):
    found = tap.read(tap.schema(v=STRING), tap.record(f'{{"v":{sent}}}'))
    assert found[1].batch.to_pylist() == [{"v": kept}]
    assert found[1].repaired == {"v": 1}


def test_48_also_within_json_and_in_unknown_fields(tap):
    found = tap.read(tap.schema(v=OBJECT), tap.record(r'{"v":{"a":"\ud800"},"w\udc00":"\ud801"}'))
    assert found[1].batch.to_pylist() == [{"v": r'{"a":"\ufffd"}', "_extra": r'{"w�":"\ufffd"}'}]
    assert found[1].repaired == {"v": 1, "_extra": 1}


def test_a_key_is_never_repaired(tap):
    tap.read(tap.schema(["v"], v=STRING), tap.record(r'{"v":"\ud800"}'))
    assert tap.error.why == "column `v`: it would have to be changed to fit, and keys and cursors are never changed"


@pytest.mark.parametrize(
    ("schema", "sent", "kind", "kept"),
    [
        (INTEGER, ["9007199254740993"], "int64", [9007199254740993]),  # 54
        (NUMBER, ["9007199254740993"], "decimal128(38, 18)", [Decimal(9007199254740993)]),  # 55
        (INTEGER, ["9223372036854775808", "1"], "decimal128(38, 0)", [Decimal(2**63), Decimal(1)]),  # 56
        (INTEGER, [str(10**60), "1"], "string", [str(10**60), "1"]),  # 57
        (
            NUMBER,
            ["12345678901234567890.123456789", "0.5"],
            "decimal128(38, 18)",
            [Decimal("12345678901234567890.123456789"), Decimal("0.5")],
        ),  # 58
        (NUMBER, ["0.1", "1.005", "5e-07", "1e-7"], "double", [0.1, 1.005, 5e-7, 1e-7]),  # 60
        (NUMBER, ["0.8444218515250481", "12.5000000000000000"], "double", [0.8444218515250481, 12.5]),
        (NUMBER, ["1e300"], "double", [1e300]),  # 61
        (NUMBER, ["1e300", "9007199254740993"], "string", ["1e300", "9007199254740993"]),
        (NUMBER, ["1e400", "1e-400"], "string", ["1e400", "1e-400"]),
        (INTEGER, ["3.0", "1e2", "-0"], "int64", [3, 100, 0]),  # 65
        (INTEGER, ["3.5", "4"], "double", [3.5, 4.0]),  # 66
        (INTEGER, ["3.5", "9007199254740993"], "decimal128(38, 18)", [Decimal("3.5"), Decimal(9007199254740993)]),
        (INTEGER, ["0", "null"], "int64", [0, None]),  # 67
        (NUMBER, ["0", "0.0", "null"], "double", [0.0, 0.0, None]),
        (BOOLEAN, ["false", "true", "null"], "bool", [False, True, None]),
        (BOOLEAN, ['"true"', '"false"', "true"], "bool", [True, False, True]),  # 68
        (STRING, ["7", "7.50", "true"], "string", ["7", "7.50", "true"]),  # 70
        (STRING, ['{"a": [1]}', "[]"], "string", ['{"a": [1]}', "[]"]),  # 71
        (OBJECT, ['"plain"', '{"a":1}', "5"], "string", ['"plain"', '{"a":1}', "5"]),  # 72
        (NUMBER, ['"12.50"', "1"], "double", [12.5, 1.0]),  # 73
        (INTEGER, ['"12"'], "int64", [12]),
        (
            {"type": "string", "format": "x-singer.decimal", "precision": 10, "scale": 2},
            ['"12.50"', "7"],
            "decimal128(10, 2)",
            [Decimal("12.50"), Decimal(7)],
        ),  # 92
        (
            {"type": "string", "format": "x-singer.decimal", "precision": 4, "scale": 2},
            ['"12.505"'],
            "decimal128(38, 18)",
            [Decimal("12.505")],
        ),
        ({"type": "number", "multipleOf": 0.01}, ["12.5"], "decimal128(38, 2)", [Decimal("12.50")]),
        (INTEGER, ["NaN", "1"], "int64", [None, 1]),  # 63
        (STRING, ["Infinity"], "string", [None]),  # 64
        (OBJECT, ['{"a":NaN,"b":"NaN"}', "NaN"], "string", ['{"a":null,"b":"NaN"}', None]),
    ],
)
def test_54_to_73_values_are_exact(tap, schema, sent, kind, kept):
    assert tap.column(schema, *sent) == (kind, kept)


def test_63_a_double_keeps_nan_and_infinity(tap):
    kind, values = tap.column(NUMBER, "NaN", "-Infinity", "1.5", "Infinity")
    assert kind == "double"
    assert math.isnan(values[0])
    assert values[1:] == [-math.inf, 1.5, math.inf]


def test_63_what_becomes_null_is_counted(tap):
    found = tap.read(tap.schema(v=INTEGER), tap.record('{"v":NaN}'))
    assert found[1].repaired == {"v": 1}


def test_71_objects_that_became_text_are_counted(tap):
    found = tap.read(tap.schema(v=STRING), tap.record('{"v":{"a":1}}'), tap.record('{"v":7}'))
    assert found[1].repaired == {"v": 1}


@pytest.mark.parametrize(
    ("schema", "value", "why"),
    [
        (BOOLEAN, "1", "it is a number, not `boolean`"),
        (BOOLEAN, '"yes"', "it is text, not true or false"),
        (INTEGER, '"abc"', "it is text, not a number"),
        (INTEGER, "true", "it is true or false, not `integer`"),
        (NUMBER, '"NaN"', "it is text, not a number"),
        (MOMENT, "1700000000000", "it is a number, not `timestamp`"),  # 84
    ],
)
def test_68_to_84_values_of_another_kind_fail(tap, schema, value, why):
    with pytest.raises(RunFailedError) as error:
        tap.column(schema, value)
    assert error.value.why == f"column `v`: {why}"


@pytest.mark.parametrize(
    ("sent", "moment"),
    [
        ("2024-01-01T00:00:00+05:30", utc(2023, 12, 31, 18, 30)),  # 74
        ("2024-01-01T00:00:00", utc(2024, 1, 1)),  # 75
        ("2024-01-01 00:00:00", utc(2024, 1, 1)),  # 76
        ("20240101T000000Z", utc(2024, 1, 1)),
        ("2024-01-01T00:00:00+0530", utc(2023, 12, 31, 18, 30)),
        ("2024-01-01t00:00:00z", utc(2024, 1, 1)),
        ("2024-01-01", utc(2024, 1, 1)),
        ("2024-01-01T00:00:00.123456Z", utc(2024, 1, 1, 0, 0, 0, 123456)),  # 77
        ("9999-12-31T23:59:59.9999999Z", utc(9999, 12, 31, 23, 59, 59, 999999)),  # 79
        ("0001-01-01T00:00:00Z", utc(1, 1, 1)),  # 80
    ],
)
@pytest.mark.parametrize("beside", ["2024-05-05T05:05:05Z", "2024-05-05T05:05:05"])
def test_74_to_80_instants(tap, sent, moment, beside):
    assert tap.column(MOMENT, f'"{sent}"', f'"{beside}"') == (
        "timestamp[us, tz=UTC]",
        [moment, utc(2024, 5, 5, 5, 5, 5)],
    )


def test_79_digits_below_a_microsecond_are_counted(tap):
    found = tap.read(
        tap.schema(v=MOMENT), *(tap.record(f'{{"v":"2024-01-01T00:00:00.{f}Z"}}') for f in ("1234567", "123456000"))
    )
    assert found[1].repaired == {"v": 1}


def test_79_a_cursor_is_not_cut_but_kept_as_text(tap):
    line = json.loads(tap.schema(v=MOMENT)) | {"bookmark_properties": ["v"]}
    found = tap.read(json.dumps(line), tap.record('{"v":"2024-01-01T00:00:00.1234567Z"}'))
    assert found[0].cursor == "v"
    assert found[1].batch.to_pylist() == [{"v": "2024-01-01T00:00:00.1234567Z"}]
    assert found[1].repaired == {}


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        (MOMENT, "10000-01-01T00:00:00Z"),  # 81
        (MOMENT, "0000-01-01T00:00:00Z"),
        (MOMENT, "9999-12-31T23:59:59-05:00"),
        (MOMENT, "2024-02-30T00:00:00Z"),  # 82
        (MOMENT, "0000-00-00 00:00:00"),
        (DATE, "2024-02-30"),
        (DATE, "0000-01-01"),
        (TIME, "36:00:00"),  # 86
        (TIME, "24:00:00"),
        (TIME, "12:00:00Z"),
        ({"type": "string", "format": "duration"}, "P1DT2H"),  # 87
        ({"type": "string", "format": "uuid"}, "not-a-uuid"),  # 88
        ({"type": "string", "format": "ipv4"}, "longer than fifteen"),  # 89
        ({"type": "string", "contentEncoding": "base64"}, "AA=="),  # 91
    ],
)
def test_81_to_91_formats_are_hints(tap, schema, sent):
    assert tap.column(schema, f'"{sent}"') == ("string", [sent])


def test_dates_and_times(tap):
    assert tap.column(DATE, '"2024-02-29"', "null") == ("date32[day]", [dt.date(2024, 2, 29), None])
    assert tap.column(TIME, '"12:30:00.5"') == ("time64[us]", [dt.time(12, 30, 0, 500000)])


def test_124_a_date_with_a_time_makes_the_column_a_timestamp(tap):
    found = tap.read(tap.schema(v=DATE), tap.record('{"v":"2024-01-01"}'), tap.record('{"v":"2024-01-01T10:00:00Z"}'))
    assert found[1].batch["v"].to_pylist() == [utc(2024, 1, 1), utc(2024, 1, 1, 10)]


def test_a_widened_column_says_what_was_declared(tap):
    found = tap.read(tap.schema(v=INTEGER), tap.record('{"v":1}'), tap.state("1"), batch_bytes=10)
    assert found[0].columns.field("v").metadata is None
    found = tap.read(
        tap.schema(v=INTEGER), tap.record('{"v":1}'), tap.record('{"v":1.5}'), tap.record('{"v":2}'), batch_bytes=10
    )
    assert [str(m.columns.field("v").type) for m in found if isinstance(m, Schema)] == ["int64", "double"]
    assert [m.batch["v"].to_pylist() for m in found if isinstance(m, Rows)] == [[1], [1.5], [2.0]]
    assert found[2].columns.field("v").metadata == {b"headwater.declared": b"int64"}


def test_93_the_last_of_two_equal_members_counts(tap):
    assert tap.rows(tap.schema(a=INTEGER), tap.record('{"a":1,"a":2}')) == [{"a": 2}]
    assert tap.rows(tap.schema(a=INTEGER), tap.record('{"a":1,"a":2,"x":0,"x":3}')) == [{"a": 2, "_extra": '{"x":3}'}]


def test_94_json_nests_a_hundred_levels_and_no_deeper(tap):
    fine, deep = "[" * 100 + "]" * 100, "[" * 101 + "]" * 101
    assert tap.column(OBJECT, fine, '"' + "[" * 300 + '"')[1][0] == fine
    with pytest.raises(RunFailedError) as error:
        tap.column(OBJECT, deep)
    assert error.value.why == "column `v`: it nests deeper than 100 levels"


def test_94_a_thousand_levels_are_no_crash(tap):
    tap.read(tap.schema(v=OBJECT), tap.record('{"v":' + "[" * 5000 + "]" * 5000 + "}"))
    # Which limit is met first, the decoder's or ours, differs between versions of Python.
    assert "line 2 of the tap's output" in tap.error.what
    assert "nests" in f"{tap.error.what} {tap.error.why}"
