from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import pyarrow as pa
import pytest

from headwater.base.errors import InputError, RunFailedError
from headwater.connect.contract import JSON_FIELD, ActivateVersion, Rejected, Schema, StreamReceipt

A, B, C = {"id": 1, "name": "a"}, {"id": 2, "name": "b"}, {"id": 3, "name": "c"}
USERS = pa.schema([("id", pa.int64()), ("name", pa.string())])


def by_id(rows):
    return sorted(rows, key=lambda row: row["id"])


def test_rows_without_keys_are_appended(place, send):
    session = place.open()
    send(session, [A, A])
    session.commit(None)
    send(session, [A, B])
    session.commit(None, final=True)
    assert by_id(place.rows("users")) == [A, A, A, B]


def test_nothing_is_visible_before_the_commit(place, send):
    session = place.open()
    send(session, [A])
    session.boundary()
    assert not place.rows("users")
    session.close()
    assert not place.rows("users")
    assert place.open("run-2").checkpoint() is None


def test_the_checkpoint_is_read_back_byte_for_byte(place, send):
    state = b'{"a":1.0, "n" : 100000000000000000000,"a":"\\u00e9\xc3\xa9"} '
    session = place.open()
    send(session, [A])
    assert session.commit(state).checkpoint == state
    session.close()
    assert place.open("run-2").checkpoint() == state


def test_a_commit_without_a_checkpoint_keeps_the_one_that_stands(place, send):
    session = place.open()
    session.commit(b'{"a":1}')
    send(session, [A])
    session.commit(None)
    assert place.open("run-2").checkpoint() == b'{"a":1}'


def test_a_pipeline_without_a_name_keeps_no_checkpoint(place, send):
    for run in ("run-1", "run-2"):
        session = place.open(run, pipeline=None)
        assert session.checkpoint() is None
        send(session, [A])
        session.commit(b'{"a":1}', final=True)
    assert place.rows("users") == [A, A]


def test_pipelines_keep_their_checkpoints_apart(place, send):
    for pipeline in ("one", "one-2", "One"):
        place.open(pipeline=pipeline).commit(pipeline.encode())
    assert [place.open("run-2", pipeline).checkpoint() for pipeline in ("one", "one-2", "One")] == [
        b"one",
        b"one-2",
        b"One",
    ]


def test_of_two_writers_the_later_commit_is_refused(place, send):
    if place.can("one-at-a-time"):
        pytest.skip("refuses the second writer before it reads")
    first, second = place.open("run-1"), place.open("run-2")
    send(first, [A])
    first.commit(b"1")
    send(second, [B])
    with pytest.raises(RunFailedError) as caught:
        second.commit(b"2")
    assert caught.value.reference == "another-writer"
    assert place.rows("users") == [A]
    assert place.open("run-3").checkpoint() == b"1"


def test_counts_are_those_of_what_was_committed(place, send):
    session = place.open()
    send(session, [A, B])
    session.reject(Rejected(stream="users", record=b'{"id": \xff', reason="not UTF-8"))
    session.boundary()
    send(session, [C])
    session.reject(Rejected(stream="other", record=b"x", reason="not JSON"))
    receipt = session.commit(b"1", to_boundary=True)
    assert receipt.streams == {"users": StreamReceipt(rows_in=3, rows_out=2, rejected=1)}
    assert by_id(place.rows("users")) == [A, B]
    receipt = session.commit(b"2")
    assert receipt.streams == {
        "users": StreamReceipt(rows_in=1, rows_out=1),
        "other": StreamReceipt(rows_in=1, rejected=1),
    }
    assert by_id(place.rows("users")) == [A, B, C]


def test_how_a_stream_was_loaded_is_told_as_it_was(place, send):
    session = place.open()
    send(session, [A], keys=("id",))
    session.commit(None, final=True)
    assert session.stored()["users"].method == ("upsert" if place.can("upsert") else "append-only")
    session.close()
    session = place.open("run-2", load_method="overwrite")
    send(session, [A], keys=("id",))
    session.commit(None, final=True)
    assert session.stored()["users"].method == "overwrite"


