"""What the DuckDB source makes of tables, types and bookmarks."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import UTC, date, datetime, time
from decimal import Decimal

import duckdb as engine
import msgspec
import pytest

from headwater.base.errors import EnvironmentProblemError, InputError, RunFailedError
from headwater.connect import warehouse
from headwater.connect.contract import Checkpoint, ReadRequest, Rows, Schema
from headwater.connect.sources import duckdb as source


@pytest.fixture
def file(tmp_path):
    return tmp_path / "shop.duckdb"


def made(file, *statements):
    with engine.connect(str(file)) as connection:
        for statement in statements:
            connection.execute(statement)


def messages(file, state=None, **settings):
    given = source.Settings(path=str(file), **settings)
    request = ReadRequest(catalog=source.discover(given), state=state, folder=file.parent / "scratch")
    return list(source.read(given, request))


def rows(found):
    return [row for one in found if isinstance(one, Rows) for row in one.batch.to_pylist()]


def state(found):
    return next(one.state for one in reversed(found) if isinstance(one, Checkpoint))


def value(file, sql):
    """What a value becomes, in which type, and how many were repaired."""
    made(file, f"create or replace table t as select {sql} as v")
    found = messages(file)
    schema = [one for one in found if isinstance(one, Schema)][-1]
    repaired = next(one.repaired for one in found if isinstance(one, Rows))
    return rows(found)[0]["v"], str(schema.columns.field("v").type), repaired


LARGEST = 2**127 - 1


@pytest.mark.parametrize(
    ("sql", "became"),
    [
        ("true", (True, "bool")),
        ("255::utinyint", (255, "int64")),
        ("(-9223372036854775808)::bigint", (-(2**63), "int64")),
        ("18446744073709551615::ubigint", (Decimal(2**64 - 1), "decimal128(20, 0)")),
        ("12345678901234567890::hugeint", (Decimal(12345678901234567890), "decimal128(38, 0)")),
        (f"{LARGEST}::hugeint", (str(LARGEST), "string")),
        ("340282366920938463463374607431768211455::uhugeint", (str(2**128 - 1), "string")),
        ("1.50::decimal(10,2)", (Decimal("1.50"), "decimal128(10, 2)")),
        ("0.1::float", (0.10000000149011612, "double")),
        ("'é😀'", ("é😀", "string")),
        ("'\\x00\\xFF'::blob", (b"\x00\xff", "binary")),
        ("date '2024-02-29'", (date(2024, 2, 29), "date32[day]")),
        ("time '10:00:00.5'", (time(10, 0, 0, 500000), "time64[us]")),
        ("timetz '10:00:00+02'", ("10:00:00+02", "string")),
        ("timestamp '2024-01-01 10:00:00.123456'", (datetime(2024, 1, 1, 10, 0, 0, 123456, UTC), "timestamp")),
        ("timestamptz '2024-01-01 10:00:00+02'", (datetime(2024, 1, 1, 8, tzinfo=UTC), "timestamp")),
        ("interval '1 year 2 days'", ("1 year 2 days", "string")),
        ("'a'::enum('b', 'a')", ("a", "string")),
        ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "string")),
        ("'101'::bit", ("101", "string")),
        ("[1, null]", ("[1,null]", "string")),
        ("{'a': 1, 'b': [0.12345678901234567::decimal(18,17)]}", ('{"a":1,"b":[0.12345678901234567]}', "string")),
        ("map {'k': timestamp '2024-01-01'}", ('{"k":"2024-01-01 00:00:00"}', "string")),
        ("['nan'::double, 'inf'::double, 1.5]", ("[null,null,1.5]", "string")),
        ("'{\"a\": 1.10}'::json", ('{"a": 1.10}', "string")),
        ("union_value(n := 2)", ('{"n":2}', "string")),
    ],
)
def test_values_are_exact(file, sql, became):
    found, kind, repaired = value(file, sql)
    assert (found, kind.split("[us, tz")[0]) == became
    assert repaired == {}


@pytest.mark.parametrize(
    "sql", ["'infinity'::timestamp", "'-infinity'::date", "date '0044-03-15 (BC)'", "'24:00:00'::time"]
)
def test_what_no_type_of_a_stream_holds_is_null_and_counted(file, sql):
    found, _, repaired = value(file, sql)
    assert (found, repaired) == (None, {"v": 1})


def test_what_a_timestamp_loses_below_the_microsecond_is_counted(file):
    _, _, repaired = value(file, "timestamp_ns '2024-01-01 10:00:00.123456789'")
    assert repaired == {"v": 1}


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("integer", ["1", "2", "2", "10"]),
        ("hugeint", ["-5", "7", "12345678901234567890", "12345678901234567890"]),
        ("uhugeint", ["9", "10", "100", "100"]),
        ("decimal(9,2)", ["-1.5", "0.25", "3", "3"]),
        ("double", ["-1.5", "0.1", "2.5", "2.5"]),
        ("varchar", ["''", "'it''s'", "'z'", "'z'"]),
        ("date", ["'2023-12-31'", "'2024-01-01'", "'2024-01-02'", "'2024-01-02'"]),
        ("timestamp", ["'2023-12-31'", "'2024-01-01'", "'2024-01-01 00:00:00.000001'", "'2024-01-01 00:00:00.000001'"]),
        ("timestamptz", ["'2023-12-31'", "'2024-01-01'", "'2024-01-01 10:00+02'", "'2024-01-01 08:00+00'"]),
        ("timestamp_ns", ["'2023-12-31'", "'2024-01-01'", "'2024-01-02 00:00:00.1'", "'2024-01-02 00:00:00.1'"]),
        (
            "uuid",
            ["'00000000-0000-0000-0000-000000000001'"] + ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"] * 3,
        ),
    ],
)
def test_a_second_read_begins_with_all_rows_of_the_last_bookmark(file, kind, values):
    listed = ", ".join(f"({n}, {value})" for n, value in enumerate(values))
    made(file, f"create table t (id int, since {kind})", f"insert into t values {listed}, (99, null)")
    first = messages(file, replication_keys={"main-t": "since"})
    assert [row["id"] for row in rows(first)] == [99, 0, 1, 2, 3]
    ties = [n for n, value in enumerate(values) if value == values[-1] or (kind == "timestamptz" and n == 2)]
    made(file, f"insert into t values (100, {values[-1]})")
    again = messages(file, state(first), replication_keys={"main-t": "since"})
    assert [row["id"] for row in rows(again)] == [*ties, 100]
    assert state(again) == state(first)


def test_a_bookmark_that_is_no_value_is_told(file):
    made(file, "create table t (since timestamp)")
    bad = msgspec.json.encode({"bookmarks": {"main-t": {"replication_key": "since", "replication_key_value": "soon"}}})
    with pytest.raises(InputError, match="no value of its replication key"):
        messages(file, bad, replication_keys={"main-t": "since"})


@pytest.mark.parametrize("kind", ["double", "timestamp"])
def test_infinity_is_no_bookmark(file, kind):
    made(file, f"create table t (since {kind})", "insert into t values ('infinity')")
    with pytest.raises(RunFailedError, match="`since` of stream `main-t` holds"):
        messages(file, replication_keys={"main-t": "since"})


def test_keys_views_and_schemas_are_discovered(file):
    made(
        file,
        "create schema other",
        "create table other.t (b int, a int, primary key (a, b))",
        "create view v as select 1 as n",
        "create schema _headwater",
        "create table _headwater.books (n int)",
    )
    found = source.discover(source.Settings(path=str(file)))
    assert [(one.stream, one.key_properties, one.is_view) for one in found.streams] == [
        ("main-v", [], True),
        ("other-t", ["a", "b"], False),
    ]
    only = source.discover(source.Settings(path=str(file), filter_schemas=["other"]))
    assert [one.stream for one in only.streams] == ["other-t"]


def test_a_table_without_a_key_replaces_and_one_with_a_key_does_not(file):
    made(file, "create table a (n int)", "create table b (n int primary key)")
    found = {one.stream: one.replace for one in messages(file) if isinstance(one, Schema)}
    assert found == {"main-b": False, "main-a": True}


def test_the_signature_follows_the_tables(file):
    made(file, "create table t (n int)")
    settings = source.Settings(path=str(file))
    before = source.signature(settings)
    assert before == source.signature(settings)
    made(file, "alter table t add column m int")
    assert before != source.signature(settings)


def test_a_view_that_reads_other_files_is_read_when_that_is_allowed(file, tmp_path):
    (tmp_path / "a.csv").write_text("n\n1\n")
    made(file, f"create view v as select * from read_csv('{tmp_path}/a.csv')")
    with pytest.raises(InputError, match="reads files outside of the database"):
        messages(file)
    assert rows(messages(file, outside_files=True)) == [{"n": 1}]


def test_a_view_that_names_what_is_gone_is_told(file):
    made(file, "create table t (n int)", "create view v as select * from t", "drop table t")
    with pytest.raises(InputError, match=r"`main\.v` can't be read as it was discovered"):
        messages(file)


def test_what_is_no_database_is_told(file):
    with pytest.raises(InputError, match="there is no file"):
        messages(file)
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(EnvironmentProblemError, match="can't be opened as a DuckDB database"):
        messages(file)


def test_a_load_waits_until_the_read_is_done(file):
    made(file, "create table t as select n from range(100_000) r(n)")
    settings = source.Settings(path=str(file))
    request = ReadRequest(catalog=source.discover(settings), state=None, folder=file.parent, batch_bytes=1000)
    waited, waits, is_written = [], threading.Event(), threading.Event()

    def wait(who):
        waited.append(who)
        waits.set()

    def load():
        with warehouse.writing(file, who="a load", on_wait=wait) as connection:
            connection.execute("delete from t")
        is_written.set()

    with closing(source.read(settings, request)) as reading:
        first = [next(reading) for _ in range(3)]
        loader = threading.Thread(target=load)
        loader.start()
        assert waits.wait(60)
        assert not is_written.is_set()
        assert len(rows(first)) + len(rows(reading)) == 100_000
    loader.join()
    assert is_written.is_set()
    assert [who.partition(" (")[0] for who in waited] == ["reading for tap-duckdb"]


def test_a_file_in_a_folder_that_is_only_read_needs_no_lease(file, monkeypatch):
    made(file, "create table t as select 1 as n")
    monkeypatch.setattr("os.access", lambda _path, _mode: False)
    assert rows(messages(file)) == [{"n": 1}]
    assert [one.name for one in file.parent.iterdir()] == ["shop.duckdb"]
