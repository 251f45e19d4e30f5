from __future__ import annotations

import pytest

from headwater.base.errors import EnvironmentProblemError, InputError, RunFailedError
from headwater.connect.contract import ReadRequest, Rows
from headwater.connect.sources import postgres as source

OURS = "select count(*) from pg_stat_activity where application_name like 'headwater: reading %'"


def test_many_tables_are_read_by_one_session(shop):
    shop.sql("; ".join(f"create table t{n} (id int); insert into t{n} values ({n})" for n in range(30)))
    request = ReadRequest(catalog=shop.catalog(), state=None, folder=shop.folder)
    seen, rows = set(), 0
    for message in source.read(shop.settings(), request):
        if isinstance(message, Rows):
            rows += 1
            seen |= {pid for (pid,) in shop.sql(OURS.replace("count(*)", "pid"))}
    assert (rows, len(seen)) == (30, 1)


def test_a_query_that_has_not_answered_is_cancelled_when_the_read_is_to_stop(shop):
    shop.sql("create view slow as select 1 as id, pg_sleep(60)::text as x")
    found = shop.read(stop_after=2)
    assert found.rows == []
    assert found.states == [{"bookmarks": {}}]
    assert shop.sql("select count(*) from pg_stat_activity where query like '%slow%' and state = 'active'") == [(1,)]


def test_a_read_that_changes_anything_is_refused_by_the_server(shop):
    shop.sql("create table log (id int)")
    shop.sql(
        "create function note() returns int language sql set search_path = public as "
        "'insert into public.log values (1) returning id'"
    )
    shop.sql("create view v as select public.note() as x")
    with pytest.raises(RunFailedError) as caught:
        shop.read("public-v")
    assert "read-only transaction" in caught.value.why


def test_a_query_that_an_administrator_ends_is_not_taken_for_a_lost_connection(shop):
    shop.sql(
        "create table t (id int, x text); insert into t select i, repeat('x', 500) from generate_series(1, 200000) i"
    )
    request = ReadRequest(catalog=shop.catalog(), state=None, folder=shop.folder, batch_bytes=50_000)
    found = source.read(shop.settings(), request)
    next(one for one in found if isinstance(one, Rows))
    shop.sql(OURS.replace("count(*)", "pg_cancel_backend(pid)"))
    with pytest.raises(RunFailedError) as caught:
        list(found)
    assert caught.value.reference == "query-cancelled"


def test_a_right_that_is_taken_away_meanwhile_is_named_with_the_grant(shop):
    shop.sql("drop role if exists reader")
    shop.sql("create role reader login password 'reader-canary'")
    shop.sql("create table a (id int primary key); create table b (id int primary key); insert into a values (1)")
    shop.sql("grant select on a, b to reader")
    who = {"user": "reader", "password": "reader-canary"}
    request = ReadRequest(catalog=shop.catalog(**who), state=None, folder=shop.folder)
    found = source.read(shop.settings(**who), request)
    next(found)
    shop.sql("revoke select on b from reader")
    with pytest.raises(EnvironmentProblemError, match=r"`reader` may not read `public\.b`") as caught:
        list(found)
    assert caught.value.reference == "no-permission"
    assert caught.value.hint == 'grant select on "public"."b" to reader'


def test_the_catalog_is_known_to_be_old_when_a_schema_opens(shop):
    shop.sql("drop role if exists visitor")
    shop.sql("create role visitor login password 'visitor-canary'")
    shop.sql("create schema side; create table side.t (id int); grant select on side.t to visitor")
    who = shop.settings(user="visitor", password="visitor-canary")
    before = source.signature(who)
    assert source.discover(who).streams == []
    shop.sql("grant usage on schema side to visitor")
    assert [one.name for one in source.discover(who).streams] == ["side-t"]
    assert source.signature(who) != before


def test_two_tables_that_would_be_one_stream_are_refused(shop):
    shop.sql('create schema "a-b"; create schema a; create table "a-b".c (id int); create table a."b-c" (id int)')
    with pytest.raises(InputError) as caught:
        shop.catalog()
    assert caught.value.reference == "ambiguous-stream"
    assert [one.name for one in shop.catalog(filter_schemas=["a"]).streams] == ["a-b-c"]


def test_thousands_of_tables_are_offered_by_one_query(shop):
    for start in range(0, 5000, 500):
        shop.sql("; ".join(f"create table t{n} (id int primary key, b text)" for n in range(start, start + 500)))
    assert len(shop.catalog().streams) == 5000
