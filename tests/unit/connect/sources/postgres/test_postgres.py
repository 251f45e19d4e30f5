from __future__ import annotations

import datetime as dt
import json
import math
import time
from decimal import Decimal

import pytest

from headwater.base.errors import EnvironmentProblemError, InputError, RunFailedError
from headwater.connect.contract import Checkpoint, ReadRequest, Rows
from headwater.connect.sources import postgres as source
from headwater.connect.types import is_json

UTC = dt.UTC
INSTANT = "timestamp[us, tz=UTC]"

# Column type, SQL of a value, our type, what becomes of it.
VALUES = [
    ("smallint", "-5", "int64", -5),
    ("integer", "2147483647", "int64", 2147483647),
    ("bigint", "9007199254740993", "int64", 9007199254740993),
    ("real", "1.5", "double", 1.5),
    ("double precision", "0.1", "double", 0.1),
    ("boolean", "true", "bool", True),
    ("numeric(12,2)", "-1234567890.10", "decimal128(12, 2)", Decimal("-1234567890.10")),
    ("numeric(5,0)", "12345", "decimal128(5, 0)", Decimal(12345)),
    ("numeric(38,38)", "0.1", "decimal128(38, 38)", Decimal("0.1")),
    ("numeric(50,10)", "1.5", "string", "1.5000000000"),
    ("numeric", "12345678901234567890.123456789", "decimal128(29, 9)", Decimal("12345678901234567890.123456789")),
    ("text", "e'a\\tb\\n\"é\\\\'", "string", 'a\tb\n"é\\'),
    ("varchar(10)", "''", "string", ""),
    ("char(4)", "'ab'", "string", "ab  "),
    ("uuid", "'0F8FAD5B-D9CB-469F-A165-70867728950E'", "string", "0f8fad5b-d9cb-469f-a165-70867728950e"),
    ("bytea", "'\\x00ff'", "binary", b"\x00\xff"),
    ("date", "'0001-01-01'", "date32[day]", dt.date(1, 1, 1)),
    ("time", "'23:59:59.999999'", "time64[us]", dt.time(23, 59, 59, 999999)),
    ("timetz", "'10:00+05'", "string", "10:00:00+05"),
    ("timestamp", "'2024-02-29 10:00:00.123456'", INSTANT, dt.datetime(2024, 2, 29, 10, 0, 0, 123456, UTC)),
    ("timestamptz", "'2024-01-01 00:00:00+05:30'", INSTANT, dt.datetime(2023, 12, 31, 18, 30, tzinfo=UTC)),
    ("interval", "'1 day 2 hours'", "string", "1 day 02:00:00"),
    ("jsonb", """'{"b": 1.0, "a": [null]}'""", "string", '{"a": [null], "b": 1.0}'),
    ("json", """'{"a":1,"a":2}'""", "string", '{"a":1,"a":2}'),
    ("text[]", "'{a,NULL,\"x,y\"}'", "string", '["a", null, "x,y"]'),
    ("integer[]", "'{{1,2},{3,4}}'", "string", "[[1, 2], [3, 4]]"),
    ("int4range", "'[1,5)'", "string", "[1,5)"),
    ("inet", "'10.0.0.1/8'", "string", "10.0.0.1/8"),
    ("bit(3)", "B'101'", "string", "101"),
    ("mood", "'fine'", "string", "fine"),
    ("price", "1.5", "decimal128(10, 2)", Decimal("1.50")),
    ("pair", "(1, 'x')", "string", '{"a": 1, "b": "x"}'),
    ("oid", "7", "int64", 7),
    ("tsvector", "'cat'", "string", "'cat'"),
]  # fmt: skip
JSON = {"jsonb", "json", "text[]", "integer[]", "pair"}
TYPES = """
create type mood as enum ('fine'); create domain price as numeric(10,2); create type pair as (a int, b text);
"""


