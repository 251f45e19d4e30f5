"""Streams that are read from the binary log of a real server."""

from __future__ import annotations

import random
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from headwater.base.errors import EnvironmentProblemError, InputError, RunFailedError
from headwater.connect.contract import Checkpoint, Rows, Schema


def _applied(table, messages):
    """What a destination holds that updates rows by their key `id`, and takes out what was deleted."""
    for one in messages:
        if isinstance(one, Schema) and one.replace:
            table.clear()
        if isinstance(one, Rows):
            for number, row in enumerate(one.batch.to_pylist()):
                absent = one.missing[number].as_py() if one.missing is not None else None
                if row.pop("_sdc_deleted_at") is not None:
                    table.pop(row["id"], None)
                else:
                    assert not absent
                    table[row["id"]] = row
    return table


def _held(log, table="t"):
    with log.server.connect("source") as connection, connection.cursor() as cursor:
        cursor.execute(f"select * from {table}")
        names = [one[0] for one in cursor.description]
        return {row[0]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}


def test_a_table_is_copied_once_and_changed_from_then_on(log):
    log.sql("create table t (id int primary key, v text)")
    log.sql("insert into t values (1, 'a'), (2, 'b'), (3, 'c')")
    first = log.read()
    assert first.rows == [
        {"id": 1, "v": "a", "_sdc_deleted_at": None},
        {"id": 2, "v": "b", "_sdc_deleted_at": None},
        {"id": 3, "v": "c", "_sdc_deleted_at": None},
    ]
    assert set(first.state["bookmarks"]["source-t"]) == {"log_file", "log_pos"}
    log.sql("update t set v = 'B' where id = 2")
    log.sql("delete from t where id = 3")
    log.sql("insert into t values (4, null)")
    second = log.read(state=first.state)
    *alive, gone = second.rows
    assert sorted(alive, key=lambda row: row["id"]) == [
        {"id": 2, "v": "B", "_sdc_deleted_at": None},
        {"id": 4, "v": None, "_sdc_deleted_at": None},
    ]
    assert (gone["id"], gone["v"]) == (3, None)
    assert datetime.now(UTC) - gone["_sdc_deleted_at"] < timedelta(minutes=5)
    assert [one.missing.to_pylist() for one in second.messages if isinstance(one, Rows) and one.missing] == [[["v"]]]
    assert log.read(state=second.state).rows == []


def test_a_state_that_was_not_kept_brings_the_same_changes_again(log):
    log.sql("create table t (id int primary key, v text)")
    first = log.read()
    log.sql("insert into t values (1, 'a')")
    assert log.read(state=first.state).rows == log.read(state=first.state).rows != []


def test_a_row_with_another_key_is_gone_under_its_old_one(log):
    log.sql("create table t (id int primary key, v text)")
    log.sql("insert into t values (1, 'a')")
    state = log.read().state
    log.sql("update t set id = 9")
    found = {row["id"]: row["_sdc_deleted_at"] is None for row in log.read(state=state).rows}
    assert found == {1: False, 9: True}


KEYS = [
    ("bigint unsigned", "18446744073709551615", "0"),
    ("smallint", "-32768", "7"),
    ("char(9)", "'a'", "'A b'"),
    ("varchar(9) character set latin1", "'é'", "''"),
    ("varchar(300)", "'日本🎈'", "'x'"),
    ("binary(4)", "x'00ff'", "x'00000000'"),
    ("varbinary(9)", "x'00ff00'", "''"),
    ("decimal(20,3)", "-12345678901234567.125", "0.1"),
    ("date", "'2024-02-29'", "'0001-01-01'"),
    ("datetime(6)", "'9999-12-31 23:59:59.999999'", "'2024-01-01'"),
    ("timestamp(3)", "'2024-01-01 10:00:00.125'", "'2001-01-01'"),
]


