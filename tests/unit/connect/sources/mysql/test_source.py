"""What is offered, what is read of it, and what is said when that does not go."""

from __future__ import annotations

import threading
import time

import pytest

from headwater.base.errors import EnvironmentProblemError, InputError, RunFailedError
from headwater.connect.contract import ReadRequest, Rows, Schema
from headwater.connect.sources import mysql as source


def _request(shop, *tables, **more):
    return ReadRequest(catalog=shop.catalog(*tables), state=None, folder=shop.folder, **more)


def test_tables_and_views_are_streams_with_their_keys(shop):
    shop.sql("create table t (b int, a int, v text, primary key (b, a))")
    shop.sql("create view w as select a from t")
    shop.sql("create sequence s")
    shop.sql("create table versioned (id int primary key) with system versioning")
    table, versioned, view = shop.catalog().streams
    assert [one.tap_stream_id for one in (table, versioned, view)] == ["source-t", "source-versioned", "source-w"]
    assert (table.key_properties, view.is_view, view.key_properties) == (["b", "a"], True, [])
    assert table.metadata[0].metadata == {
        "inclusion": "available",
        "selected-by-default": True,
        "schema-name": "source",
        "database-name": "source",
        "is-view": False,
        "table-key-properties": ["b", "a"],
        "valid-replication-keys": ["b", "a"],
        "replication-method": "FULL_TABLE",
    }


def test_names_of_any_kind(shop):
    shop.sql("create table `we``ird na%me` (`k%s` int primary key, `a``b` text, `ÄÖ` int)")
    shop.sql("insert into `we``ird na%me` values (1, 'x', 2)")
    assert shop.read("we`ird na%me").rows == [{"k%s": 1, "a`b": "x", "ÄÖ": 2}]


def test_databases_are_those_of_the_settings(shop):
    shop.server.sql("create database if not exists other_one")
    shop.server.sql("create or replace table other_one.o (id int)")
    shop.sql("create table t (id int)")
    try:
        names = {
            filter_dbs: {one.name for one in shop.catalog(filter_dbs=filter_dbs, database=None).streams}
            for filter_dbs in ("source", "source, other_one", None)
        }
    finally:
        shop.server.sql("drop database other_one")
    assert names["source"] == {"source-t"}
    assert names["source, other_one"] == {"source-t", "other_one-o"}
    assert names[None] >= {"source-t", "other_one-o"}
    assert not [name for name in names[None] if name.startswith(("mysql-", "information_schema-", "sys-"))]


def test_two_tables_that_would_be_one_stream_are_refused(shop):
    for database, table in (("a", "b-c"), ("a-b", "c")):
        shop.server.sql(f"create database if not exists `{database}`")
        shop.server.sql(f"create or replace table `{database}`.`{table}` (id int)")
    try:
        with pytest.raises(InputError) as caught:
            shop.catalog(filter_dbs="a,a-b")
    finally:
        shop.server.sql("drop database a")
        shop.server.sql("drop database `a-b`")
    assert caught.value.reference == "ambiguous-stream"


def test_the_signature_changes_with_the_tables_only(shop):
    shop.sql("create table t (id int)")
    first = source.signature(shop.settings())
    shop.sql("insert into t values (1)")
    assert source.signature(shop.settings()) == first
    shop.sql("alter table t add column c int")
    assert source.signature(shop.settings()) != first


def test_thousands_of_tables_are_offered_by_a_few_queries(shop):
    with shop.server.connect("source") as connection, connection.cursor() as cursor:
        for number in range(600):
            cursor.execute(f"create table t{number} (id int primary key, v text) engine = MyISAM")
    counted = "select variable_value from information_schema.global_status where variable_name = 'QUESTIONS'"
    ((before,),) = shop.sql(counted)
    assert len(shop.catalog().streams) == 600
    ((after,),) = shop.sql(counted)
    assert int(after) - int(before) < 25


def test_only_what_is_selected_is_asked_for(shop):
    shop.sql("create table t (id int primary key, good int)")
    shop.sql("create function if not exists broken() returns int return (select 1 from nowhere)")
    shop.sql("create view v as select id, broken() as bad from t")
    shop.sql("insert into t values (1, 2)")
    catalog = shop.catalog("v")
    catalog.streams[0].metadata[-1].metadata["selected"] = False
    assert shop.read(catalog=catalog).rows == [{"id": 1}]