def test_every_type_comes_exactly(shop):
    shop.sql(TYPES)
    columns = [f"c{number} {kind}" for number, (kind, *_) in enumerate(VALUES)]
    shop.sql(f"create table t (id int primary key, {', '.join(columns)})")
    shop.sql(f"insert into t values (1, {', '.join(sql for _, sql, _, _ in VALUES)})")
    shop.sql("insert into t values (2)")
    found = shop.read()
    full, empty = found.rows
    for number, (kind, _, arrow, value) in enumerate(VALUES):
        field = found.schema.columns.field(f"c{number}")
        assert (str(field.type), full[field.name]) == (arrow, value), kind
        assert is_json(field) == (kind in JSON), kind
        assert empty[field.name] is None, kind
    assert found.repaired == {}


def test_what_no_type_of_ours_can_hold_is_null_and_counted(shop):
    shop.sql("create table t (id int, d date, t timestamptz, s timestamp, h time, n numeric, m numeric(6,2))")
    shop.sql("insert into t values (1, 'infinity', 'infinity', '-infinity', '24:00', 'NaN', 'NaN')")
    shop.sql("insert into t values (2, '0044-03-15 BC', '0001-01-01 BC', '10000-01-01', '0:00', 1.5, 2)")
    found = shop.read()
    assert [list(row.values()) for row in found.rows] == [
        [1, None, None, None, None, None, None],
        [2, None, None, None, dt.time(0), Decimal("1.5"), Decimal("2.00")],
    ]
    assert found.repaired == {"d": 2, "t": 2, "s": 2, "h": 1, "n": 1, "m": 1}


def test_not_a_number_stays_where_a_double_can_hold_it(shop):
    shop.sql("create table t (id int, x float8, y real)")
    shop.sql("insert into t values (1, 'NaN', '-Infinity')")
    (row,) = shop.read().rows
    assert math.isnan(row["x"])
    assert row["y"] == -math.inf


def test_a_key_is_never_repaired(shop):
    shop.sql("create table t (id date primary key)")
    shop.sql("insert into t values ('infinity')")
    with pytest.raises(RunFailedError, match="`id` of stream `public-t` holds a value beyond the years 1 to 9999"):
        shop.read()


def test_a_numeric_without_a_size_grows_with_what_comes(shop):
    shop.sql("create table t (id int primary key, n numeric)")
    shop.sql("insert into t select i, i from generate_series(1, 4000) i")
    shop.sql("insert into t values (4001, 1.25)")
    found = shop.read(batch_bytes=5000)
    assert str(found.schema.columns.field("n").type) == "decimal128(22, 2)"
    assert found.rows[-1] == {"id": 4001, "n": Decimal("1.25")}
    assert len(found.rows) == 4001


def test_tables_views_and_partitions_are_streams(shop):
    shop.sql('create schema "S-x"')
    shop.sql('create table "S-x"."T a" ("Id" int, b text, primary key (b, "Id"))')
    shop.sql("create view v as select 1 as one")
    shop.sql("create materialized view m as select 2 as two")
    shop.sql("create table p (id int, day date) partition by range (day)")
    shop.sql("create table p1 partition of p for values from ('2024-01-01') to ('2025-01-01')")
    shop.sql("insert into p values (1, '2024-05-05')")
    found = {one.name: one for one in shop.catalog().streams}
    assert list(found) == ["S-x-T a", "public-m", "public-p", "public-v"]
    assert found["S-x-T a"].key_properties == ["b", "Id"]
    assert found["public-v"].is_view
    top = found["S-x-T a"].metadata[0].metadata
    assert top["table-key-properties"] == ["b", "Id"]
    assert top["replication-method"] == "FULL_TABLE"
    assert top["valid-replication-keys"] == ["Id", "b"]
    assert shop.read("public-p").rows == [{"id": 1, "day": dt.date(2024, 5, 5)}]
    assert shop.read("public-v").rows == [{"one": 1}]
    assert [one.name for one in shop.catalog(filter_schemas=["S-x"]).streams] == ["S-x-T a"]


def test_what_the_user_may_not_read_is_not_offered(shop):
    shop.sql("drop role if exists guest")
    shop.sql("create role guest login password 'guest-canary'")
    shop.sql(
        "create table open (id int, secret text); create table closed (id int); grant select (id) on open to guest"
    )
    (stream,) = shop.catalog(user="guest", password="guest-canary").streams
    assert stream.name == "public-open"
    assert list(stream.schema["properties"]) == ["id"]
    assert shop.read("public-open", user="guest", password="guest-canary").rows == []


