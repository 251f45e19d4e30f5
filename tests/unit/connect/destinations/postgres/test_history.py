"""What `load_method: history` does in PostgreSQL only; the contract's tests hold what it does everywhere."""

from __future__ import annotations

import psycopg
import pytest

from headwater.base.errors import InputError

from .test_session import Proxy

A, B = {"id": 1, "name": "a"}, {"id": 2, "name": "b"}
HISTORY = {"load_method": "history"}
VERSIONS = "select id, name, __valid_to is null from shop.users order by id, __valid_from"


def test_one_current_version_of_a_key_is_all_the_database_takes(shop):
    shop.load([A], settings=HISTORY)
    with pytest.raises(psycopg.errors.UniqueViolation):
        shop.sql("insert into shop.users select id, name, __loaded_at, now(), null from shop.users")


@pytest.mark.parametrize("after", [False, True], ids=["before it arrives", "after it was done"])
def test_a_connection_that_breaks_at_the_commit_makes_each_version_once(shop, after):
    shop.load([A], settings=HISTORY)
    proxy = Proxy(shop.server.port, fatal=b"commit\0", after=after)
    session = shop.open("run-2", port=proxy.port, **HISTORY)
    shop.send(session, [{"id": 1, "name": "x"}, B])
    session.commit(b"2")
    session.close()
    proxy.close()
    assert proxy.cuts == 1
    assert shop.sql(VERSIONS) == [(1, "a", False), (1, "x", True), (2, "b", True)]


@pytest.mark.parametrize(
    ("statement", "why", "hint"),
    [
        (
            "create table orders (user_id bigint references shop.users)",
            "other tables refer to the rows of `shop.users` by its key",
            "drop their foreign keys",
        ),
        ("create unique index on shop.users (name)", "`shop.users` has other unique indexes", "drop those indexes"),
    ],
)
def test_an_upsert_table_whose_key_is_needed_stays_as_it_is(shop, statement, why, hint):
    shop.load([A])
    shop.sql(statement)
    with pytest.raises(InputError) as caught:
        shop.load([B], run_id="run-2", settings=HISTORY)
    assert caught.value.reference == "unsupported-change"
    assert caught.value.why.startswith(why)
    assert caught.value.hint.startswith(hint)
    assert shop.sql("select * from shop.users")[0][:2] == (1, "a")
    assert len(shop.sql("select * from shop.users")[0]) == 3


def test_columns_that_someone_added_go_on_with_their_values(shop):
    shop.load([A], settings=HISTORY)
    shop.sql("alter table shop.users add note text, add twice bigint generated always as (id * 2) stored")
    shop.sql("update shop.users set note = 'mine'")
    shop.load([{"id": 1, "name": "x"}], run_id="run-2", settings=HISTORY)
    assert shop.sql("select name, note, twice from shop.users order by __valid_from") == [
        ("a", "mine", 2),
        ("x", "mine", 2),
    ]
