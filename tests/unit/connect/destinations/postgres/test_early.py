"""Rows are on the server before the commit that they are of, and nobody sees them."""

from __future__ import annotations

import gc
import time

import pyarrow as pa
import pytest

from headwater.base.errors import RunFailedError
from headwater.connect.contract import Rejected, Rows, Schema, StartOverError
from headwater.connect.destinations import postgres, staged
from headwater.connect.destinations.postgres import quarantine
from headwater.connect.rejects import Again, Chosen

A, B, C = {"id": 1, "name": "a"}, {"id": 2, "name": "b"}, {"id": 3, "name": "c"}
COLUMNS = pa.schema([("id", pa.int64()), ("name", pa.string())])


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Every batch is sent when it comes."""
    monkeypatch.setattr(staged, "PORTION_BYTES", 1)


def stored(shop):
    return shop.sql("select id, name from shop.users order by 1")


def is_open(shop):
    """Whether a load's transaction is open, and whether it has written yet."""
    return shop.sql(
        "select backend_xid is not null from pg_stat_activity "
        "where application_name like 'headwater%' and xact_start is not null"
    )


def copies(shop):
    """The COPY statements that are under way."""
    return [
        query
        for (query,) in shop.sql("select query from pg_stat_activity where query like 'copy %' and state = 'active'")
    ]


def settle(shop):
    """Wait until the server has noticed that nobody loads."""
    until = time.monotonic() + 30
    while copies(shop):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_rows_of_a_new_table_are_sent_and_seen_only_after_the_commit(shop):
    session = shop.open()
    shop.send(session, [A])
    shop.send(session, [B])
    assert is_open(shop) == [(True,)]
    assert shop.sql("select to_regclass('shop.users')") == [(None,)]
    receipt = session.commit(b"1", final=True)
    assert receipt.streams["users"].rows_out == 2
    assert stored(shop) == [(1, "a"), (2, "b")]
    assert is_open(shop) == []


def test_one_copy_goes_on_from_portion_to_portion(shop):
    session = shop.open()
    shop.send(session, [A])
    begun = shop.sql("select query_start from pg_stat_activity where query like 'copy %' and state = 'active'")
    shop.send(session, [B])
    shop.send(session, [C])
    assert shop.sql("select query_start from pg_stat_activity where query like 'copy %' and state = 'active'") == begun
    session.commit(b"1", final=True)
    assert (len(begun), copies(shop), stored(shop)) == (1, [], [(1, "a"), (2, "b"), (3, "c")])


def test_streams_take_turns(shop):
    session = shop.open()
    for number in range(1, 4):
        for stream in ("users", "guests"):
            shop.send(session, [{"id": number, "name": stream}], stream=stream)
            assert [stream in query for query in copies(shop)] == [True]
    session.commit(b"1", final=True)
    assert stored(shop) == [(number, "users") for number in range(1, 4)]
    assert shop.sql("select id, name from shop.guests order by 1") == [(number, "guests") for number in range(1, 4)]


def test_what_the_server_refuses_of_an_open_copy_is_told_at_the_commit(shop):
    shop.load([A])
    shop.sql("delete from shop.users; alter table shop.users add check (id < 3)")
    session = shop.open("run-2")
    shop.send(session, [B])
    shop.send(session, [C])
    assert len(copies(shop)) == 1
    with pytest.raises(RunFailedError) as caught:
        session.commit(b"1", final=True)
    assert caught.value.reference == "value-rejected"
    session.close()
    settle(shop)
    assert stored(shop) == []


def test_a_session_that_ends_in_the_middle_leaves_nothing(shop, recwarn):
    session = shop.open()
    shop.send(session, [A])
    assert len(copies(shop)) == 1
    session.close()
    gc.collect()
    settle(shop)
    assert (shop.sql("select to_regclass('shop.users')"), list(recwarn)) == ([(None,)], [])


def test_a_server_that_ends_the_session_in_the_middle_gets_all_rows_again(shop):
    session = shop.open()
    shop.send(session, [A])
    shop.sql("select pg_terminate_backend(pid) from pg_stat_activity where query like 'copy %' and state = 'active'")
    shop.send(session, [B])
    session.commit(b"1", final=True)
    assert stored(shop) == [(1, "a"), (2, "b")]


def test_nobody_waits_for_rows_that_are_sent_ahead(shop):
    shop.load([A, B])
    session = shop.open("run-2")
    shop.send(session, [{"id": 1, "name": "new"}, C])
    assert is_open(shop) == [(True,)]
    shop.sql("set lock_timeout = '1s'; alter table shop.users add column theirs int; drop table if exists gone")
    assert stored(shop) == [(1, "a"), (2, "b")]
    session.commit(b"1", final=True)
    assert stored(shop) == [(1, "new"), (2, "b"), (3, "c")]


