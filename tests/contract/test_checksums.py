"""Checksums of parts by brief texts: alike in PostgreSQL and DuckDB for rows that are alike, and for no others."""

from __future__ import annotations

import duckdb
import pytest

from headwater.connect.destinations.duckdb import digest as of_duckdb
from headwater.connect.destinations.postgres import digest as of_postgres
from headwater.connect.digest import Column, Item, Range, Relation, SqlSide

# Column: kind, type of PostgreSQL, type of DuckDB, values that all differ (null is one more).
COLUMNS = {
    "whole": ("int64", "bigint", "bigint", ["0", "-1", "9223372036854775807", "-9223372036854775808"]),
    "price": ("decimal", "numeric", "decimal(38,9)", ["0", "100", "1.5", "-0.000000001", "12345678901234567890.1"]),
    "ratio": ("float64", "float8", "double", ["'NaN'", "'-Infinity'", "0.1", "1e-320", "'Infinity'"]),
    "is_so": ("bool", "boolean", "boolean", ["true", "false"]),
    "day": ("date32", "date", "date", ["'0001-01-01'", "'9999-12-31'", "'1970-01-01'"]),
    "moment": (
        "timestamp",
        "timestamptz",
        "timestamptz",
        ["'0001-01-01 00:00:00+00'", "'1999-12-31 23:59:59.999999+00'", "'9999-12-31 23:59:59.999999+00'"],
    ),
    "clock": ("time64", "time", "time", ["'00:00:00'", "'23:59:59.999999'"]),
    "data": ("binary", "bytea", "blob", ["''", "'a'"]),
    "name": ("string", "text", "varchar", ["''", "'~'", "'a'", "'a '", "'A'", "'1|a|1'", "'ü'"]),
    "other": ("string", "text", "varchar", ["''", "'a'", "'1|a'"]),
}


def rows() -> list[list[str]]:
    """One value is not null in each, then two, then none."""
    names = list(COLUMNS)
    found = [["null"] * len(names)]
    for number, name in enumerate(names):
        found += [[value if one == number else "null" for one in range(len(names))] for value in COLUMNS[name][3]]
    return [*found, [*["null"] * 8, "'a'", "'a'"], [COLUMNS[name][3][-1] for name in names]]


def checksums(ask, words, *, brief) -> list[tuple[int, int]]:
    items = [
        Item(name, Column(sql=f"t.{name}", kind=kind, type=""), kind == "string", is_typed=True)
        for name, (kind, *_) in COLUMNS.items()
    ]
    key = Item("id", Column(sql="t.id", kind="int64", type=""), is_text=False, is_typed=True)
    relation = Relation(place="rows", sql="edges as t", columns={})
    side = SqlSide(ask, words, relation, items, [key], indexed=True, brief=words.brief if brief else None)
    parts = side.parts([Range(0, 1000)], 0, 1)
    return [(part.rows, part.checksum) for _, part in sorted(parts.items())]


def fill(execute, types: int) -> None:
    columns = ", ".join(f"{name} {given[types]}" for name, given in COLUMNS.items())
    execute(f"create temporary table edges (id bigint, {columns})")
    for number, values in enumerate(rows()):
        execute(f"insert into edges values ({number}, {', '.join(values)})")


@pytest.mark.parametrize("brief", [True, False])
def test_rows_have_the_same_checksum_in_both_databases_and_no_two_rows_have_one(postgres, brief):
    lake = duckdb.connect()
    lake.execute("set TimeZone = 'UTC'")
    fill(lake.execute, 2)
    with postgres.connect() as connection:
        fill(connection.execute, 1)
        here = checksums(lambda query: connection.execute(query).fetchall(), of_postgres.WORDS, brief=brief)
    there = checksums(lambda query: lake.execute(query).fetchall(), of_duckdb.WORDS, brief=brief)
    assert here == there
    assert len(set(here)) == len(rows())


@pytest.mark.parametrize("brief", [True, False])
def test_negative_zero_is_zero_and_zeros_at_the_end_of_a_decimal_do_not_count(postgres, brief):
    found = []
    lake = duckdb.connect()
    with postgres.connect() as connection:
        for execute, types, words in (
            (connection.execute, 1, of_postgres.WORDS),
            (lake.execute, 2, of_duckdb.WORDS),
        ):
            columns = ", ".join(f"{name} {given[types]}" for name, given in COLUMNS.items())
            execute(f"create temporary table edges (id bigint, {columns})")
            execute("insert into edges (id, ratio, price) values (0, '-0.0', 1.50), (1, 0.0, 1.5)")
            found += checksums(lambda query, ask=execute: ask(query).fetchall(), words, brief=brief)
    assert len(set(found)) == 1


def test_which_of_many_columns_is_null_counts(postgres):
    names = [f"c{number}" for number in range(70)]
    items = [Item(name, Column(sql=f"t.{name}", kind="int64", type=""), is_text=False, is_typed=True) for name in names]
    lake = duckdb.connect()
    found = []
    with postgres.connect() as connection:
        for execute, words in ((connection.execute, of_postgres.WORDS), (lake.execute, of_duckdb.WORDS)):
            execute(f"create temporary table wide (id bigint, {', '.join(f'{name} bigint' for name in names)})")
            for number, name in enumerate(names):
                execute(f"insert into wide (id, {name}) values ({number}, 1)")
            relation = Relation(place="rows", sql="wide as t", columns={})
            key = Item("id", Column(sql="t.id", kind="int64", type=""), is_text=False, is_typed=True)
            side = SqlSide(
                lambda query, ask=execute: ask(query).fetchall(),
                words,
                relation,
                items,
                [key],
                indexed=True,
                brief=words.brief,
            )
            found.append([part.checksum for _, part in sorted(side.parts([Range(0, 100)], 0, 1).items())])
    assert found[0] == found[1]
    assert len(set(found[0])) == len(names)