def test_the_signature_changes_with_the_tables_only(shop):
    shop.sql("create table t (id int)")
    before = source.signature(shop.settings())
    shop.sql("insert into t values (1)")
    assert source.signature(shop.settings()) == before
    shop.sql("alter table t add column b text")
    assert source.signature(shop.settings()) != before


def test_a_full_table_without_a_key_replaces_what_was_there(shop):
    shop.sql("create table t (id int); create table u (id int primary key)")
    assert shop.read("public-t").schema.replace
    assert not shop.read("public-u").schema.replace


def test_an_incremental_stream_goes_on_from_its_last_value_inclusive(shop):
    shop.sql("create table t (id int primary key, at timestamptz, note text)")
    shop.sql(
        "insert into t select i, '2024-01-01'::timestamptz + i * interval '1 us', 'n' from generate_series(1, 10) i"
    )
    keys = {"public-t": "at"}
    first = shop.read(replication_keys=keys)
    assert first.state == {
        "bookmarks": {"public-t": {"replication_key": "at", "replication_key_value": "2024-01-01T00:00:00.000010Z"}}
    }
    shop.sql(
        "insert into t values (11, '2024-01-01 00:00:00.00001', 'a tie'), (12, '2024-01-02', 'new'), (13, null, 'none')"
    )
    second = shop.read(replication_keys=keys, state=first.state)
    assert second.ids == [10, 11, 12]
    assert shop.read(replication_keys=keys, state=first.state, lookback_seconds=1).ids == [*range(1, 13)]


@pytest.mark.parametrize("kind", ["numeric", "text", "uuid", "date", "double precision"])
def test_replication_keys_of_other_types_are_compared_as_what_they_are(shop, kind):
    values = {
        "numeric": ["9", "10", "10.5"],
        "text": ["'a''b'", "'b'", "'c'"],
        "uuid": [f"'00000000-0000-0000-0000-00000000000{n}'" for n in (1, 2, 3)],
        "date": ["'2024-01-31'", "'2024-02-01'", "'2024-10-01'"],
        "double precision": ["9", "10.1", "11"],
    }[kind]
    shop.sql(f"create table t (id int primary key, c {kind})")
    shop.sql(f"insert into t values (1, {values[0]}), (2, {values[1]})")
    first = shop.read(replication_keys={"public-t": "c"})
    assert first.ids == [1, 2]
    shop.sql(f"insert into t values (3, {values[2]})")
    assert shop.read(replication_keys={"public-t": "c"}, state=first.state).ids == [2, 3]


def test_every_checkpoint_of_an_incremental_read_covers_what_came_before_it(shop):
    shop.sql("create table t (id int primary key, c int)")
    shop.sql("insert into t select i, i / 7 from generate_series(1, 3000) i")
    whole = shop.read(replication_keys={"public-t": "c"}, batch_bytes=4000)
    assert len(whole.states) > 5
    for cut, message in enumerate(whole.messages):
        if isinstance(message, Checkpoint) and cut % 5 == 0:
            before = [
                row["id"] for one in whole.messages[:cut] if isinstance(one, Rows) for row in one.batch.to_pylist()
            ]
            rest = shop.read(replication_keys={"public-t": "c"}, state=json.loads(message.state))
            assert {*before, *rest.ids} == set(range(1, 3001))


def test_a_large_table_in_the_order_of_its_key_is_taken_up_where_it_stopped(shop):
    shop.sql("create table t (id bigint primary key, note text)")
    shop.sql("insert into t select i, 'n' from generate_series(1, 120000) i; analyze t")
    first = shop.read(stop_after=2, batch_bytes=100_000)
    reached = first.ids[-1]
    assert 0 < reached < 120_000
    assert first.state["bookmarks"]["public-t"]["full_table_after"] == str(reached)
    rest = shop.read(state=first.state)
    assert first.ids + rest.ids == list(range(1, 120_001))
    assert rest.state == {"bookmarks": {}}
    assert shop.read(state=rest.state).ids[:1] == [1]  # the next time, all of it again