def test_rows_are_found_by_keys_of_every_type(log):
    for number, (declared, _, other) in enumerate(KEYS):
        log.sql(f"create table t{number:02} (id {declared} primary key, other text character set utf8mb4)")
        log.sql(f"insert into t{number:02} values ({other}, 'old')")
    state = log.read().state
    for number, (_, one, other) in enumerate(KEYS):
        log.sql(f"insert into t{number:02} values ({one}, 'new')")
        log.sql(f"delete from t{number:02} where id = {other}")
    read = log.read(state=state)
    alive = {one.stream: one.batch.to_pylist() for one in read.messages if isinstance(one, Rows) and not one.missing}
    gone = {one.stream: one.batch.to_pylist() for one in read.messages if isinstance(one, Rows) and one.missing}
    full = log.read(default_replication_method="FULL_TABLE")
    held = {one.stream: one.batch.to_pylist() for one in full.messages if isinstance(one, Rows)}
    for number, (declared, *_) in enumerate(KEYS):
        stream = f"source-t{number:02}"
        assert (declared, [{k: row[k] for k in ("id", "other")} for row in alive[stream]]) == (declared, held[stream])
        assert (declared, len(gone[stream]), gone[stream][0]["other"]) == (declared, 1, None)


def test_keys_that_differ_in_case_only_are_told_apart(log):
    log.sql("create table t (id varchar(9) primary key, v int)")
    log.sql("insert into t values ('a', 1)")
    state = log.read().state
    log.sql("update t set id = 'A'")
    assert {row["id"]: row["_sdc_deleted_at"] is None for row in log.read(state=state).rows} == {"A": True, "a": False}


@pytest.mark.parametrize(
    "statement",
    [
        "alter table t add column more int default 7",
        "truncate table t",
        "rename table t to old, new to t",
        "alter table t modify v varchar(9)",
    ],
)
def test_a_table_that_is_another_is_copied_anew_and_replaced(log, statement):
    for name in ("t", "new"):
        log.sql(f"create table {name} (id int primary key, v text)")
    log.sql("insert into t values (1, 'a'), (2, 'b')")
    log.sql("insert into new values (8, 'x')")
    first = log.read("t")
    log.sql("insert into t values (3, 'c')")
    log.sql(statement)
    log.sql("insert into t (id, v) values (5, 'e')")
    second = log.read("t", state=first.state)
    assert second.schema.replace
    table = _applied(_applied({}, first.messages), second.messages)
    assert table == _held(log)
    assert "source-t is copied anew" in log.heard[-2]
    log.sql("delete from t where id = 5")
    assert _applied(table, log.read("t", state=second.state).messages) == _held(log)


def test_an_index_is_no_reason_to_copy(log):
    log.sql("create table t (id int primary key, v int)")
    state = log.read().state
    log.sql("create unique index v on t (v)")
    log.sql("insert into t values (1, 1)")
    assert log.read(state=state).ids == [1]


def test_changes_outlive_new_files_of_the_log(log):
    log.sql("create table t (id int primary key, v int)")
    state = log.read().state
    for number in range(5):
        log.sql(f"insert into t values ({number}, {number})")
        log.sql("flush binary logs")
    read = log.read(state=state)
    assert sorted(read.ids) == [0, 1, 2, 3, 4]
    assert read.state["bookmarks"]["source-t"]["log_file"] > state["bookmarks"]["source-t"]["log_file"]


def test_streams_that_stand_at_different_places_and_a_new_one(log):
    for name in ("a", "b", "c"):
        log.sql(f"create table {name} (id int primary key)")
    state = log.read("a").state
    log.sql("insert into a values (1)")
    log.sql("insert into b values (2)")
    state = log.read("b", state=state).state
    log.sql("insert into b values (3)")
    log.sql("insert into c values (4)")
    read = log.read(state=state)
    found = [(one.stream, row["id"]) for one in read.messages if isinstance(one, Rows) for row in one.batch.to_pylist()]
    assert sorted(found) == [("source-a", 1), ("source-b", 3), ("source-c", 4)]


