"""A commit's transaction that was begun early: rows are on the server, invisible, before the commit is asked for.

Nobody who reads the tables has to wait: rows go where there are none yet (a new table, an empty or a temporary one),
and tables that exist are changed by the commit, not before. All rows stay with the session too: what goes wrong here,
and what no longer fits at the commit, is rolled back and sent anew then. Only those that come again from their source
need not: then it is the source that begins anew.
"""

from __future__ import annotations

from msgspec import Struct

from headwater.connect.contract import Change
from headwater.connect.destinations.commit import Commit, StreamPart
from headwater.connect.destinations.postgres import alter, rows, tables
from headwater.connect.destinations.postgres.connection import Connection, execute
from headwater.connect.destinations.postgres.send import Incoming, Sent, sent_aside
from headwater.connect.staging import StagedStream


class _Shape(Struct, frozen=True):
    """What rows were encoded for. Once it has changed, they are of no use."""

    columns: tuple[object, ...]
    keys: tuple[str, ...]
    is_versioned: bool
    is_replaced: bool
    has_long_keys: bool


class Begun(Struct):
    """A stream's rows that were sent: the first `count` batches, into a table that `changes` led to."""

    shape: _Shape
    target: tables.Target
    sent: Sent
    changes: list[Change]
    count: int = 0


def fits(begun: dict[str, Begun], commit: Commit) -> bool:
    """Whether all that was sent is part of the commit, in the shape it has now."""
    parts = {part.stream.name: part for part in commit.streams}
    return all(
        name in parts
        and parts[name].count >= one.count
        and parts[name].kept is None
        and is_for(one, parts[name].stream)
        and (commit.final or not (one.sent.is_straight and one.shape.is_replaced))
        for name, one in begun.items()
    )


def is_for(begun: Begun, stream: StagedStream) -> bool:
    return begun.shape == _shape(stream)


def start(
    connection: Connection, stream: StagedStream, target: tables.Target, incoming: Incoming, number: int
) -> Begun | None:
    """Make the place for the stream's rows. None for a stream whose rows have to wait: its table would have to change
    under its readers, or its rows would be stamped with a moment that readers of the table may have passed."""
    changes: list[Change] = []
    if target.keeps_history:
        return None
    if target.is_new:
        changes = alter.reach(connection, target, None)
    elif target.added or target.widened or target.new_hash or not target.is_noted:
        return None
    if target.is_new or (not stream.is_replaced and bool(target.keys) and _may_be_new(connection, target, incoming)):
        sent = Sent(target, target.sql, incoming, is_staged=False)
    elif target.keys or stream.is_replaced:
        sent = sent_aside(connection, target, incoming, f"headwater_incoming_{number}")
    else:
        return None
    return Begun(_shape(stream), target, sent, changes)


def send(connection: Connection, one: Begun, part: StreamPart) -> None:
    """Send what waits. The COPY stays open: see `Sent.feed`."""
    stream = part.stream
    one.sent.feed(connection, stream.spool.between(one.count, part.count))
    one.count = part.count
    # Of keys it may turn out at the end only that one came twice, which is no reason to read all again.
    if stream.comes_again and (not stream.keys or not one.sent.is_straight or one.sent.is_said_unique):
        stream.spool.forget(part.count)


def _may_be_new(connection: Connection, target: tables.Target, incoming: Incoming) -> bool:
    """As `rows.may_be_new`, and the table is not kept from others who want to change it."""
    execute(connection, "savepoint look")
    try:
        return rows.may_be_new(connection, target.sql, incoming)
    finally:
        execute(connection, "rollback to savepoint look")


def _shape(stream: StagedStream) -> _Shape:
    fields = tuple((name, field.type, repr(field.metadata)) for name, field in stream.fields().items())
    return _Shape(fields, stream.keys, stream.version is not None, stream.is_replaced, stream.has_long_keys)
