"""Values that PostgreSQL can't hold, keys that come twice, and fields that were not sent."""

from __future__ import annotations

import pyarrow as pa
import pytest

from headwater.base.errors import RunFailedError
from headwater.connect.contract import JSON_FIELD, ActivateVersion, Rows, Schema

TEXT = pa.schema([("id", pa.int64()), ("v", pa.string())])
JSON = pa.schema([("id", pa.int64()), pa.field("v", pa.string(), metadata=JSON_FIELD)])


def test_nul_becomes_a_replacement_character_and_is_counted(shop):
    rows = [{"id": 1, "v": "a\0b\0"}, {"id": 2, "v": "plain"}, {"id": 3, "v": None}, {"id": 4, "v": "\0"}]
    receipt = shop.load(rows, TEXT)
    assert receipt.streams["users"].repaired == 2
    assert [(one.column, one.count) for one in receipt.changes if one.change == "value-repaired"] == [("v", 2)]
    assert shop.sql("select v from shop.users order by id") == [("a\ufffdb\ufffd",), ("plain",), (None,), ("\ufffd",)]


def test_nul_in_json_too_also_in_names_and_beside_backslashes(shop):
    rows = [
        {"id": 1, "v": r'{"a\u0000":"\u0000\u0000"}'},
        {"id": 2, "v": r'"\\u0000"'},  # a backslash, then text
        {"id": 3, "v": r'"\\\u0000"'},
    ]
    receipt = shop.load(rows, JSON)
    assert receipt.streams["users"].repaired == 2
    assert shop.sql("select v from shop.users order by id") == [
        ({"a\ufffd": "\ufffd\ufffd"},),
        ("\\u0000",),
        ("\\\ufffd",),
    ]


@pytest.mark.parametrize("more", [{"keys": ("v",)}, {"cursor": "v"}])
def test_nul_in_a_key_or_a_cursor_is_an_error(shop, more):
    with pytest.raises(RunFailedError) as caught:
        shop.load([{"id": 1, "v": "a\0"}], TEXT, **more)
    assert caught.value.reference == "value-rejected"
    assert not shop.sql("select 1 from pg_namespace where nspname = 'shop'")


def test_json_that_postgres_does_not_take_fails_the_load(shop):
    with pytest.raises(RunFailedError) as caught:
        shop.load([{"id": 1, "v": "{"}], JSON, state=b"1")
    assert caught.value.reference == "value-rejected"
    assert shop.open("run-2").checkpoint() is None


@pytest.mark.parametrize("first", [[], [{"id": 9, "v": "z"}]], ids=["into an empty table", "into a table with rows"])
def test_the_last_of_a_key_wins_however_many_batches(shop, first):
    session = shop.open()
    shop.send(session, first, TEXT)
    session.commit(b"1")
    for number in range(3):
        rows = [{"id": key, "v": f"{number}.{position}"} for position in range(100) for key in (1, 2)]
        shop.send(session, rows, TEXT)
    assert session.commit(b"2").streams["users"].rows_out == 600
    assert shop.sql("select id, v from shop.users where id < 9 order by id") == [(1, "2.99"), (2, "2.99")]


def test_zeros_of_both_signs_are_one_key(shop):
    columns = pa.schema([("id", pa.float64()), ("v", pa.string())])
    shop.load([{"id": 0.0, "v": "a"}], columns)
    shop.load([{"id": -0.0, "v": "b"}, {"id": 0.0, "v": "c"}], columns, run_id="run-2")
    assert shop.sql("select v from shop.users") == [("c",)]


def test_a_big_row_does_not_upset_the_order(shop):
    big = "x" * 3_000_000
    shop.load([{"id": 9, "v": "z"}], TEXT)
    rows = [{"id": 1, "v": "old"}, {"id": 2, "v": big}] * 3 + [{"id": 1, "v": "new"}]
    shop.load(rows, TEXT, run_id="run-2")
    assert shop.sql("select id, length(v), left(v, 3) from shop.users where id < 9 order by id") == [
        (1, 3, "new"),
        (2, 3_000_000, "xxx"),
    ]


