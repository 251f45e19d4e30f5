"""Rows of a database that are compared with what was loaded: those up to the bookmark, and those that came later."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import msgspec
import pytest
from msgspec.structs import replace

from headwater.connect.contract import ReadRequest
from headwater.connect.sources import sqlite as source
from headwater.connect.sources.sqlite import digest


@pytest.fixture
def settings(tmp_path):
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("create table t (id integer primary key, since datetime)")
        moments = ["2024-01-01 00:00:00", "2024-01-02 00:00:00", None, "2024-01-03 00:00:00"]
        connection.executemany("insert into t values (?, ?)", enumerate(moments))
        connection.commit()
    return source.Settings(database=str(tmp_path / "shop.db"), replication_keys={"main-t": "since"})


def compared(settings, folder, bookmark):
    """The ids that are compared, those that came later, and what is said of it."""
    state = msgspec.json.encode({"bookmarks": {"main-t": bookmark}})
    request = ReadRequest(catalog=source.discover(settings), state=state, folder=folder)
    with closing(digest.open(settings, request)) as tables:
        found = tables.relation("main-t")
        parts = [
            [row[0] for row in tables.ask(f"select id from {found.sql} where {part} order by id")] if part else None
            for part in (found.where, found.later)
        ]
        return (*parts, *found.remarks)


def test_rows_behind_the_bookmark_came_later(settings, tmp_path):
    bookmark = {"replication_key": "since", "replication_key_value": "2024-01-02 00:00:00"}
    assert compared(settings, tmp_path / "scratch", bookmark) == (
        [0, 1, 2],
        [3],
        "rows up to since = 2024-01-02 00:00:00; a row that was deleted at the source is extra",
    )


@pytest.mark.parametrize(
    "bookmark",
    [
        {},
        {"replication_key": "since", "replication_key_value": "soon"},
        {"replication_key": "id", "replication_key_value": 1},
    ],
)
def test_without_a_bookmark_all_rows_are_compared(settings, tmp_path, bookmark):
    where, later, remark = compared(settings, tmp_path / "scratch", bookmark)
    assert (where, later) == (None, None)
    assert remark == "a table is compared as it is now: what has changed since the last run differs"


def test_a_comparison_that_is_to_end_does_not_read_all_rows_first(settings, tmp_path):
    with closing(sqlite3.connect(settings.database)) as connection:
        connection.executemany("insert into t values (?, null)", ((number,) for number in range(10, 50_000)))
        connection.commit()
    request = ReadRequest(
        catalog=source.discover(settings),
        state=None,
        folder=tmp_path / "scratch",
        batch_bytes=1 << 10,
    )
    answers = iter((False, True))
    request = replace(request, should_stop=lambda: next(answers, True))
    with closing(digest.open(settings, request)) as tables:
        ((count,),) = tables.ask('select count(*) from "main-t"')
    assert count < 25_000
