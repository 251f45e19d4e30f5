"""Streams that are read from the log, on a real server."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import threading
import time

import psycopg
import pytest

from headwater.base.errors import EnvironmentProblemError, HeadwaterError
from headwater.connect.contract import Checkpoint, ReadRequest, Rows, Schema
from headwater.connect.sources import postgres as source

LOG = {"default_replication_method": "LOG_BASED"}


@pytest.fixture
def log(shop):
    """Reads from the log by a slot that goes with the test."""
    yield Log(shop)
    shop.drop_slots()


class Log:
    def __init__(self, shop):
        self.shop = shop
        self.sql = shop.sql

    def read(self, state=None, *streams, **more):
        return self.shop.read(*streams, state=state, **{**LOG, **more})

    def slot(self, column):
        ((found,),) = self.sql(f"select {column} from pg_replication_slots where slot_name = 'headwater'")
        return found


def changes(read):
    """What came of each row, with `gone` for a row that is gone and `…` for a value that was not sent."""
    found = []
    for message in read.messages:
        if isinstance(message, Rows):
            missing = message.missing.to_pylist() if message.missing is not None else [None] * message.batch.num_rows
            for row, names in zip(message.batch.to_pylist(), missing, strict=True):
                row.pop("_sdc_lsn")
                gone = row.pop("_sdc_deleted_at")
                values = ["…" if name in (names or ()) else value for name, value in row.items()]
                found.append((*values, "gone") if gone else tuple(values))
    return found


def refused(log, *arguments, **more):
    with pytest.raises(HeadwaterError) as caught:
        log.read(*arguments, **more)
    return caught.value


def test_a_table_is_copied_once_and_changed_from_then_on(log):
    log.sql("create table t (id int primary key, name text); insert into t values (1, 'a'), (2, 'b')")
    first = log.read()
    assert changes(first) == [(1, "a"), (2, "b")]
    log.sql("insert into t values (3, 'c'); update t set name = 'B' where id = 2; delete from t where id = 1")
    second = log.read(first.state)
    assert changes(second) == [(3, "c"), (2, "B"), (1, "…", "gone")]
    assert changes(log.read(second.state)) == []
    assert second.schema.keys == ("id",)
    added = second.schema.columns.names[2:]
    assert [(name, str(second.schema.columns.field(name).type)) for name in added] == [
        ("_sdc_lsn", "int64"),
        ("_sdc_deleted_at", "timestamp[us, tz=UTC]"),
    ]


def test_a_state_that_was_not_kept_brings_the_same_changes_again(log):
    log.sql("create table t (id int primary key)")
    state = log.read().state
    log.sql("insert into t values (1)")
    assert changes(log.read(state)) == [(1,)]
    assert changes(log.read(state)) == [(1,)]


def test_the_slot_is_told_of_what_a_state_says_and_of_nothing_else(log):
    log.sql("create table t (id int primary key)")
    lsn = "pg_wal_lsn_diff(confirmed_flush_lsn, '0/0')::int8"
    states = [log.read().state]
    for _ in range(3):
        log.sql("insert into t select count(*) from t")
        states.append(log.read(states[-1]).state)
        assert log.slot(lsn) == states[-2]["bookmarks"]["public-t"]["replication_key_value"]


def test_a_database_where_nothing_happens_keeps_no_log(log):
    log.sql("create table t (id int primary key); create table other (x text)")
    state = log.read(None, "public-t").state
    log.sql("insert into other select repeat('x', 1000) from generate_series(1, 5000)")
    state = log.read(state, "public-t").state
    log.read(state, "public-t")
    assert log.slot("pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)") < 100_000


def test_a_row_with_another_key_is_gone_under_its_old_one(log):
    log.sql("create table t (id int primary key, name text); insert into t values (1, 'a')")
    state = log.read().state
    log.sql("update t set id = 7")
    assert changes(log.read(state)) == [(1, "…", "gone"), (7, "a")]


def test_a_value_stored_out_of_line_that_did_not_change_is_not_sent(log):
    log.sql("create table t (id int primary key, n int, big text)")
    log.sql("alter table t alter big set storage external; insert into t values (1, 1, repeat('x', 9000))")
    state = log.read().state
    log.sql("update t set n = 2")
    read = log.read(state)
    assert changes(read) == [(1, 2, "…")]
    log.sql("update t set id = 5")  # under another key there is no old value that could stay
    assert changes(log.read(read.state)) == [(1, "…", "…", "gone"), (5, 2, "x" * 9000)]


def test_with_full_replica_identity_every_value_is_sent(log):
    log.sql("create table t (id int, n int, big text); alter table t replica identity full")
    log.sql("alter table t alter big set storage external; insert into t values (1, 1, repeat('x', 9000))")
    catalog = log.shop.catalog(**LOG)
    catalog.streams[0].metadata[0].metadata["table-key-properties"] = ["id"]

    def read(state):
        request = ReadRequest(catalog=catalog, state=state, folder=log.shop.folder)
        return list(source.read(log.shop.settings(**LOG), request))

    state = read(None)[-1].state
    log.sql("update t set n = 2; delete from t")
    rows = [row for one in read(state) if isinstance(one, Rows) for row in one.batch.to_pylist()]
    assert [(row["id"], row["n"], len(row["big"])) for row in rows] == [(1, 2, 9000), (1, 2, 9000)]
    assert [row["_sdc_deleted_at"] is None for row in rows] == [True, False]


def test_every_type_comes_out_of_the_log_as_it_comes_out_of_a_copy(log):
    log.sql("create type mood as enum ('fine', 'it''s so-so'); create type pair as (a int, b text)")
    log.sql("create domain amount as numeric(12, 2); create domain tags as text[]")
    kinds = {
        "bool": ["true", "false"],
        "int2": ["-32768", "32767"],
        "int8": ["-9223372036854775808"],
        "float4": ["1.1", "NaN", "-Infinity"],
        "float8": ["0.1", "1e-300", "Infinity", "-0"],
        "numeric": ["123456789012345678901234567890.123456", "NaN", "-0.5"],
        "numeric(10,2)": ["1.50", "NaN"],
        "numeric(5,-2)": ["12300"],
        "amount": ["7.1"],
        "text": ["", "a\tb\nc\\ d", "é😀"],
        "bpchar(5)": ["ab"],
        "varchar(5)": ["ab "],
        '"char"': ["x"],
        "bytea": ["\\x", "\\x00ff41"],
        "date": ["2024-02-29", "infinity", "0044-03-15 BC", "9999-12-31", "12024-01-01"],
        "time": ["23:59:59.999999", "24:00:00"],
        "timetz": ["10:00:00+05:30"],
        "timestamp": ["2024-01-01 10:00:00.123456", "-infinity", "0001-01-01 00:00:00", "294276-01-01"],
        "timestamptz": ["2024-01-01 10:00:00.5+05:30", "infinity", "1901-01-01 00:00:00+00"],
        "interval": ["1 year 2 mons -3 days 04:05:06.7"],
        "uuid": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
        "json": ['{"b": 1,  "a": [1.0]}'],
        "jsonb": ['{"b": 1,  "a": [1.0]}'],
        "int4[]": ["{1,NULL,3}", "{}", "{{1,2},{3,4}}", "[0:1]={1,2}"],
        "timestamptz[]": ["{2024-01-01 10:00:00+02}"],
        "tags": ['{"a,b","c\\"d",NULL}'],
        "mood": ["it''s so-so"],
        "mood[]": ["{fine}"],
        "pair": ['(1,"x y")', "(,)"],
        "pair[]": ['{"(1,x)","(2,\\"y z\\")"}'],
        "int4range": ["[1,5)", "empty"],
        "int4multirange": ["{[1,3),[5,8)}"],
        "tsvector": ["''fat'':2 ''cat'':3"],
        "bit varying(8)": ["0101"],
        "inet": ["::1/64"],
        "macaddr": ["08:00:2b:01:02:03"],
        "money": ["12.34"],
        "point": ["(1.5,2)"],
        "oid": ["4294967295"],
        "pg_lsn": ["0/16B3748"],
        "int2vector": ["1 2"],
    }
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(kinds))
    longest = max(map(len, kinds.values()))
    log.sql(f"create table t (id int primary key, {columns})")
    state = log.read().state
    for row in range(longest + 1):
        values = [f"'{given[row]}'" if row < len(given) else "null" for given in kinds.values()]
        log.sql(f"insert into t values ({row}, {', '.join(values)})")
    by_log, copied = log.read(state), log.read()
    assert by_log.schema.columns.remove_metadata() == copied.schema.columns.remove_metadata()
    assert [str(one.metadata) for one in by_log.schema.columns] == [str(one.metadata) for one in copied.schema.columns]
    assert repr(changes(by_log)) == repr(changes(copied))
    assert by_log.repaired == copied.repaired


def test_columns_may_come_go_and_change_in_the_middle(log):
    log.sql("create table t (id int primary key, a int, b int)")
    state = log.read().state
    log.sql("insert into t values (1, 1, 1)")
    log.sql("alter table t drop b; alter table t add c text default 'new'")
    log.sql("insert into t values (2, 2, 'two')")
    log.sql("alter table t alter a type text; insert into t values (3, 'x', 'y'); alter table t rename to u")
    log.sql("alter table u rename to t; insert into t values (4, '4', 'z')")
    read = log.read(state)
    assert [
        (str(one.columns.field("a").type), one.columns.names[1:-2]) for one in read.messages if isinstance(one, Schema)
    ] == [("int64", ["a", "b"]), ("int64", ["a", "c"]), ("string", ["a", "c"])]
    assert changes(read) == [(1, 1, 1), (2, 2, "two"), (3, "x", "y"), (4, "4", "z")]


def test_a_truncated_table_is_copied_anew_with_the_next_run_and_replaces_what_was_loaded(log):
    log.sql("create table t (id int primary key); insert into t values (1), (2)")
    log.sql("create table u (id int primary key)")
    state = log.read().state
    log.sql("insert into t values (3); truncate t; insert into t values (9); insert into u values (5)")
    second = log.read(state)
    assert changes(second) == [(3,), (5,)]
    third = log.read(second.state)
    assert changes(third) == [(9,)]
    assert third.schema.replace
    log.sql("insert into t values (10)")
    fourth = log.read(third.state)
    assert changes(fourth) == [(10,)]
    assert not fourth.schema.replace


def test_a_partitioned_table_is_one_stream(log):
    log.sql("create table t (id int, at date, primary key (id, at)) partition by range (at)")
    log.sql("create table t_old partition of t for values from ('2000-01-01') to ('2020-01-01')")
    log.sql("create table t_new partition of t for values from ('2020-01-01') to ('2040-01-01')")
    log.sql("insert into t values (1, '2010-01-01')")
    first = log.read()
    log.sql("insert into t values (2, '2030-01-01'); update t set at = '2031-01-01' where id = 1")
    second = log.read(first.state)
    assert {one.stream for one in second.messages if isinstance(one, Rows)} == {"public-t"}
    assert [(row[0], str(row[1]), *row[2:]) for row in changes(second)] == [
        (2, "2030-01-01"),
        (1, "2010-01-01", "gone"),
        (1, "2031-01-01"),
    ]


def test_a_table_that_comes_later_is_copied_beside_the_changes_of_the_others(log):
    log.sql("create table t (id int primary key)")
    state = log.read().state
    log.sql("create table u (id int primary key); insert into u values (1); insert into t values (1)")
    read = log.read(state)
    assert changes(read) == [(1,), (1,)]
    log.sql("insert into u values (2); insert into t values (2)")
    assert changes(log.read(read.state)) == [(2,), (2,)]


def test_a_checkpoint_cuts_no_transaction_in_two(log):
    log.sql("create table t (id int primary key, name text)")
    state = log.read().state
    with log.shop.server.connect("source") as connection:
        for start in range(0, 1000, 100):
            connection.execute(f"insert into t select i, 'n' from generate_series({start}, {start + 99}) i")
    seen, cuts = 0, []
    for message in log.read(state, batch_bytes=5000).messages:
        seen += message.batch.num_rows if isinstance(message, Rows) else 0
        cuts += [seen] if isinstance(message, Checkpoint) else []
    assert seen == 1000
    assert len(cuts) > 5
    assert all(cut % 100 == 0 for cut in cuts)


def test_no_change_is_lost_or_doubled_by_reads_that_stop_anywhere(log):
    log.sql("create table t (id int primary key, name text)")
    state, held = log.read().state, {}
    log.sql("insert into t select i, 'a' from generate_series(1, 300) i")
    for start in range(1, 300, 30):
        log.sql(
            f"update t set name = 'b{start}' where id between {start} and {start + 9}; delete from t where id = {start}"
        )
    for stop_after in [*range(1, 40), None]:
        read = log.read(state, batch_bytes=2000, stop_after=stop_after)
        kept = max((n for n, one in enumerate(read.messages) if isinstance(one, Checkpoint)), default=-1)
        for message in read.messages[: kept + 1]:
            for row in message.batch.to_pylist() if isinstance(message, Rows) else ():
                held[row["id"]] = None if row["_sdc_deleted_at"] else row["name"]
        state = json.loads(read.messages[kept].state) if kept >= 0 else state
    assert {key: name for key, name in held.items() if name} == dict(log.sql("select id, name from t"))


def test_a_copy_and_the_changes_that_are_made_meanwhile_fit_together(log):
    log.sql("create table t (id int primary key, n int); insert into t select i, 0 from generate_series(1, 50) i")
    is_over = threading.Event()

    def write(half):
        some = f"(select id from t where id % 2 = {half} order by random() limit 1)"
        with log.shop.server.connect("source") as connection:
            while not is_over.is_set():
                with contextlib.suppress(psycopg.errors.DeadlockDetected), connection.transaction():
                    connection.execute("update t set n = n + 1 where id = (select min(id) from t)")
                    connection.execute("insert into t select max(id) + 1, 0 from t on conflict do nothing")
                    connection.execute(f"delete from t where id = {some}")

    writers = [threading.Thread(target=write, args=[number]) for number in range(2)]
    for writer in writers:
        writer.start()
    held, state = {}, None
    try:
        for turn in range(8):
            if turn == 7:
                is_over.set()
                for writer in writers:
                    writer.join()
            read = log.read(state)
            state = read.state
            for row in read.rows:
                held[row["id"]] = None if row["_sdc_deleted_at"] else row["n"]
    finally:
        is_over.set()
    assert {key: n for key, n in held.items() if n is not None} == dict(log.sql("select id, n from t"))


@pytest.mark.parametrize("end", ["session", "server"])
def test_a_server_that_ends_in_the_middle_costs_nothing_but_another_read(log, end):
    log.sql("create table t (id int primary key, note text)")
    state = log.read().state
    for start in range(0, 20_000, 100):
        log.sql(f"insert into t select i, repeat('n', 300) from generate_series({start}, {start + 99}) i")
    request = ReadRequest(
        catalog=log.shop.catalog(**LOG), state=json.dumps(state).encode(), folder=log.shop.folder, batch_bytes=20_000
    )
    found = source.read(log.shop.settings(**LOG), request)
    held = list(itertools.islice(found, 6))
    crash(log, end)
    with pytest.raises(EnvironmentProblemError) as caught:
        held.extend(found)
    assert caught.value.reference == "connection-lost"
    kept = max(number for number, one in enumerate(held) if isinstance(one, Checkpoint))
    ids = [n for one in held[:kept] if isinstance(one, Rows) for n in one.batch["id"].to_pylist()]
    rest = log.read(json.loads(held[kept].state))
    assert 0 < len(ids) < 20_000
    assert ids + rest.ids == list(range(20_000))


def crash(log, end):
    pid = log.slot("active_pid")
    if end == "session":
        log.sql(f"select pg_terminate_backend({pid}, 10000)")
        return
    os.kill(pid, signal.SIGKILL)  # it then ends all sessions, and recovers from its log
    for _ in range(300):
        time.sleep(0.1)
        with contextlib.suppress(psycopg.OperationalError):
            log.sql("select 1")
            return


def test_a_copy_that_was_stopped_goes_on_and_misses_no_change(log, monkeypatch):
    monkeypatch.setattr("headwater.connect.sources.postgres.query._RESUMABLE_ROWS", 100)
    log.sql(
        "create table t (id int primary key, name text); insert into t select i, 'a' from generate_series(1, 999) i"
    )
    log.sql("analyze t")
    first = log.read(batch_bytes=2000, stop_after=5)
    assert 0 < len(first.ids) < 999
    log.sql("update t set name = 'b' where id in (1, 999); delete from t where id in (2, 998)")
    log.sql("insert into t values (0, 'c'), (1000, 'c')")
    held = {row["id"]: row["name"] for row in first.rows}
    rest = log.read(first.state)
    for row in rest.rows:
        held[row["id"]] = None if row["_sdc_deleted_at"] else row["name"]
    assert {key: name for key, name in held.items() if name} == dict(log.sql("select id, name from t"))
    assert changes(log.read(rest.state)) == []


def test_a_transaction_that_wrote_before_its_table_was_published_is_waited_for(log):
    log.sql("create table t (id int primary key); create table u (id int primary key)")
    state = log.read(None, "public-t").state
    with log.shop.server.connect("source") as connection:
        connection.execute("begin; insert into u values (1)")
        threading.Timer(1.0, lambda: connection.execute("commit")).start()
        assert changes(log.read(state)) == [(1,)]


@pytest.mark.parametrize("slot", ["there", "to be made"])
def test_a_read_that_waits_for_transactions_of_others_can_be_stopped(log, slot):
    log.sql("create table t (id int primary key); create table u (id int primary key)")
    state = log.read(None, "public-t").state if slot == "there" else None
    with log.shop.server.connect("source") as connection:
        connection.execute("begin; insert into u values (1)")
        assert changes(log.read(state, "public-u", stop_after=3)) == []
        connection.execute("commit")
    assert changes(log.read(state)) == [(1,)]


def test_a_slot_that_somebody_is_just_making_is_no_lost_one(log):
    log.sql("create table t (id int primary key); create table u (id int primary key); insert into t values (1)")
    connect = log.shop.server.connect
    with connect("source") as busy, connect("source") as maker:
        busy.execute("begin; insert into u values (1)")  # which the maker waits for
        make = "select pg_create_logical_replication_slot('headwater', 'pgoutput')"
        making = threading.Thread(target=maker.execute, args=[make])
        making.start()
        while log.sql("select confirmed_flush_lsn from pg_replication_slots") != [(None,)]:
            time.sleep(0.01)
        threading.Timer(1.0, lambda: busy.execute("commit")).start()
        assert changes(log.read(None, "public-t")) == [(1,)]
        making.join()


def test_a_server_that_writes_no_such_log_is_told_from_others(log, older_postgres, tmp_path):
    older_postgres.sql("drop database if exists source with (force)")
    older_postgres.sql("create database source")
    older_postgres.sql("create table t (id int primary key)", "source")
    error = refused(Log(type(log.shop)(older_postgres, tmp_path)))
    assert error.reference == "log-not-logical"
    assert error.why == "its wal_level is replica"
    assert error.hint.startswith("alter system set wal_level = logical")


@pytest.mark.parametrize(
    ("made", "reference", "hint"),
    [
        ("create table t (id int)", "no-key", "table-key-properties"),
        ("create view t as select 1 as id", "not-logged", "replication-method FULL_TABLE"),
        ("create unlogged table t (id int primary key)", "not-logged", "replication-method FULL_TABLE"),
        (
            "create table t (id int primary key); alter table t replica identity nothing",
            "no-replica-identity",
            "alter table public.t replica identity full",
        ),
        ("create table t (id int primary key, _sdc_lsn int)", "reserved-column", "replication-method FULL_TABLE"),
        (
            "create table t (id int primary key); create publication headwater for table t with (publish = 'insert')",
            "unfit-publication",
            "alter publication",
        ),
    ],
)
def test_what_can_not_be_read_from_the_log_is_said_before_anything_is_done(log, made, reference, hint):
    log.sql("drop view if exists t; drop table if exists t")
    log.sql(made)
    error = refused(log)
    assert (error.reference, hint in error.hint) == (reference, True)


def test_a_slot_of_another_database_is_not_taken(log):
    log.sql("create table t (id int primary key)")
    log.shop.server.sql("select pg_create_logical_replication_slot('headwater', 'pgoutput')")
    error = refused(log)
    log.shop.server.drop_slots("postgres")
    assert (error.reference, error.why) == ("unfit-slot", "it is of database `postgres`")


def test_changes_that_are_gone_from_the_slot_are_an_error_and_no_gap(log):
    log.sql("create table t (id int primary key)")
    first = log.read().state
    log.sql("insert into t values (1)")
    second = log.read(first).state
    log.read(second)
    assert refused(log, first).reference == "slot-ahead"
    log.shop.drop_slots()
    error = refused(log, second)
    assert error.reference == "slot-lost"
    assert "headwater run --full-refresh" in error.hint
    assert changes(log.read()) == [(1,)]


def test_a_table_that_was_taken_out_of_the_publication_is_not_put_back_silently(log):
    log.sql("create table t (id int primary key); create table u (id int primary key)")
    state = log.read().state
    log.sql("alter publication headwater drop table t; insert into t values (1)")
    assert refused(log, state).reference == "not-published"
    del state["bookmarks"]["public-t"]
    assert changes(log.read(state)) == [(1,)]


def test_a_slot_that_somebody_else_reads_is_left_to_them(log, monkeypatch):
    monkeypatch.setattr("headwater.connect.sources.postgres.slots._PATIENCE_SECONDS", 0.3)
    log.sql("create table t (id int primary key)")
    state = log.read().state
    at = log.shop.server
    given = {"host": at.host, "port": at.port, "user": at.user, "password": at.password, "dbname": "source"}
    with contextlib.closing(psycopg.connect(**given, autocommit=True, replication="database")) as other:
        other.pgconn.send_query(
            b"START_REPLICATION SLOT headwater LOGICAL 0/0 (proto_version '1', publication_names 'headwater')"
        )
        other.pgconn.get_result()
        error = refused(log, state)
    assert error.reference == "slot-in-use"
    assert "pg_terminate_backend" in error.hint


def test_who_may_not_replicate_is_told_what_to_grant(log):
    log.sql("create table t (id int primary key); drop role if exists clerk; create role clerk login password 'x'")
    log.sql("grant select on t to clerk")
    try:
        error = refused(log, user="clerk", password="x")
        assert (error.reference, error.what) == ("no-permission", "`clerk` may not create the publication `headwater`")
        assert 'create publication "headwater" for table "public"."t"' in error.hint
        log.sql("create publication headwater for table t with (publish_via_partition_root = true)")
        assert refused(log, user="clerk", password="x").hint == "alter role clerk replication"
        log.sql("alter role clerk replication")
        assert changes(log.read(user="clerk", password="x")) == []
    finally:
        log.sql("drop owned by clerk; drop role clerk")


def test_the_lag_is_said_before_and_after(log):
    log.sql("create table t (id int primary key)")
    said = []
    state = log.read().state
    log.sql("insert into t select generate_series(1, 1000)")
    request = ReadRequest(
        catalog=log.shop.catalog(**LOG), state=json.dumps(state).encode(), folder=log.shop.folder, on_line=said.append
    )
    list(source.read(log.shop.settings(**LOG), request))
    assert re.fullmatch(r"slot headwater is .* of log behind", said[0])
    assert said[1].startswith("read 1,000 changes; ")


def test_a_name_that_no_slot_may_have_is_refused_before_anything_is_made(log):
    log.sql("create table t (id int primary key)")
    with pytest.raises(HeadwaterError) as caught:
        log.read(replication_slot_name="Bad Slot")
    assert (caught.value.reference, caught.value.what) == (
        "bad-slot-name",
        "a replication slot can't be called `Bad Slot`",
    )
    assert log.sql("select count(*) from pg_publication where pubname = 'Bad Slot'") == [(0,)]
