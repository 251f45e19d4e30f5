"""The numbered cases of loading on every database: Singer lines in, rows out.

A case is written once and says what a reader of the table finds. `tests/contract/cases.py` lists which test holds which
case, those of other files too.
"""

from __future__ import annotations

import datetime as dt
import io
import json
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from headwater.base.errors import HeadwaterError, InputError
from headwater.connect.contract import OpenRequest
from headwater.connect.singer.faces import serve_target

INT, NUM, STR, BOOL, OBJ = ({"type": ["null", kind]} for kind in ("integer", "number", "string", "boolean", "object"))
MOMENT, DATE, TIME = ({"type": ["null", "string"], "format": kind} for kind in ("date-time", "date", "time"))


class Case(NamedTuple):
    """`runs` are lists of lines; `rows` what stream `s` holds afterwards (None: no table). `error` is the reference of
    the error that the last run ends with, `out` the last state that came out of it."""

    title: str
    runs: list[list[str | bytes]]
    rows: list[dict[str, Any]] | None
    error: str | None = None
    out: Any = ...
    upserts: bool = False


def s(keys=(), stream="s", **properties):
    return json.dumps(
        {"type": "SCHEMA", "stream": stream, "key_properties": list(keys), "schema": {"properties": properties}}
    )


def r(text, stream="s", **more):
    members = "".join(f',"{name}":{json.dumps(value)}' for name, value in more.items())
    return f'{{"type":"RECORD","stream":"{stream}","record":{text}{members}}}'


def state(text):
    return f'{{"type":"STATE","value":{text}}}'


def activate(version, stream="s"):
    return json.dumps({"type": "ACTIVATE_VERSION", "stream": stream, "version": version})


def v(schema, *values):
    """One run with these values in a column `v`."""
    return [[s(v=schema), *(r(f'{{"v":{value}}}') for value in values)]]


def held(*values):
    return [{"v": value} for value in values]


def utc(*parts):
    return dt.datetime(*parts, tzinfo=dt.UTC)


ONE = {"id": 1}
FORMS = {"\u00e9": INT, "e\u0301": INT}
KEYED = s(["id"], id=INT, name=STR)
OLD = '{"id":1,"name":"old"}'

