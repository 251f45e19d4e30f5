"""Streams whose whole content is replaced: collected aside over the run's commits, put in place by the last one.

Renaming tables ends a transaction here, so the swap can't be part of the last commit. The order is: the last rows go
into the table aside, and in the same transaction the checkpoint moves and the swap is noted as waiting; then one RENAME
puts the new table in the old one's place, for all streams at once; then the note goes. Whoever finds a waiting note
afterwards, the next attempt or the next run, finishes the swap before it does anything else. The database's tables say
how far it came, so there is nothing to decide: readers see the old content until then, the new one after.

Triggers and foreign keys would not go along. A table that has some keeps its place, and in the last transaction its
rows are deleted and the new ones inserted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec

from headwater.connect import names
from headwater.connect.destinations.bookkeeping import Entry
from headwater.connect.destinations.mysql import books
from headwater.connect.destinations.mysql.called import PREFIX, quote
from headwater.connect.destinations.mysql.connection import Connection, lock_name
from headwater.connect.destinations.mysql.live import Held, inspect
from headwater.connect.destinations.mysql.tables import Target


def aside(connection: Connection, entry: Entry, table: Target, version: int | None) -> Held | None:
    """What was collected for the stream by earlier commits; None when nothing was.

    What a run that died had set aside is thrown away, unless the rows carry the same table `version`: then the
    source is going on where it stopped.
    """
    name = _name(entry, table)
    found = connection.rows(
        f"select run_id, version, key_names from {books.at(connection, 'replacing')} where staged_in = %s", [name]
    )
    if found and (found[0][0] == entry.run_id or (version is not None and version == found[0][1])):
        keys = tuple(msgspec.json.decode(found[0][2]))
        return inspect(connection, name, stream=table.stream, keys=keys, noted=table.noted)
    drop(connection, entry, table)
    forget(connection, entry, table)
    return None


def begin(connection: Connection, entry: Entry, table: Target, keys: tuple[str, ...] | None) -> Held:
    """An empty table aside, like the stream's own, which has those keys. It is noted first, of no run, so that it is
    found again whatever happens."""
    name = _name(entry, table)
    connection.run(
        f"replace into {books.at(connection, 'replacing')} "
        "(staged_in, pipeline, table_name, run_id, key_names, is_waiting) values (%s, %s, %s, '', '[]', 0)",
        [name, entry.pipeline, table.table],
    )
    connection.run(f"create table {quote(connection.schema)}.{quote(name)} like {table.sql}")
    return inspect(connection, name, stream=table.stream, keys=keys, noted=table.noted)


def note(connection: Connection, entry: Entry, collected: Target, table: str, version: int | None) -> None:
    """Say in the books what is collected for which table, before a row is."""
    connection.run(
        f"replace into {books.at(connection, 'replacing')} "
        "(staged_in, pipeline, table_name, run_id, version, key_names, is_waiting) values (%s, %s, %s, %s, %s, %s, 0)",
        [
            collected.table,
            entry.pipeline,
            table,
            entry.run_id,
            version,
            msgspec.json.encode(collected.keys).decode(),
        ],
    )


def wait(connection: Connection, entry: Entry, table: Target) -> None:
    """Note, in the caller's transaction, that the table aside is complete."""
    connection.run(
        f"update {books.at(connection, 'replacing')} set is_waiting = 1 where staged_in = %s", [_name(entry, table)]
    )


def forget(connection: Connection, entry: Entry, table: Target) -> None:
    """Note, in the caller's transaction, that the content was taken over. The table aside can be dropped then."""
    connection.run(f"delete from {books.at(connection, 'replacing')} where staged_in = %s", [_name(entry, table)])


def drop(connection: Connection, entry: Entry, table: Target) -> None:
    """Drop the table aside. Commits what is open."""
    connection.run(f"drop table if exists {_at(connection, _name(entry, table))}")


def finish(connection: Connection, pipeline: str | None) -> None:
    """Put in place what waits for it. Can be done again and again."""
    if not books.exist(connection):
        return
    book = books.at(connection, "replacing")
    waiting = connection.rows(
        f"select table_name, staged_in, key_names from {book} where pipeline <=> %s and is_waiting", [pipeline]
    )
    if not waiting:
        return
    with connection.locked(table for table, _, _ in waiting):
        there = {
            name
            for (name,) in connection.rows(
                "select table_name from information_schema.tables where table_schema = %s", [connection.schema]
            )
        }
        moves = []
        for table, staged, _ in waiting:
            if staged not in there:
                continue  # it has been renamed
            if table in there:
                connection.run(f"drop table if exists {_at(connection, _old(staged))}")
                moves.append(f"{_at(connection, table)} to {_at(connection, _old(staged))}")
            moves.append(f"{_at(connection, staged)} to {_at(connection, table)}")
        if moves:
            connection.run(f"rename table {', '.join(moves)}")
        for table, staged, keys in waiting:
            connection.run(f"drop table if exists {_at(connection, _old(staged))}")
            with connection.transaction():
                connection.run(
                    f"update {books.at(connection, 'tables')} set key_names = %s where table_name = %s", [keys, table]
                )
                connection.run(f"delete from {book} where staged_in = %s", [staged])
                connection.run("commit")


def sweep(connection: Connection, pipeline: str | None) -> None:
    """Drop what runs that died had collected, of whatever pipeline, unless rows of it were committed and the source may
    go on with them. `pipeline` is locked by this session, so no other run of it lives; runs without one can't be told
    from living ones."""
    if not books.exist(connection):
        return
    found = connection.rows(
        f"select staged_in, pipeline from {books.at(connection, 'replacing')} r where not is_waiting "
        "and pipeline is not null and (version is null or not exists "
        f"(select 1 from {books.at(connection, 'ledger')} l where l.run_id = r.run_id and l.pipeline = r.pipeline))"
    )
    for staged, whose in found:
        with _held(connection, pipeline, whose) as is_dead:
            if is_dead:
                connection.run(f"drop table if exists {_at(connection, staged)}")
                connection.run(
                    f"delete from {books.at(connection, 'replacing')} where staged_in = %s and not is_waiting", [staged]
                )


@contextlib.contextmanager
def _held(connection: Connection, ours: str | None, other: str) -> Iterator[bool]:
    """Whether no run of the other pipeline lives; none begins meanwhile."""
    if other == ours:
        yield True
        return
    name = lock_name("pipeline", connection.schema, other)
    is_free = connection.rows("select get_lock(%s, 0)", [name]) == [(1,)]
    try:
        yield is_free
    finally:
        if is_free and connection.is_open:
            connection.rows("select release_lock(%s)", [name])


def is_bound(connection: Connection, table: Target) -> bool:
    """Whether triggers or foreign keys hang on the table."""
    place = [table.schema, table.table]
    return bool(
        connection.rows(
            "select 1 from information_schema.triggers where event_object_schema = %s and event_object_table = %s "
            "union all select 1 from information_schema.key_column_usage "
            "where table_schema = %s and table_name = %s and referenced_table_name is not null "
            "union all select 1 from information_schema.key_column_usage "
            "where referenced_table_schema = %s and referenced_table_name = %s limit 1",
            place * 3,
        )
    )


def _name(entry: Entry, table: Target) -> str:
    return f"{PREFIX}aside_{names.digest(repr((entry.pipeline, table.table)))}"


def _old(staged: str) -> str:
    return f"{staged}_old"


def _at(connection: Connection, name: str) -> str:
    return f"{quote(connection.schema)}.{quote(name)}"
