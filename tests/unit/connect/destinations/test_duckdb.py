"""What only the DuckDB destination does; the rest is in tests/contract/destinations."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading

import duckdb
import pyarrow as pa
import pytest

from headwater.base.errors import EnvironmentProblemError, HeadwaterError, InputError
from headwater.connect import warehouse
from headwater.connect.contract import OpenRequest, Rows, Schema
from headwater.connect.destinations import duckdb as destination
from headwater.connect.destinations.duckdb import rows as database_rows

USERS = pa.schema([("id", pa.int64()), ("name", pa.string())])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.duckdb"


def opened(path, run_id="run-1", **settings):
    request = OpenRequest(pipeline="p", run_id=run_id, source="shop", folder=path.parent / "scratch")
    return destination.open(destination.Settings(filepath=str(path), **settings), request)


def load(session, rows, *, keys=(), columns=USERS):
    session.prepare(Schema(stream="users", columns=columns, keys=keys))
    session.stage(Rows(stream="users", batch=pa.RecordBatch.from_pylist(rows, schema=columns)))
    return session.commit(b"1")


def ask(path, query):
    with warehouse.reading(path, who="test") as connection:
        return connection.execute(query).fetchall()


def run(path, *statements):
    with warehouse.writing(path, who="test") as connection:
        for statement in statements:
            connection.execute(statement)


A = {"id": 1, "name": "a"}


def test_a_table_has_the_source_columns_and_the_time_of_loading(path):
    load(opened(path), [A])
    assert ask(path, "select column_name, data_type from duckdb_columns() where schema_name = 'shop'") == [
        ("id", "BIGINT"),
        ("name", "VARCHAR"),
        ("__loaded_at", "TIMESTAMP WITH TIME ZONE"),
    ]


def test_a_ctrl_c_while_the_database_asks_for_rows_is_one(path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    session = opened(path)
    monkeypatch.setattr(database_rows, "conformed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(session, [A])
    session.close()
    assert ask(path, "select count(*) from duckdb_tables() where schema_name = 'shop'") == [(0,)]


def test_the_file_can_be_read_by_duckdb_1_4(path):
    load(opened(path), [A])
    assert ask(path, "select tags['storage_version'] from duckdb_databases() where not internal") == [("v1.4.0+",)]


def test_views_on_a_replaced_table_go_on(path):
    load(opened(path), [A])
    run(path, "create view people as select name from shop.users")
    session = opened(path, "run-2", load_method="overwrite")
    load(session, [{"id": 2, "name": "b"}])
    session.commit(b"2", final=True)
    assert ask(path, "from people") == [("b",)]
    assert ask(path, "select table_name from duckdb_tables() where table_name like 'aside%'") == []


def test_a_commit_whose_answer_was_lost_is_not_written_twice(path):
    first = opened(path)
    load(first, [A])
    again = opened(path)
    again._standing = type(again._standing)()  # it never heard of its own commit
    receipt = load(again, [A])
    assert (receipt.sequence, receipt.streams["users"].rows_out) == (1, 1)
    assert ask(path, "select count(*) from shop.users") == [(1,)]


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("create table shop.users (id bigint, name boolean)", "the column is BOOLEAN and the source now sends BIGINT"),
        ("create view shop.users as select 1 as id", "`shop.users` is a view"),
        (
            "create table shop.users (id bigint, x int not null)",
            "the column is NOT NULL and the source does not send it",
        ),
    ],
)
def test_a_table_made_by_someone_else_is_judged_before_a_row_is_loaded(path, statement, why):
    run(path, "create schema shop", statement)
    columns = pa.schema([("id", pa.int64()), ("name", pa.int64())])
    with pytest.raises(InputError) as caught:
        opened(path).prepare(Schema(stream="users", columns=columns))
    assert (caught.value.reference, caught.value.why) == ("unsupported-change", why)


def test_a_narrower_column_made_by_someone_else_grows(path):
    run(path, "create schema shop", "create table shop.users (id integer, name varchar)")
    run(path, "insert into shop.users values (7, 'x')")
    receipt = load(opened(path), [{"id": 2**40, "name": "a"}])
    assert [one.detail for one in receipt.changes] == ["INTEGER → BIGINT"]
    assert ask(path, "select id from shop.users order by id") == [(7,), (2**40,)]


def test_other_keys_than_before_are_refused(path):
    load(opened(path), [A], keys=("id",))
    with pytest.raises(InputError) as caught:
        opened(path, "run-2").prepare(Schema(stream="users", columns=USERS, keys=("name",)))
    assert caught.value.why == "the key was (id) and is now (name)"


def test_append_only_takes_no_heed_of_keys(path):
    load(opened(path, load_method="append-only"), [A, A], keys=("id",))
    assert ask(path, "select count(*) from shop.users") == [(2,)]


def test_a_column_called_like_our_own_inner_names(path):
    columns = pa.schema([("id", pa.int64()), ("c1", pa.string()), ("sent1", pa.string()), ("c1 sent", pa.string())])
    session = opened(path)
    session.prepare(Schema(stream="users", columns=columns, keys=("id",)))
    row = {"id": 1, "c1": "a", "sent1": "b", "c1 sent": "c"}
    batch = pa.RecordBatch.from_pylist([row], schema=columns)
    session.stage(Rows(stream="users", batch=batch, missing=pa.array([["c1"]], pa.list_(pa.string()))))
    session.commit(None)
    assert ask(path, 'select c1, sent1, "c1 sent" from shop.users') == [(None, "b", "c")]


def test_books_of_a_later_release_are_left_alone(path):
    load(opened(path), [A])
    run(path, "update _headwater.format set version = 99")
    with pytest.raises(EnvironmentProblemError) as caught:
        opened(path, "run-2")
    assert caught.value.reference == "warehouse-newer"


def test_a_file_that_is_no_database_says_so(path):
    path.write_bytes(b"id,name\n" * 2000)
    with pytest.raises(EnvironmentProblemError) as caught:
        opened(path)
    assert caught.value.reference == "warehouse-unreadable"
    assert path.read_bytes().startswith(b"id,name")


def test_the_books_schema_is_not_for_streams(path):
    with pytest.raises(InputError) as caught:
        opened(path, default_target_schema="_Headwater")
    assert caught.value.reference == "reserved-schema"


def test_sql_cannot_reach_other_files(path):
    load(opened(path), [A])
    (path.parent / "secret.csv").write_text("a\n1\n")
    with pytest.raises(duckdb.PermissionException):
        ask(path, f"from '{path.parent}/secret.csv'")


def test_threads_take_turns_and_each_commit_counts(path):
    def work(number):
        request = OpenRequest(pipeline=f"p{number}", run_id="r", source="shop", folder=path.parent / f"s{number}")
        session = destination.open(destination.Settings(filepath=str(path)), request)
        for _ in range(3):
            load(session, [A])

    threads = [threading.Thread(target=work, args=[number]) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ask(path, "select count(*) from shop.users") == [(9,)]


def test_another_program_that_has_the_file_open_is_named(path):
    load(opened(path), [A])
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    child.stdout.readline()
    try:
        with pytest.raises(EnvironmentProblemError) as caught, warehouse.reading(path, who="me", timeout=0.1):
            pass
    finally:
        child.communicate()
    assert caught.value.reference == "warehouse-busy"
    assert f"PID {child.pid}" in caught.value.why


def test_a_full_disk_fails_the_commit_and_keeps_what_was_there(path):
    session = opened(path)
    load(session, [A])
    rows = [{"id": n, "name": f"{n * 7919:x}" * 20} for n in range(20_000)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(HeadwaterError) as caught:
            load(session, rows)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.reference == "disk-full"
    assert ask(path, "select * exclude (__loaded_at) from shop.users") == [(1, "a")]
    session.commit(b"2")
    assert ask(path, "select count(*) from shop.users") == [(20_001,)]


def test_a_table_taken_over_into_history_is_declared_like_a_new_one(path):
    load(opened(path), [A], keys=("id",))
    load(opened(path, "run-2", load_method="history"), [{"id": 1, "name": "x"}], keys=("id",))
    load(opened(path, "run-3", load_method="history"), [{"id": 1, "name": "y"}], keys=("id",))
    declared = "select column_name, is_nullable, column_default from duckdb_columns() where schema_name = 'shop'"
    assert ask(path, declared)[-2:] == [("__valid_from", False, None), ("__valid_to", True, None)]
    versions = "select name, __valid_to is null, __valid_from = __loaded_at from shop.users order by __valid_from"
    assert ask(path, versions) == [("a", False, True), ("x", False, True), ("y", True, True)]


def test_a_unique_index_is_in_the_way_of_history(path):
    load(opened(path), [A], keys=("id",))
    run(path, "create unique index one on shop.users (id)")
    with pytest.raises(InputError) as caught:
        load(opened(path, "run-2", load_method="history"), [A], keys=("id",))
    assert caught.value.why == "`shop.users` has a unique index, so a key can't have two versions"


def test_what_a_killed_process_had_moved_out_of_memory_is_wiped_by_the_next_writer(path):
    run(path, "create table t (i int)")
    folder = path.with_name(f"{path.name}.tmp")
    folder.mkdir()
    for name in ("duckdb_temp_22596_0_owner", "duckdb_temp_22596_0_storage_DEFAULT-0.tmp", "notes"):
        (folder / name).touch()
    run(path, "insert into t values (1)")
    assert [one.name for one in folder.iterdir()] == ["notes"]


def test_too_little_memory_names_the_setting(path):
    error = warehouse.trouble(path, duckdb.OutOfMemoryException("Out of Memory Error: failed to pin block"))
    assert error.reference == "out-of-memory"
    assert error.hint.startswith("give it more: headwater config set target-duckdb _memory_bytes N")