@pytest.mark.parametrize("seed", range(4))
def test_copies_and_changes_fit_while_others_write_and_reads_stop_anywhere(log, seed):
    chance = random.Random(seed)  # noqa: S311 - a test's schedule
    log.sql("create table t (id int primary key, v int, filler varchar(200) default repeat('x', 200))")
    log.sql("insert into t (id, v) select seq, 0 from seq_1_to_400")
    is_over = threading.Event()

    def write():
        with log.server.connect("source") as connection, connection.cursor() as cursor:
            while not is_over.is_set():
                number = chance.randrange(1, 600)
                cursor.execute("start transaction")
                cursor.execute(f"replace into t (id, v) values ({number}, {chance.randrange(99)})")
                cursor.execute(f"delete from t where id = {chance.randrange(1, 600)}")
                cursor.execute(chance.choice(["commit", "commit", "rollback"]))

    writer = threading.Thread(target=write)
    writer.start()
    table, state = {}, None
    try:
        for attempt in range(8):
            read = log.read(state=state, batch_bytes=20_000, jobs=2, stop_after=chance.choice([1, 3, 6, None]))
            last = max((n for n, one in enumerate(read.messages) if isinstance(one, Checkpoint)), default=-1)
            _applied(table, read.messages[: last + 1])
            state = read.state if last >= 0 else state
            if attempt == 5:
                is_over.set()
                writer.join()
    finally:
        is_over.set()
        writer.join()
    for _ in range(2):
        read = log.read(state=state)
        _applied(table, read.messages)
        state = read.state
    assert table == _held(log)


def test_a_log_that_is_gone_is_told_with_the_way_out(log):
    log.sql("create table t (id int primary key)")
    state = log.read().state
    log.sql("insert into t values (1)")
    log.sql("flush binary logs")
    ((file, *_),) = log.sql("show master status")
    until = time.monotonic() + 60
    while log.sql("show binary logs")[0][0] != file and time.monotonic() < until:  # one that is being read stays
        log.sql(f"purge binary logs to '{file}'")
        time.sleep(0.1)
    with pytest.raises(EnvironmentProblemError) as caught:
        log.read(state=state)
    assert caught.value.reference == "log-lost"
    assert caught.value.hint.startswith("headwater run --full-refresh")


def test_who_may_not_read_the_log_is_told_what_to_grant(log):
    log.sql("create table t (id int primary key)")
    log.sql("create or replace user narrow identified by 'narrow-canary-77'")
    log.sql("grant select on source.* to narrow")
    given = {"user": "narrow", "password": "narrow-canary-77"}
    state = log.read(**given).state
    log.sql("insert into t values (1)")
    with pytest.raises(EnvironmentProblemError) as caught:
        log.read(state=state, **given)
    assert (caught.value.reference, caught.value.hint) == (
        "no-permission",
        "grant replication slave, replication client on *.* to narrow",
    )


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("create table t (id int)", "it has no key to say which row has changed"),
        ("create view t as select 1 as id", "it is a view"),
        (
            "create table t (id enum('a') primary key)",
            "its key `id` is of a type that is read from the log otherwise than from the table",
        ),
    ],
)
def test_what_can_not_be_read_from_the_log_is_said_before_anything_is_done(log, made, why):
    log.sql(made)
    with pytest.raises(InputError) as caught:
        log.read()
    assert (caught.value.reference, caught.value.why) == ("no-log-based", why)


def test_a_server_without_such_a_log_is_told_from_others(shop):
    shop.sql("create table t (id int primary key)")
    with pytest.raises(EnvironmentProblemError) as caught:
        shop.read(default_replication_method="LOG_BASED")
    assert caught.value.reference == "log-unfit"


def test_a_statement_in_the_log_is_an_error_and_no_gap(log):
    log.sql("create table t (id int primary key)")
    state = log.read().state
    with log.server.connect("source") as connection, connection.cursor() as cursor:
        cursor.execute("set session binlog_format = STATEMENT")
        cursor.execute("insert into t values (1)")
    with pytest.raises(RunFailedError) as caught:
        log.read(state=state)
    assert caught.value.reference == "not-logged-by-row"