def test_what_came_after_the_boundary_is_lost_at_close(place, send):
    session = place.open()
    send(session, [A])
    session.boundary()
    send(session, [B])
    session.commit(b"1", to_boundary=True, final=True)
    session.close()
    assert place.rows("users") == [A]


def test_an_idle_commit_is_allowed_and_numbers_only_rise(place, send):
    session = place.open()
    assert session.commit(None).sequence == 0
    assert session.commit(b"1").sequence == 1
    assert session.commit(b"1").sequence == 1
    assert session.commit(b"2").sequence == 2


def test_an_empty_batch_makes_no_row(place, send):
    session = place.open()
    send(session, [])
    receipt = session.commit(b"1", final=True)
    assert receipt.streams.get("users", StreamReceipt()) == StreamReceipt()
    assert not place.rows("users")


def test_the_last_row_of_a_key_wins(place, send):
    place.need("upsert")
    session = place.open()
    send(session, [A, B, {"id": 1, "name": "x"}, {"id": 1, "name": "y"}], keys=("id",))
    assert session.commit(b"1").streams["users"] == StreamReceipt(rows_in=4, rows_out=4)
    send(session, [{"id": 2, "name": None}, C], keys=("id",))
    session.commit(b"2")
    assert by_id(place.rows("users")) == [{"id": 1, "name": "y"}, {"id": 2, "name": None}, C]


def test_keys_are_compared_column_by_column(place, send):
    place.need("upsert")
    columns = pa.schema([("a", pa.string()), ("b", pa.string()), ("n", pa.int64())])
    rows = [{"a": "x,y", "b": "z", "n": 1}, {"a": "x", "b": "y,z", "n": 2}, {"a": "X", "b": "y,z", "n": 3}]
    session = place.open()
    for _ in range(2):
        send(session, rows, columns=columns, keys=("a", "b"))
        session.commit(None)
    assert sorted(place.rows("users"), key=lambda row: row["n"]) == rows


def test_a_key_without_a_value_fails_and_leaves_nothing(place, send):
    place.need("upsert")
    session = place.open()
    send(session, [A, {"id": None, "name": "b"}], keys=("id",))
    with pytest.raises(RunFailedError) as caught:
        session.commit(b"1")
    assert caught.value.reference == "null-key"
    assert place.open("run-2").checkpoint() is None


def test_a_missing_field_keeps_the_old_value_and_a_null_does_not(place, send):
    place.need("upsert")
    columns = pa.schema([("id", pa.int64()), ("a", pa.string()), ("b", pa.string())])
    session = place.open()
    send(session, [{"id": 1, "a": "a1", "b": "b1"}, {"id": 2, "a": "a2", "b": "b2"}], columns=columns, keys=("id",))
    session.commit(None)
    rows = [{"id": 1, "b": "new"}, {"id": 2}, {"id": 2, "a": "later"}, {"id": 3, "b": "b3"}]
    send(session, rows, columns=columns, keys=("id",), missing=[["a"], ["a"], ["b"], ["a"]])
    session.commit(None)
    assert by_id(place.rows("users")) == [
        {"id": 1, "a": "a1", "b": "new"},
        {"id": 2, "a": "later", "b": None},
        {"id": 3, "a": None, "b": "b3"},
    ]


def test_a_column_that_the_source_no_longer_has_keeps_its_values(place, send):
    place.need("upsert")
    session = place.open()
    send(session, [A, B], keys=("id",))
    session.commit(None)
    columns = pa.schema([("id", pa.int64()), ("age", pa.int64())])
    send(session, [{"id": 1, "age": 5}], columns=columns, keys=("id",))
    session.commit(None)
    assert by_id(place.rows("users")) == [{**A, "age": 5}, {**B, "age": None}]


