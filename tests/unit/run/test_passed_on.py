"""Runs from PostgreSQL to PostgreSQL, whose rows nobody looks at on the way."""

from __future__ import annotations

import signal

import pytest

from headwater.connect.destinations.postgres import copy_format
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
    completed = copy_format.completed

    def counted(rows, *given):
        passed.append(len(rows))
        run.on_rows()
        return completed(rows, *given)

    monkeypatch.setattr(copy_format, "completed", counted)

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