def test_a_table_that_has_to_change_waits_for_the_commit(shop):
    shop.load([A])
    session = shop.open("run-2")
    wider = pa.schema([*COLUMNS, ("more", pa.string())])
    shop.send(session, [{"id": 2, "name": "b", "more": "m"}], wider)
    assert is_open(shop) == [(False,)]
    session.commit(b"1", final=True)
    assert shop.sql("select id, more from shop.users order by 1") == [(1, None), (2, "m")]


def test_a_key_that_comes_twice_has_its_last_value(shop):
    session = shop.open()
    shop.send(session, [A, B])
    shop.send(session, [{"id": 1, "name": "x"}])
    session.commit(b"1")
    shop.send(session, [C, {"id": 2, "name": "y"}])
    session.commit(b"2", final=True)
    assert stored(shop) == [(1, "x"), (2, "y"), (3, "c")]


def test_a_commit_to_the_boundary_leaves_out_what_was_sent_after_it(shop):
    session = shop.open()
    shop.send(session, [A])
    session.boundary()
    shop.send(session, [B])
    assert session.commit(b"1", to_boundary=True).streams["users"].rows_out == 1
    assert stored(shop) == [(1, "a")]
    session.commit(b"2", final=True)
    assert stored(shop) == [(1, "a"), (2, "b")]


def test_a_column_that_grows_meanwhile(shop):
    session = shop.open()
    shop.send(session, [A])
    shop.send(session, [{"id": 2, "name": "b", "size": 1.5}], pa.schema([*COLUMNS, ("size", pa.float64())]))
    session.commit(b"1", final=True)
    assert shop.sql("select id, size from shop.users order by 1") == [(1, None), (2, 1.5)]


def test_content_that_is_replaced(shop):
    shop.load([A, B])
    session = shop.open("run-2")
    shop.send(session, [C], replace=True)
    shop.send(session, [{"id": 4, "name": "d"}], replace=True)
    assert stored(shop) == [(1, "a"), (2, "b")]
    session.commit(b"1", final=True)
    assert stored(shop) == [(3, "c"), (4, "d")]


def test_content_without_keys_that_is_replaced(shop):
    shop.load([A, A], keys=())
    session = shop.open("run-2")
    shop.send(session, [B], keys=(), replace=True)
    shop.send(session, [B], keys=(), replace=True)
    session.commit(b"1", final=True)
    assert stored(shop) == [(2, "b"), (2, "b")]


def test_a_session_that_the_server_ends_meanwhile_loses_nothing(shop):
    shop.load([A])
    session = shop.open("run-2")
    shop.send(session, [B])
    shop.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'headwater%'")
    shop.send(session, [C])
    session.commit(b"1", final=True)
    assert stored(shop) == [(1, "a"), (2, "b"), (3, "c")]


def test_a_session_that_the_server_ends_is_not_gone_on_with_outside_of_its_transaction(shop):
    """An empty table would take rows at once, and for all to see."""
    shop.load([])
    session = shop.open("run-2")
    shop.send(session, [B])
    shop.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'headwater%'")
    shop.send(session, [{"x": 1}], pa.schema([("x", pa.int64())]), stream="others", keys=())
    session.stage(Rows(stream="users", batch=pa.RecordBatch.from_pylist([C], schema=COLUMNS)))
    assert stored(shop) == []
    session.close()
    assert stored(shop) == []


def test_what_is_wrong_is_said_by_the_commit(shop):
    session = shop.open()
    shop.send(session, [A])
    shop.send(session, [{"id": None, "name": "x"}])
    with pytest.raises(RunFailedError, match="no value in the key column `id`"):
        session.commit(b"1", final=True)
    assert shop.sql("select to_regclass('shop.users')") == [(None,)]


def test_a_session_that_ends_without_a_commit_leaves_nothing(shop):
    session = shop.open()
    shop.send(session, [A])
    session.close()
    assert shop.sql("select to_regclass('shop.users')") == [(None,)]


MOMENTS = "select __loaded_at from shop.users union select __loaded_at from shop.orders where id > 1"


def test_all_rows_of_a_commit_have_one_moment(shop):
    shop.load([A], stream="orders")
    session = shop.open("run-2")
    before = shop.sql("select clock_timestamp()")[0][0]
    shop.send(session, [A])
    shop.send(session, [B], stream="orders")
    sent = shop.sql("select clock_timestamp()")[0][0]
    shop.send(session, [B])
    session.commit(b"1", final=True)
    ((moment,),) = shop.sql(MOMENTS)
    assert before < moment < sent