def test_a_new_column_is_added_and_told(place, send):
    session = place.open()
    send(session, [A])
    session.commit(None)
    more = pa.schema([("id", pa.int64()), ("name", pa.string()), ("age", pa.int64())])
    send(session, [{**B, "age": 5}], columns=more)
    receipt = session.commit(None)
    assert [(one.column, one.change) for one in receipt.changes] == [("age", "column-added")]
    assert by_id(place.rows("users")) == [{**A, "age": None}, {**B, "age": 5}]


def test_schemas_that_alternate_become_one(place, send):
    session = place.open()
    other = pa.schema([("id", pa.int64()), ("age", pa.int64())])
    for number in range(4):
        send(session, [{"id": number, "name": "x"}])
        send(session, [{"id": number, "age": number}], columns=other)
    session.commit(None)
    rows = place.rows("users")
    assert len(rows) == 8
    assert {tuple(sorted(row)) for row in rows} == {("age", "id", "name")}


def test_an_integer_column_grows_when_fractions_come(place, send):
    session = place.open()
    send(session, [A])
    session.commit(None)
    session.close()
    session = place.open("run-2")
    columns = pa.schema([("id", pa.decimal128(10, 2)), ("name", pa.string())])
    send(session, [{"id": Decimal("1.50"), "name": "b"}], columns=columns)
    receipt = session.commit(None)
    assert [(one.column, one.change) for one in receipt.changes] == [("id", "column-widened")]
    assert [float(row["id"]) for row in by_id(place.rows("users"))] == [1, 1.5]


@pytest.mark.parametrize(("old", "new"), [(pa.string(), pa.int64()), (pa.float64(), pa.int64())])
def test_a_type_never_shrinks(place, send, old, new):
    session = place.open()
    send(session, [], columns=pa.schema([("v", old)]))
    send(session, [{"v": None}], columns=pa.schema([("v", old)]))
    session.commit(b"1")
    session.close()
    with pytest.raises(InputError) as caught:
        place.open("run-2").prepare(Schema(stream="users", columns=pa.schema([("v", new)])))
    assert caught.value.reference == "unsupported-change"
    assert "`v` of stream `users`" in caught.value.what


def test_a_column_that_a_value_made_text_takes_the_declared_type_still(place, send):
    wider = pa.schema([pa.field("v", pa.string(), metadata={"headwater.declared": "int64"})])
    session = place.open()
    send(session, [{"v": "not a number"}], columns=wider)
    session.commit(None)
    session.close()
    session = place.open("run-2")
    send(session, [{"v": 7}], columns=pa.schema([("v", pa.int64())]))
    session.commit(None)
    assert [row["v"] for row in place.rows("users")] == ["not a number", "7"]


def test_a_value_its_type_cannot_hold_makes_the_column_text(place, send):
    session = place.open()
    send(session, [{"v": 2**53 + 1}], columns=pa.schema([("v", pa.int64())]))
    send(session, [{"v": 0.5}], columns=pa.schema([("v", pa.float64())]))
    session.commit(None)
    assert [row["v"] for row in place.rows("users")] == ["9007199254740993", "0.5"]


def test_a_replaced_stream_swaps_only_at_the_end(place, send):
    session = place.open("run-1")
    send(session, [A, B])
    session.commit(b"1", final=True)
    session.close()
    session = place.open("run-2")
    send(session, [C], replace=True)
    session.commit(b"2")
    assert by_id(place.rows("users")) == [A, B]
    send(session, [B], replace=True)
    session.commit(b"3")
    assert by_id(place.rows("users")) == [A, B]
    session.commit(b"3", final=True)
    assert by_id(place.rows("users")) == [B, C]


def test_a_replaced_stream_in_one_commit(place, send):
    for run, row in (("run-1", A), ("run-2", B)):
        session = place.open(run)
        send(session, [row], replace=True)
        session.commit(b"1", final=True)
        session.close()
    assert place.rows("users") == [B]