def test_all_streams_show_one_moment(shop):
    shop.sql("create table a (id int primary key); create table b (id int primary key)")
    shop.sql("insert into a values (1); insert into b values (1)")
    request = ReadRequest(catalog=shop.catalog(), state=None, folder=shop.folder)
    found = source.read(shop.settings(), request)
    first = next(found)
    assert first.stream == "public-a"
    shop.sql("insert into a values (2); insert into b values (2)")
    assert [one.batch.num_rows for one in found if isinstance(one, Rows)] == [1, 1]


def test_streams_side_by_side_give_the_same(shop):
    for name in "abcde":
        shop.sql(f"create table {name} (id int primary key); insert into {name} select generate_series(1, 500)")
    found = shop.read(jobs=3, replication_keys={f"public-{name}": "id" for name in "abcde"}, batch_bytes=500)
    by_stream = {}
    for one in found.messages:
        if isinstance(one, Rows):
            by_stream.setdefault(one.stream, []).extend(one.batch["id"].to_pylist())
        elif isinstance(one, Checkpoint):
            bookmarks = json.loads(one.state)["bookmarks"]
            for stream, mark in bookmarks.items():
                assert by_stream[stream][-1] >= int(mark["replication_key_value"])
    assert by_stream == {f"public-{name}": list(range(1, 501)) for name in "abcde"}


def test_what_is_wrong_is_said_with_the_next_command(shop):
    shop.sql("create table t (id int, at timestamptz)")
    with pytest.raises(InputError) as caught:
        shop.read(default_replication_method="INCREMENTAL")
    assert caught.value.reference == "no-replication-key"
    assert "headwater config set tap-postgres _metadata.public-t" in caught.value.hint
    with pytest.raises(InputError) as caught:
        shop.read(replication_keys={"public-t": "att"})
    assert caught.value.hint == "did you mean `at`?"
    with pytest.raises(InputError) as caught:
        shop.read(
            replication_keys={"public-t": "at"}, state={"bookmarks": {"public-t": {"replication_key_value": "x"}}}
        )
    assert caught.value.reference == "bad-bookmark"
    with pytest.raises(EnvironmentProblemError) as caught:
        shop.read(password="wrong-canary")
    assert caught.value.reference == "wrong-password"
    assert caught.value.hint == "headwater config set tap-postgres password PASSWORD"


def test_a_table_that_went_away_since_its_discovery_is_named(shop):
    shop.sql("create table t (id int)")
    request = ReadRequest(catalog=shop.catalog(), state=None, folder=shop.folder)
    shop.sql("drop table t")
    with pytest.raises(InputError, match=r"there is no table `public\.t` that can be read"):
        list(source.read(shop.settings(), request))


def test_a_server_that_goes_away_in_the_middle_is_told(shop):
    shop.sql(
        "create table t (id int, note text); insert into t select i, repeat('x', 500) from generate_series(1, 200000) i"
    )
    request = ReadRequest(catalog=shop.catalog(), state=None, folder=shop.folder, batch_bytes=50_000)
    found = source.read(shop.settings(), request)
    next(one for one in found if isinstance(one, Rows))
    shop.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'headwater%'")
    with pytest.raises(EnvironmentProblemError) as caught:
        list(found)
    assert caught.value.reference == "connection-lost"


def test_a_read_that_is_closed_leaves_no_session(shop, postgres):
    shop.sql(
        "create table t (id int, note text); insert into t select i, repeat('x', 500) from generate_series(1, 100000) i"
    )
    found = source.read(
        shop.settings(), ReadRequest(catalog=shop.catalog(), state=None, folder=shop.folder, batch_bytes=50_000)
    )
    next(one for one in found if isinstance(one, Rows))
    found.close()
    until = time.monotonic() + 60
    left = "select count(*) from pg_stat_activity where application_name like 'headwater%' and datname = 'source'"
    while postgres.sql(left) != [(0,)]:
        assert time.monotonic() < until, "a session is left"
        time.sleep(0.05)