def test_all_streams_show_one_moment(logging_mariadb, mariadb, tmp_path):
    from .conftest import _shop

    for server in (mariadb, logging_mariadb):
        shop = _shop(server, tmp_path)
        for name in "abcd":
            shop.sql(f"create table {name} (id int primary key, v int, filler varchar(300) default repeat('x', 300))")
            shop.sql(f"insert into {name} (id, v) select seq, 0 from seq_1_to_2000")
        is_over = threading.Event()

        def write(shop=shop, is_over=is_over):
            with shop.server.connect("source") as connection, connection.cursor() as cursor:
                while not is_over.is_set():
                    cursor.execute("start transaction")
                    for name in "abcd":
                        cursor.execute(f"update {name} set v = v + 1 where id = 7")
                    cursor.execute("commit")

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(3):
                rows = shop.read(jobs=3, batch_bytes=50_000).rows
                assert len({row["v"] for row in rows if row["id"] == 7}) == 1
                assert len(rows) == 8000
        finally:
            is_over.set()
            writer.join()
        assert shop.heard == []


def test_who_may_not_hold_others_up_is_told_that_streams_show_moments_of_their_own(shop):
    for name in "ab":
        shop.sql(f"create table {name} (id int primary key)")
    shop.sql("create or replace user narrow identified by 'narrow-canary-77'")
    shop.sql("grant select on source.* to narrow")
    shop.read(jobs=2, user="narrow", password="narrow-canary-77")
    assert [line.split(":")[0] for line in shop.heard] == ["each stream shows a moment of its own"]


def test_a_full_table_without_a_key_is_replaced_and_comes_last(shop):
    shop.sql("create table a (id int)")
    shop.sql("create table b (id int primary key)")
    schemas = [one for one in shop.read().messages if isinstance(one, Schema)]
    assert [(one.stream, one.replace) for one in schemas] == [("source-b", False), ("source-a", True)]


def test_a_full_table_is_taken_up_behind_its_last_key(shop):
    shop.sql("create table t (id bigint unsigned primary key, filler varchar(500) default repeat('x', 500))")
    shop.sql("insert into t (id) select 18446744073709550615 + seq from seq_1_to_1000")
    first = shop.read(batch_bytes=20_000, stop_after=5)
    assert first.state["bookmarks"]["source-t"]["full_table_after"] == str(first.ids[-1])
    rest = shop.read(state=first.state)
    assert first.ids + rest.ids == [18446744073709550615 + number for number in range(1, 1001)]
    assert rest.state == {"bookmarks": {}}


@pytest.mark.parametrize(
    "kind", ["int", "varchar(30)", "datetime(6)", "timestamp(6)", "decimal(20,5)", "double", "date"]
)
def test_an_incremental_stream_goes_on_from_its_last_value_inclusive(shop, kind):
    moment = "'2024-01-01' + interval {0} day"
    value = moment if kind.startswith(("date", "time")) else "{0}" if kind == "varchar(30)" else "{0} * 1.5"
    shop.sql(f"create table t (id int primary key, c {kind})")
    for number in range(1, 6):
        shop.sql(f"insert into t values ({number}, {value.format(number)})")
    keys = {"source-t": "c"}
    first = shop.read(replication_keys=keys)
    assert first.ids == [1, 2, 3, 4, 5]
    shop.sql(f"insert into t values (6, {value.format(5)}), (7, {value.format(6)}), (8, {value.format(1)}), (9, null)")
    second = shop.read(replication_keys=keys, state=first.state)
    assert sorted(second.ids[:2]) + second.ids[2:] == [5, 6, 7]
    assert shop.read(replication_keys=keys, state=second.state).ids == [7]
    assert sorted(shop.read(replication_keys=keys, state=first.state, null_replication_keys="always").ids) == [
        5,
        6,
        7,
        9,
    ]


