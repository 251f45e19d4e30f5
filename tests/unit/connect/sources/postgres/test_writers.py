"""Reads by a replication key while others write: which rows are sure to come, and which are not."""

from __future__ import annotations

import random

import pytest

ROUNDS, TABLES, WRITERS, STEPS = 5, 200, 6, 60  # each table of each round sees a schedule of its own


def test_no_row_is_missed_in_a_thousand_schedules_of_transactions_that_commit_in_any_order(shop):
    names = [f"t{number}" for number in range(TABLES)]
    shape = "id int primary key, n int, at timestamptz not null default now()"
    shop.sql("; ".join(f"create table {name} ({shape})" for name in names))
    keys = {f"public-{name}": "at" for name in names}
    held = {f"public-{name}": {} for name in names}
    state = None
    writers = [shop.server.connect("source") for _ in range(WRITERS)]
    chance = random.Random(1)  # noqa: S311 - it has to be made again
    try:
        for _ in range(ROUNDS):
            open_ones = set()
            reads = {STEPS // 3, 2 * STEPS // 3}
            for step in range(STEPS):
                number = chance.randrange(WRITERS)
                if number not in open_ones:
                    writers[number].execute("begin")
                    open_ones.add(number)
                elif chance.random() < 0.3:
                    writers[number].execute(chance.choice(["commit", "commit", "rollback"]))
                    open_ones.remove(number)
                else:
                    write(writers[number], number, chance.sample(names, TABLES // 4), chance)
                if step in reads:
                    state = read(shop, keys, held, state)
            for number in open_ones:
                writers[number].execute("commit")
            state = read(shop, keys, held, state)
            there = shop.sql(" union all ".join(f"select 'public-{name}', id, n from {name}" for name in names))
            assert {(stream, *row) for stream, rows in held.items() for row in rows.items()} == set(there)
    finally:
        for writer in writers:
            writer.close()


def write(writer, number, names, chance):
    """Each writer has rows of its own, so that none waits for another."""
    own = chance.randrange(5) * WRITERS + number
    value = chance.randrange(1_000_000)
    writer.execute(
        "".join(
            f"insert into {name} values ({own}, {value}) on conflict (id) do update set n = excluded.n, at = now(); "
            for name in names
        )
    )


def read(shop, keys, held, state):
    found = shop.read(replication_keys=keys, state=state)
    for message in found.messages:
        if hasattr(message, "batch"):
            rows = message.batch.to_pylist()
            held[message.stream].update((row["id"], row["n"]) for row in rows)
    return found.state


def test_the_bookmark_waits_for_the_oldest_transaction_and_moves_on_after_it(shop):
    shop.sql("create table t (id int primary key, at timestamptz default now())")
    keys = {"public-t": "at"}
    with shop.server.connect("source") as writer:
        writer.execute("begin; insert into t values (1)")
        shop.sql("insert into t values (2)")
        first = shop.read(replication_keys=keys)
        assert first.ids == [2]
        mark = first.state["bookmarks"]["public-t"]
        assert mark["replication_key_value"] < mark["replication_key_seen"]
        writer.execute("commit")
    second = shop.read(replication_keys=keys, state=first.state)
    assert sorted(second.ids) == [1, 2]
    assert set(second.state["bookmarks"]["public-t"]) == {"replication_key", "replication_key_value"}
    assert shop.read(replication_keys=keys, state=second.state).ids == [2]


@pytest.mark.parametrize(("lookback", "ids"), [(0, [2]), (1, [1, 2])])
def test_a_number_that_is_committed_late_comes_only_by_looking_back(shop, lookback, ids):
    shop.sql("create table t (id int primary key generated always as identity)")
    keys = {"public-t": "id"}
    with shop.server.connect("source") as writer:
        writer.execute("begin; insert into t default values")
        shop.sql("insert into t default values")
        first = shop.read(replication_keys=keys)
        assert first.ids == [2]
        writer.execute("commit")
    assert shop.read(replication_keys=keys, state=first.state, lookback_units=lookback).ids == ids


def test_rows_with_the_last_value_that_was_seen_are_read_again(shop):
    shop.sql("create table t (id int primary key, at timestamptz)")
    shop.sql("insert into t values (1, '2024-01-01'), (2, '2024-01-02')")
    first = shop.read(replication_keys={"public-t": "at"})
    shop.sql("insert into t values (3, '2024-01-02')")
    assert sorted(shop.read(replication_keys={"public-t": "at"}, state=first.state).ids) == [2, 3]
