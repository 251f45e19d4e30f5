"""What the server's limits do to a commit: a clear error, nothing of it is kept, and the next run goes through."""

from __future__ import annotations

import pytest

from headwater.base.errors import HeadwaterError
from headwater.connect.destinations import staged
from headwater.connect.destinations.mysql import connection

A, B = {"id": 1, "name": "a"}, {"id": 2, "name": "b"}


def content(shop):
    books = [shop.sql(f"select * from _headwater_{name}") for name in ("checkpoint", "ledger")]
    return shop.sql("select id, name from users order by id"), *books


def trigger(shop, statement):
    shop.sql(f"create trigger limits before insert on users for each row {statement}")


def refused(shop, rows):
    """The error of a run, of which nothing is kept."""
    before = content(shop)
    session = shop.open("run-bad")
    shop.send(session, rows)
    with pytest.raises(HeadwaterError) as caught:
        session.commit(b"bad")
    session.close()
    assert content(shop) == before
    return caught.value


def next_run_goes(shop):
    shop.load([B], run_id="run-3")
    return shop.sql("select id, name from users order by id") == [(1, "a"), (2, "b")]


def test_time_limits_of_the_server_do_not_hold_for_a_load(shop):
    shop.load([A])
    trigger(shop, "do sleep(0.3)")
    shop.sql("set global max_statement_time = 0.1")
    try:
        assert next_run_goes(shop)
    finally:
        shop.sql("set global max_statement_time = 0")


def test_a_statement_that_took_too_long_is_said_to_have(shop, monkeypatch):
    shop.load([A])
    trigger(shop, "do sleep(0.5)")
    with monkeypatch.context() as limited:
        limited.setitem(connection._OPTIONAL, "max_statement_time", "0.1")
        error = refused(shop, [B])
    assert (error.reference, error.exit_code) == ("statement-cancelled", 3)
    assert error.what == f"MySQL at 127.0.0.1:{shop.server.port} ended a statement of the load"
    assert error.why.endswith("(max_statement_time exceeded); nothing of this commit was kept")
    assert error.hint == (
        "run it again; was it a timeout: set global max_statement_time = 0, or load less between two states of the "
        "source: headwater config set target-mysql _commit_bytes 8000000"
    )
    assert next_run_goes(shop)


def test_a_limit_of_the_server_is_named(shop):
    """As `innodb_buffer_pool_size` and `max_binlog_cache_size` set them."""
    shop.load([A])
    trigger(
        shop,
        "signal sqlstate 'HY000' set mysql_errno = 1206, "
        "message_text = 'The total number of locks exceeds the lock table size'",
    )
    error = refused(shop, [B])
    assert (error.reference, error.exit_code) == ("server-limit", 3)
    assert error.what == f"the load needs more than MySQL at 127.0.0.1:{shop.server.port} gives it"
    assert error.why == "The total number of locks exceeds the lock table size; nothing of this commit was kept"
    shop.sql("drop trigger limits")
    assert next_run_goes(shop)


@pytest.mark.parametrize("lock", ["lock tables users write", "start transaction; update users set name = 'x'"])
def test_a_table_that_another_session_holds(shop, monkeypatch, lock):
    monkeypatch.setitem(staged.steadily.__kwdefaults__, "most", 2)
    monkeypatch.setitem(connection._SETTINGS, "lock_wait_timeout", "1")
    monkeypatch.setitem(connection._SETTINGS, "innodb_lock_wait_timeout", "1")
    shop.load([A])
    session = shop.open("run-2")
    shop.send(session, [{"id": 1, "name": "new"}])
    with shop.server.connect("shop") as other, other.cursor() as cursor:
        for statement in lock.split("; "):
            cursor.execute(statement)
        with pytest.raises(HeadwaterError) as caught:
            session.commit(b"2")
    session.close()
    error = caught.value
    assert (error.reference, error.exit_code) == ("table-locked", 1)
    assert error.what == "cannot load into `shop`: others use the tables"
    assert error.why == "Lock wait timeout exceeded; try restarting transaction"
    assert error.hint == "run it again when they are done"
    assert content(shop)[0] == [(1, "a")]
    assert next_run_goes(shop)