def test_looking_back_counts_in_the_units_of_the_key(shop):
    shop.sql("create table t (id int primary key, m datetime)")
    shop.sql("insert into t select seq, '2024-01-01' + interval seq second from seq_1_to_100")
    by_number = shop.read(replication_keys={"source-t": "id"}, state=_mark("id", 90), lookback_units=5)
    assert by_number.ids == list(range(85, 101))
    mark = _mark("m", "2024-01-01T00:01:30+00:00")
    by_moment = shop.read(replication_keys={"source-t": "m"}, state=mark, lookback_seconds=5)
    assert by_moment.ids == list(range(85, 101))


def _mark(key, value):
    return {"bookmarks": {"source-t": {"replication_key": key, "replication_key_value": value}}}


@pytest.mark.parametrize("value", ["2024-01-01T00:00:02Z", "2024-01-01T01:00:02+01:00", "2024-01-01 00:00:02.000000"])
def test_moments_of_the_states_of_others_are_understood(shop, value):
    shop.sql("create table t (id int primary key, m timestamp null)")
    shop.sql("set time_zone = '+00:00'")
    with shop.server.connect("source") as connection, connection.cursor() as cursor:
        cursor.execute("set time_zone = '+00:00'")
        cursor.execute("insert into t select seq, '2024-01-01' + interval seq second from seq_1_to_4")
    assert shop.read(replication_keys={"source-t": "m"}, state=_mark("m", value)).ids == [2, 3, 4]


@pytest.mark.parametrize(("column", "value"), [("id", "1 or 1=1"), ("id", "x"), ("m", "soon"), ("m", "2024-13-01")])
def test_a_bookmark_that_is_no_value_is_refused(shop, column, value):
    shop.sql("create table t (id int primary key, m datetime)")
    with pytest.raises(InputError) as caught:
        shop.read(replication_keys={"source-t": column}, state=_mark(column, value))
    assert caught.value.reference == "bad-bookmark"


@pytest.mark.parametrize("key", ["e", "j", "t", "nope"])
def test_a_column_that_is_none_to_go_by_is_refused(shop, key):
    shop.sql("create table t (id int primary key, e enum('a'), j json, t time)")
    with pytest.raises(InputError) as caught:
        shop.read(replication_keys={"source-t": key})
    assert caught.value.reference == "no-replication-key"


def test_ties_that_come_late_are_not_missed_whatever_the_schedule(shop):
    shop.sql("create table t (id int auto_increment primary key, c int not null, key (c))")
    shop.sql("insert into t (c) values (0)")
    is_over = threading.Event()
    written = []

    def write():
        with shop.server.connect("source") as connection, connection.cursor() as cursor:
            tick = 0
            while not is_over.is_set():
                tick += 1
                cursor.execute(f"insert into t (c) values ({tick // 7}), ({tick // 7})")
                written.append(tick)

    writer = threading.Thread(target=write)
    writer.start()
    seen, state = set(), None
    try:
        for attempt in range(10):
            read = shop.read(replication_keys={"source-t": "c"}, state=state, batch_bytes=20_000)
            seen.update(read.ids)
            state = read.state
            assert attempt == 0 or read.rows
    finally:
        is_over.set()
        writer.join()
    seen.update(shop.read(replication_keys={"source-t": "c"}, state=state).ids)
    assert seen == {number for (number,) in shop.sql("select id from t")}


ERRORS = [
    ({"password": "wrong-canary"}, "wrong-password", "headwater config set tap-mysql password --store dotenv"),
    ({"host": "nowhere.invalid"}, "unknown-host", "headwater config set tap-mysql host <name>"),
    ({"port": 1}, "cannot-connect", "is it running, and are `host`, `port` and `user` right?"),
    ({"ssl": True}, "tls-refused", "check the settings `ssl` and `ssl_ca`"),
]


@pytest.mark.parametrize(("settings", "reference", "hint"), ERRORS, ids=[one[1] for one in ERRORS])
def test_what_keeps_it_from_the_server_is_said_with_the_next_command(shop, settings, reference, hint):
    with pytest.raises(EnvironmentProblemError) as caught:
        source.discover(shop.settings(**settings))
    assert (caught.value.reference, caught.value.hint) == (reference, hint)
    assert "canary" not in str(caught.value.why)


