"""What `load_method: history` does in MariaDB only; the contract's tests hold what it does everywhere."""

from __future__ import annotations

import pytest

from headwater.base.errors import InputError

from .test_session import Proxy

A, B = {"id": 1, "name": "a"}, {"id": 2, "name": "b"}
HISTORY = {"load_method": "history"}
VERSIONS = "select id, name, __valid_to is null from users order by id, __valid_from"


def changes(shop, fatal, *, after, **more):
    """A run that changes a row and brings one, over a connection that breaks once."""
    proxy = Proxy(shop.server.port, fatal=fatal, after=after)
    session = shop.open("run-2", port=proxy.port, **HISTORY)
    shop.send(session, [{"id": 1, "name": "x"}, B], **more)
    session.commit(b"2", final=True)
    session.close()
    proxy.close()
    assert proxy.cuts == 1
    assert shop.sql(VERSIONS) == [(1, "a", 0), (1, "x", 1), (2, "b", 1)]
    assert shop.sql("select * from _headwater_replacing") == []


@pytest.mark.parametrize("after", [False, True], ids=["before it arrives", "after it was done"])
@pytest.mark.parametrize("replace", [False, True])
def test_a_connection_that_breaks_at_the_commit_makes_each_version_once(shop, replace, after):
    shop.load([A], settings=HISTORY)
    changes(shop, b"\x03commit", after=after, replace=replace)


@pytest.mark.parametrize("after", [False, True], ids=["before it arrives", "after it was done"])
@pytest.mark.parametrize("fatal", [b"add column if not exists", b"set __valid_from =", b"modify column __valid_from"])
def test_a_table_that_was_half_way_to_history_gets_there(shop, fatal, after):
    shop.load([A])
    changes(shop, fatal, after=after)


@pytest.mark.parametrize("fatal", [b"drop column __valid_from", b"_headwater_replacing` (staged_in"])
def test_a_table_aside_that_was_half_made_is_made_anew(shop, fatal):
    shop.load([A], settings=HISTORY)
    changes(shop, fatal, after=True, replace=True)


def test_another_unique_index_is_in_the_way_of_history(shop):
    shop.load([A], settings={})
    shop.sql("alter table users modify name varchar(10), add unique key by_name (name)")
    with pytest.raises(InputError) as caught:
        shop.load([B], run_id="run-2", settings=HISTORY)
    assert (
        caught.value.why == "`shop.users` has other unique indexes than one on (id), so a key can't have two versions"
    )
    assert shop.sql("select id, name from users") == [(1, "a")]


def test_columns_that_someone_added_go_on_with_their_values(shop):
    shop.load([A], settings=HISTORY)
    shop.sql("alter table users add note text collate utf8mb4_general_ci, add twice int as (id * 2) stored")
    shop.sql("update users set note = 'mine'")
    shop.load([{"id": 1, "name": "x"}], run_id="run-2", settings=HISTORY)
    assert shop.sql("select name, note, twice from users order by __valid_from") == [("a", "mine", 2), ("x", "mine", 2)]


def test_a_change_that_a_loose_collation_would_not_see_is_one(shop):
    shop.load([A], settings=HISTORY)
    shop.sql("alter table users modify name longtext character set utf8mb4 collate utf8mb4_general_ci")
    shop.load([{"id": 1, "name": "A"}], run_id="run-2", settings=HISTORY)
    assert shop.sql(VERSIONS) == [(1, "a", 0), (1, "A", 1)]
