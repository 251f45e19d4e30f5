"""A real PostgreSQL, read by its Singer tap into DuckDB, and written by its Singer target."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

TABLE = """
create table orders (
  id bigint primary key,
  amount numeric(20, 4),
  ordered_at timestamptz not null,
  details jsonb,
  paid boolean,
  items bigint,
  note text
)"""

# The tap takes rows whose ordered_at is not before the bookmark: those that tie with it come again.
INCREMENTAL = """\
default_environment: dev
environments: [{name: dev}]
"""

ROWS = (
    "(1, 12.3400, '2026-01-01 10:00:00+00', '{\"a\": [1, null]}', true, 9007199254740993, 'plain')",
    "(2, 1234567890123456.7891, '2026-01-02 12:30:00.123456+02', '[]', false, -1, '')",
    "(3, null, '2026-01-03 00:00:00+00', null, null, null, null)",
)


@pytest.fixture
def shop(postgres):
    """A database of its own with the table `orders`."""
    postgres.sql("drop database if exists shop with (force)")
    postgres.sql("create database shop")
    postgres.sql(TABLE, "shop")
    return lambda statement: postgres.sql(statement, "shop")


@pytest.fixture
def pipeline(hw, postgres, shop, installed):
    """A project with `tap-postgres` reading `orders` incrementally by `ordered_at`."""
    hw.write("headwater.yml", INCREMENTAL)
    installed(hw, *TAP)
    for name, value in (
        ("host", postgres.host),
        ("port", postgres.port),
        ("user", postgres.user),
        ("database", "shop"),
        ("filter_schemas", '["public"]'),
        ("default_replication_method", "FULL_TABLE"),
    ):
        hw.ok("config", "set", "tap-postgres", name, value)
    hw.ok("config", "set", "tap-postgres", "password", postgres.password, "--store", "dotenv")
    hw.ok(
        *("config", "set", "tap-postgres", "_metadata"),
        '{"public-orders": {"replication-method": "INCREMENTAL", "replication-key": "ordered_at"}}',
    )
    hw.ok("select", "tap-postgres", "public-orders", "*")
    return hw


TAP = ("tap-postgres", "--variant", "meltanolabs")


def insert(shop, *rows):
    shop(f"insert into orders values {', '.join(rows)}")


def test_three_runs_of_an_incremental_load_into_duckdb_give_what_the_source_has(pipeline, shop):
    hw = pipeline
    hw.ok("add", "target-duckdb", "--no-install")
    insert(shop, *ROWS)
    hw.ok("run", "tap-postgres", "target-duckdb")
    same(hw, shop)
    first = checkpoint(hw)

    # Nothing new: the row that ties with the bookmark comes again and replaces itself.
    done = hw.ok("run", "tap-postgres", "target-duckdb")
    assert figures(done) == {"public-orders": ("1", "1")}
    same(hw, shop)
    assert checkpoint(hw) == first

    insert(shop, "(4, 0.0001, '2026-01-04 00:00:00+00', '\"text\"', true, 0, 'Zoë  \U0001f680')")
    shop("update orders set note = 'changed', amount = null, ordered_at = '2026-01-05' where id = 1")
    done = hw.ok("run", "tap-postgres", "target-duckdb")
    assert figures(done) == {"public-orders": ("3", "3")}
    same(hw, shop)
    assert checkpoint(hw) != first

    assert dict(hw.query(f"select column_name, column_type from (describe {table(hw)})")) == {
        "id": "BIGINT",
        "ordered_at": "TIMESTAMP WITH TIME ZONE",
        "details": "JSON",
        "paid": "BOOLEAN",
        "items": "BIGINT",
        "note": "VARCHAR",
        "amount": "DECIMAL(38,18)",  # the tap says `number`, without a scale
        "__loaded_at": "TIMESTAMP WITH TIME ZONE",
    }
    assert hw.query(f"select id, note is null, note = '' from {table(hw)} where id in (2, 3) order by id") == [
        (2, False, True),
        (3, True, None),
    ]


def test_singer_to_singer_into_jsonl_goes_on_from_its_state(pipeline, shop, installed):
    hw = pipeline
    installed(hw, "target-jsonl", "--variant", "andyh1203")
    hw.ok("config", "set", "target-jsonl", "destination_path", "output")
    hw.ok("config", "set", "target-jsonl", "do_timestamp_file", "false")
    hw.write("output/.keep", "")
    insert(shop, *ROWS)
    hw.ok("run", "tap-postgres", "target-jsonl")
    (file,) = (hw.root / "output").glob("*.jsonl")
    assert {row["id"]: row["note"] for row in map(json.loads, file.read_text().splitlines())} == {
        1: "plain",
        2: "",
        3: None,
    }
    bookmark = hw.state("dev:tap-postgres-to-target-jsonl")["bookmarks"]["public-orders"]
    assert (bookmark["replication_key"], bookmark["replication_key_value"][:10]) == ("ordered_at", "2026-01-03")

    insert(shop, "(4, 1, '2026-01-04', null, true, 1, 'new')")
    hw.ok("run", "tap-postgres", "target-jsonl")
    ids = [json.loads(line)["id"] for line in file.read_text().splitlines()]
    assert ids[:3] == [1, 2, 3]
    assert sorted(ids[3:]) == [3, 4]  # the tie, and what is new
    bookmark = hw.state("dev:tap-postgres-to-target-jsonl")["bookmarks"]["public-orders"]
    assert bookmark["replication_key_value"][:10] == "2026-01-04"


def test_singer_to_singer_into_postgres_goes_on_from_its_state(pipeline, postgres, shop, installed):
    hw = pipeline
    installed(hw, "target-postgres", "--variant", "meltanolabs")
    for name, value in (
        ("host", postgres.host),
        ("port", postgres.port),
        ("user", postgres.user),
        ("database", "shop"),
        ("default_target_schema", "copy"),
    ):
        hw.ok("config", "set", "target-postgres", name, value)
    hw.ok("config", "set", "target-postgres", "password", postgres.password)
    insert(shop, *ROWS)
    hw.ok("run", "tap-postgres", "target-postgres")
    insert(shop, "(4, 1, '2026-01-04', null, true, 1, 'new')")
    shop("update orders set note = 'changed', ordered_at = '2026-01-05' where id = 1")
    done = hw.ok("run", "tap-postgres", "target-postgres")
    assert figures(done)["public-orders"][0] == "3"
    (name,) = shop("select table_name from information_schema.tables where table_schema = 'copy'")
    columns = "id, amount, paid, items, note, ordered_at"
    # The target has a time without a zone, in UTC.
    assert shop(f'select {columns} from copy."{name[0]}" order by id') == shop(
        f"select {columns} at time zone 'UTC' from orders order by id"
    )
    bookmark = hw.state("dev:tap-postgres-to-target-postgres")["bookmarks"]["public-orders"]
    assert bookmark["replication_key_value"][:10] == "2026-01-05"


def same(hw, shop):
    """The warehouse holds the rows of the source, value by value."""
    source = [
        (id_, amount, at.astimezone(UTC), details, paid, items, note)
        for id_, amount, at, details, paid, items, note in shop("select * from orders order by id")
    ]
    loaded = [
        (
            id_,
            None if amount is None else Decimal(amount),
            datetime.fromisoformat(at),
            None if details is None else json.loads(details),
            paid,
            items,
            note,
        )
        for id_, amount, at, details, paid, items, note in hw.query(
            "select id, cast(amount as varchar), strftime(ordered_at at time zone 'UTC', '%Y-%m-%dT%H:%M:%S.%f+00:00'),"
            f" cast(details as varchar), paid, items, note from {table(hw)} order by id"
        )
    ]
    assert loaded == source


def table(hw):
    ((schema, name),) = hw.query(
        "select table_schema, table_name from information_schema.tables where table_name like '%orders'"
    )
    return f'"{schema}"."{name}"'


def checkpoint(hw):
    """The state that stands with the data, which the state backend must have a copy of."""
    state_id = "dev:tap-postgres-to-target-duckdb"
    ((stored,),) = hw.query(f"select state from _headwater.checkpoint where pipeline = '{state_id}'")
    assert json.loads(stored) == hw.state(state_id)
    return json.loads(stored)


def figures(done):
    """Rows read and loaded by stream, as the table at the end of a step says."""
    lines = done.err.splitlines()
    start = next(number for number, line in enumerate(lines) if line.split()[:3] == ["stream", "read", "loaded"])
    rows = [line.split() for line in lines[start + 2 :] if line.startswith("  ")]
    return {row[0]: (row[1], row[2]) for row in rows}