def test_a_right_that_is_missing_is_named_with_the_grant(shop):
    shop.sql("create table t (id int)")
    catalog = shop.catalog()
    shop.sql("create or replace user narrow identified by 'narrow-canary-77'")
    shop.sql("grant insert on source.* to narrow")
    with pytest.raises(EnvironmentProblemError) as caught:
        shop.read(catalog=catalog, user="narrow", password="narrow-canary-77")
    assert (caught.value.reference, caught.value.hint) == ("no-permission", "grant select on `source`.`t` to narrow")


def test_a_table_that_went_away_or_changed_since_its_discovery_is_named(shop):
    shop.sql("create table t (id int)")
    request = _request(shop)
    shop.sql("drop table t")
    with pytest.raises(InputError, match=r"there is no table `source\.t` that can be read"):
        list(source.read(shop.settings(), request))
    shop.sql("create view v as select 1 as x")
    request = _request(shop)
    shop.sql("create or replace view v as select nowhere.x from (select 2 as x) nowhere")
    assert [one.batch.to_pylist() for one in source.read(shop.settings(), request) if isinstance(one, Rows)] == [
        [{"x": 2}]
    ]


def _large(shop):
    shop.sql("create table t (id int, note text)")
    shop.sql("insert into t select seq, repeat('x', 500) from seq_1_to_100000")


def _reading(shop):
    """The sessions that read a table."""
    found = shop.sql(
        "select id from information_schema.processlist where info like 'select%as t' and command <> 'Sleep'"
    )
    return [number for (number,) in found]


def test_a_server_that_ends_the_session_in_the_middle_is_told(shop):
    _large(shop)
    found = source.read(shop.settings(), _request(shop, batch_bytes=50_000))
    next(one for one in found if isinstance(one, Rows))
    for number in _reading(shop):
        shop.sql(f"kill {number}")
    with pytest.raises(EnvironmentProblemError) as caught:
        list(found)
    assert caught.value.reference == "connection-lost"


def test_a_query_that_an_administrator_ends_is_told_as_such(shop):
    _large(shop)
    found = source.read(shop.settings(), _request(shop, batch_bytes=50_000))
    next(one for one in found if isinstance(one, Rows))
    for number in _reading(shop):
        shop.sql(f"kill query {number}")
    with pytest.raises(RunFailedError) as caught:
        list(found)
    assert caught.value.reference == "query-cancelled"


def test_an_error_among_the_rows_is_told(shop):
    shop.sql("create table t (id int primary key)")
    shop.sql("insert into t select seq from seq_1_to_2000")
    shop.sql("create view v as select id, (select id from t where id <= if(s.id < 1500, 1, 2)) as x from t s")
    with pytest.raises(RunFailedError, match="cannot read stream `source-v`") as caught:
        shop.read("v", batch_bytes=20_000)
    assert "more than 1 row" in caught.value.why


def test_a_query_that_has_not_answered_is_cancelled_when_the_read_is_to_stop(shop):
    shop.sql("create view slow as select sleep(60) as x")
    begun = time.monotonic()
    request = _request(shop, should_stop=lambda: time.monotonic() - begun > 1)
    assert not [one for one in source.read(shop.settings(), request) if isinstance(one, Rows)]
    assert time.monotonic() - begun < 50
    assert _reading(shop) == []


def test_a_read_that_is_closed_leaves_no_session(shop):
    _large(shop)
    found = source.read(shop.settings(), _request(shop, batch_bytes=50_000))
    next(one for one in found if isinstance(one, Rows))
    found.close()
    until = time.monotonic() + 60
    while _reading(shop):
        assert time.monotonic() < until, "a session is left"
        time.sleep(0.05)


def test_session_statements_are_run_and_can_not_spoil_values(shop):
    shop.sql("create table t (id int primary key, m timestamp null)")
    with shop.server.connect("source") as connection, connection.cursor() as cursor:
        cursor.execute("set time_zone = '+00:00'")
        cursor.execute("insert into t values (1, '2024-01-01 10:00:00')")
    statements = ["set @@session.time_zone = '+05:00'", "set session sql_mode = 'ANSI_QUOTES'"]
    (row,) = shop.read("t", session_sqls=statements).rows
    assert row["m"].isoformat() == "2024-01-01T10:00:00+00:00"
    with pytest.raises(InputError, match="is none that the server takes: `nonsense`"):
        shop.read("t", session_sqls=["nonsense"])
