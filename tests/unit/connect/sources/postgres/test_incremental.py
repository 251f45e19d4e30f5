from __future__ import annotations

import json

import pytest

from headwater.base.errors import InputError, RunFailedError
from headwater.connect.contract import Checkpoint, ReadRequest, Rows
from headwater.connect.sources import postgres as source

KEYS = {"public-t": "c"}


def test_rows_without_a_replication_key_are_missed_by_no_first_run_that_was_stopped(shop):
    shop.sql("create table t (id int primary key, c int)")
    shop.sql("insert into t select i, case when i % 3 > 0 then i end from generate_series(1, 3000) i")
    whole = shop.read(replication_keys=KEYS, batch_bytes=4000)
    assert sorted(whole.ids) == list(range(1, 3001))
    for cut, message in enumerate(whole.messages):
        if isinstance(message, Checkpoint) and cut % 5 == 0:
            before = [n for one in whole.messages[:cut] if isinstance(one, Rows) for n in one.batch["id"].to_pylist()]
            rest = shop.read(replication_keys=KEYS, state=json.loads(message.state))
            assert {*before, *rest.ids} == set(range(1, 3001))


def test_a_read_that_stops_among_rows_without_a_key_leaves_no_bookmark_and_no_checkpoint(shop):
    shop.sql("create table t (id int primary key, c int)")
    shop.sql("insert into t (id) select generate_series(1, 3000); insert into t values (3001, 1)")
    assert shop.read(replication_keys=KEYS, batch_bytes=4000, stop_after=2).states == []


@pytest.mark.parametrize(
    ("setting", "first", "second"), [("once", [2, 1], [1]), ("always", [2, 1], [2, 1]), ("never", [1], [1])]
)
def test_when_rows_without_a_key_come_can_be_set(shop, setting, first, second):
    shop.sql("create table t (id int primary key, c int); insert into t values (1, 5), (2, null)")
    found = shop.read(replication_keys=KEYS, null_replication_keys=setting)
    assert found.ids == first
    assert shop.read(replication_keys=KEYS, null_replication_keys=setting, state=found.state).ids == second


def test_looking_back_counts_in_the_units_of_the_key(shop):
    shop.sql("create table t (id int primary key, c numeric not null); create table u (id int primary key, c date)")
    shop.sql("insert into t select i, i / 2.0 from generate_series(1, 10) i")
    shop.sql("insert into u select i, '2024-01-01'::date + i from generate_series(1, 10) i")
    state = {
        "bookmarks": {
            "public-t": {"replication_key": "c", "replication_key_value": "5.0"},
            "public-u": {"replication_key": "c", "replication_key_value": "2024-01-11"},
        }
    }
    keys = {"public-t": "c", "public-u": "c"}
    assert shop.read("public-t", replication_keys=keys, state=state, lookback_units=2).ids == [6, 7, 8, 9, 10]
    assert shop.read("public-u", replication_keys=keys, state=state, lookback_seconds=86_400).ids == [9, 10]


@pytest.mark.parametrize(
    ("kind", "value", "bookmark", "ids"),
    [
        ("timestamptz", "2024-01-02", "2024-01-02T00:00:00+00:00", [2, 3]),
        ("timestamp", "2024-01-02", "2024-01-02T00:00:00", [2, 3]),
        ("date", "2024-01-02", "2024-01-02T00:00:00+00:00", [2, 3]),
        ("int", "2", 2, [2, 3]),
    ],
)
def test_the_state_of_another_tap_is_taken_up(shop, kind, value, bookmark, ids):
    values = ["1", value, "3"] if kind == "int" else ["2024-01-01", value, "2024-01-03"]
    shop.sql(f"create table t (id int primary key, c {kind})")
    shop.sql("insert into t values " + ", ".join(f"({n}, '{one}')" for n, one in enumerate(values, 1)))
    mark = {
        "replication_key": "c",
        "replication_key_value": bookmark,
        "starting_replication_value": None,
        "replication_key_signpost": "2030-01-01T00:00:00+00:00",
    }
    state = {"bookmarks": {"public-t": mark, "other-one": {"x": 1}}, "currently_syncing": None}
    found = shop.read(replication_keys=KEYS, state=state)
    assert found.ids == ids
    assert found.state["bookmarks"]["other-one"] == {"x": 1}
    assert set(found.state["bookmarks"]["public-t"]) == {"replication_key", "replication_key_value"}


def test_a_bookmark_of_another_column_counts_for_nothing(shop):
    shop.sql("create table t (id int primary key, c int); insert into t values (1, 1), (2, 2)")
    state = {"bookmarks": {"public-t": {"replication_key": "id", "replication_key_value": "2"}}}
    assert shop.read(replication_keys=KEYS, state=state).ids == [1, 2]


def test_no_number_becomes_a_bookmark(shop):
    shop.sql("create table t (id int primary key, c float8); insert into t values (1, 1.5), (2, 'NaN')")
    with pytest.raises(RunFailedError, match="`c` of stream `public-t` holds a value beyond") as caught:
        shop.read(replication_keys=KEYS)
    assert caught.value.reference == "value-rejected"


@pytest.mark.parametrize("kind", ["json", "mood", "int[]", "boolean", "interval"])
def test_a_column_without_an_order_to_go_by_is_refused(shop, kind):
    shop.sql("create type mood as enum ('fine')")
    shop.sql(f"create table t (id int primary key, c {kind})")
    with pytest.raises(InputError) as caught:
        shop.read(replication_keys=KEYS)
    assert caught.value.reference == "no-replication-key"
    assert caught.value.why == "these columns can be used: `id`"


def test_an_error_of_a_view_is_not_taken_for_one_of_the_bookmark(shop):
    shop.sql("create view v as select 1 / (n - 1) as x from generate_series(1, 2) n")
    with pytest.raises(RunFailedError, match="cannot read stream `public-v`") as caught:
        shop.read()
    assert "division by zero" in caught.value.why


def test_streams_that_replace_what_was_there_come_last(shop):
    shop.sql("create table a (x int); create table b (id int primary key); create table c (id int primary key)")
    shop.sql("insert into a values (1); insert into b values (1); insert into c values (1)")
    assert [one.stream for one in shop.read().messages if isinstance(one, Rows)] == ["public-b", "public-c", "public-a"]


def test_a_stream_that_is_read_as_a_whole_and_stops_is_covered_by_no_checkpoint(shop):
    shop.sql("create table t (id int, note text); insert into t select i, 'n' from generate_series(1, 5000) i")
    found = shop.read(batch_bytes=5000, stop_after=2)
    assert 0 < len(found.rows) < 5000
    assert found.states == []


def test_a_numeric_shows_its_size_once_when_its_first_values_do(shop):
    shop.sql("create table t (id int primary key, n numeric); insert into t values (1, 1.25)")
    request = ReadRequest(catalog=shop.catalog(), state=None, folder=shop.folder)
    types = [
        str(one.columns.field("n").type) for one in source.read(shop.settings(), request) if hasattr(one, "columns")
    ]
    assert types == ["decimal128(22, 2)"]