def test_a_replace_that_was_cut_short_leaves_nothing(place, send):
    session = place.open("run-1")
    send(session, [A], replace=True)
    session.commit(b"1", final=True)
    session = place.open("run-2")
    send(session, [B], replace=True)
    session.commit(b"2")
    session.close()
    session = place.open("run-3")
    send(session, [C], replace=True)
    session.commit(b"3", final=True)
    assert place.rows("users") == [C]


def test_a_replaced_stream_that_grows_while_it_is_collected(place, send):
    session = place.open()
    send(session, [A], replace=True)
    session.commit(None)
    columns = pa.schema([("id", pa.string()), ("name", pa.string()), ("age", pa.int64())])
    send(session, [{"id": "x", "name": "b", "age": 5}], columns=columns, replace=True)
    session.commit(None, final=True)
    rows = sorted(place.rows("users"), key=lambda row: str(row["id"]))
    assert [(str(row["id"]), row["age"]) for row in rows] == [("1", None), ("x", 5)]


def test_overwrite_replaces_every_stream(place, send):
    for run, row in (("run-1", A), ("run-2", B)):
        session = place.open(run, load_method="overwrite")
        send(session, [row])
        session.commit(None, final=True)
    assert place.rows("users") == [B]


HOSTILE = [
    'a"b',
    "a.b",
    "a b",
    "a-b",
    "Foo",
    "foo",
    "select",
    "'; drop table users; --",
    '"); drop table users; --',
    "%(x)s",
    "{x}",
    "?",
    "",
    "\u00e9",
    "e\u0301",
    "日本",
    "x" * 300,
    "x" * 299 + "y",
    "rowid",
    "__loaded_at",
    "../up",
    "a/b",
    "new\nline",
]


def test_hostile_column_names_stay_apart(place, send):
    columns = pa.schema([(name, pa.string()) for name in HOSTILE])
    session = place.open()
    send(session, [{name: f"value of {name}" for name in HOSTILE}], columns=columns)
    session.commit(None)
    assert place.rows("users") == [{name: f"value of {name}" for name in HOSTILE}]


def test_hostile_stream_names_stay_apart(place, send):
    session = place.open()
    for name in HOSTILE:
        send(session, [{"id": 1, "name": name}], stream=name)
    session.commit(None)
    session.close()
    session = place.open("run-2")
    send(session, [{"id": 2, "name": "again"}], stream=HOSTILE[-1])
    session.commit(None)
    for name in HOSTILE[:-1]:
        assert place.rows(name) == [{"id": 1, "name": name}]
    assert len(place.rows(HOSTILE[-1])) == 2


TEXTS = ["", "null", "\\N", "NaN", "tab\tline\ncr\rquote\"'\\", "\u2028", "😈", "nul\0", "=cmd()"]


def test_text_comes_back_byte_for_byte(place, send):
    columns = pa.schema([("id", pa.int64()), ("v", pa.string())])
    session = place.open()
    send(session, [{"id": n, "v": text} for n, text in enumerate([*TEXTS, None])], columns=columns)
    receipt = session.commit(None)
    texts = [text.replace("\0", "\ufffd") for text in TEXTS] if place.can("no-nul") else TEXTS
    assert [row["v"] for row in by_id(place.rows("users"))] == [*texts, None]
    assert receipt.streams["users"].repaired == (1 if place.can("no-nul") else 0)


VALUES = {
    "whole": (pa.int64(), -(2**63), -(2**63)),
    "big": (pa.decimal128(38, 9), Decimal("12345678901234567890.123456789"), Decimal("12345678901234567890.123456789")),
    "float": (pa.float64(), 1e300, Decimal("1e300")),
    "flag": (pa.bool_(), False, False),
    "bytes": (pa.binary(), b"\x00\xff", "AP8="),
    "day": (pa.date32(), dt.date(1, 1, 1), "0001-01-01"),
    "time": (pa.time64("us"), dt.time(1, 2, 3, 4), "01:02:03.000004"),
    "moment": (
        pa.timestamp("us", "UTC"),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999999, dt.UTC),
        "9999-12-31T23:59:59.999999Z",
    ),
}


