"""What the server's limits do to a commit: a clear error, nothing of it is kept, and the next run goes through."""

from __future__ import annotations

import hashlib
import re

import psycopg
import pytest

from headwater.base.errors import EnvironmentProblemError, RunFailedError
from headwater.connect.destinations import staged
from headwater.connect.destinations.postgres import connection

A, B = {"id": 1, "name": "a"}, {"id": 2, "name": "b"}
ROLE = {"user": "loader", "password": "loader"}


@pytest.fixture
def role(shop):
    """A role that may load, with limits of its own."""
    shop.sql("drop role if exists loader")
    shop.sql("create role loader login password 'loader'")
    shop.sql("grant create on database unit to loader")
    yield lambda setting, value: shop.sql(f"alter role loader set {setting} = '{value}'")
    for session in shop.opened:
        session.close()
    shop.sql("drop owned by loader cascade; drop role loader")


def stored(shop):
    return shop.sql("select id, name from shop.users order by id")


def slow(shop, seconds):
    """Every row takes so long."""
    shop.sql(
        "create or replace function shop.slow() returns trigger language plpgsql as "
        f"$$ begin perform pg_sleep({seconds}); return new; end $$"
    )
    shop.sql("create or replace trigger slow before insert on shop.users for each row execute function shop.slow()")


def refused(shop, rows, **settings):
    """The error of a run, of which nothing is kept."""
    before = (
        stored(shop),
        shop.sql("select * from _headwater.checkpoint"),
        shop.sql("select * from _headwater.ledger"),
    )
    session = shop.open("run-bad", **settings)
    shop.send(session, rows)
    with pytest.raises((EnvironmentProblemError, RunFailedError)) as caught:
        session.commit(b"bad")
    session.close()
    after = (stored(shop), shop.sql("select * from _headwater.checkpoint"), shop.sql("select * from _headwater.ledger"))
    assert after == before
    assert shop.sql("select relname from pg_class where relname like '%headwater_incoming%'") == []
    return caught.value


@pytest.mark.parametrize(
    "setting", ["statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout", "lock_timeout"]
)
def test_time_limits_of_the_role_do_not_hold_for_a_load(shop, role, setting, monkeypatch):
    monkeypatch.setattr(staged, "PORTION_BYTES", 1)
    if not shop.sql(f"select 1 from pg_settings where name = '{setting}'"):
        pytest.skip("the server has no such setting")
    shop.load([A], settings=ROLE)
    slow(shop, 0.1)
    role(setting, "50ms")
    session = shop.open("run-2", **ROLE)
    shop.send(session, [A])
    shop.sql("select pg_sleep(0.1)")
    shop.send(session, [B])
    session.commit(b"2", final=True)
    assert stored(shop) == [(1, "a"), (2, "b")]


def test_a_statement_that_took_too_long_is_said_to_have(shop, monkeypatch):
    """As behind a pooler that forgets what a session has set."""
    shop.load([A])
    slow(shop, 0.5)
    with monkeypatch.context() as limited:
        limited.setitem(connection._SETTINGS, "statement_timeout", "50ms")
        error = refused(shop, [B])
    at = f"127.0.0.1:{shop.server.port}"
    assert (error.reference, error.exit_code) == ("statement-cancelled", 3)
    assert error.what == f"PostgreSQL at {at} ended a statement of the load"
    assert error.why == "canceling statement due to statement timeout; nothing of this commit was kept"
    assert error.hint == (
        "run it again; was it a timeout: alter role postgres set statement_timeout = 0, or load less between two "
        "states of the source: headwater config set target-postgres _commit_bytes 8000000"
    )
    shop.load([B], run_id="run-3")
    assert stored(shop) == [(1, "a"), (2, "b")]


def test_a_statement_that_somebody_cancels_ends_the_run(shop):
    shop.load([A])
    slow(shop, 20)
    shop.sql(
        "create function shop.cancel() returns trigger language plpgsql as "
        "$$ begin perform pg_cancel_backend(pg_backend_pid()); return null; end $$"
    )
    shop.sql("create trigger a_cancel before insert on shop.users execute function shop.cancel()")
    error = refused(shop, [B])
    assert error.reference == "statement-cancelled"
    assert error.why == "canceling statement due to user request; nothing of this commit was kept"
    shop.sql("drop trigger a_cancel on shop.users; drop trigger slow on shop.users")
    shop.load([B], run_id="run-3")
    assert stored(shop) == [(1, "a"), (2, "b")]


def test_a_load_that_needs_more_temporary_space_than_it_gets(shop, role, monkeypatch):
    monkeypatch.setitem(connection._SETTINGS, "work_mem", "64kB")
    shop.load([A], settings=ROLE)
    role("temp_file_limit", "100kB")
    texts = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(5000)]
    error = refused(shop, [{"id": number % 4999, "name": text} for number, text in enumerate(texts)], **ROLE)
    assert (error.reference, error.exit_code) == ("server-limit", 3)
    assert error.what == f"the load needs more than PostgreSQL at 127.0.0.1:{shop.server.port} gives it"
    assert error.why == 'temporary file size exceeds "temp_file_limit" (100kB); nothing of this commit was kept'
    assert error.hint == (
        "raise that limit, for example: alter role loader set temp_file_limit = '10GB'; or load less between two "
        "states of the source: headwater config set target-postgres _commit_bytes 8000000"
    )
    shop.load([B], run_id="run-3", settings=ROLE)
    assert stored(shop) == [(1, "a"), (2, "b")]


def test_a_table_that_another_session_holds(shop, monkeypatch):
    monkeypatch.setitem(staged.steadily.__kwdefaults__, "most", 2)
    monkeypatch.setitem(connection._SETTINGS, "lock_timeout", "100ms")
    shop.load([A])
    with shop.server.connect("unit") as other:
        other.execute("set application_name = 'a report'")
        other.execute("begin")
        other.execute("lock table shop.users in share mode")
        error = refused(shop, [B])
    assert (error.reference, error.exit_code) == ("table-locked", 1)
    assert error.what == "cannot load into `shop`: others use the tables"
    assert re.sub(r"\d+", "N", error.why) == (
        "canceling statement due to lock timeout: process N of `postgres` (a report)"
    )
    assert error.hint == "run it again when they are done"
    assert any("of `postgres` (a report)" in wait for wait in shop.waits)
    shop.load([B], run_id="run-3")
    assert stored(shop) == [(1, "a"), (2, "b")]


def test_memory_that_ran_out_is_a_limit_too(shop, monkeypatch):
    shop.load([A])
    shop.sql(
        "create function shop.greedy() returns trigger language plpgsql as "
        "$$ begin raise exception 'out of memory' using errcode = '53200'; end $$"
    )
    shop.sql("create trigger greedy before insert on shop.users for each row execute function shop.greedy()")
    error = refused(shop, [B])
    assert (error.reference, error.why) == ("server-limit", "out of memory; nothing of this commit was kept")
    assert isinstance(error.__cause__, psycopg.errors.OutOfMemory)
