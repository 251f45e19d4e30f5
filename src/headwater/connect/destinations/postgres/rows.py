"""Rows into a table: COPY, or COPY aside and an upsert where the last row of a key wins. Each runs inside the caller's
transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import count

import psycopg

from headwater.connect import names
from headwater.connect.destinations.deletes import DELETED_AT
from headwater.connect.destinations.postgres import keys
from headwater.connect.destinations.postgres.connection import Connection, execute
from headwater.connect.destinations.postgres.merge import merged
from headwater.connect.destinations.postgres.send import Incoming, Sent, Taken, sent_aside
from headwater.connect.destinations.postgres.tables import KEY_HASH, LOADED_AT, ORDINAL, SENT, Target
from headwater.connect.staging import VERSION

_INCOMING = "headwater_incoming"


class StaleError(Exception):
    """Rows that were sent ahead are of no use: they have a key that another row has, or their table has changed."""


def load(
    connection: Connection, table: Target, into: str, incoming: Incoming, *, is_keyed: bool, prior: str | None = None
) -> Taken:
    """Insert the rows into `into`, or upsert them when the table has keys. `is_keyed` says whether `into` has its
    unique index; one that has not must be empty and gets it. `prior` is SQL for the rows whose values stay where a
    field was not sent, `into` when it is not given.

    Raises RunFailedError: `null-key` when a key column holds null, `value-rejected` for a value that can't be stored
    and must not be repaired; InexactError for one that its column's type can't hold exactly; LongKeyError;
    psycopg.Error.
    """
    if incoming.sent is not None:
        return _finished(connection, table, into, incoming, incoming.sent, is_keyed=is_keyed, prior=prior)
    if not table.keys:
        return Sent(table, into, incoming, is_staged=False).send(connection, incoming.batches())
    is_first = prior is None
    taken = None
    if may_be_new(connection, into, incoming):
        taken = _inserted(connection, table, into, incoming, is_keyed=is_keyed, is_first=is_first)
    if taken is None:
        incoming.fresh.discard(into)
        return _upsert(connection, table, into, incoming, prior or into)
    incoming.fresh.add(into)
    return taken


def may_be_new(connection: Connection, into: str, incoming: Incoming) -> bool:
    """Whether it is worth a try to insert the rows."""
    return into in incoming.fresh or _is_empty(connection, into)


def straight(connection: Connection, table: Target, into: str, incoming: Incoming, *, is_keyed: bool) -> Taken | None:
    """Insert the rows when `into` is empty and no key comes twice. None when it is otherwise; `into` then has its
    unique index too."""
    if not _is_empty(connection, into):
        return None
    return _inserted(connection, table, into, incoming, is_keyed=is_keyed, is_first=True)


def _inserted(
    connection: Connection, table: Target, into: str, incoming: Incoming, *, is_keyed: bool, is_first: bool
) -> Taken | None:
    """Insert the rows when they have new keys, each its own. None when it is otherwise; `into` then has its unique
    index too. Unless they are the first rows of their keys anywhere, each must have come with all of its fields."""
    outgoing = Sent(table, into, incoming, is_staged=False)
    execute(connection, "savepoint straight")
    try:
        taken = outgoing.send(connection, incoming.batches())
        if not is_keyed:
            keys.add(connection, table, into)
    except psycopg.errors.UniqueViolation:
        pass  # the index says that a key came twice
    else:
        if is_first or not outgoing.is_partial:
            execute(connection, "release savepoint straight")
            return taken
    execute(connection, "rollback to savepoint straight")
    if not is_keyed:
        keys.add(connection, table, into)
    return None


def _finished(
    connection: Connection,
    table: Target,
    into: str,
    incoming: Incoming,
    sent: Sent,
    *,
    is_keyed: bool,
    prior: str | None,
) -> Taken:
    """Bring in what is left of rows that were sent ahead. Raises StaleError when they should not have gone
    straight into the table."""
    try:
        if sent.is_straight:
            taken = sent.send(connection, incoming.batches())
        if table.keys and not is_keyed:
            keys.add(connection, table, into)
    except psycopg.errors.UniqueViolation as error:
        raise StaleError from error
    if not sent.is_straight and table.keys:
        return _upsert(connection, table, into, incoming, prior or into)
    if not sent.is_straight:
        taken = sent.send(connection, incoming.batches())
        listed = ", ".join(map(names.quote, table.own))
        rows = f"select {listed}, {incoming.moment} from {sent.into} order by {ORDINAL}"
        execute(connection, f"insert into {into} ({listed}, {LOADED_AT}) {rows}")
        return taken
    incoming.fresh.add(into)
    return taken


def copy(connection: Connection, table: Target, source: str, into: str) -> None:
    """Put all rows of one table into another."""
    listed = ", ".join(map(names.quote, [*table.own, LOADED_AT]))
    execute(connection, f"insert into {into} ({listed}) select {listed} from {source}")


@contextlib.contextmanager
def latest(connection: Connection, table: Target, incoming: Incoming, prior: str) -> Iterator[tuple[Taken, str]]:
    """What came, and a query for it with one row a key: the last one; the keys' hash is in it where the table has that.
    A field that was not sent has the value of the row in `prior`."""
    sent = incoming.sent or sent_aside(connection, table, incoming, _INCOMING)
    taken = sent.send(connection, incoming.batches())
    if sent.partial or table.merged:
        execute(connection, f"analyze {sent.into} ({', '.join(map(names.quote, table.matched))})")
        yield taken, _folded(table, sent, prior)
    else:
        yield taken, _latest(table, sent)
    execute(connection, f"drop table {sent.into}")


def _upsert(connection: Connection, table: Target, into: str, incoming: Incoming, prior: str) -> Taken:
    own = list(map(names.quote, table.own))
    key_names = list(map(names.quote, table.keys))
    settings = [f"{name} = excluded.{name}" for name in [*own, LOADED_AT] if name not in key_names]
    if DELETED_AT in table.ours:
        settings.append(f"{DELETED_AT} = null")
    on = ", ".join(key_names)
    if table.is_hashed:
        # Should two keys ever have the same hash, the load fails: a row without a key has none.
        on, same = KEY_HASH, "{0} = case when t.{0} = excluded.{0} then t.{0} end"
        settings += [same.format(name) for name in key_names]
    with latest(connection, table, incoming, prior) as (taken, rows):
        execute(
            connection,
            f"insert into {into} as t ({', '.join([*own, LOADED_AT])}) "
            f"select {', '.join(f'i.{name}' for name in own)}, {incoming.moment} from ({rows}) i "
            f"on conflict ({on}) do update set {', '.join(settings)}",
        )
    return taken


def _latest(table: Target, sent: Sent) -> str:
    listed = ", ".join(map(names.quote, [*table.own, *([KEY_HASH] if table.is_hashed else [])]))
    if sent.is_unique():
        return f"select {listed} from {sent.into}"
    on = ", ".join(map(names.quote, table.matched))
    return f"select distinct on ({on}) {listed} from {sent.into} order by {on}, {ORDINAL} desc"


def _folded(table: Target, sent: Sent, prior: str) -> str:
    """One row a key. Each column has the last value that was sent for it; one that was never sent keeps the value
    the table has. Objects are merged."""
    on = ", ".join(map(names.quote, table.matched))
    is_unique = sent.is_unique()
    ours = next(f"c{number}_" for number in count() if not any(key.startswith(f"c{number}_") for key in table.keys))

    def last(value: str, which: str = "") -> str:
        return value if is_unique else f"(array_agg({value} order by {ORDINAL} desc){which})[1]"

    def every(value: str) -> str:
        if is_unique:
            return f"case when {value} is not null then array[{value}] end"
        return f"array_agg({value} order by {ORDINAL}) filter (where {value} is not null)"

    picked, folded = [], []
    for position, column in enumerate(table.columns):
        name = names.quote(column.name)
        if column.name in table.keys:
            picked.append(f"f.{name}")
        elif column.source in table.merged:
            folded.append(f"{every(name)} as {ours}{position}")
            picked.append(f"{merged(f't.{name}', f'f.{ours}{position}', column.sql_type)} as {name}")
        elif column.source not in sent.partial:
            folded.append(f"{last(name)} as {ours}{position}")
            picked.append(f"f.{ours}{position} as {name}")
        else:
            came = f"({SENT} is null or substr({SENT}, {position + 1}, 1) = '1')"
            folded.append(f"{last(name, f' filter (where {came})')} as {ours}{position}")
            folded.append(f"{came if is_unique else f'bool_or({came})'} as {ours}s{position}")
            picked.append(f"case when f.{ours}s{position} then f.{ours}{position} else t.{name} end as {name}")
    if table.is_versioned:
        folded.append(f"{last(VERSION)} as {VERSION}")
        picked.append(f"f.{VERSION}")
    if table.is_hashed:
        picked.append(f"f.{KEY_HASH}")
    rows = f"select {', '.join([on, *folded])} from {sent.into}" + ("" if is_unique else f" group by {on}")
    return f"select {', '.join(picked)} from ({rows}) f left join {prior} t on {keys.same_key(table, 't', 'f')}"


def _is_empty(connection: Connection, at: str) -> bool:
    row = execute(connection, f"select exists (select from {at})").fetchone()
    return row is not None and not row[0]