CASES: dict[int, Case] = {
    # The protocol
    1: Case(
        "a bad line in the middle",
        [[s(id=INT), r('{"id":1}'), state(1), r('{"id":2}'), "{bad"]],
        [ONE],
        "bad-message",
        1,
    ),
    2: Case("a last line that was cut", [[s(id=INT), r('{"id":1}'), state(1), b'{"type":"RECO']], [ONE], "cut-line", 1),
    3: Case("blank lines", [["", s(id=INT), "  ", r('{"id":1}'), "\t"]], [ONE]),
    4: Case("a byte order mark", [["\ufeff" + s(id=INT), r('{"id":1}')]], [ONE]),
    5: Case("carriage returns", [[s(id=INT) + "\r", r('{"id":1}') + "\r"]], [ONE]),
    6: Case(
        "a byte that is not UTF-8",
        [[s(id=INT), r('{"id":1}'), state(1), b'{"type":"\xff"}\n']],
        [ONE],
        "bad-message",
        1,
    ),
    7: Case("two messages on one line", [[s(id=INT), r('{"id":1}') + r('{"id":2}')]], None, "bad-message"),
    8: Case("a line that is no object", [[s(id=INT), "[]"]], None, "bad-message"),
    10: Case(
        "types in lower case",
        [[s(id=INT).replace("SCHEMA", "schema"), r('{"id":1}').replace("RECORD", "record")]],
        [ONE],
    ),
    11: Case("an unknown type", [[s(id=INT), '{"type":"FOO"}', r('{"id":1}')]], [ONE]),
    13: Case("a record before its schema", [[r('{"id":1}'), s(id=INT)]], None, "record-before-schema"),
    14: Case(
        "no key properties",
        [
            [
                '{"type":"SCHEMA","stream":"s","schema":{"properties":{"id":{"type":"integer"}}}}',
                r('{"id":1}'),
                r('{"id":1}'),
            ]
        ],
        [ONE, ONE],
    ),
    16: Case("a key that is no property", [[s(["x"], id=INT)]], None, "unknown-key"),
    17: Case(
        "a schema without properties",
        [['{"type":"SCHEMA","stream":"s","schema":{},"key_properties":[]}']],
        None,
        "bad-schema",
    ),
    18: Case("the same schema each time", [[s(id=INT), r('{"id":1}')] * 3], [ONE] * 3),
    19: Case(
        "the same schema in another order",
        [[s(id=INT, v=INT), r('{"id":1,"v":1}'), s(v=INT, id=INT), r('{"id":2,"v":2}')]],
        [{"id": 1, "v": 1}, {"id": 2, "v": 2}],
    ),
    20: Case(
        "a schema changes between two rows of one key",
        [[s(["id"], id=INT, v=INT), r('{"id":1,"v":1}'), s(["id"], id=INT, v=STR), r('{"id":1,"v":"new"}')]],
        [{"id": 1, "v": "new"}],
        upserts=True,
    ),
    21: Case(
        "schemas that alternate",
        [[s(id=INT, a=INT), r('{"id":1,"a":1}'), s(id=INT, b=INT), r('{"id":2,"b":2}')] * 2],
        [{"id": 1, "a": 1, "b": None}, {"id": 2, "a": None, "b": 2}] * 2,
    ),
    23: Case(
        "streams that interleave, a state each time",
        [[s(id=INT), s(stream="t", id=INT), *[r('{"id":1}'), state(1), r('{"id":2}', "t"), state(2)] * 2]],
        [ONE, ONE],
        out=2,
    ),
    25: Case(
        "a state covers both streams",
        [[s(id=INT), s(stream="t", id=INT), r('{"id":1}'), r('{"id":2}', "t"), state(1), "{bad"]],
        [ONE],
        "bad-message",
        1,
    ),
    26: Case("states and no records", [[state(1), state(2), state(3)]], None, out=3),
    27: Case("no state", [[s(id=INT), r('{"id":1}')]], [ONE], out=None),
    28: Case("a state of any kind", [[s(id=INT), r('{"id":1}'), state('[null, "x"]')]], [ONE], out=[None, "x"]),
    35: Case(
        "a version is activated after its records",
        [
            [KEYED, r('{"id":1}', version=1), activate(1)],
            [KEYED, r('{"id":2}', version=2), r('{"id":3}', version=2), activate(2)],
        ],
        [{"id": 2, "name": None}, {"id": 3, "name": None}],
        upserts=True,
    ),
    36: Case(
        "an older version is activated",
        [[KEYED, r('{"id":1}', version=5), activate(5)], [KEYED, activate(4)]],
        [{"id": 1, "name": None}],
        upserts=True,
    ),
    37: Case("a version of an unknown stream", [[s(id=INT), r('{"id":1}'), activate(3, "other")]], [ONE]),
    38: Case(
        "a version, and records that carry none",
        [[KEYED, r('{"id":1}')], [KEYED, r('{"id":2}'), activate(2)]],
        [{"id": 1, "name": None}, {"id": 2, "name": None}],
        upserts=True,
    ),
    40: Case(
        "the tap dies before it activates",
        [[KEYED, r('{"id":1}', version=1), activate(1)], [KEYED, r('{"id":2}', version=2), state(1), "{bad"]],
        [{"id": 1, "name": None}, {"id": 2, "name": None}],
        "bad-message",
        upserts=True,
    ),
    41: Case("a bad time of extraction", [[s(id=INT), r('{"id":1}', time_extracted="garbage")]], [ONE]),
    42: Case(
        "a version as text",
        [[KEYED, r('{"id":1}', version="5"), activate(5.0)]],
        [{"id": 1, "name": None}],
        upserts=True,
    ),
    43: Case("no message at all", [[]], None, out=None),
    # Values
    46: Case("NUL in text", v(STR, r'"a\u0000b"'), held("a\0b")),
    47: Case("NUL in JSON", v(OBJ, r'{"a\u0000":["\u0000"]}'), held({"a\0": ["\0"]})),
    48: Case("half a surrogate pair", v(STR, r'"a\ud800"'), held("a\ufffd")),
    49: Case("empty text and null", v(STR, '""', "null"), held("", None)),
    50: Case(
        "words that look like null",
        v(STR, *(json.dumps(t) for t in ("NULL", "\\N", "null", "NaN", "nan"))),
        held("NULL", "\\N", "null", "NaN", "nan"),
    ),
    51: Case("signs that separate and escape", v(STR, json.dumps("\t\n\r'\"\u2028😈\\")), held("\t\n\r'\"\u2028😈\\")),
    52: Case("ten megabytes of text", v(STR, json.dumps("x" * 10_000_000)), held("x" * 10_000_000)),
    54: Case("2^53+1 as an integer", v(INT, 2**53 + 1), held(2**53 + 1)),
    55: Case("2^53+1 as a number", v(NUM, 2**53 + 1, "0.5"), held(Decimal(2**53 + 1), Decimal("0.5"))),
    56: Case("2^63 as an integer", v(INT, 2**63, 1), held(2**63, 1)),
    57: Case("10^60 as an integer", v(INT, 10**60, 1), held(str(10**60), "1")),
    58: Case(
        "a decimal of 29 digits",
        v(NUM, "12345678901234567890.123456789"),
        held(Decimal("12345678901234567890.123456789")),
    ),
    60: Case("fractions that binary has not", v(NUM, "0.1", "1.005"), held(Decimal("0.1"), Decimal("1.005"))),
    61: Case("1e300", v(NUM, "1e300"), held(Decimal("1e300"))),
    63: Case("NaN where it can't be", v(INT, "NaN", "1"), held(None, 1)),
    64: Case("infinity where it can't be", v(STR, "Infinity", "-Infinity"), held(None, None)),
    65: Case("3.0 as an integer", v(INT, "3.0"), held(3)),
    66: Case("3.5 as an integer", v(INT, "3.5", "4"), held(Decimal("3.5"), 4)),
    67: Case(
        "zeros and false", [[s(a=INT, b=NUM, c=BOOL), r('{"a":0,"b":0.0,"c":false}')]], [{"a": 0, "b": 0, "c": False}]
    ),
    68: Case("true as text", v(BOOL, '"true"', "false"), held(True, False)),
    70: Case("a number as text", v(STR, "7", "7.50"), held("7", "7.50")),
    71: Case("an object as text", v(STR, '{"a": [1]}'), held('{"a": [1]}')),
    72: Case("text where an object was announced", v(OBJ, '"plain"', '{"a":1}'), held("plain", {"a": 1})),
    73: Case("a number in quotes", v(NUM, '"12.50"'), held(Decimal("12.5"))),
    74: Case("an instant with an offset", v(MOMENT, '"2024-01-01T00:00:00+05:30"'), held(utc(2023, 12, 31, 18, 30))),
    75: Case("an instant without one", v(MOMENT, '"2024-01-01T00:00:00"'), held(utc(2024, 1, 1))),
    76: Case(
        "the family of ISO 8601",
        v(
            MOMENT,
            '"2024-01-01 00:00:00"',
            '"20240101T000000Z"',
            '"2024-01-01T05:30:00+0530"',
            '"2024-01-01t00:00:00z"',
        ),
        held(*[utc(2024, 1, 1)] * 4),
    ),
    77: Case("microseconds", v(MOMENT, '"2024-01-01T00:00:00.123456Z"'), held(utc(2024, 1, 1, 0, 0, 0, 123456))),
    79: Case(
        "a tenth of a microsecond before the year 10000",
        v(MOMENT, '"9999-12-31T23:59:59.9999999Z"'),
        held(utc(9999, 12, 31, 23, 59, 59, 999999)),
    ),
    80: Case("the year 1", v(MOMENT, '"0001-01-01T00:00:00Z"'), held(utc(1, 1, 1))),
    81: Case("the year 10000", v(MOMENT, '"10000-01-01T00:00:00Z"'), held("10000-01-01T00:00:00Z")),
    82: Case(
        "days that are none",
        v(MOMENT, '"2024-02-30T00:00:00Z"', '"0000-00-00 00:00:00"'),
        held("2024-02-30T00:00:00Z", "0000-00-00 00:00:00"),
    ),
    84: Case("milliseconds as an instant", v(MOMENT, "1704067200000"), None, "bad-record"),
    86: Case("times beyond a day", v(TIME, '"36:00:00"', '"24:00:00"'), held("36:00:00", "24:00:00")),
    87: Case("a duration", v({"type": "string", "format": "duration"}, '"P1DT2H"'), held("P1DT2H")),
    88: Case("a uuid that is none", v({"type": "string", "format": "uuid"}, '"not-a-uuid"'), held("not-a-uuid")),
    89: Case(
        "longer than its format", v({"type": "string", "format": "ipv4"}, json.dumps("1" * 3000)), held("1" * 3000)
    ),
    91: Case("base64", v({"type": "string", "contentEncoding": "base64"}, '"AP8"'), held("AP8")),
    92: Case(
        "a decimal as text", v({"type": "string", "format": "x-singer.decimal"}, '"12.50"'), held(Decimal("12.5"))
    ),
    93: Case("a member twice", v(INT, '1,"v":2'), held(2)),
    94: Case("a thousand levels deep", v({}, "[" * 1000 + "]" * 1000), None, "bad-message"),
    95: Case(
        "two Unicode forms of one name",
        [[s(**FORMS), r('{"\u00e9":1,"e\u0301":2}')]],
        [{"é": 1, "e\u0301": 2}],
    ),
    98: Case("a formula", v(STR, '"=cmd()"'), held("=cmd()")),
    # Shapes of schemas
    99: Case("no type", v({}, "1", '{"a":1}', '"x"'), held(1, {"a": 1}, "x")),
    100: Case(
        "integer or text",
        v({"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]}, "1", '"x"'),
        held("1", "x"),
    ),
    101: Case("integer or null", v({"oneOf": [{"type": "integer"}, {"type": "null"}]}, "1", "null"), held(1, None)),
    102: Case("text and a length", v({"allOf": [{"type": "string"}, {"maxLength": 2}]}, '"long"'), held("long")),
    103: Case(
        "a reference",
        [
            [
                '{"type":"SCHEMA","stream":"s","key_properties":[],"schema":{"definitions":{"n":{"type":"integer"}},"properties":{"v":{"$ref":"#/definitions/n"}}}}',
                r('{"v":1}'),
            ]
        ],
        held(1),
    ),
    105: Case("a reference to elsewhere", [[s(v={"$ref": "http://127.0.0.1/x"})]], None, "bad-schema"),
    106: Case(
        "four types at once",
        v({"type": ["null", "integer", "string", "object"]}, "1", '"x"', '{"a":1}'),
        held(1, "x", {"a": 1}),
    ),
    107: Case("nothing but null", v({"type": "null"}, "null", "5"), held(None, "5")),
    108: Case("an enumeration without a type", v({"enum": [1, 2]}, "1"), held(1)),
    109: Case("arrays of anything", v({"type": "array"}, '[{"a":1},2,null,[]]'), held([{"a": 1}, 2, None, []])),
    110: Case(
        "a field that the schema allows and does not name",
        [[s(id=INT), r('{"id":1,"new":{"a":1}}')]],
        [{"id": 1, "_extra": {"new": {"a": 1}}}],
    ),
    111: Case(
        "a field that it does not know",
        [[s(id=INT), r('{"id":1,"x":null}'), r('{"id":2}')]],
        [{"id": 1, "_extra": {"x": None}}, {"id": 2, "_extra": None}],
    ),
    113: Case(
        "missing is not null",
        [
            [s(["id"], id=INT, a=STR, b=STR), r('{"id":1,"a":"a","b":"b"}')],
            [s(["id"], id=INT, a=STR, b=STR), r('{"id":1,"b":null}')],
        ],
        [{"id": 1, "a": "a", "b": None}],
        upserts=True,
    ),
    114: Case(
        "a required field is missing",
        [
            [
                '{"type":"SCHEMA","stream":"s","key_properties":[],"schema":{"required":["a"],"properties":{"a":{"type":"integer"}}}}',
                r("{}"),
            ]
        ],
        None,
        "bad-record",
    ),
    116: Case("no properties at all", [[s(), r('{"x":1}')]], [{"_extra": {"x": 1}}]),
    # Evolution
    118: Case(
        "a column more", [v(INT, 1)[0], [s(v=INT, w=INT), r('{"v":2,"w":3}')]], [{"v": 1, "w": None}, {"v": 2, "w": 3}]
    ),
    119: Case(
        "a column less", [[s(v=INT, w=INT), r('{"v":2,"w":3}')], v(INT, 1)[0]], [{"v": 2, "w": 3}, {"v": 1, "w": None}]
    ),
    120: Case("integer to number", [*v(INT, 5), *v(NUM, "1.5")], held(5, Decimal("1.5"))),
    121: Case(
        "integer and boolean to text",
        [[s(a=INT, b=BOOL), r('{"a":5,"b":true}')], [s(a=STR, b=STR), r('{"a":"x","b":"y"}')]],
        [{"a": "5", "b": "true"}, {"a": "x", "b": "y"}],
    ),
    122: Case("number to integer", [*v(NUM, "1.5"), *v(INT, 1)], held(Decimal("1.5")), "unsupported-change"),
    123: Case("text to integer", [*v(STR, '"x"'), *v(INT, 1)], held("x"), "unsupported-change"),
    124: Case(
        "date to instant",
        [*v(DATE, '"2024-01-31"'), *v(MOMENT, '"2024-02-01T10:00:00Z"')],
        held(utc(2024, 1, 31), utc(2024, 2, 1, 10)),
    ),
    125: Case(
        "instant to text",
        [*v(MOMENT, '"2024-01-31T10:00:00Z"'), *v(STR, '"x"')],
        held("2024-01-31T10:00:00.000000Z", "x"),
    ),
    126: Case(
        "a value becomes an object",
        [*v(INT, 1), [s(v={"type": "object", "properties": {"a": INT}}), r('{"v":{"a":2}}')]],
        [{"v": 1, "v__a": None}, {"v": None, "v__a": 2}],
    ),
    128: Case(
        "a shorter length",
        [*v({"type": "string", "maxLength": 10}, '"long text"'), *v({"type": "string", "maxLength": 1}, '"long text"')],
        held("long text", "long text"),
    ),
    134: Case(
        "another key",
        [[KEYED, r(OLD)], [s(["name"], id=INT, name=STR), r('{"id":2,"name":"n"}')]],
        [{"id": 1, "name": "old"}],
        "unsupported-change",
        upserts=True,
    ),
    # Keys
    136: Case(
        "one key five times",
        [[KEYED, *(r(f'{{"id":1,"name":"{n}"}}') for n in range(5))]],
        [{"id": 1, "name": "4"}],
        upserts=True,
    ),
    137: Case(
        "one key over runs",
        [[KEYED, r(OLD)], [KEYED, r('{"id":1,"name":"new"}')]],
        [{"id": 1, "name": "new"}],
        upserts=True,
    ),
    138: Case(
        "keys that look alike when joined",
        [[s(["a", "b"], a=STR, b=STR), r('{"a":"x,y","b":"z"}'), r('{"a":"x","b":"y,z"}')]],
        [{"a": "x,y", "b": "z"}, {"a": "x", "b": "y,z"}],
        upserts=True,
    ),
    139: Case(
        "a key as number and as text",
        [[s(["v"], v={"type": ["integer", "string"]}), r('{"v":1}'), r('{"v":"1"}')]],
        held("1"),
        upserts=True,
    ),
    141: Case("a key that is null", [[KEYED, r('{"id":null,"name":"x"}')]], None, "bad-record", upserts=True),
    142: Case("a key that is missing", [[KEYED, r('{"name":"x"}')]], None, "bad-record", upserts=True),
    143: Case(
        "keys that collations take for one",
        [[s(["v"], v=STR), *(r(json.dumps({"v": key})) for key in ("A", "a", "a ", "á"))]],
        held("A", "a", "a ", "á"),
        upserts=True,
    ),
    144: Case(
        "keys beyond an index",
        [[s(["v"], v=STR), *(r(json.dumps({"v": "k" * 2000 + end})) for end in ("a", "b", "a"))]],
        held("k" * 2000 + "a", "k" * 2000 + "b"),
        upserts=True,
    ),
    147: Case("rows that are there twice on purpose", [[s(id=INT), r('{"id":1}'), r('{"id":1}')]], [ONE, ONE]),
    148: Case(
        "deleted and there again",
        [
            [KEYED, r('{"id":1}', version=1), activate(1)],
            [KEYED, r('{"id":2}', version=2), activate(2)],
            [KEYED, r('{"id":1}', version=2), activate(2)],
        ],
        [{"id": 1, "name": None}, {"id": 2, "name": None}],
        upserts=True,
    ),
    # Names: see test_names.py for the others
    162: Case(
        "a stream with a dot and a hyphen",
        [[s(stream="my-schema.tab-x", id=INT), r('{"id":1}', "my-schema.tab-x")]],
        None,
    ),
    164: Case(
        "two columns that flatten to one name",
        [[s(a__b=INT, a={"type": "object", "properties": {"b": INT}}), r('{"a__b":1,"a":{"b":2}}')]],
        [{"a__b": 1, "a__b__59b271ae": 2}],
    ),
}


@pytest.fixture
def database(place):
    if place.kind not in ("duckdb", "postgres", "mysql"):
        pytest.skip("is no database")
    return place


@pytest.mark.parametrize("number", CASES, ids=lambda number: f"{number} {CASES[number].title}")
def test_case(database, number):
    case = CASES[number]
    out, error = io.BytesIO(), None
    for at, lines in enumerate(case.runs):
        assert error is None
        out = io.BytesIO()
        data = iter([b"".join(line if isinstance(line, bytes) else line.encode() + b"\n" for line in lines), b""])
        request = OpenRequest(
            pipeline=f"dev:{number}", run_id=f"{number}-{at}", source="shop", folder=database.folder / f"{number}-{at}"
        )
        settings = database.settings(max_delete_share=1.0)
        try:
            serve_target(database.module, settings, read=lambda _size, data=data: next(data), out=out, request=request)
        except HeadwaterError as found:
            error = found.reference
    assert error == case.error
    if case.out is not ...:
        assert ([json.loads(line) for line in out.getvalue().splitlines()] or [None])[-1] == case.out
    rows = None if is_without_books(database) else database.rows("s")
    wanted = case.rows
    if wanted is not None and database.can("no-nul"):
        wanted = json_like(wanted, lambda text: text.replace("\0", "\ufffd"))
    assert in_order(rows) == in_order(wanted), (rows, wanted)
    if number == 162:
        assert database.rows("my-schema.tab-x") == [ONE]


@pytest.mark.parametrize("statement", ["drop table shop.users", "alter table shop.users drop column name"])
def test_132_what_somebody_drops_comes_back(database, send, statement):
    session = database.open()
    send(session, [{"id": 1, "name": "a"}])
    session.commit(b"1")
    database.execute(statement)
    send(session, [{"id": 2, "name": "b"}])
    session.commit(b"2", final=True)
    first = [] if statement.startswith("drop") else [{"id": 1, "name": None}]
    assert sorted(database.rows("users"), key=lambda row: row["id"]) == [*first, {"id": 2, "name": "b"}]


def test_130_a_view_on_a_column_goes_on_or_is_named(database, send):
    """PostgreSQL does not change a column under a view; the others do, and the view shows it."""
    session = database.open()
    send(session, [{"id": 1, "name": "a"}])
    session.commit(b"1", final=True)
    session.close()
    database.execute("create view shop.report as select id from shop.users")
    session = database.open("run-2")
    columns = pa.schema([("id", pa.string()), ("name", pa.string())])
    refused = None
    try:
        send(session, [{"id": "x", "name": "b"}], columns=columns)
        session.commit(b"2", final=True)
    except InputError as error:
        refused = error
    assert refused is None or "`shop.report`" in refused.why
    found = sorted(row["id"] for row in database.rows("users"))
    assert found == ([1] if refused else ["1", "x"])
    assert (refused is not None) == (database.kind == "postgres")


def is_without_books(database):
    return database.kind == "duckdb" and not database.path.exists()


def json_like(value, of):
    match value:
        case str():
            return of(value)
        case list():
            return [json_like(one, of) for one in value]
        case dict():
            return {of(name): json_like(one, of) for name, one in value.items()}
    return value


def in_order(rows):
    """Rows without the columns that are ours."""
    kept = [{n: plain(one) for n, one in row.items() if n != "__key_hash"} for row in rows or ()]
    return None if rows is None else sorted(map(json.dumps, kept))


def plain(value):
    """One spelling for what databases give back in several: numbers, instants, JSON, and the integers that are
    MariaDB's booleans."""
    match value:
        case bool():
            return str(int(value))
        case int() | float() | Decimal():
            found = Decimal(str(value))
            return f"{found:f}".rstrip("0").rstrip(".") if "." in f"{found:f}" else f"{found:f}"
        case dt.datetime():
            return value.astimezone(dt.UTC).isoformat(timespec="microseconds")
        case dict() | list():
            return json.dumps(value, sort_keys=True)
        case str() if value[:1] in '{["' or value.isdigit():
            try:
                return plain(json.loads(value))
            except ValueError:
                return value
    return value
