"""Rows that the destination refuses by a rule of its own: they are found, named, or set aside."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from headwater.base.errors import RunFailedError
from headwater.connect.contract import Rows, Schema, StreamReceipt

USERS = pa.schema([("id", pa.int64()), ("name", pa.string())])
ROWS = [{"id": number, "name": f"n{number}"} for number in range(1, 1001)]


@pytest.fixture
def strict(place):
    """A table `users` that some DBA made, who wants no name to be `bad`."""
    place.need("evolve", "upsert")
    if "mysql" in place.module.__name__:
        place.execute("create database if not exists shop")
    else:
        place.execute("create schema if not exists shop")
    place.execute(
        "create table shop.users (id bigint not null primary key, name longtext, check (name <> 'bad')) "
        "default charset utf8mb4 collate utf8mb4_nopad_bin"
        if "mysql" in place.module.__name__
        else "create table shop.users (id bigint primary key, name text check (name <> 'bad'))"
    )
    return place


def bad(*positions):
    return [row | {"name": "bad"} if row["id"] in positions else row for row in ROWS]


def send(session, rows, *, keys=("id",)):
    session.prepare(Schema(stream="users", columns=USERS, keys=keys))
    for start in range(0, len(rows), 300):
        batch = pa.RecordBatch.from_pylist(rows[start : start + 300], schema=USERS)
        session.stage(Rows(stream="users", batch=batch, size=10))


def test_the_row_that_is_refused_is_named_and_nothing_is_loaded(strict):
    session = strict.open()
    send(session, bad(617))
    with pytest.raises(RunFailedError) as caught:
        session.commit(b'{"n":1}')
    assert caught.value.reference == "value-rejected"
    assert caught.value.why.startswith("the row with id=617: ")
    assert "_on_bad_record quarantine" in caught.value.hint
    session.close()
    again = strict.open("run-2")
    assert again.checkpoint() is None
    assert not strict.rows("users")


@pytest.mark.parametrize("positions", [(1,), (1000,), (300, 301), (5, 6, 7, 999)])
def test_rows_that_are_refused_are_set_aside_and_the_others_loaded(strict, positions):
    session = strict.open(on_bad_row="quarantine")
    send(session, bad(*positions))
    receipt = session.commit(b'{"n":1}')
    count = len(positions)
    assert receipt.streams["users"] == StreamReceipt(rows_in=1000, rows_out=1000 - count, rejected=count)
    assert {row["id"] for row in strict.rows("users")} == set(range(1, 1001)) - set(positions)
    kept = strict.rejects()
    assert sorted(json.loads(record)["id"] for record, _ in kept) == list(positions)
    assert all(json.loads(record)["name"] == "bad" and reason for record, reason in kept)


def test_later_commits_go_on_as_ever(strict):
    session = strict.open(on_bad_row="quarantine")
    send(session, bad(3)[:10])
    session.commit(b'{"n":1}')
    send(session, [{"id": 3, "name": "good"}, {"id": 11, "name": "bad"}])
    receipt = session.commit(b'{"n":2}', final=True)
    assert receipt.streams["users"] == StreamReceipt(rows_in=2, rows_out=1, rejected=1)
    assert {row["id"]: row["name"] for row in strict.rows("users")}[3] == "good"
    assert len(strict.rejects()) == 2


def test_a_table_that_refuses_nearly_everything_fails_the_load(strict):
    session = strict.open(on_bad_row="quarantine")
    send(session, bad(*range(1, 500)))
    with pytest.raises(RunFailedError) as caught:
        session.commit(b'{"n":1}')
    assert caught.value.reference == "value-rejected"
    session.close()
    strict.open("run-2").close()
    assert not strict.rows("users")


def test_a_key_without_a_value_is_set_aside_too(place):
    place.need("upsert")
    session = place.open(on_bad_row="quarantine")
    send(session, [*ROWS[:50], {"id": None, "name": "nobody"}, *ROWS[50:100]])
    receipt = session.commit(None, final=True)
    assert receipt.streams["users"] == StreamReceipt(rows_in=101, rows_out=100, rejected=1)
    assert len(place.rows("users")) == 100
