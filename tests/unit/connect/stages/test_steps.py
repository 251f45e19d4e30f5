from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from headwater.base.errors import InputError, RunFailedError
from headwater.connect import types
from headwater.connect.contract import ActivateVersion, Checkpoint, Rejected, Schema
from headwater.connect.stages import mapper

ORDERS = pa.schema(
    [
        ("id", types.INT64),
        ("amount", types.STRING),
        ("ts", types.TIMESTAMP),
        ("email", types.STRING),
        ("n", types.INT64),
    ]
)
AT = dt.datetime(2024, 5, 1, 23, 59, tzinfo=dt.UTC)
ROWS = [
    {"id": 1, "amount": "1.10", "ts": AT, "email": "a@x.org", "n": 2},
    {"id": 2, "amount": "-3", "ts": None, "email": None, "n": 0},
]


def run(bench, *steps, **fields):
    return bench.run({"stages": {"s": list(steps)}}, ORDERS, ROWS, keys=("id",), cursor="ts", **fields)


def test_a_chain_of_steps(bench):
    run(
        bench,
        {"rename": {"id": "order_id"}},
        {"cast": {"amount": "decimal(12,2)"}},
        {"filter": "amount > 0 and email <> 'test'"},
        {"compute": {"year": "year(ts)", "domain": "split_part(email, '@', 2)"}},
        {"drop": ["email", "n"]},
        {"rename_stream": "shop_orders"},
    )
    assert bench.rows == [{"order_id": 1, "amount": Decimal("1.10"), "ts": AT, "year": 2024, "domain": "x.org"}]
    assert (bench.schema.stream, bench.schema.keys, bench.schema.cursor) == ("shop_orders", ("order_id",), "ts")
    assert bench.types["amount"] == "decimal128(12, 2)"


@pytest.mark.parametrize(
    ("expression", "column", "values"),
    [
        ("n + 1", "int64", [3, 1]),
        ("n / 4", "double", [0.5, 0.0]),
        ("amount::decimal(10,2) * 2", "decimal128(18, 2)", [Decimal("2.20"), Decimal("-6.00")]),
        ("n = 2", "bool", [True, False]),
        ("ts::date", "date32[day]", [dt.date(2024, 5, 1), None]),
        ("ts + interval 1 minute", "timestamp[us, tz=UTC]", [AT + dt.timedelta(minutes=1), None]),
        ("coalesce(email, 'none')", "string", ["a@x.org", "none"]),
        ("case when n > 1 then 'many' else 'few' end", "string", ["many", "few"]),
        ("json_object('n', n)", "string", ['{"n":2}', '{"n":0}']),
        ("EMAIL", "string", ["a@x.org", None]),
        ("1::hugeint", "decimal128(38, 0)", [Decimal(1), Decimal(1)]),
    ],
)
def test_the_type_of_a_result_is_one_of_ours(bench, expression, column, values):
    run(bench, {"compute": {"x": expression}})
    assert (bench.types["x"], [row["x"] for row in bench.rows]) == (column, values)


def test_expressions_of_a_step_see_the_columns_before_it(bench):
    run(bench, {"compute": {"n": "n * 10", "m": "n + 1"}})
    assert [(row["n"], row["m"]) for row in bench.rows] == [(20, 3), (0, 1)]
    assert list(bench.types) == ["id", "amount", "ts", "email", "n", "m"]


def test_a_row_that_fails_ends_the_run_with_its_number(bench):
    with pytest.raises(RunFailedError) as caught:
        run(bench, {"compute": {"x": "10 // n"}})
    assert caught.value.what == "mapper `m`: row 2 of stream `s` cannot go on"
    assert caught.value.why.startswith(
        "compute `x: 10 // n`: Invalid Input Error: Division by zero in expression (10 // n)"
    )


def test_or_is_set_aside_as_it_came(bench):
    run(bench, {"rename": {"n": "m"}}, {"compute": {"x": "10 // m"}}, on_bad_record="quarantine")
    assert [row["x"] for row in bench.rows] == [5]
    assert [(one.stream, one.record) for one in bench.rejected] == [
        ("s", b'{"id":2,"amount":"-3","ts":null,"email":null,"n":0}')
    ]


