from __future__ import annotations

import random

import pyarrow as pa
import pytest

from headwater.base.errors import InputError, RunFailedError
from headwater.connect import types
from headwater.connect.contract import JSON_FIELD, Schema
from headwater.connect.singer.schema import Family
from headwater.connect.stages import mapper, maps, python, python_rows, python_sql, sql
from headwater.connect.stages.part import Part, View, numbers
from headwater.connect.stages.python_rows import Resolve

USERS = pa.schema(
    [
        ("id", types.INT64),
        ("name", types.STRING),
        ("ok", types.BOOL),
        ("price", types.FLOAT64),
        ("address__city", types.STRING),
        ("address__zip", types.STRING),
        pa.field("tags", types.STRING, metadata=JSON_FIELD),
    ]
)
ANN = {
    "id": 1,
    "name": "Ann",
    "ok": True,
    "price": 0.1,
    "address__city": "Paris",
    "address__zip": "75",
    "tags": '["a","b"]',
}


def run(bench, given, rows=(ANN,), config=None, **fields):
    config = {"stream_maps": {"s": given}, "stream_map_config": config or {}}
    return bench.run(config, USERS, list(rows), **({"keys": ("id",)} | fields))


def one(bench, expression, row=ANN, **fields):
    run(bench, {"x": expression, "id": "id", "__else__": None}, [row], **fields)
    return bench.rows[0]["x"]


@pytest.mark.parametrize(
    ("expression", "value", "column"),
    [
        ("name", "Ann", "string"),
        ("price", 0.1, "double"),
        ("price * 3", "0.3", "string"),
        ("float(price * 3)", 0.3, "double"),
        ("int(price * 30)", 3, "int64"),
        ("bool(id)", True, "bool"),
        ("str(id) + name", "1Ann", "string"),
        ("id + 1", "2", "string"),
        ("record['address']['city']", "Paris", "string"),
        ("address.city", "Paris", "string"),
        ("address__zip", "75", "string"),
        ("record.get('nope', 'none')", "none", "string"),
        ("'nope' in record", "false", "string"),
        ("tags[1]", "b", "string"),
        ("', '.join([tag.upper() for tag in tags])", "A, B", "string"),
        ("f'{name}-{id}'", "Ann-1", "string"),
        ("config['salt'] + name", "sAnn", "string"),
        ("__stream_name__", "s", "string"),
        ("md5(name)", "82e335f7ac0e0e412b2ae15abe662110", "string"),
        ("json.dumps(address)", '{"city": "Paris", "zip": "75"}', "string"),
        ("datetime.datetime.fromtimestamp(id).isoformat()", "1970-01-01T00:00:01Z", "timestamp[us, tz=UTC]"),
        ("name if ok else None", "Ann", "string"),
    ],
)
def test_an_expression_and_its_type(bench, expression, value, column):
    found = one(bench, expression, config={"salt": "s"})
    shown = found.isoformat().replace("+00:00", "Z") if hasattr(found, "isoformat") else found
    assert (shown, bench.types["x"]) == (value, column)


def test_a_value_that_does_not_fit_its_column_widens_it(bench):
    run(bench, {"id": "id", "x": "int(price)", "price": "2 ** 60 + id"}, keys=())
    run(bench, {"x": "int(name)"}, [{**ANN, "name": "9" * 25}])
    assert bench.types["x"] == "decimal128(38, 0)"
    schemas = [message for message in bench.sent if isinstance(message, Schema)]
    assert [str(one.columns.field("x").type) for one in schemas] == ["int64", "decimal128(38, 0)"]


def test_columns_of_an_object_go_with_it(bench):
    run(bench, {"address": None})
    assert list(bench.types) == ["id", "name", "ok", "price", "tags"]
    run(bench, {"id": "id", "home": "address", "__else__": None})
    assert bench.rows == [{"id": 1, "home__city": "Paris", "home__zip": "75"}]


def test_filter_alias_and_keys(bench):
    run(bench, {"__filter__": "id > 1", "__alias__": "people", "__key_properties__": ["name"]}, [ANN, {**ANN, "id": 2}])
    assert (bench.schema.stream, bench.schema.keys, [row["id"] for row in bench.rows]) == ("people", ("name",), [2])


def test_a_field_that_was_not_sent_stays_so(bench):
    run(bench, {"upper": "name.upper()", "x": "name"}, [ANN, {**ANN, "name": None}], missing=[None, ["name"]])
    assert bench.missing == [None, ["name", "upper", "x"]]