def test_fields_that_were_not_sent_keep_their_values_with_hostile_names_too(shop):
    columns = pa.schema([("id", pa.int64()), ("a'b", pa.string()), ('c"d%s', pa.string())])
    session = shop.open()
    shop.send(session, [{"id": 1, "a'b": "1", 'c"d%s': "2"}], columns)
    session.commit(None)
    session.prepare(Schema(stream="users", columns=columns, keys=("id",)))
    batch = pa.RecordBatch.from_pylist([{"id": 1, 'c"d%s': "new"}, {"id": 2, "a'b": "x"}], schema=columns)
    session.stage(Rows(stream="users", batch=batch, missing=pa.array([["a'b"], ['c"d%s']])))
    session.commit(None)
    assert shop.sql("select * from shop.users order by 1")[0][:3] == (1, "1", "new")


def test_replaced_content_is_collected_over_commits_and_the_last_of_a_key_wins(shop):
    shop.load([{"id": 9, "v": "old"}], TEXT)
    session = shop.open("run-2")
    for number in range(3):
        shop.send(session, [{"id": 1, "v": str(number)}, {"id": 1, "v": f"{number}!"}], TEXT, replace=True)
        session.commit(None)
        assert shop.sql("select id, v from shop.users") == [(9, "old")]
    shop.send(session, [{"id": 2, "v": "x"}], TEXT, replace=True)
    session.commit(None, final=True)
    assert shop.sql("select id, v from shop.users order by id") == [(1, "2!"), (2, "x")]
    assert shop.sql("select count(*) from pg_tables where schemaname = '_headwater' and tablename like 'aside%'") == [
        (0,)
    ]
    session.close()
    shop.load([{"id": 1, "v": "upserted"}], TEXT, run_id="run-3")
    assert shop.sql("select v from shop.users order by id") == [("upserted",), ("x",)]


def test_a_stream_whose_first_replacement_was_cut_short_can_be_upserted(shop):
    session = shop.open()
    shop.send(session, [{"id": 1, "v": "a"}], TEXT, replace=True)
    session.commit(None)
    session.close()
    shop.load([{"id": 2, "v": "b"}, {"id": 2, "v": "c"}], TEXT, run_id="run-2")
    assert shop.sql("select id, v from shop.users") == [(2, "c")]


def test_replaced_content_leaves_grants_and_comments(shop):
    shop.load([{"id": 1, "v": "a"}], TEXT)
    shop.sql("grant select on shop.users to public")
    shop.sql("comment on table shop.users is 'people'")
    shop.load([{"id": 2, "v": "b"}], TEXT, run_id="run-2", replace=True)
    found = "select has_table_privilege('pg_monitor', oid, 'select'), obj_description(oid) from pg_class"
    assert shop.sql(f"{found} where oid = 'shop.users'::regclass") == [(True, "people")]


def activate(shop, rows, version, **settings):
    session = shop.open("run-2", **settings)
    session.prepare(Schema(stream="users", columns=TEXT, keys=("id",)))
    session.stage(Rows(stream="users", batch=pa.RecordBatch.from_pylist(rows, schema=TEXT), version=version))
    session.activate(ActivateVersion(stream="users", version=version))
    changes = session.commit(None, final=True).changes
    session.close()
    return changes[-1] if changes else None


def test_rows_of_an_older_version_are_marked_and_live_again_when_they_come_again(shop):
    activate(shop, [{"id": 1, "v": "a"}, {"id": 2, "v": "b"}], 1)
    change = activate(shop, [{"id": 2, "v": "c"}], 2)
    assert (change.change, change.count) == ("rows-marked", 1)
    assert shop.sql("select id, __deleted_at is null from shop.users order by id") == [(1, False), (2, True)]
    activate(shop, [{"id": 1, "v": "d"}, {"id": 2, "v": "d"}], 3)
    assert shop.sql("select v from shop.users where __deleted_at is null") == [("d",), ("d",)]


def test_rows_of_an_older_version_go_with_hard_delete(shop):
    activate(shop, [{"id": 1, "v": "a"}, {"id": 2, "v": "b"}], 1)
    assert activate(shop, [{"id": 2, "v": "c"}], 2, hard_delete=True).change == "rows-deleted"
    assert shop.sql("select id from shop.users") == [(2,)]


def test_versions_can_be_left_alone(shop):
    activate(shop, [{"id": 1, "v": "a"}], 1)
    assert activate(shop, [{"id": 2, "v": "c"}], 2, activate_version=False) is None
    assert shop.sql("select count(*) from shop.users") == [(2,)]