def test_a_table_that_others_filled_meanwhile_gets_no_older_moment(shop):
    shop.load([A], stream="orders")
    session = shop.open("run-2")
    shop.send(session, [A])
    shop.send(session, [B], stream="orders")
    other = shop.open("run-3", pipeline="dev:other")
    shop.send(other, [C], stream="orders")
    other.commit(b"1", final=True)
    session.commit(b"2", final=True)
    assert shop.sql("select id from shop.orders order by __loaded_at") == [(1,), (3,), (2,)]
    assert shop.sql("select count(distinct __loaded_at) from shop.users join shop.orders using (__loaded_at)") == [(1,)]


@pytest.mark.parametrize("is_set_aside_first", [True, False])
def test_a_row_that_another_pipeline_began_to_send_before_a_reject_came_is_not_overwritten_by_it(
    shop, is_set_aside_first
):
    """It bears the moment when the first row of its commit was sent, and was read after the reject."""
    other = shop.open("run-2", pipeline="dev:other")
    shop.send(other, [A])
    session = shop.open("run-1")
    session.reject(Rejected(stream="users", record=b'{"id": 2, "name": "old"}', reason="bad"))
    shop.send(other, [{"id": 2, "name": "newer"}])
    for each in (session, other) if is_set_aside_first else (other, session):
        each.commit(b"1", final=True)
        each.close()

    at = shop.server
    settings = postgres.Settings(host=at.host, port=at.port, user=at.user, password=at.password, database="unit")
    aside = quarantine.open(settings, source="shop", folder=shop.folder / "tls", on_wait=print)
    (reject,) = aside.rejects(Chosen())
    aside.close()
    again = shop.open("run-3")
    again.replay(Again(ids=(reject.id,), origin=reject.origin))
    shop.send(again, [{"id": 2, "name": "old"}])
    again.commit(None, final=True)
    assert stored(shop) == [(1, "a"), (2, "newer")]


def send_once(session, rows, *, keys=()):
    """Rows that their source can give again."""
    session.prepare(Schema(stream="users", columns=COLUMNS, keys=keys))
    session.stage(Rows(stream="users", batch=pa.RecordBatch.from_pylist(rows, schema=COLUMNS), again=True))


def held(session):
    return session._staging.streams["users"].spool.memory


def test_rows_that_come_again_are_not_kept_once_they_are_sent(shop):
    session = shop.open(memory_bytes=1)
    for row in (A, B, C):
        send_once(session, [row])
        assert held(session) == 0
    assert session.staged_bytes() > 0
    receipt = session.commit(b"1", final=True)
    assert (receipt.streams["users"].rows_out, stored(shop)) == (3, [(1, "a"), (2, "b"), (3, "c")])
    send_once(session, [A])
    assert session.commit(b"2", final=True).streams["users"].rows_out == 1
    assert len(stored(shop)) == 4


def test_keys_that_may_come_twice_are_a_reason_to_keep_the_rows_of_a_new_table(shop):
    session = shop.open()
    send_once(session, [A], keys=("id",))
    send_once(session, [{"id": 1, "name": "later"}], keys=("id",))
    session.commit(b"1", final=True)
    assert stored(shop) == [(1, "later")]
    session.close()
    session = shop.open("run-2")
    send_once(session, [A, B], keys=("id",))
    assert held(session) == 0  # a key that comes twice is no matter beside the table
    session.commit(b"2", final=True)
    assert stored(shop) == [(1, "a"), (2, "b")]


def send_for_long(session):
    """It takes a moment for an end of the session to be noticed."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        send_once(session, [B])


END = "select pg_terminate_backend(pid) from pg_stat_activity where query like 'copy %' and state = 'active'"


def test_when_a_session_is_lost_such_rows_are_asked_for_again_at_once(shop):
    session = shop.open()
    send_once(session, [A])
    shop.sql(END)
    with pytest.raises(StartOverError):
        send_for_long(session)
    session.close()
    settle(shop)
    assert shop.sql("select to_regclass('shop.users')") == [(None,)]


def test_so_they_are_when_it_is_lost_at_the_commit(shop):
    session = shop.open()
    send_once(session, [A])
    shop.sql(END)
    with pytest.raises(StartOverError):
        session.commit(b"1", final=True)
    session.close()
    assert shop.sql("select to_regclass('shop.users')") == [(None,)]


def test_and_when_the_stream_changes_its_shape(shop):
    session = shop.open()
    send_once(session, [A])
    wider = pa.schema([*COLUMNS, ("size", pa.float64())])
    session.prepare(Schema(stream="users", columns=wider))
    with pytest.raises(StartOverError):
        session.stage(
            Rows(stream="users", batch=pa.RecordBatch.from_pylist([{"id": 2, "name": "b", "size": 1.5}], wider))
        )
