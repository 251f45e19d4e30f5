"""Runs from PostgreSQL to PostgreSQL, whose rows nobody looks at on the way."""

from __future__ import annotations

import signal

import pytest

from headwater.connect.destinations import staged
from headwater.connect.destinations.postgres import send
from headwater.connect.sources.postgres import query
from headwater.model.event import Outcome

NAME = "passing"


@pytest.fixture
def copy(lab, postgres, monkeypatch):
    """Runs a copy of the database's tables; `passed` has how many rows nobody looked at."""
    postgres.sql(f"drop database if exists {NAME} with (force)")
    postgres.sql(f"create database {NAME}")
    at = {"host": postgres.host, "port": postgres.port, "user": postgres.user, "password": postgres.password}
    settings = {**at, "database": NAME}
    passed = []
    completed = send.Sent._completed

    def counted(sent, batch):
        passed.append(batch.num_rows)
        run.on_rows()
        return completed(sent, batch)

    monkeypatch.setattr(send.Sent, "_completed", counted)

    def run(**fields):
        passed.clear()
        tap = lab.block("extractor", native="postgres", argv=(), config={**settings, "filter_schemas": ["public"]})
        loader = lab.block("loader", native="postgres", argv=(), config={**settings, "default_target_schema": "copy"})
        return lab.run(tap, loader, **fields)

    run.sql = lambda statement: postgres.sql(statement, NAME)
    run.passed = passed
    run.on_rows = lambda: None
    return run


def test_rows_are_passed_on_and_counted(lab, copy):
    copy.sql("create table shop (id bigint primary key, v text)")
    copy.sql("insert into shop select n, 'x' from generate_series(1, 1000) n")
    assert copy() is Outcome.SUCCESS
    assert sum(copy.passed) == 1000
    assert (lab.figures["public-shop"].read, lab.figures["public-shop"].loaded) == (1000, 1000)
    assert copy.sql('select count(*), sum(id) from copy."public-shop"') == [(1000, 500_500)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_value_that_has_to_be_looked_at_later_on_starts_the_read_over(lab, copy, jobs):
    copy.sql("create table shop (id bigint primary key, until date, v text)")
    copy.sql("insert into shop select n, '2024-01-01', repeat('x', 1000) from generate_series(1, 20000) n")
    copy.sql("insert into shop values (20001, 'infinity', '')")
    copy.sql("create table log (line text)")
    copy.sql("insert into log values ('one'), ('two')")
    assert copy(jobs=jobs) is Outcome.SUCCESS
    assert any("reading again from the last checkpoint" in text for text in lab.notices)
    assert (lab.figures["public-shop"].loaded, lab.figures["public-shop"].repaired) == (20_001, 1)
    assert copy.sql('select id, v from copy."public-shop" where until is null') == [(20_001, "")]
    assert copy.sql('select count(*) from copy."public-log"') == [(2,)]


def test_a_run_that_is_cancelled_leaves_nothing_that_no_checkpoint_covers(lab, copy):
    copy.sql("create table shop (id bigint primary key, v text)")
    copy.sql("insert into shop select n, repeat('x', 1000) from generate_series(1, 90000) n")
    copy.on_rows = lambda: lab.cancel.set(signal.SIGTERM)
    assert copy() is Outcome.CANCELLED
    assert copy.passed
    assert copy.sql("select 1 from pg_class where relname = 'public-shop'") == []


@pytest.fixture
def large(copy, monkeypatch):
    """Two tables in the order of their keys, each in many portions."""
    monkeypatch.setattr(query, "_RESUMABLE_ROWS", 100)
    monkeypatch.setattr(staged, "PORTION_BYTES", 1)
    for name in ("one", "two"):
        copy.sql(f"create table {name} (id bigint primary key, v text)")
        copy.sql(f"insert into {name} select n, repeat('x', 1000) from generate_series(1, 30000) n")
    copy.sql("analyze")


def counts(copy):
    return [copy.sql(f'select count(*), sum(id) from copy."public-{name}"') for name in ("one", "two")]


ALL = [[(30_000, 450_015_000)]] * 2
FREQUENTLY = {"commit_bytes": 1, "memory_bytes": 1}


def test_new_tables_are_filled_at_once_one_after_the_other(lab, copy, large):
    committed = []
    copy.on_rows = lambda: committed.append(
        copy.sql("select relname from pg_class where relname ~ '^public-' and relkind = 'r' order by 1")
    )
    assert copy(**FREQUENTLY) is Outcome.SUCCESS
    assert counts(copy) == ALL
    assert committed[0] == []
    assert committed[-1] == [("public-one",)]
    assert len(lab.checkpoints) == 3  # the last when all is done
    assert copy.sql("select count(*) from pg_constraint where contype = 'p' and conname ~ '^public-'") == [(2,)]
    committed.clear()
    assert copy(**FREQUENTLY) is Outcome.SUCCESS  # by the order of the key, since there are rows
    assert counts(copy) == ALL
    assert len(lab.checkpoints) > 4


def test_a_larger_one_has_checkpoints(lab, copy, large, monkeypatch):
    monkeypatch.setattr(query, "_MOST_AT_ONCE", 1 << 20)
    assert copy(**FREQUENTLY) is Outcome.SUCCESS
    assert counts(copy) == ALL
    assert len(lab.checkpoints) > 4


ONE = "select relname from pg_class where relname ~ '^public-' and relkind = 'r'"


class Amid:
    """Does something amid the first table, or the second."""

    def __init__(self, copy, act, *, of_second):
        self.copy, self.act, self.of_second = copy, act, of_second
        self.pieces = 0

    def __call__(self):
        self.pieces += bool(self.copy.sql(ONE)) is self.of_second
        if self.pieces == 3:
            self.pieces += 1
            self.act()


@pytest.mark.parametrize("second", [False, True])
def test_what_was_filled_at_once_stands_when_the_rest_is_cancelled(lab, copy, large, second):
    copy.on_rows = Amid(copy, lambda: lab.cancel.set(signal.SIGTERM), of_second=second)
    assert copy(memory_bytes=1) is Outcome.CANCELLED  # with nothing read ahead
    for (name,) in copy.sql(ONE):
        assert copy.sql(f'select count(*), sum(id) from copy."{name}"') == ALL[0]
    lab.cancel = type(lab.cancel)()
    copy.on_rows = lambda: None
    assert copy() is Outcome.SUCCESS
    assert counts(copy) == ALL


@pytest.mark.parametrize("second", [False, True])
def test_a_session_that_is_lost_has_its_table_read_again(lab, copy, large, second):
    lost = "select pg_terminate_backend(pid) from pg_stat_activity where query like 'copy %from stdin%'"
    copy.on_rows = Amid(copy, lambda: copy.sql(lost), of_second=second)
    assert copy(**FREQUENTLY) is Outcome.SUCCESS
    assert counts(copy) == ALL
    # The state does not say of a table that is read in full that it is done: the first comes again too.
    assert [(one.read, one.loaded) for one in lab.figures.values()] == [(30_000 * (1 + second),) * 2, (30_000, 30_000)]
    assert any("reading again from the last checkpoint" in text for text in lab.notices)


def test_small_tables_share_a_commit(lab, copy):
    for number in range(5):
        copy.sql(f"create table small{number} (id bigint primary key, v text)")
        copy.sql(f"insert into small{number} select n, 'x' from generate_series(1, 1000) n")
    assert copy() is Outcome.SUCCESS
    assert len(lab.checkpoints) == 1
    assert len(lab.figures) == 5
