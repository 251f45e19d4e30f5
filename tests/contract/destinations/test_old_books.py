"""A warehouse of an older release is brought up to date by the next load, and loses nothing of what its books hold."""

from __future__ import annotations

import datetime as dt

import pytest

from headwater.base.errors import EnvironmentProblemError
from headwater.connect import registry
from headwater.connect.contract import Rejected
from headwater.connect.rejects import Again, Chosen

# What the table of rejects was in format 1: what a reject needs to be loaded again, its books did not keep.
TYPES = {
    "duckdb": ("varchar", "timestamptz"),
    "postgres": ("text", "timestamptz"),
    "mysql": ("varchar(255)", "datetime(6)"),
}
RECORDS = ['{"id": 1, "name": "a"}', '{"id": 2, "name": "b"}']


def make_old(place):
    """As the books of format 1 were, with two rejects of one commit."""
    book = "shop._headwater_{}" if place.kind == "mysql" else "_headwater.{}"
    text, moment = TYPES[place.kind]
    rejects, shapes, version = (book.format(name) for name in ("rejects", "shapes", "format"))
    values = ", ".join(
        f"('dev:shop', 'run-0', 3, 'users', '{one}', 'too bad', '2026-01-02 03:04:05')" for one in RECORDS
    )
    columns = f"pipeline {text}, run_id {text} not null, sequence bigint not null, stream {text} not null"
    for statement in (
        f"drop table {rejects}",
        f"drop table {shapes}",
        f"update {version} set version = 1",
        f"create table {rejects} ({columns}, record {text}, reason {text} not null, rejected_at {moment} not null)",
        f"insert into {rejects} values {values}",
    ):
        place.execute(statement)


def set_aside(place):
    module = registry.quarantine(place.kind)
    opened = module.open(place.settings(), source="shop", folder=place.folder / "tls", on_wait=print)
    try:
        return opened.rejects(Chosen())
    finally:
        opened.close()


@pytest.fixture
def old(place, send):
    if place.kind not in TYPES:
        pytest.skip("keeps its rejects in files")
    session = place.open("run-0")
    send(session, [{"id": 1, "name": "newer"}], keys=("id",))
    session.commit(b'{"n":1}', final=True)
    session.close()
    make_old(place)
    return place


def test_who_may_only_read_says_what_brings_it_up_to_date(old):
    with pytest.raises(EnvironmentProblemError) as caught:
        set_aside(old)
    assert caught.value.reference == "warehouse-older"


def test_a_load_brings_it_up_to_date_and_the_rejects_can_be_loaded(old, send):
    session = old.open("run-1")
    assert session.checkpoint() == b'{"n":1}'
    session.reject(Rejected(stream="users", record=b'{"id": 3}', reason="new"))
    session.commit(b'{"n":2}', final=True)
    session.close()
    new, *kept = set_aside(old)
    assert (new.rejected.reason, new.rejected.record) == ("new", b'{"id": 3}')
    # The books of format 1 did not note which of two rejects of one commit came first, so no order is promised.
    kept.sort(key=lambda one: one.rejected.record)
    assert [(one.rejected.record.decode(), one.rejected.reason, one.pipeline) for one in kept] == [
        (record, "too bad", "dev:shop") for record in RECORDS
    ]
    assert len({one.id for one in kept}) == 2
    assert kept[0].origin.rejected_at == dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)

    session = old.open("run-2")
    session.replay(Again(ids=tuple(one.id for one in kept), origin=kept[0].origin))
    send(session, [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}], keys=("id",))
    session.commit(None, final=True)
    session.close()
    # Nobody knows how old they are, so they leave alone every row that is there.
    assert {row["id"]: row["name"] for row in old.rows("users")} == {1: "newer", 2: "b"}