def test_every_type_comes_back_exactly(place, send):
    columns = pa.schema([(name, data_type) for name, (data_type, _, _) in VALUES.items()])
    session = place.open()
    send(session, [{name: value for name, (_, value, _) in VALUES.items()}, dict.fromkeys(VALUES)], columns=columns)
    session.commit(None)
    form = 2 if place.can("no-nan") else 1
    expected = [{name: of[form] for name, of in VALUES.items()}, dict.fromkeys(VALUES)]
    assert sorted(place.rows("users"), key=lambda row: row["whole"] is None) == expected


def test_not_a_number(place, send):
    columns = pa.schema([("id", pa.int64()), ("v", pa.float64())])
    session = place.open()
    send(session, [{"id": 1, "v": math.nan}, {"id": 2, "v": math.inf}, {"id": 3, "v": 0.1}], columns=columns)
    receipt = session.commit(None)
    values = [row["v"] for row in by_id(place.rows("users"))]
    if place.can("no-nan"):
        assert values == [None, None, Decimal("0.1")]
        assert receipt.streams["users"].repaired == 2
    elif place.can("nan-is-text"):
        assert values == ["nan", "inf", "0.1"]
        assert receipt.streams["users"].repaired == 0
    else:
        assert math.isnan(values[0])
        assert values[1:] == [math.inf, 0.1]


def test_json_keeps_its_text(place, send):
    columns = pa.schema([pa.field("v", pa.string(), metadata=JSON_FIELD)])
    text = '{"b":1.0,"a":[100000000000000000000,"é"]}'
    session = place.open()
    send(session, [{"v": text}, {"v": '"plain"'}, {"v": None}], columns=columns)
    session.commit(None)
    values = [row["v"] for row in place.rows("users")]
    if place.can("no-nan"):
        assert values == [{"b": Decimal("1.0"), "a": [10**20, "é"]}, "plain", None]
    elif place.can("jsonb"):
        assert values == [{"b": 1.0, "a": [10**20, "é"]}, "plain", None]
    else:
        assert values == [text, '"plain"', None]


def test_rows_beyond_the_memory_wait_on_disk(place, send):
    session = place.open(memory_bytes=200_000)
    for number in range(20):
        send(session, [{"id": number * 1000 + n, "name": "x" * 20} for n in range(1000)])
        if number == 9:
            session.boundary()
    assert any((place.folder / "scratch-0").iterdir())
    session.commit(b"1", to_boundary=True)
    assert [row["id"] for row in by_id(place.rows("users"))] == list(range(10_000))
    session.commit(b"2")
    assert len(place.rows("users")) == 20_000
    session.close()
    assert not any((place.folder / "scratch-0").iterdir())


def activated(place, send, version, *, rows=(B,), rows_version=2):
    session = place.open("run-2")
    send(session, list(rows), keys=("id",), version=rows_version)
    session.activate(ActivateVersion(stream="users", version=version))
    return session.commit(None, final=True).changes[-1]


def test_older_versions_go_after_the_rows_are_in(place, send):
    place.need("versions")
    session = place.open()
    send(session, [A, B], keys=("id",), version=1)
    session.commit(None)
    assert activated(place, send, 2).count == 1
    assert place.rows("users") == [B]


@pytest.mark.parametrize(
    ("version", "rows_version", "why"), [(1, 2, "the table holds version 2"), (3, 2, "no row of that version has come")]
)
def test_a_version_that_would_empty_the_table_is_ignored(place, send, version, rows_version, why):
    place.need("versions")
    session = place.open()
    send(session, [A], keys=("id",), version=1)
    session.commit(None)
    change = activated(place, send, version, rows_version=rows_version)
    assert (change.change, change.detail) == ("version-ignored", f"version {version} is not activated: {why}")
    assert by_id(place.rows("users")) == [A, B]


def test_a_version_deletes_nothing_when_rows_carry_none(place, send):
    place.need("versions")
    assert activated(place, send, 5, rows_version=None).change == "version-ignored"
    assert place.rows("users") == [B]
