"""What the SQLite source makes of declarations, of values that do not follow them, and of bookmarks."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, time
from decimal import Decimal

import msgspec
import pytest

from headwater.base.errors import EnvironmentProblemError, InputError, RunFailedError
from headwater.connect.contract import Checkpoint, ReadRequest, Rows, Schema
from headwater.connect.sources import sqlite as source


@pytest.fixture
def file(tmp_path):
    return tmp_path / "shop.db"


def made(file, *statements):
    with closing(sqlite3.connect(file)) as connection:
        for statement in statements:
            connection.execute(*statement) if isinstance(statement, tuple) else connection.execute(statement)
        connection.commit()


def messages(file, state=None, stop_after=None, batch_bytes=8 << 20, **settings):
    given = source.Settings(database=str(file), **settings)
    asked = iter(range(1_000_000))
    request = ReadRequest(
        catalog=source.discover(given),
        state=state,
        folder=file.parent,
        batch_bytes=batch_bytes,
        should_stop=lambda: stop_after is not None and next(asked) >= stop_after,
    )
    return list(source.read(given, request))


def rows(found):
    return [row for one in found if isinstance(one, Rows) for row in one.batch.to_pylist()]


def state(found):
    return next(one.state for one in reversed(found) if isinstance(one, Checkpoint))


def column(file, declared, *values):
    """What the values become in a column so declared, as which type, and how many were repaired."""
    made(file, f"create table t (v {declared})", *(("insert into t values (?)", (value,)) for value in values))
    found = messages(file)
    schema = [one for one in found if isinstance(one, Schema)][-1]
    repaired = sum(sum(one.repaired.values()) for one in found if isinstance(one, Rows))
    return [row["v"] for row in rows(found)], str(schema.columns.field("v").type), repaired


MOMENT = datetime(2024, 1, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("declared", "values", "became", "kind"),
    [
        ("integer", [1, None, -(2**63)], [1, None, -(2**63)], "int64"),
        ("unsigned big int", [2**63 - 1], [2**63 - 1], "int64"),
        ("boolean", [0, 1, None], [False, True, None], "bool"),
        ("real", [1, 0.1, None], [1.0, 0.1, None], "double"),
        ("double precision", [1e300], [1e300], "double"),
        (
            "decimal(10,2)",
            [1.5, 12345678.9, None],
            [Decimal("1.50"), Decimal("12345678.90"), None],
            "decimal128(10, 2)",
        ),
        ("numeric", [1, 1.5], [1.0, 1.5], "double"),
        ("varchar(3)", ["", "longer", None], ["", "longer", None], "string"),
        ("blob", [b"\x00\xff", None], [b"\x00\xff", None], "binary"),
        ("date", ["2024-02-29", None], [date(2024, 2, 29), None], "date32[day]"),
        ("datetime", ["2024-01-01 10:00:00", "2024-01-01T12:00:00+02:00", None], [MOMENT, MOMENT, None], "timestamp"),
        ("timestamp", ["2024-01-01"], [datetime(2024, 1, 1, tzinfo=UTC)], "timestamp"),
        ("time", ["10:00:00.5"], [time(10, 0, 0, 500000)], "time64[us]"),
        ("json", ['{"a": 1.10}', "[1]", "5", None], ['{"a": 1.10}', "[1]", "5", None], "string"),
        ("", [1, None], [1, None], "int64"),
        ("", ["a", None], ["a", None], "string"),
        ("", [1, 1.5], [1.0, 1.5], "double"),
        ("", [b"a"], [b"a"], "binary"),
        ("money", ["3 EUR"], ["3 EUR"], "string"),
        ("uuid", ["a0eebc99"], ["a0eebc99"], "string"),
    ],
)
def test_values_are_as_declared(file, declared, values, became, kind):
    found, found_kind, repaired = column(file, declared, *values)
    assert (found, found_kind.split("[us, tz")[0], repaired) == (became, kind, 0)


@pytest.mark.parametrize(
    ("declared", "values", "became", "kind", "repaired"),
    [
        ("integer", [1, "many"], ["1", "many"], "string", 0),
        ("integer", [1, 1.5], [1.0, 1.5], "double", 0),
        ("integer", [2**60, 1.5], [str(2**60), "1.5"], "string", 0),
        ("boolean", [1, 2], ["true", "2"], "string", 0),
        ("boolean", [0, "t"], ["false", "t"], "string", 0),
        ("decimal(4,2)", [1.5, 1.234], ["1.5", "1.234"], "string", 0),
        ("date", ["2024-01-01", "2024-01-01 10:00:00"], [datetime(2024, 1, 1, tzinfo=UTC), MOMENT], "timestamp", 0),
        ("date", ["2024-01-01", ""], ["2024-01-01", ""], "string", 0),
        ("datetime", ["2024-01-01 10:00:00", 1704103200], ["2024-01-01 10:00:00", "1704103200"], "string", 0),
        ("text", ["a", b"b"], ["a", "b"], "string", 0),
        ("text", ["a", b"\xff"], ["a", "X'FF'"], "string", 1),
        ("blob", [b"\xff", "a", 5], [b"\xff", b"a", b"5"], "binary", 1),
        ("json", ["{", b"\x01"], ['"{"', '"01"'], "string", 0),
    ],
)
def test_a_value_that_is_not_as_declared_is_kept(file, declared, values, became, kind, repaired):
    found, found_kind, count = column(file, declared, *values)
    assert (found, found_kind.split("[us, tz")[0]) == (became, kind)
    assert count >= repaired


def test_a_column_gets_wider_where_a_value_asks_for_it(file):
    made(file, "create table t (n integer primary key, v integer)")
    made(file, *(("insert into t values (?, ?)", (n, n if n < 5000 else f"no {n}")) for n in range(6000)))
    found = messages(file, batch_bytes=20_000)
    schemas = [str(one.columns.field("v").type) for one in found if isinstance(one, Schema)]
    assert schemas == ["int64", "string"]
    assert [str(row["v"]) for row in rows(found)] == [str(n) if n < 5000 else f"no {n}" for n in range(6000)]


def test_text_that_is_no_utf_8_is_repaired_and_counted(file):
    made(file, "create table t (n integer primary key, v text)")
    made(file, *(("insert into t values (?, ?)", (n, f"é {n}")) for n in range(500)))
    made(file, "update t set v = cast(x'61ff62' as text) where n = 400")
    found = messages(file, batch_bytes=2000)
    assert [row["v"] for row in rows(found)] == [f"é {n}" if n != 400 else "a\ufffdb" for n in range(500)]
    assert [one.repaired for one in found if isinstance(one, Rows) and one.repaired] == [{"v": 1}]


@pytest.mark.parametrize(
    ("declared", "values"),
    [
        ("integer", [1, 2, 2, 10]),
        ("real", [-0.5, 1.5, 2.5, 2.5]),
        ("text", ["", "it's", "z", "z"]),
        ("datetime", ["2023-12-31 00:00:00", "2024-01-01 00:00:00", "2024-01-01 10:00:00", "2024-01-01 10:00:00"]),
        ("datetime", [1700000000, 1700000001, "2024-01-01 10:00:00", "2024-01-01 10:00:00"]),
        ("date", ["2023-12-31", "2024-01-01", "2024-01-02", "2024-01-02"]),
    ],
)
def test_a_second_read_begins_with_all_rows_of_the_last_bookmark(file, declared, values):
    made(file, f"create table t (id integer, since {declared})")
    made(file, *(("insert into t values (?, ?)", pair) for pair in enumerate(values)))
    made(file, "insert into t values (99, null)")
    first = messages(file, replication_keys={"main-t": "since"})
    assert [row["id"] for row in rows(first)] == [99, 0, 1, 2, 3]
    made(file, ("insert into t values (100, ?)", (values[-1],)))
    again = messages(file, state(first), replication_keys={"main-t": "since"})
    assert [row["id"] for row in rows(again)] == [n for n in range(4) if values[n] == values[-1]] + [100]
    assert state(again) == state(first)


def test_the_state_is_that_of_other_taps(file):
    made(file, "create table t (id integer primary key, since text)", "insert into t values (1, 'a')")
    found = state(messages(file, replication_keys={"main-t": "since"}))
    assert msgspec.json.decode(found) == {
        "bookmarks": {"main-t": {"replication_key": "since", "replication_key_value": "a"}}
    }


@pytest.mark.parametrize("stored", ["2024-01-01 10:00:00", "2024-01-01T10:00:00", "2024-01-01T10:00:00Z"])
@pytest.mark.parametrize("bookmark", ["2024-01-01T10:00:00+00:00", "2024-01-01 10:00:00", "2024-01-01T10:00:00Z"])
def test_a_bookmark_of_another_tap_is_read_as_the_table_has_moments(file, stored, bookmark):
    moments = [stored.replace("10:", "09:"), stored, stored.replace("10:", "11:")]
    made(file, "create table t (id integer, since datetime)")
    made(file, *(("insert into t values (?, ?)", pair) for pair in enumerate(moments)))
    before = {"bookmarks": {"main-t": {"replication_key": "since", "replication_key_value": bookmark}}}
    found = messages(file, msgspec.json.encode(before), replication_keys={"main-t": "since"})
    assert [row["id"] for row in rows(found)] == [1, 2]


def test_bytes_are_no_bookmark(file):
    made(file, "create table t (since text)", "insert into t values (x'00ff')")
    with pytest.raises(RunFailedError, match="the replication key of stream `main-t` holds"):
        messages(file, replication_keys={"main-t": "since"})


def test_a_full_read_that_was_stopped_goes_on_behind_its_last_row(file):
    made(file, "create table t (id integer primary key, v text)")
    made(file, *(("insert into t values (?, ?)", (n, str(n))) for n in range(2000)))
    first = messages(file, batch_bytes=2000, stop_after=5)
    rest = messages(file, state(first))
    ids = [[row["id"] for row in rows(found)] for found in (first, rest)]
    assert ids[0]
    assert ids[1]
    assert ids[0] + ids[1] == list(range(2000))
    assert msgspec.json.decode(state(rest)) == {"bookmarks": {}}


def test_keys_views_and_what_is_hidden(file):
    made(
        file,
        'create table "a ""b" (y integer, x text, z as (y + 1), primary key (x, y))',
        "create table plain (n integer)",
        'create view v as select *, y * 2 as twice from "a ""b"',
        "create view broken as select * from gone",
        "create table counted (id integer primary key autoincrement)",
    )
    found = source.discover(source.Settings(database=str(file))).streams
    assert [(one.stream, one.key_properties, list(one.schema["properties"]), one.is_view) for one in found] == [
        ('main-a "b', ["x", "y"], ["y", "x", "z"], False),
        ("main-counted", ["id"], ["id"], False),
        ("main-plain", [], ["n"], False),
        ("main-v", [], ["y", "x", "z", "twice"], True),
    ]


def test_the_signature_follows_the_tables(file):
    made(file, "create table t (n int)")
    settings = source.Settings(database=str(file))
    before = source.signature(settings)
    made(file, "insert into t values (1)")
    assert before == source.signature(settings)
    made(file, "alter table t add column m int")
    assert before != source.signature(settings)


def test_a_file_that_is_locked_is_waited_for_and_then_told(file):
    made(file, "create table t (n int)")
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("begin exclusive")
        with pytest.raises(EnvironmentProblemError, match="another program has locked") as caught:
            messages(file, busy_timeout_seconds=0)
    assert caught.value.reference == "database-busy"


def test_a_write_ahead_log_is_read_while_others_write(file):
    made(file, "pragma journal_mode = wal", "create table t (n int)", "insert into t values (1)")
    with closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("begin immediate")
        writer.execute("insert into t values (2)")
        assert rows(messages(file)) == [{"n": 1}]
        writer.execute("commit")
        assert rows(messages(file)) == [{"n": 1}, {"n": 2}]


def test_nothing_is_written_into_the_file(file):
    made(file, "create table t (n int)", "insert into t values (1)")
    before = file.read_bytes()
    file.chmod(0o444)
    assert rows(messages(file)) == [{"n": 1}]
    assert (file.read_bytes(), sorted(one.name for one in file.parent.iterdir())) == (before, ["shop.db"])


def test_what_is_no_database_is_told(file):
    with pytest.raises(InputError, match="there is no file"):
        messages(file)
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(EnvironmentProblemError, match="can't be read as a SQLite database"):
        messages(file)


def test_a_table_that_is_gone_is_told(file):
    made(file, "create table t (n int)")
    settings = source.Settings(database=str(file))
    catalog = source.discover(settings)
    made(file, "drop table t")
    with pytest.raises(InputError, match=r"there is no table `main\.t`"):
        list(source.read(settings, ReadRequest(catalog=catalog, state=None, folder=file.parent)))


def test_large_rows_do_not_come_by_the_thousand(file):
    made(file, "create table t (n integer primary key, v blob)")
    made(file, *(("insert into t values (?, ?)", (n, b"x" * (10 if n < 1000 else 100_000))) for n in range(1100)))
    sizes = [one.batch.nbytes for one in messages(file, batch_bytes=100_000) if isinstance(one, Rows)]
    assert max(sizes) < 7_000_000


def written(file, text):
    """The table `t` as a program wrote it that knew nothing of UTF-8: `?` in its statement is such a letter."""
    made(file, text, "insert into t values (1)")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("pragma writable_schema = 1")
        odd = "cast(replace(cast({0} as blob), x'3f', x'e9') as text)"
        connection.execute(f"update sqlite_master set {', '.join(f'{c} = {odd.format(c)}' for c in ('name', 'sql'))}")
        connection.commit()


def test_a_default_that_is_no_utf8_hides_no_table(file):
    written(file, "create table t (n int default 'caf?')")
    assert rows(messages(file)) == [{"n": 1}]
    assert source.signature(source.Settings(database=str(file)))


def test_a_type_that_is_no_utf8_is_told(file):
    written(file, 'create table t (n "caf?")')
    with pytest.raises(RunFailedError, match="cannot read `") as caught:
        source.discover(source.Settings(database=str(file)))
    assert "Could not decode to UTF-8" in str(caught.value.why)