@pytest.mark.parametrize(
    ("to", "text", "value"),
    [
        ("integer", "5", 5),
        ("number", "0.1", 0.1),
        ("decimal(5,2)", "1.10", Decimal("1.10")),
        ("boolean", "true", True),
        ("date", "2024-02-29", dt.date(2024, 2, 29)),
        ("timestamp", "2024-05-01T23:59:00Z", AT),
        ("json", '{"a": 1}', '{"a": 1}'),
        ("string", "x", "x"),
    ],
)
def test_casts_from_text(bench, to, text, value):
    bench.run({"stages": {"s": [{"cast": {"v": to}}]}}, pa.schema([("v", types.STRING)]), [{"v": text}, {"v": None}])
    assert [row["v"] for row in bench.rows] == [value, None]


@pytest.mark.parametrize(
    ("to", "text"),
    [("integer", "1.5"), ("decimal(3,2)", "10.00"), ("decimal(5,1)", "1.15"), ("boolean", "yes"), ("date", "soon")],
)
def test_a_value_that_would_change_makes_its_row_bad(bench, to, text):
    columns = pa.schema([("v", types.STRING)])
    bench.run({"stages": {"s": [{"cast": {"v": to}}]}}, columns, [{"v": text}], on_bad_record="quarantine")
    assert (bench.rows, len(bench.rejected)) == ([], 1)


def test_missing_fields_follow_their_columns(bench):
    run(
        bench,
        {"rename": {"n": "m"}},
        {"compute": {"twice": "m * 2", "both": "m * id"}},
        {"filter": "id > 0"},
        missing=[None, ["n", "email"]],
    )
    assert [sorted(names or []) for names in bench.missing] == [[], ["email", "m", "twice"]]


@pytest.mark.parametrize(
    ("step", "reference", "hint"),
    [
        ({"drop": ["id"]}, "key-column", None),
        ({"compute": {"id": "n"}}, "key-column", None),
        ({"drop": ["emial"]}, "unknown-column", "did you mean `email`?"),
        ({"filter": "emial > 1"}, "unknown-column", "did you mean `email`?"),
        ({"rename": {"n": "email"}}, "column-name-taken", None),
        ({"filter": "n + 1"}, "wrong-expression", None),
        ({"filter": "now() > ts"}, "wrong-expression", "use a column of the source instead"),
        ({"cast": {"n": "decimel(1,2)"}}, "unknown-type", "did you mean `decimal`?"),
        ({"fitler": "n > 1"}, "unknown-step", "did you mean `filter`?"),
        ({"filter": "lenght(email) > 1"}, "wrong-expression", "did you mean `length`?"),
    ],
)
def test_what_is_wrong_is_said(bench, step, reference, hint):
    with pytest.raises(InputError) as caught:
        run(bench, step)
    assert caught.value.reference == reference
    assert hint is None or hint in caught.value.hint


def test_a_pattern_leaves_alone_what_a_stream_does_not_have(bench):
    bench.run({"stages": {"*": [{"drop": ["nope"]}, {"rename_stream": "raw_{stream}"}]}}, ORDERS, ROWS)
    assert (bench.schema.stream, len(bench.rows)) == ("raw_s", 2)


def test_two_streams_cannot_take_one_name():
    (stage,) = mapper.stages({"stages": {"*": [{"rename_stream": "same"}]}}, owner="mapper `m`")
    stage(Schema(stream="a", columns=ORDERS))
    with pytest.raises(InputError, match="two streams would be called `same`"):
        stage(Schema(stream="b", columns=ORDERS))


def test_other_messages_go_on_under_the_new_name():
    (stage,) = mapper.stages({"stages": {"s": [{"rename_stream": "t"}]}}, owner="mapper `m`")
    renamed = Rejected(stream="t", record=b"{}", reason="r", stages=1)
    assert stage(Rejected(stream="s", record=b"{}", reason="r")) == (renamed,)
    assert stage(ActivateVersion(stream="s", version=1)) == (ActivateVersion(stream="t", version=1),)
    assert stage(Checkpoint(state=b"1")) == (Checkpoint(state=b"1"),)