def test_a_null_that_an_expression_has_no_word_for_makes_its_row_bad(bench):
    with pytest.raises(RunFailedError) as caught:
        one(bench, "name.upper()", {**ANN, "name": None})
    assert caught.value.why == "`x: name.upper()`: a value of type `NoneType` has no `upper`"


def test_what_is_slow_is_told_once(bench):
    run(bench, {"x": "price * 2", "y": "name.lower()"}, [ANN, ANN])
    assert bench.told == ["mapper `m`: `price * 2` is computed row by row, which is slow"]


@pytest.mark.parametrize(
    ("given", "reference"),
    [
        ({"s": {"x": "nmae"}}, "unknown-column"),
        ({"s": {"id": None}}, "key-column"),
        ({"s": {"x": "fake.name()"}}, "wrong-expression"),
        ({"s": {"x": "datetime.datetime.now()"}}, "wrong-expression"),
        ({"s": {"x": 5}}, "wrong-stream-map"),
        ({"s": {"__else__": "keep"}}, "wrong-stream-map"),
        ({"s": "other"}, "wrong-stream-map"),
        ({"__what__": None}, "wrong-stream-map"),
    ],
)
def test_what_is_wrong_is_said(bench, given, reference):
    with pytest.raises(InputError) as caught:
        bench.run({"stream_maps": given}, USERS, [ANN], keys=("id",))
    assert caught.value.reference == reference


def test_streams_are_dropped_copied_and_matched():
    given = {"a*": {"x": "id"}, "b": None, "copy": {"__source__": "c"}, "__else__": None}
    (stage,) = mapper.stages({"stream_maps": given}, owner="m")
    assert [stage.names(name) for name in ("a1", "b", "c", "d")] == [("a1",), (), ("copy",), ()]


# Both ways of computing an expression give the same -------------------------------------------------------------------

TEXTS = [
    "",
    "a",
    "Ann",
    " b ",
    "x@y.org",
    "a,b,,c",
    "\t tab\n",
    "ß",
    "Zoë",
    "İ",
    "日本",
    "A" * 50,
    "'",
    '"',
    "\\",
    "%",
    "1",
    None,
]
NUMBERS = [0, 1, -1, 7, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), None]
TRANSLATED = """
name
name + 'x'
name + other
name.lower()
name.upper()
name.strip()
name.lstrip()
name.rstrip()
name.startswith('a')
name.endswith(other)
name.replace('a', 'bb')
name.split(',')[0]
name.split(',')[-1]
name[:3]
name[1:]
name[2:4]
name[3:1]
md5(name)
sha256(name + str(n))
str(n)
str(ok)
bool(name)
bool(n)
len(name)
n + 1
n - m
n * m
-n
n == m
n < m
name < other
name == 'a'
name in ['a', 'Ann']
n in (1, 7)
n not in (1, 7)
'a' in name
other in name
other not in name
ok and n > 0
ok or name == other
not ok
name if ok else other
f'{name}-{n}-{ok}'
str(n) + name[:2].upper()
"""
VALUES = pa.schema(
    [("name", types.STRING), ("other", types.STRING), ("n", types.INT64), ("m", types.INT64), ("ok", types.BOOL)]
)


@pytest.mark.parametrize("text", [line for line in TRANSLATED.splitlines() if line])
def test_sql_and_python_agree(text):
    rnd = random.Random(text)  # noqa: S311 - values for a test
    rows = [
        {
            "name": rnd.choice(TEXTS),
            "other": rnd.choice(TEXTS),
            "n": rnd.choice(NUMBERS),
            "m": rnd.choice(NUMBERS[:4]),
            "ok": rnd.choice([True, False, None]),
        }
        for _ in range(400)
    ]
    batch = pa.RecordBatch.from_pylist(rows, schema=VALUES)
    view = View(stream="s", columns=VALUES)
    tree = Resolve(VALUES.names, {}, None).visit(python.parse(text))
    translated = python_sql.value(tree, view, Family.TEXT)
    assert translated is not None
    bound = sql.bind(sql.parse(translated), VALUES)
    result = maps._Result(
        text=text,
        evaluate=python.compiled(tree),
        family=Family.TEXT,
        bound=bound,
        inputs=tuple(python_rows.used(tree)[0]),
    )
    part = Part(batch=batch, origin=numbers(400), missing={}, repaired={}, bad={})
    quick, bad = result.values(part, view, types.STRING)
    slow = python_rows.column(
        result.evaluate, python_rows.records(part, view, result.inputs), Family.TEXT, types.STRING
    )
    assert (quick.to_pylist(), sorted(bad)) == (slow.array.to_pylist(), sorted(slow.bad))
