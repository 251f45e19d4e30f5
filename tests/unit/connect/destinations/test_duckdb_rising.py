"""Rows in the order of their keys go in as they are; all others are compared with what is there."""

from __future__ import annotations

import datetime as dt
import random
import secrets
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest

from headwater.connect import warehouse
from headwater.connect.contract import OpenRequest, Rows, Schema
from headwater.connect.destinations import duckdb as destination
from headwater.connect.destinations.duckdb import rows as duckdb_rows

PAIRS = pa.schema([("a", pa.int64()), ("b", pa.int64()), ("text", pa.string())])


@pytest.fixture
def compared(monkeypatch):
    """The number of rows of each commit that had to be compared with those that were there."""
    counts = []
    latest = duckdb_rows.latest

    def counted(connection, table, batches, prior):
        held = list(batches)
        counts.append(sum(batch.num_rows for batch in held))
        return latest(connection, table, held, prior)

    monkeypatch.setattr(duckdb_rows, "latest", counted)
    return counts


def load(path, batches, *, keys=("a",), columns=PAIRS, **settings):
    request = OpenRequest(pipeline="p", run_id=secrets.token_hex(4), source="shop", folder=path.parent / "scratch")
    session = destination.open(destination.Settings(filepath=str(path), **settings), request)
    session.prepare(Schema(stream="users", columns=columns, keys=keys))
    for rows in batches:
        arrays = zip(*rows, strict=True) if rows else [[] for _ in columns]
        batch = pa.record_batch(
            [pa.array(values, one.type) for values, one in zip(arrays, columns, strict=True)], schema=columns
        )
        session.stage(Rows(stream="users", batch=batch))
    receipt = session.commit(b"1", final=True)
    session.close()
    return receipt.streams["users"].rows_out


def held(path, columns="a, b, text"):
    with warehouse.reading(path, who="test") as connection:
        return connection.execute(f"select {columns} from shop.users order by all").fetchall()


def test_rows_behind_all_that_are_there_are_not_compared(tmp_path, compared):
    path = tmp_path / "w.duckdb"
    assert load(path, [[(1, 0, "x"), (2, 0, "y")], [(3, 0, "z")]]) == 3
    assert load(path, [[(4, 0, "x")], [], [(9, 0, "y")]]) == 2
    assert load(path, [[(5, 0, "between"), (8, 0, "between")]]) == 2
    assert compared == []
    assert [row[0] for row in held(path)] == [1, 2, 3, 4, 5, 8, 9]


@pytest.mark.parametrize(
    "batches",
    [
        [[(3, 0, "new"), (4, 0, "new")]],  # 3 is there
        [[(2, 0, "new"), (7, 0, "new")]],  # 3 lies between them
        [[(5, 0, "old"), (5, 0, "new")]],
        [[(5, 0, "old")], [(5, 0, "new")]],
        [[(6, 0, "new")], [(5, 0, "new")]],
    ],
)
def test_all_others_are(tmp_path, compared, batches):
    path = tmp_path / "w.duckdb"
    load(path, [[(1, 0, "x"), (3, 0, "old")]])
    count = sum(map(len, batches))
    assert load(path, batches) == count
    assert compared == [count]
    expected = {1: "x", 3: "old"} | {a: text for rows in batches for a, _, text in rows}
    assert [(a, text) for a, _, text in held(path)] == sorted(expected.items())


def test_keys_of_two_columns_rise_by_the_second_where_the_first_stays(tmp_path, compared):
    path = tmp_path / "w.duckdb"
    load(path, [[(1, 1, "x"), (1, 2, "x"), (2, 1, "x")]], keys=("a", "b"))
    load(path, [[(2, 2, "x"), (2, 3, "x"), (3, 0, "x")]], keys=("a", "b"))
    assert compared == []
    load(path, [[(3, 0, "again"), (3, 1, "x")]], keys=("a", "b"))
    assert compared == [2]
    assert [row for row in held(path) if row[0] == 3] == [(3, 0, "again"), (3, 1, "x")]


def test_keys_without_a_value_are_told_as_ever(tmp_path):
    with pytest.raises(Exception, match="key column `a`"):
        load(tmp_path / "w.duckdb", [[(None, 0, "x")]])


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.date32(), [dt.date(1, 1, 1), dt.date(2024, 2, 29), dt.date(9999, 12, 31)]),
        (pa.timestamp("us", "UTC"), [dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)]),
        (pa.decimal128(38, 2), [Decimal("-1.25"), Decimal("0.00"), Decimal("9" * 36 + ".99")]),
    ],
)
def test_the_last_value_of_a_type_is_met_again(tmp_path, compared, kind, values):
    path, columns = tmp_path / "w.duckdb", pa.schema([("a", kind), ("text", pa.string())])
    load(path, [[(value, "old")] for value in values], columns=columns)
    assert compared == []
    load(path, [[(values[-1], "new")]], columns=columns)
    assert compared == [1]
    assert [text for _, text in held(path, "a::varchar, text")] == ["old"] * (len(values) - 1) + ["new"]


def test_texts_and_doubles_are_compared(tmp_path, compared):
    for number, kind in enumerate((pa.string(), pa.float64())):
        columns = pa.schema([("a", kind), ("text", pa.string())])
        load(tmp_path / f"{number}.duckdb", [[(["1", 1.0][number], "x")]], columns=columns)
    assert compared == [1, 1]


def test_a_table_with_other_columns_is_compared(tmp_path, compared):
    path = tmp_path / "w.duckdb"
    load(path, [[(1, 0, "x")]])
    with duckdb.connect(str(path)) as connection:
        connection.execute("alter table shop.users add column mine integer default 7")
    load(path, [[(2, 0, "x")]])
    assert compared == [1]


def test_any_commits_end_as_if_each_row_had_come_alone(tmp_path):
    chance = random.Random(5)  # noqa: S311 - the same cases every time
    for number in range(12):
        path, expected = tmp_path / f"{number}.duckdb", {}
        for _ in range(4):
            batches = []
            for _ in range(chance.randrange(1, 4)):
                keys = [(chance.randrange(4), chance.randrange(6)) for _ in range(chance.randrange(1, 5))]
                rows = sorted(set(keys)) if chance.random() < 0.8 else keys
                batches.append([(a, b, str(chance.random())) for a, b in rows])
            load(path, batches, keys=("a", "b"))
            expected |= {(a, b): text for rows in batches for a, b, text in rows}
        assert held(path) == sorted((a, b, text) for (a, b), text in expected.items())
